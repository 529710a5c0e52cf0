"""Many processes at one registry: as if they had come one after the other, and none of them hears of the others."""

from __future__ import annotations

import json
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.control.spool import Spool
from oroboros_deploy.records.record import Record
from oroboros_deploy.records.status import IN_PROGRESS, SERVING, transitions
from oroboros_deploy.registry import Registry
from oroboros_deploy.registry.schema import attempts, metadata
from tests.support.samples import PROCESSES
from tests.support.writers import RELEASES, Logged, Step, hammer

pytestmark = pytest.mark.slow


def steps(log: Path) -> list[Step]:
    """The calls in the order of their commits; of one that was tried again, the last try counts."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    last = {token: number for number, (token, *_) in enumerate(lines)}
    return [(name, values) for number, (token, name, values) in enumerate(lines) if last[token] == number]


def one_by_one(done: list[Step], path: Path) -> dict[str, list[Any]]:
    """The tables after the same calls by one process."""
    with Logged.open(f"sqlite:///{path}") as registry:
        for name, values in done:
            registry.take(name, *values)
        return tables(registry)


def tables(registry: Registry) -> dict[str, list[Any]]:
    """All rows with what they say; numbers become what they stand for, and the times of clocks are left out."""

    def read(db: Any) -> dict[str, list[Any]]:
        names = dict(db.execute(attempts.select().with_only_columns(attempts.c.id, attempts.c.attempt)).all())
        found = {table.name: db.execute(table.select()).mappings().all() for table in metadata.sorted_tables}
        return {name: sorted((_plain(row, names) for row in rows), key=str) for name, rows in found.items()}

    return registry.database.read(read)


def _plain(row: Any, names: dict[int, str]) -> dict[str, Any]:
    kept = {name: value for name, value in row.items() if name not in ("id", "seen_at", "deployed_at")}
    if set(kept) == {"host", "environment", "release_id", "at"}:
        kept.pop("at")
    return {name: names[value] if name == "attempt_id" else value for name, value in kept.items()}


@pytest.mark.parametrize(
    ("name", "workers", "turns"),
    [
        ("sqlite", 2, 20),
        pytest.param("postgres", 20, 3, marks=pytest.mark.postgres),
        pytest.param("serializable", 20, 1, marks=pytest.mark.postgres),
    ],
)
def test_processes_at_once_are_as_good_as_one(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, workers: int, turns: int
) -> None:
    """No error reaches anybody, nothing is lost or doubled; every table is what one process would make of it."""
    url = request.getfixturevalue("sqlite_url" if name == "sqlite" else "postgres_url")
    if name == "serializable":
        server = request.getfixturevalue("server")
        database = url.rpartition("/")[2]
        server.execute(f"ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'", "postgres")
    (tmp_path / "start").write_text(str(time.time() + 1.5))
    with ProcessPoolExecutor(workers, mp_context=PROCESSES) as pool:
        futures = [pool.submit(hammer, url, tmp_path, worker, turns) for worker in range(workers)]
        wrote = [Record.from_json(text) for future in futures for text in future.result()]
    with Registry.open(url) as registry:
        Spool(tmp_path / "spool").replay(registry)
        got, serving, rows = tables(registry), registry.serving(), registry.list(limit=500)
    done = steps(tmp_path / "log")
    known = {Record.from_json(values[0]["record"]).attempt for step, values in done if step == "finish"}
    late = [("finish", [{"record": one.to_json()}]) for one in wrote if one.attempt not in known]
    assert got == one_by_one([*done, *late], tmp_path / "model.db")
    assert sorted(row["attempt"] for row in got["oroboros_attempts"]) == sorted(one.attempt for one in wrote)
    assert {row["state"] for row in got["oroboros_attempts"]} <= {"live", "restored", "broken", "failed"}
    told = [(row["attempt_id"], row["name"]) for row in got["oroboros_events"]]
    names = ("attempt.started", "attempt.finished", "facts.read")
    assert sorted(told) == sorted((one.attempt, each) for one in wrote for each in names)
    newest = sorted((one for one in wrote), key=lambda one: one.finished_at or "")
    assert serving == {host: release for one in newest for host, release in one.served.items()}
    ours = {row["release_id"]: row["status"] for row in rows if row["release_id"] in RELEASES}
    assert {ours[release] for release in serving.values() if release in ours} <= SERVING
    assert not IN_PROGRESS & set(ours.values())
    for release, status in ours.items():
        says = {told for one in wrote for which, told in transitions(one, serving, status) if which == release}
        assert status in says
