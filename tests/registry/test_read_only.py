"""A reading connection cannot write, and leaves no setting behind for whoever gets its session next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from oroboros_deploy.registry.read_only import make_read_only

pytestmark = pytest.mark.postgres


@pytest.fixture
def connection(postgres_url: str) -> Iterator[Any]:
    connection = psycopg2.connect(postgres_url)
    yield connection
    connection.close()


def test_it_reads_and_cannot_write(connection: Any) -> None:
    """A question is answered; what would change something is refused by the server."""
    make_read_only(connection)
    cursor = connection.cursor()
    cursor.execute("SELECT %s + 1", (1,))
    assert cursor.fetchall() == [(2,)]
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        cursor.execute("CREATE TABLE anything (id integer)")


def test_nothing_is_a_setting_of_the_session(connection: Any) -> None:
    """After a question the session writes as before and has no time limit."""
    make_read_only(connection)
    connection.cursor().execute("SELECT 1")
    connection.cursor_factory = psycopg2.extensions.cursor
    plain = connection.cursor()
    plain.execute("SELECT current_setting('default_transaction_read_only'), current_setting('statement_timeout')")
    assert plain.fetchall() == [("off", "0")]
    plain.execute("CREATE TEMPORARY TABLE anything (id integer)")
