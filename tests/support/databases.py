"""The two databases that every promise of the registry is kept on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from oroboros_deploy.registry import Registry
from tests.support.postgres import PostgresServer, started


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all tests that do not break it."""
    yield from started()


def bare(db: Connection) -> Connection:
    """This transaction, which finds the registry's own tables by their bare names."""
    if db.dialect.name == "postgresql":
        db.exec_driver_sql("SET LOCAL search_path = public, oroboros")
    return db


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite registry that does not exist yet."""
    return f"sqlite:///{tmp_path}/state/registry.db"


@pytest.fixture
def postgres_url(server: PostgresServer) -> Iterator[str]:
    """An empty database on the server."""
    url = server.database()
    yield url
    server.drop(url)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    """An empty registry, once on each database."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    """An open registry, once on each database."""
    with Registry.open(url) as registry:
        yield registry
