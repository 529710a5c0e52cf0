"""A pooler gives one session of the server to many clients, which must not hear of one another."""

from __future__ import annotations

import psycopg2
import pytest

from oroboros_deploy.errors import RegistryUnavailable
from oroboros_deploy.registry import Registry
from tests.support.pooler import pooled, why_not
from tests.support.samples import A, host, record

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

_SETTINGS = (
    "default_transaction_read_only",
    "default_transaction_isolation",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "search_path",
    "TimeZone",
)


def settings(client: psycopg2.extensions.connection) -> list[object]:
    """What an application is given of the server's session."""
    with client.cursor() as cursor:
        found = []
        for name in _SETTINGS:
            cursor.execute(f"SHOW {name}")
            found.append(cursor.fetchone())
        return found


def test_nothing_of_ours_is_left_in_a_pooled_session(server, postgres_url):
    """After the registry was made, written and read through PgBouncer, an application writes as it did before."""
    with pooled(server, postgres_url) as url:
        application = psycopg2.connect(url)
        application.autocommit = True
        before = settings(application)
        with Registry.open(url) as registry:
            registry.begin(record(A, host("web1", "live")))
            registry.upsert(A, A, "deployed")
            assert [row["release_id"] for row in registry.list()] == [A]
            assert registry.database.mark()
            assert registry.serving() == {}
            assert settings(application) == before  # while the registry's connections are open
        with application.cursor() as cursor:
            cursor.execute("CREATE TABLE app (x int); INSERT INTO app VALUES (3)")
        assert settings(application) == before
        application.close()


def test_an_application_goes_on_after_our_question_failed(server, postgres_url):
    """A question that the server refuses leaves no transaction and no setting behind."""
    with pooled(server, postgres_url) as url, Registry.open(url) as registry:
        registry.check()
        application = psycopg2.connect(url)
        application.autocommit = True
        before = settings(application)
        with pytest.raises(RegistryUnavailable, match="read-only transaction"):
            registry.database.ask(lambda db: db.connection.cursor().execute("CREATE TABLE ours (x int)"))
        assert settings(application) == before
        application.close()
