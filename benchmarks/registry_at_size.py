"""The registry with a million attempts: every query of the API and the page, its plan, its time, its memory.

    python benchmarks/registry_at_size.py [--attempts N] [sqlite] [postgres]

Each method of the reader is run in turn with the bare SQL: the same statements with the same
parameters on a connection that is open, by the same driver, ended by `fetchall`. What the
reader adds is all of its own: checking what was asked, taking a connection, and making the
values that an answer has of the rows.

What is measured is work: the time on the processor of this thread and, for PostgreSQL, of the
server's process. Who else uses the machine does not count, and neither does the way to a server,
which is the same: as many statements go there in both. Printed for each: the medians of both in
milliseconds, how many times the bare one the reader takes, the same of the time that passed (for
information: it depends on who else runs), and whether the plan uses an index.
Then the most memory that is held at once: for some pages, for very many, and for the figures.

Exits 1 when a plan reads a whole table, when a method takes more than three times the bare SQL,
or when memory grows with the number of pages. Nothing is allowed on top, however short a query is.
The PostgreSQL server is a temporary one of its own.
"""

from __future__ import annotations

import argparse
import re
import sqlite3
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from oroboros_deploy.registry import Registry, driver
from oroboros_deploy.registry.reading import Reader
from tests.support.postgres import PostgresServer, why_not

SECONDS_APART = 150
TIMES, ALLOWED = 101, 3.0  # measurements, times the bare SQL
SHORTEST = 1.0  # milliseconds that a measurement takes, so that reading the clock does not count

# The same data on both databases, from the numbers 1 to N; the sha is a bijection, so that prefixes are spread.
WORDS = {
    "sqlite": {
        "sha": "printf('%08x', (i * 2654435761) % 4294967296) || '00000000000000000000000000000000'",
        "at": "strftime('%Y-%m-%d %H:%M:%f000', {now} - ({count} - i) * 150 + {later}, 'unixepoch')",
        "true": "1",
        "analyze": "ANALYZE",
    },
    "postgresql": {
        "sha": "lpad(to_hex((i::bigint * 2654435761) % 4294967296), 8, '0') || repeat('0', 32)",
        "at": "to_timestamp({now} - ({count} - i) * 150 + {later})",
        "true": "true",
        "analyze": "VACUUM ANALYZE",  # as the server does by itself, after a while
    },
}
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
STATE = """CASE WHEN i > {count} - 3 THEN 'running' WHEN i % 9999 = 0 THEN 'unknown' WHEN i % 997 = 0 THEN 'broken'
    WHEN i % 20 = 0 THEN 'restored' WHEN i % 50 = 1 THEN 'failed' ELSE 'live' END"""
ENVIRONMENT = "CASE WHEN i % 10007 = 0 THEN 'lab' WHEN i % 3 = 0 THEN 'staging' ELSE 'prod' END"
ACTOR = "CASE WHEN i % 10007 = 0 THEN 'eve@lab' ELSE 'ada@desk' END"
HOST = "CASE WHEN i % 100003 = 0 THEN 'rare' ELSE 'web' || (i % 50) END"
SQL = (
    """INSERT INTO releases (id, release_id, commit_sha, status, deployed_at)
    {numbers} SELECT i, {sha}, {sha}, CASE WHEN i % 20 = 0 THEN 'deploy_failed' WHEN i > {count} - 50 THEN 'deployed'
    ELSE 'replaced' END, {at} FROM n""",
    """INSERT INTO oroboros_attempts (id, attempt, kind, release_id, commit_sha, environment, actor, control_node,
    tool_version, started_at, finished_at, exit_code, intended, settled, subject, state, seen_at, activation_seconds,
    lead_seconds)
    {numbers} SELECT i, 'attempt-' || i, CASE WHEN i % 25 = 7 THEN 'rollback' ELSE 'deploy' END, {sha}, {sha},
    {environment}, {actor}, 'desk', '0.1.0', {at}, CASE WHEN i > {count} - 3 THEN NULL ELSE {end} END, 0, {true},
    {true}, 'a subject of some usual length, number ' || i, {state}, {end}, 3.5, 7200 FROM n""",
    """INSERT INTO oroboros_attempt_hosts (attempt_id, host, position, state, live, message, seconds, target_missing,
    phase, started_at)
    {numbers} SELECT i, {host}, 0, 'live', {sha}, 'release is live', '{{"facts": 0.4, "build": 30.2, "activate": 3.5}}',
    NOT {true}, 'committed', {at} FROM n""",
    """INSERT INTO oroboros_events (attempt_id, host, environment, at, name, level, message, data) {numbers}
    SELECT i, {host}, {environment}, {at}, 'phase', 'info', 'current switched', '{{"phase": "swapped"}}' FROM n""",
    """INSERT INTO oroboros_commits (attempt_id, position, sha, subject, author, committed_at)
    {numbers} SELECT i, 0, {sha}, 'a subject', 'Ada', '2030-01-01T00:00:00+00:00' FROM n""",
    """INSERT INTO oroboros_hosts (host, release_id, attempt_id, since)
    {numbers} SELECT {host}, {sha}, i, {at} FROM n WHERE i <= 50""",
    """INSERT INTO oroboros_targets (application, host, root, release_id, attempt_id, since)
    {numbers} SELECT '', {host}, '', {sha}, i, {at} FROM n WHERE i <= 50""",
    "{analyze}",
)


