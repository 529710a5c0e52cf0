"""Records to test with."""

from __future__ import annotations

from multiprocessing import get_context
from typing import Any

from oroboros_deploy.records.record import HostRecord, Record

# Processes that fork from one which has imported what they need: starting eight costs no eight imports.
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["oroboros_deploy.registry.registry", "psycopg2", "tests.support.writers"])

A, B, C = "a" * 40, "b" * 40, "c" * 40


def host(name: str, state: str, *, live: str | None = None, previous: str | None = None, **more: Any) -> HostRecord:
    """One host's part; restored means that the previous release serves."""
    return HostRecord(name, state, live or (previous if state == "restored" else None), previous, **more)


def record(release_id: str, *hosts: HostRecord, attempt: str = "attempt", minute: int = 0, **more: Any) -> Record:
    """An attempt that was finished at 12:<minute>."""
    values: dict[str, Any] = {
        "attempt": attempt,
        "kind": "deploy",
        "release_id": release_id,
        "commit_sha": release_id,
        "environment": "prod",
        "actor": "ada",
        "control_node": "laptop",
        "tool_version": "0.1.0",
        "started_at": "2030-01-01T11:00:00+00:00",
        "finished_at": f"2030-01-01T12:{minute:02}:00+00:00",
        "exit_code": 0,
        "hosts": hosts,
    }
    return Record(**values | more)
