"""Times that PostgreSQL has and Python has not."""

from __future__ import annotations

import pytest

from oroboros_deploy.registry import Registry
from tests.support.postgres import PostgresServer
from tests.support.samples import A

pytestmark = pytest.mark.postgres

NEVER = "1970-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ("2030-01-01 12:00+05", "2030-01-01T07:00:00+00:00"),
        ("infinity", "9999-12-31T23:59:59.999999+00:00"),
        ("294276-01-01 00:00+00", NEVER),
        ("0044-03-15 BC", NEVER),
    ],
)
def test_a_time_of_any_year_is_read(server: PostgresServer, postgres_url: str, stored: str, read: str) -> None:
    """By what lists rows, and by what compares them with journals."""
    with Registry.open(postgres_url) as registry:
        registry.upsert(A, A, "deployed")
        server.execute(f"UPDATE releases SET deployed_at = '{stored}'", postgres_url.rpartition("/")[2])
        assert [row["deployed_at"] for row in registry.list()] == [read]
        assert registry.memory(None).rows[A].deployed_at == read