def queries(count: int, cursor: str, page: int = 500) -> dict[str, Callable[[Reader], object]]:
    """What the API and the page ask, with at most so many events."""
    middle = f"{(count // 2) * 2654435761 % 4294967296:08x}"
    since, until = ago(count * SECONDS_APART * 0.2), ago(count * SECONDS_APART * 0.19)
    return {
        "releases": lambda r: r.releases(),
        "releases, status rare": lambda r: r.releases(status="deployed"),
        "releases, status common": lambda r: r.releases(status="replaced"),
        "a release": lambda r: r.release(middle + "0" * 32),
        "attempts": lambda r: r.attempts(),
        "attempts, deep": lambda r: r.attempts(after=cursor),
        "attempts, kind": lambda r: r.attempts(kind="rollback"),
        "attempts, state rare": lambda r: r.attempts(state="unknown"),
        "attempts, state common": lambda r: r.attempts(state="live"),
        "attempts, running": lambda r: r.attempts(state="running"),
        "attempts, lost": lambda r: r.attempts(state="lost"),
        "attempts, host": lambda r: r.attempts(host="web7"),
        "attempts, host rare": lambda r: r.attempts(host="rare"),
        "attempts, host deep": lambda r: r.attempts(host="web7", after=cursor),
        "attempts, environment": lambda r: r.attempts(environment="prod"),
        "attempts, environment rare": lambda r: r.attempts(environment="lab"),
        "attempts, person rare": lambda r: r.attempts(actor="eve@lab"),
        "the latest attempt": lambda r: r.latest("lab"),
        "the latest attempt without an environment": lambda r: r.latest(None),
        "the latest attempt that was to bring something": lambda r: r.latest("prod", moves=True),
        "the latest attempt that brought a release": lambda r: r.latest("prod", brought=middle + "0" * 32),
        "commits, counted": lambda r: r.commit_count(f"attempt-{count // 2}"),
        "what serves": lambda r: r.serving(),
        "hosts that are held": lambda r: r.held(),
        "attempts, sha": lambda r: r.attempts(sha=middle[:6]),
        "attempts, since and until": lambda r: r.attempts(since=since, until=until),
        "attempts, environment and state": lambda r: r.attempts(environment="prod", state="broken"),
        "attempts, host and state": lambda r: r.attempts(host="web7", state="restored"),
        "an attempt": lambda r: r.attempt(f"attempt-{count // 2}"),
        "events of an attempt": lambda r: r.events(limit=page, attempt=f"attempt-{count // 2}"),
        "events, after": lambda r: r.events(limit=page, after=count - 200),
        "events, none new": lambda r: r.events(limit=page, after=count + 1),
        "the last event": lambda r: r.last_event(),
        "events of a host": lambda r: r.events(limit=page, host="web7"),
        "events of a host, deep": lambda r: r.events(limit=page, host="web7", after=count // 2),
        "events of a rare host": lambda r: r.events(limit=page, host="rare"),
        "events of an environment": lambda r: r.events(limit=page, environment="lab"),
        "events, since and until": lambda r: r.events(limit=page, since=since, until=until),
        "events, of the last hour": lambda r: r.events(limit=page, since=ago(3600)),
        "events, since yesterday": lambda r: r.events(limit=page, since=ago(86400)),
        "events, of the last twentieth": lambda r: r.events(limit=page, since=ago(count * SECONDS_APART * 0.05)),
        "events of a host, since": lambda r: r.events(limit=page, host="web7", since=ago(86400)),
        "events of an environment, since": lambda r: r.events(limit=page, environment="prod", since=ago(86400)),
        "hosts": lambda r: r.hosts(),
        "hosts, after": lambda r: r.hosts(20, after="web3"),
        "hosts, environment": lambda r: r.hosts(environment="staging"),
        "hosts, prefix": lambda r: r.hosts(prefix="web1"),
        "hosts that drifted": lambda r: r.hosts(drift=True),
        "hosts of a release": lambda r: r.hosts(release_id=middle + "0" * 32),
        "a host": lambda r: r.host("web7"),
        "hosts, counted": lambda r: r.host_counts(),
        "change tag": lambda r: r.change_tag(),
        "environments": lambda r: r.environments(),
        "figures, 90 days": lambda r: r.figures(),
        "figures of an environment": lambda r: r.figures(environment="prod"),
    }


def ago(seconds: float) -> str:
    """That long before now, as the reader takes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds))


def fill(registry: Registry, count: int) -> None:
    """Put a million attempts, and what belongs to them, into an empty registry."""
    dialect = registry.database._engine.dialect.name
    now = int(time.time())
    words = dict(WORDS[dialect])
    moment = words.pop("at")
    at, end = (moment.format(now=now, count=count, later=later) for later in (0, 60))
    texts: dict[str, str] = {
        "numbers": NUMBERS.format(count=count),
        "state": STATE.format(count=count),
        "environment": ENVIRONMENT,
        "host": HOST,
        "actor": ACTOR,
    }
    pooled = registry.database._engine.raw_connection()
    connection: Any = pooled.driver_connection
    pooled.detach()
    if dialect == "postgresql":
        connection.autocommit = True
        connection.cursor().execute("SET statement_timeout = 0; SET search_path = public, oroboros")
    for sql in SQL:
        # Straight to the driver: with parameters, even none, a percent sign would be theirs.
        connection.cursor().execute(sql.format(**words, **texts, at=at, end=end, count=count, now=now))
    connection.close()


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """The SQL, with its parameters, that the reader sends meanwhile."""
    sent: list[tuple[str, Any]] = []
    rows = driver.Driver.rows

    def noted(self: driver.Driver, statement: Any, values: Any = driver._NOTHING) -> Any:
        compiled = driver._compiled(statement, self.dialect, self.schema)
        sent.append((compiled.text, compiled.parameters(values)))
        return rows(self, statement, values)

    driver.Driver.rows = noted  # type: ignore[method-assign]
    try:
        yield sent
    finally:
        driver.Driver.rows = rows  # type: ignore[method-assign]


def in_a_server(connection: Any) -> bool:
    """Whether the database is a program of its own: PostgreSQL."""
    return not isinstance(connection, sqlite3.Connection)


def plan(connection: Any, sql: str, parameters: Any) -> list[str]:
    """The lines of the plan."""
    cursor = connection.cursor()
    if in_a_server(connection):
        cursor.execute(f"EXPLAIN {sql}", parameters)
        return [line for (line,) in cursor.fetchall()]
    cursor.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
    return [line for *_, line in cursor.fetchall()]


def whole_tables(lines: list[str]) -> list[str]:
    """The lines of a plan that visit every row of a table that grows.

    SQLite says SCAN as well of a walk in the order of the primary key, which ends with the limit.
    """
    in_order = not any("TEMP B-TREE" in line for line in lines)
    grows = [
        line for line in lines if re.search(r"\b(releases|oroboros_(attempts|attempt_hosts|events|commits))\b", line)
    ]
    whole = [line for line in grows if line.startswith("SCAN") and " USING " not in line and not in_order]
    return whole + [line.strip() for line in grows if "Seq Scan" in line]


def measured(work: Callable[[], object], servers: Sequence[Any] = (), rounds: int = 1) -> tuple[float, float]:
    """The milliseconds that this thread and the servers' processes behind these connections work on it, and that
    pass meanwhile; of so many rounds."""
    before, began, start = on_servers(servers), time.thread_time(), time.perf_counter()
    for _ in range(rounds):
        work()
    passed, own = time.perf_counter() - start, time.thread_time() - began
    return (own + on_servers(servers) - before) * 1000 / rounds, passed * 1000 / rounds


def on_servers(connections: Sequence[Any]) -> float:
    """The seconds that PostgreSQL's processes for these connections have been on a processor."""
    stats = [Path(f"/proc/{each.info.backend_pid}/schedstat") for each in connections if in_a_server(each)]
    return sum(int(stat.read_text().split()[0]) for stat in stats) / 1e9


def measure(registry: Registry, name: str, ask: Callable[[Reader], object]) -> bool:
    """Print one line about one query; True when it keeps the promises."""
    reader = registry.reader
    with statements() as sent:
        ask(reader)
    raw = registry.database._reader().connection
    plans = [plan(raw, sql, parameters) for sql, parameters in sent]

    def bare() -> None:
        for sql, parameters in sent:
            cursor = raw.cursor()
            cursor.execute(sql, parameters)
            cursor.fetchall()
            cursor.close()

    servers = [raw, registry.database._readers[-1].connection]
    alone, _ = measured(bare, servers)
    times, rounds = TIMES if alone < 10 else 15, int(SHORTEST / alone) + 1
    pairs = [(*measured(bare, servers, rounds), *measured(lambda: ask(reader), servers, rounds)) for _ in range(times)]
    raw.close()
    least, least_passed, ours, ours_passed = (median(values) for values in zip(*pairs, strict=True))
    whole = [line for lines in plans for line in whole_tables(lines)]
    ratios = f"{ours / least:5.1f} {ours_passed / least_passed:9.1f}"
    print(f"{name:34} {least:9.3f} {ours:9.3f} {ratios}  {'index' if not whole else whole[0]}", flush=True)
    return not whole and ours <= ALLOWED * least


def peak(work: Callable[[], object]) -> float:
    """The most memory that is held at once, in megabytes."""
    tracemalloc.start()
    work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 1e6


def run(url: str, count: int) -> bool:
    """Everything on one database."""
    with Registry.open(url) as registry:
        registry.check()
        print(f"\n{url.partition(':')[0]}: {count} attempts", flush=True)
        fill(registry, count)
        middle = registry.reader.attempts(1, until=ago(count * SECONDS_APART / 2))
        asked = queries(count, middle.next or "")
        print(f"{'':34} {'bare ms':>9} {'ours ms':>9} times (time passed)")
        kept = [measure(registry, name, ask) for name, ask in asked.items()]
        few, many = peak(lambda: walk(registry.reader, 20)), peak(lambda: walk(registry.reader, 400))
        window = peak(lambda: registry.reader.figures()), peak(lambda: registry.reader.figures(days=3660))
        print(
            f"memory: {few:.1f} MB over 20 pages of 500, {many:.1f} MB over 400; "
            f"{window[0]:.1f} MB for the figures of 90 days, {window[1]:.1f} MB for those of all"
        )
        return all(kept) and many < 1.5 * few


def walk(reader: Reader, pages: int) -> None:
    """Go through the list as somebody who wants it all."""
    after = None
    for _ in range(pages):
        after = reader.attempts(500, after).next


def main() -> int:
    """0 when every promise is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("databases", nargs="*", default=["sqlite", "postgres"])
    parser.add_argument("--attempts", type=int, default=1_000_000)
    options = parser.parse_args()
    kept = True
    if "sqlite" in options.databases:
        with tempfile.TemporaryDirectory() as directory:
            kept &= run(f"sqlite:///{directory}/registry.db", options.attempts)
    if "postgres" in options.databases:
        if reason := why_not():
            print(f"postgres left out: {reason}")
            return int(not kept)
        server = PostgresServer()
        try:
            kept &= run(server.database(), options.attempts)
        finally:
            server.close()
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
