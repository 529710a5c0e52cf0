"""Every query that an API or a page asks is served by an index; `benchmarks/registry_at_size.py` takes the times."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.registry_at_size import ago, fill, plan, queries, statements, whole_tables
from oroboros_deploy.registry import Registry
from oroboros_deploy.registry.reading import Reader

COUNT = 30_000
PAGE = 20  # more rows of so few would be joined by reading a whole table, and rightly so
SERVED_BY = {
    "attempts": "ix_oroboros_attempts_started",
    "attempts, deep": "ix_oroboros_attempts_started",
    "attempts, kind": "ix_oroboros_attempts_kind",
    "attempts, state rare": "ix_oroboros_attempts_state",
    "attempts, running": "ix_oroboros_attempts_state",
    "attempts, lost": "ix_oroboros_attempts_state",
    "attempts, host": "ix_oroboros_attempt_hosts_started",
    "attempts, host deep": "ix_oroboros_attempt_hosts_started",
    "attempts, environment rare": "ix_oroboros_attempts_environment",
    "attempts, person rare": "ix_oroboros_attempts_actor",
    "the latest attempt": "ix_oroboros_attempts_environment",
    "the latest attempt without an environment": "ix_oroboros_attempts_environment",
    "the latest attempt that brought a release": "ix_oroboros_attempts_release_id",
    "attempts, sha": "ix_oroboros_attempts_release_id",
    "attempts, since and until": "ix_oroboros_attempts_started",
    "events of an attempt": "ix_oroboros_events_attempt",
    "events of a rare host": "ix_oroboros_events_host",
    "events of an environment": "ix_oroboros_events_environment",
    "events, of the last hour": "ix_oroboros_events_at",
    "events of a host, since": "ix_oroboros_events_host_at",
    "events of an environment, since": "ix_oroboros_events_environment_at",
    "environments": "ix_oroboros_attempts_environment",
}


def plans(registry: Registry, ask: Callable[[Reader], object]) -> list[list[str]]:
    """The plan of every statement that a question sends."""
    with statements() as sent:
        ask(registry.reader)
    return registry.database.read(
        lambda db: [plan(db.connection.driver_connection, sql, values) for sql, values in sent]
    )


@pytest.mark.slow
def test_every_query_is_served_by_an_index(url):
    """No plan of the reader visits all rows of a table that grows, and every filter has the index made for it."""
    with Registry.open(url) as registry:
        registry.check()
        fill(registry, COUNT)
        asked = queries(COUNT, registry.reader.attempts(1, until=ago(COUNT * 75)).next or "", PAGE)
        # At this size the window of the figures is the whole table.
        found = {name: plans(registry, ask) for name, ask in asked.items() if "figures" not in name}
    whole = {name: lines for name, each in found.items() for lines in map(whole_tables, each) if lines}
    unserved = {name: found[name] for name, index in SERVED_BY.items() if index not in str(found[name])}
    assert (whole, unserved) == ({}, {})
