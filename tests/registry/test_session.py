"""A reader inside a session of the control plane's own."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text, update
from sqlalchemy.orm import Session

from oroboros_deploy.errors import RegistryUnavailable
from oroboros_deploy.registry import Registry
from oroboros_deploy.registry.schema import releases
from oroboros_deploy.registry.session import session_reader
from oroboros_deploy.registry.url import engine_url
from tests.support.samples import A


def test_a_session_that_cannot_read_says_so(url):
    """Inside a session of somebody else's, what the driver raises is a RegistryUnavailable, without values."""
    engine = create_engine(engine_url(url))
    with Session(engine) as session:
        with pytest.raises(
            RegistryUnavailable, match="cannot be read in the application's own database session"
        ) as caught:
            session_reader(session).release(A)
        assert A not in str(caught.value)
        assert str(caught.value.hint).endswith("missing tables are made by: fab registry.list")
        session.rollback()
        with Registry.open(url) as registry:
            registry.upsert(A, A, "deployed")
        session.execute(update(releases).values(status="replaced"))
        found = session_reader(session).release(A)
        assert found is not None and found["status"] == "replaced"  # what it has not committed yet
    engine.dispose()


def test_a_reader_apart_keeps_no_session_busy(url):
    """Apart from the session it asks through connections of its own, each given back with the answer."""
    with Registry.open(url) as registry:
        registry.upsert(A, A, "deployed")
    engine = create_engine(engine_url(url))
    with Session(engine) as session:
        found = session_reader(session).apart().release(A)
        assert found is not None and found["status"] == "deployed"
        assert (session.in_transaction(), engine.pool.checkedout()) == (False, 0)
    engine.dispose()


@pytest.mark.postgres
def test_a_session_with_a_time_that_python_has_not_says_so(postgres_url):
    """Its connection is not ours to teach such times: what its driver raises is a RegistryUnavailable."""
    with Registry.open(postgres_url) as registry:
        registry.upsert(A, A, "deployed")
    engine = create_engine(engine_url(postgres_url))
    with Session(engine) as session:
        session.execute(text("UPDATE releases SET deployed_at = '0044-03-15 BC'"))
        with pytest.raises(
            RegistryUnavailable, match="cannot be read in the application's own database session: ValueError"
        ):
            session_reader(session).release(A)
    engine.dispose()
