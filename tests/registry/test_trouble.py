"""Whatever the database does: the host's result stands, and the record is written once, by a later command."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import literal, select

from oroboros_deploy.control.spool import Spool
from oroboros_deploy.deployment import Deployment
from oroboros_deploy.errors import RegistryUnavailable
from oroboros_deploy.outcome import Outcome
from oroboros_deploy.registry import Registry, database
from oroboros_deploy.registry.driver import Driver
from tests.support.clock import SLOW, within
from tests.support.postgres import QUOTED_PASSWORD, PostgresServer, started
from tests.support.proxy import Proxy
from tests.support.rights import require_mount
from tests.support.samples import PROCESSES, A, host, record
from tests.support.site import Site
from tests.support.watching import eventually

pytestmark = [pytest.mark.slow, pytest.mark.postgres]


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server to break."""
    yield from started()


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[Proxy]:
    proxy = Proxy(server.port)
    yield proxy
    proxy.close()


def at(url: str, port: int) -> str:
    """The same database through another port."""
    head, _, tail = url.rpartition(":")
    return f"{head}:{port}/{tail.partition('/')[2]}"


def on(site: Site, url: str, during: Callable[[], None] | None = None) -> Deployment:
    """A deployment with this registry; ``during`` happens after the intent, before the release is live."""

    def listen(event: Any) -> None:
        if event.name == "phase" and event.data.get("phase") == "prepared":
            during()  # type: ignore[misc]

    deployment = site.deployment(listener=listen if during else None)
    object.__setattr__(deployment.config, "registry_url", url)
    return deployment


def rows(url: str) -> dict[str, str]:
    with Registry.open(url) as registry:
        return {row["release_id"]: row["status"] for row in registry.list()}


def kept(outcome: Outcome) -> tuple[int, str, list[str]]:
    return int(outcome.exit_code), outcome.registry, [str(part.state) for part in outcome.hosts]


def settled(site: Site, url: str, outcome: Outcome) -> None:
    """After the next command everything is in the registry, once, and nothing waits."""
    for _ in range(2):
        with on(site, url).registry() as registry:
            assert (registry.serving(), registry.get(site.good)["status"]) == ({"web1": site.good}, "deployed")
            (attempt,) = registry.reader.attempts().items
            assert (attempt["attempt"], attempt["state"]) == (outcome.attempt, "live")
            told = [each["name"] for each in registry.reader.events() if each["name"].startswith("attempt.")]
            assert told == ["attempt.started", "attempt.finished"]
    assert on(site, url).node.spool.pending() == []


@pytest.mark.parametrize("kind", ["deploy", "rollback"])
def test_a_registry_that_is_down_keeps_an_attempt_from_starting(site: Site, kind: str) -> None:
    """Exit code 60, in words; no host was asked anything, and nothing waits in the spool."""
    deployment = on(site, "postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(RegistryUnavailable, match=r"nothing was changed: the registry .* cannot be used") as caught:
        deployment.deploy(["web1"], sha=site.good) if kind == "deploy" else deployment.rollback(
            ["web1"], release=site.good
        )
    assert (int(caught.value.exit_code), site.commands(), deployment.node.spool.pending()) == (60, [], [])
    assert not site.root().exists()


def test_a_read_only_registry_keeps_a_deploy_from_starting(
    site: Site, server: PostgresServer, postgres_url: str
) -> None:
    """It is found out by the first write, before any host is asked anything."""
    Registry.open(postgres_url).check()
    name = postgres_url.rpartition("/")[2]
    server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on", "postgres")
    with pytest.raises(RegistryUnavailable, match=r"nothing was changed: .*read-only transaction") as caught:
        on(site, postgres_url).deploy(["web1"], sha=site.good)
    assert (site.commands(), "primary" in (caught.value.hint or "")) == ([], True)


def test_a_standby_is_read_and_does_not_let_a_deploy_start(site: Site, own_server: PostgresServer) -> None:
    """A hot standby answers questions; a deploy is refused before any host is asked anything."""
    url = own_server.database()
    with Registry.open(url) as registry:
        registry.upsert(A, A, "deployed")
    standby = PostgresServer(standby_of=own_server)
    try:
        copy = at(url, standby.port)
        assert rows(copy) == {A: "deployed"}
        with pytest.raises(RegistryUnavailable, match=r"nothing was changed: .*read-only transaction"):
            on(site, copy).deploy(["web1"], sha=site.good)
        assert site.commands() == []
        both = f"postgresql://postgres:{QUOTED_PASSWORD}@/test1?host=127.0.0.1:{standby.port}&host=127.0.0.1:{own_server.port}"
        settled(site, url, on(site, f"{both}&target_session_attrs=read-write").deploy(["web1"], sha=site.good))
    finally:
        standby.close()


def test_a_registry_that_dies_before_the_intent_stops_the_deploy(site: Site, own_server: PostgresServer) -> None:
    """Facts were read and nothing was changed: the error says so, and what is known is written later."""
    url = own_server.database()
    deployment = on(site, url)
    deployment.node.listener = lambda event: own_server.kill() if event.name == "facts.read" else None
    with pytest.raises(RegistryUnavailable, match="nothing was changed") as caught:
        deployment.deploy(["web1"], sha=site.good)
    assert caught.value.outcome
    assert kept(caught.value.outcome) == (130, "spooled", ["skipped"])
    assert site.live() is None
    own_server.start()
    with on(site, url).registry() as registry:
        assert [item["state"] for item in registry.reader.attempts().items] == ["failed"]


def kill(server: PostgresServer) -> None:
    server.kill()


def restart(server: PostgresServer) -> None:
    server.restart()


def drop(server: PostgresServer) -> None:
    own = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'oroboros_deploy'"
    server.execute(own, "postgres")


def refuse_writes(server: PostgresServer) -> None:
    server.execute("ALTER SYSTEM SET default_transaction_read_only = on", "postgres")
    server.execute("SELECT pg_reload_conf()", "postgres")


def take_writes(server: PostgresServer) -> None:
    server.execute("ALTER SYSTEM RESET default_transaction_read_only", "postgres")
    server.execute("SELECT pg_reload_conf()", "postgres")


def nothing(_: PostgresServer) -> None:
    """Nothing is to be put right."""


@pytest.mark.parametrize(
    ("trouble", "cure", "result"),
    [
        (kill, PostgresServer.start, (60, "spooled")),
        (refuse_writes, take_writes, (60, "spooled")),
        (restart, nothing, (0, "written")),
        (drop, nothing, (0, "written")),
    ],
    ids=["killed", "read-only", "restarted", "connections dropped"],
)
def test_trouble_after_the_first_write_changes_nothing_for_the_host(
    site: Site, own_server: PostgresServer, trouble: Any, cure: Any, result: tuple[int, str]
) -> None:
    """The release is live whatever becomes of the database; its record is there at once, or after the next command."""
    url = own_server.database()
    outcome = on(site, url, lambda: trouble(own_server)).deploy(["web1"], sha=site.good)
    assert kept(outcome) == (*result, ["live"])
    assert site.live() == site.good
    assert len(on(site, url).node.spool.pending()) == (outcome.registry == "spooled")
    cure(own_server)
    settled(site, url, outcome)


def test_a_failover_in_the_middle(site: Site, own_server: PostgresServer) -> None:
    """The primary dies, its standby answers at the same address: the record is written there, once."""
    url = own_server.database()
    Registry.open(url).check()
    standby, proxy = PostgresServer(standby_of=own_server), Proxy(own_server.port)

    def fail_over() -> None:
        own_server.kill()
        standby.promote()
        proxy.target = standby.port

    try:
        outcome = on(site, at(url, proxy.port), fail_over).deploy(["web1"], sha=site.good)
        assert kept(outcome) == (0, "written", ["live"])
        settled(site, at(url, proxy.port), outcome)
    finally:
        proxy.close()
        standby.close()
        own_server.start()


def test_a_registry_that_falls_silent_does_not_keep_the_deploy(
    site: Site, proxy: Proxy, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host goes on at its own speed, the record waits in the spool, and what came through late counts once."""
    url, stalled = at(postgres_url, proxy.port), []

    def stall() -> None:
        monkeypatch.setattr(database, "SILENCE", 1.0)
        proxy.stall()
        stalled.append(time.monotonic())

    outcome = on(site, url, stall).deploy(["web1"], sha=site.good)
    took = time.monotonic() - stalled[0] - outcome.hosts[0].seconds["activate"]
    assert kept(outcome) == (60, "spooled", ["live"])
    assert took < 15 * SLOW  # the recorder and the last write may wait 3 s together
    proxy.resume()
    monkeypatch.setattr(database, "SILENCE", 30.0)  # a busy machine is no silent server
    settled(site, url, outcome)


def test_a_registry_that_is_slow_does_not_slow_the_host(site: Site, proxy: Proxy, postgres_url: str) -> None:
    """With every answer late, telling what happens takes longer than the activation, which does not wait for it."""
    url = at(postgres_url, proxy.port)

    def slow_down() -> None:
        proxy.delay = 0.3

    outcome = on(site, url, slow_down).deploy(["web1"], sha=site.good)
    steps = [seconds for name, seconds in outcome.hosts[0].seconds.items() if name.startswith("activate.")]
    assert kept(outcome) == (0, "written", ["live"])
    assert outcome.hosts[0].seconds["activate"] - sum(steps) < 5 * SLOW
    proxy.delay = 0.0
    settled(site, url, outcome)


def test_an_answer_that_never_comes_is_not_waited_for(
    proxy: Proxy, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading and writing end within their time, in words."""
    with Registry.open(at(postgres_url, proxy.port)) as registry:
        registry.check()
        monkeypatch.setattr(database, "SILENCE", 0.3)
        proxy.stall()
        for call in (registry.serving, lambda: registry.upsert(A, A, "deployed")):
            with within(10), pytest.raises(RegistryUnavailable, match=r"has not answered within 0\.3 s"):
                call()
        proxy.resume()


def test_who_reads_does_not_wait_for_ever(proxy: Proxy, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question on a connection that is open ends within its time, in words, and another works when one can."""
    monkeypatch.setattr(database, "SILENCE", 3.0)
    with Registry.open(at(postgres_url, proxy.port)) as registry:
        assert registry.list() == []
        proxy.stall()
        with within(10), pytest.raises(RegistryUnavailable, match=r"has not answered within 3\.0 s"):
            registry.list()
        proxy.resume()
        assert registry.list() == []


def test_only_the_server_has_a_deadline(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done with one answer before the next question takes its time."""
    monkeypatch.setattr(database, "SILENCE", 2.0)
    with Registry.open(postgres_url) as registry:

        def work(db: Driver) -> list[object]:
            return [db.value(select(literal(1))), time.sleep(2.5), db.value(select(literal(2)))]

        assert registry.database.ask(work) == [1, None, 2]


def fail_first(server: PostgresServer, url: str, code: str, times: int) -> Callable[[], object]:
    """From now on the first writes to attempts fail with this code."""
    name = url.rpartition("/")[2]
    server.execute(
        "CREATE SEQUENCE tries; CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF nextval('tries') <= {times} THEN RAISE EXCEPTION 'no luck' USING ERRCODE = '{code}'; END IF;"
        " RETURN NEW; END $$;"
        "CREATE TRIGGER fail BEFORE UPDATE OF settled ON oroboros_attempts FOR EACH ROW EXECUTE FUNCTION fail()",
        name,
    )
    return lambda: server.execute("SELECT last_value FROM tries", name)[0][0]


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_a_serialization_failure_is_tried_again(
    site: Site, server: PostgresServer, postgres_url: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice is not too often; for ever is: then the record waits, and is written when the trouble has passed."""
    Registry.open(postgres_url).check()
    tries = fail_first(server, postgres_url, code, 2)
    first = on(site, postgres_url).deploy(["web1"], sha=site.good)
    assert (kept(first), tries()) == ((0, "written", ["live"]), 3)
    settled(site, postgres_url, first)
    monkeypatch.setattr(database, "PATIENCE", 0.5)
    server.execute("DROP SEQUENCE tries; DROP FUNCTION fail CASCADE", postgres_url.rpartition("/")[2])
    tries = fail_first(server, postgres_url, code, 1000)
    second = on(site, postgres_url).deploy(["web1"], sha=site.better)
    assert (kept(second), 1 < tries() < 60) == ((60, "spooled", ["live"]), True)
    server.execute("DROP FUNCTION fail CASCADE", postgres_url.rpartition("/")[2])
    with on(site, postgres_url).registry():
        pass  # any command opens it, and writes what waits
    assert rows(postgres_url) == {site.good: "replaced", site.better: "deployed"}


def die_after_the_commit(directory: Path, url: str) -> None:
    """Replay a spool, and be killed before the first file is gone."""
    Path.unlink = lambda *_, **__: os._exit(9)  # type: ignore[method-assign, assignment]
    with Registry.open(url) as registry:
        Spool(directory).replay(registry)


@pytest.mark.parametrize("state", ["live", "unknown"])
def test_a_replay_that_is_killed_after_its_commit_counts_once(url: str, tmp_path: Path, state: str) -> None:
    """The record is still in the spool, and replaying it again changes no row of any table."""
    spool = Spool(tmp_path / "spool")
    with Registry.open(url) as registry:
        spool.put(record(A, host("h1", state)), registry.key)
        process = PROCESSES.Process(target=die_after_the_commit, args=(tmp_path / "spool", url))
        process.start()
        process.join(30)
        written = tables(registry)
        assert (process.exitcode, len(spool.pending()), len(written["oroboros_attempts"])) == (9, 1, 1)
        assert (spool.replay(registry), spool.pending()) == (1, [])
        assert tables(registry) == written


def tables(registry: Registry) -> dict[str, list[Any]]:
    """Every row of every table, but for when a control node was last heard of."""
    from oroboros_deploy.registry.schema import attempts, metadata

    def read(db: Any) -> dict[str, list[Any]]:
        shown = {table: [c for c in table.c if c is not attempts.c.seen_at] for table in metadata.sorted_tables}
        return {t.name: db.execute(t.select().with_only_columns(*c).order_by(c[0])).all() for t, c in shown.items()}

    return registry.database.read(read)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    require_mount()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_for_the_spool_loses_nothing_for_good(
    site: Site, own_server: PostgresServer, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome stands and says that the record is nowhere here; reconcile writes it from the host's journal."""
    monkeypatch.setenv("XDG_STATE_HOME", str(small_disk))
    url = own_server.database()

    def both() -> None:
        own_server.kill()
        fill(small_disk)

    outcome = on(site, url, both).deploy(["web1"], sha=site.good)
    assert kept(outcome) == (60, "lost", ["live"])
    (small_disk / "filler").unlink()
    assert [each for each in (small_disk / "oroboros_deploy").rglob("*") if each.is_file()] == []
    own_server.start()
    assert rows(url) == {site.good: "deploying"}
    own_server.execute("UPDATE oroboros_attempts SET seen_at = seen_at - interval '1 minute'", "test1")
    assert len(on(site, url).reconcile(["web1"])) == 3
    settled(site, url, outcome)


def hold(path: Path) -> None:
    """Another process that writes until it is told that it was long enough."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    (path.parent / "held").touch()
    assert eventually((path.parent / "enough").exists, 60)
    other.execute("COMMIT")
    other.close()


def test_a_sqlite_file_that_another_process_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short while is waited for; for ever is said in words, with how to see who it is."""
    path = tmp_path / "registry.db"
    monkeypatch.setattr(database, "PATIENCE", 0.5)
    with Registry.open(f"sqlite:///{path}") as registry:
        registry.check()
        process = PROCESSES.Process(target=hold, args=(path,))
        process.start()
        assert eventually((tmp_path / "held").exists, 60)
        with pytest.raises(RegistryUnavailable, match="database is locked") as caught:
            registry.upsert(A, A, "deployed")
        assert "fuser" in (caught.value.hint or "")
        assert registry.list() == []
        (tmp_path / "enough").touch()
        process.join(60)
        assert registry.upsert(A, A, "deployed")["status"] == "deployed"


def test_a_sqlite_file_on_a_full_disk(small_disk: Path) -> None:
    """It is said in words; what was written before is still there, and writing goes on once there is room."""
    with Registry.open(f"sqlite:///{small_disk}/registry.db") as registry:
        registry.upsert(A, A, "deployed")
        fill(small_disk)
        with pytest.raises(RegistryUnavailable, match="full") as caught:
            registry.begin(record(A, host("h1", "running", message="x" * 100_000), finished_at=None, exit_code=None))
        assert "df -h" in (caught.value.hint or "")
        assert registry.list()[0]["status"] == "deployed"
        (small_disk / "filler").unlink()
        assert registry.upsert(A, A, "replaced")["status"] == "replaced"


def test_a_sqlite_file_that_is_damaged_is_rebuilt_from_the_hosts(site: Site) -> None:
    """The deploy does not start, in words with the way out; a new file gets everything back."""
    deployment = site.deployment()
    deployment.deploy(["web1"], sha=site.good)
    path = site.tmp / "registry.db"
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    site.connections.clear()
    with pytest.raises(RegistryUnavailable, match=r"nothing was changed: .*malformed") as caught:
        deployment.deploy(["web1"], sha=site.better)
    assert (site.commands(), "registry.reconcile" in (caught.value.hint or "")) == ([], True)
    shutil.move(path, f"{path}.bad")
    deployment.reconcile(["web1"])
    assert site.statuses() == {site.good: "deployed"}
