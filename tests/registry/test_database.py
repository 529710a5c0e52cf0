"""What goes wrong with the database is said in words, soon, and without the password."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import literal, select

from oroboros_deploy.errors import RegistryUnavailable
from oroboros_deploy.registry import Registry, database
from tests.support.clock import within
from tests.support.databases import bare
from tests.support.postgres import PASSWORD, QUOTED_PASSWORD, PostgresServer, why_not
from tests.support.samples import PROCESSES, A, host, record
from tests.support.watching import eventually


def refusal(url: str, call: Callable[[Registry], object] = Registry.check) -> str:
    """The words with which a registry refuses, which never have the password or a value in them."""
    with Registry.open(url) as registry, pytest.raises(RegistryUnavailable) as caught:
        call(registry)
    shown = f"{caught.value!s} {caught.value!r} {caught.value.__cause__!s}"
    assert not [secret for secret in (PASSWORD, QUOTED_PASSWORD, A) if secret in shown]
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value.message


def upsert(registry: Registry) -> object:
    """Write a row."""
    return registry.upsert(A, A, "deployed")


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda url: url.replace(QUOTED_PASSWORD, "wrong"), "password authentication failed"),
        (lambda url: url.replace(":s3", "s3"), r'user "\*\*\*"|no password supplied'),
        (lambda url: url + "_gone", "does not exist"),
        (lambda url: url.replace("postgres:s3", "nobody:s3"), "password authentication failed"),
        (lambda url: url + "?nonsense=1", "invalid connection option"),
    ],
)
def test_a_login_that_fails_is_explained(postgres_url, edit, words):
    """The server's own words are given, with the URL without its password."""
    message = refusal(edit(postgres_url))
    assert message.startswith("the registry postgresql://")
    assert "://***@127.0.0.1" in message
    assert re.search(words, message)


@pytest.mark.postgres
def test_both_names_of_postgresql_and_a_unix_socket_reach_the_same_registry(server: PostgresServer, postgres_url):
    """postgres:// is postgresql://, and with a socket directory the URL's host is not used, nor is via sent."""
    Registry.open(postgres_url).upsert(A, A, "deployed")
    with Registry.open(postgres_url.replace("postgresql:", "postgres:")) as registry:
        assert registry.find("") == [A]
    elsewhere = postgres_url.replace("127.0.0.1", "no.such.host.invalid") + "?via=web1"
    with Registry.open(elsewhere, near=str(server.directory)) as registry:
        assert registry.find("") == [A]


@pytest.mark.postgres
@pytest.mark.parametrize(("encoding", "takes"), [("UTF8", True), ("SQL_ASCII", True), ("LATIN1", False)])
def test_any_character_travels(server: PostgresServer, monkeypatch: pytest.MonkeyPatch, encoding: str, takes: bool):
    """What the environment or a role says of the encoding changes nothing; a database without the character says so."""
    name = f"encoded_{encoding.lower()}"
    server.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'", "postgres")
    server.execute(f"ALTER DATABASE {name} SET client_encoding = 'LATIN1'", "postgres")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    url = server.database().rpartition("/")[0] + f"/{name}"
    told = record(A, host("web1", "live"), subject="日本", actor="Zoë@desk")
    if not takes:
        assert "has no equivalent in encoding" in refusal(url, lambda registry: registry.begin(told))
        return
    with Registry.open(url) as registry:
        registry.begin(told)
        found = registry.reader.attempt("attempt")
    assert found is not None
    assert (found["subject"], found["actor"]) == ("日本", "Zoë@desk")


@pytest.mark.postgres
@pytest.mark.parametrize(("asked", "seconds"), [("", "10"), ("?connect_timeout=7", "7")])
def test_variables_of_postgresql_that_do_not_count(postgres_url, monkeypatch, asked, seconds):
    """How long is waited for a connection, and its name, are ours to say, or the URL's."""
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "600")
    monkeypatch.setenv("PGAPPNAME", "psql")
    with Registry.open(postgres_url + asked) as registry:
        told = registry.database.ask(lambda db: db.connection.info.dsn_parameters)
    assert (told["connect_timeout"], told["application_name"]) == (seconds, "oroboros_deploy")


@pytest.mark.postgres
def test_a_missing_permission_is_named(server: PostgresServer, postgres_url):
    """Without the right to create tables, or to write releases, the message says which right it is."""
    database = postgres_url.rpartition("/")[2]
    server.execute(f"CREATE ROLE reader_{database} LOGIN PASSWORD '{PASSWORD}'", database)
    reader = postgres_url.replace("postgres:s3", f"reader_{database}:s3")
    assert "permission denied for schema public" in refusal(reader)
    Registry.open(postgres_url).check()
    server.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public, oroboros TO reader_{database}", database)
    with Registry.open(reader) as registry:
        assert registry.list() == []
    assert "permission denied for" in refusal(reader, upsert)


@pytest.mark.postgres
def test_a_read_only_copy_is_read_and_not_written(server: PostgresServer, postgres_url):
    """A replica answers questions; writing says that it is read-only."""
    database = postgres_url.rpartition("/")[2]
    Registry.open(postgres_url).upsert(A, A, "deployed")
    server.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on", database)
    with Registry.open(postgres_url) as registry:
        assert registry.find("") == [A]
    assert "read-only transaction" in refusal(postgres_url, upsert)


@pytest.mark.postgres
def test_a_table_locked_by_another_program_does_not_wait_for_ever(server: PostgresServer, postgres_url, monkeypatch):
    """A migration that holds the table makes a write fail at the lock timeout, in words."""
    monkeypatch.setitem(database.BEGIN, "postgresql", ("SET LOCAL lock_timeout = '50ms'",))
    Registry.open(postgres_url).check()
    other = server.connect(postgres_url.rpartition("/")[2])
    other.cursor().execute("LOCK TABLE releases")
    assert "lock timeout" in refusal(postgres_url, upsert)
    other.close()


@pytest.mark.postgres
def test_the_server_is_told_how_long_to_wait(postgres_url):
    """Nothing that the registry asks or holds lasts longer than 15 seconds, whatever the URL's options are."""
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "work_mem")
    with Registry.open(f"{postgres_url}?options=-cwork_mem%3D1MB") as registry:
        shown = registry.database.read(lambda db: [db.exec_driver_sql(f"SHOW {name}").scalar() for name in names])
    assert shown == ["15s", "15s", "15s", "1MB"]


@pytest.mark.postgres
def test_a_killed_server_is_noticed_soon_and_its_return_too():
    """Soon the registry is unavailable, in words; when the server is back, the same registry works."""
    if reason := why_not():
        pytest.skip(reason)
    server = PostgresServer()
    try:
        with Registry.open(server.database()) as registry:
            registry.upsert(A, A, "deployed")
            server.kill()
            with within(10), pytest.raises(RegistryUnavailable, match="Connection refused"):
                registry.upsert(A, A, "deployed")
            server.start()
            assert registry.upsert(A, A, "replaced")["status"] == "replaced"
    finally:
        server.close()


@pytest.mark.postgres
def test_a_write_whose_connection_is_lost_is_done_again(server: PostgresServer, postgres_url):
    """A connection that the server drops in the middle of a transaction costs nothing but time."""
    with Registry.open(postgres_url) as registry:
        registry.check()
        dropped = []

        def work(db):
            if not dropped:
                dropped.append(db.exec_driver_sql("SELECT pg_backend_pid()").scalar())
                server.execute(f"SELECT pg_terminate_backend({dropped[0]}, 5000)", "postgres")
            return db.exec_driver_sql("SELECT 'done'").scalar()

        assert registry.database.write(work) == "done"
    assert len(dropped) == 1


@pytest.mark.postgres
def test_a_connection_lost_while_it_was_idle_is_not_used(server: PostgresServer, postgres_url):
    """During a long build the server may drop the connection; the next question does not even fail once."""
    with Registry.open(postgres_url) as registry:
        backend = registry.database.read(lambda db: db.exec_driver_sql("SELECT pg_backend_pid()").scalar())
        server.execute(f"SELECT pg_terminate_backend({backend}, 5000)", "postgres")
        asked = []

        def work(db):
            asked.append(backend)
            return db.exec_driver_sql("SELECT pg_backend_pid()").scalar()

        assert registry.database.read(work) != backend
    assert asked == [backend]


@pytest.mark.postgres
def test_a_deadlock_with_another_program_is_tried_again(server: PostgresServer, postgres_url):
    """The server makes the registry give way, and in the end both have written."""
    other = server.connect(postgres_url.rpartition("/")[2])
    cursor = other.cursor()
    tries = []

    def block():
        cursor.execute("UPDATE releases SET commit_sha = 'other' WHERE release_id = 'r1'")
        other.commit()

    def work(db):
        tries.append(len(tries))
        db.exec_driver_sql("UPDATE releases SET status = 'replaced' WHERE release_id = 'r1'")
        if len(tries) == 1:
            blocker.start()
            waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
            assert eventually(lambda: server.execute(waiting, "postgres"), 30)
        db.exec_driver_sql("SET LOCAL deadlock_timeout = '10ms'")
        db.exec_driver_sql("UPDATE releases SET status = 'replaced' WHERE release_id = 'r2'")

    blocker = threading.Thread(target=block)
    with Registry.open(postgres_url) as registry:
        registry.upsert("r1", A, "deployed")
        registry.upsert("r2", A, "deployed")
        cursor.execute("UPDATE releases SET commit_sha = 'other' WHERE release_id = 'r2'")
        registry.database.write(work)
        blocker.join()
        rows = [(row["release_id"], row["commit_sha"], row["status"]) for row in registry.list()]
    other.close()
    assert (rows, tries) == ([("r2", "other", "replaced"), ("r1", "other", "replaced")], [0, 1])


def test_a_sqlite_file_that_cannot_be_used_is_explained(tmp_path):
    """Not a database, no directory, a directory in its place: each is said with the path."""
    (tmp_path / "text").write_text("this is no database, but it is long enough to be taken for one\n" * 40)
    urls = [f"sqlite:///{tmp_path}/{name}" for name in ("text", "text/registry.db", ".")]
    words = ["file is not a database", "text: File exists", "Is a directory"]
    for url, word in zip(urls, words, strict=True):
        with pytest.raises(RegistryUnavailable, match=word):
            Registry.open(url).check()


def opened(path: Path) -> list[str]:
    """The files that this process has open below a directory."""
    links = [Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    return [str(link.readlink()) for link in links if link.is_symlink() and path in link.readlink().parents]


def test_who_asks_while_it_is_closed_leaves_nothing_open(tmp_path):
    """The answer comes, and the connection that brought it is not kept for a next question."""
    with Registry.open(f"sqlite:///{tmp_path}/r.db") as registry:
        registry.check()
        registry.database.ask(lambda _: registry.close())
        assert opened(tmp_path) == []


@pytest.mark.slow
def test_a_sqlite_file_that_is_busy_for_a_moment_is_waited_for(tmp_path):
    """SQLite does not wait for a writer by itself when it makes the file WAL; the registry does."""
    other = sqlite3.connect(tmp_path / "r.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, other.execute, ["COMMIT"])
    release.start()
    with Registry.open(f"sqlite:///{tmp_path}/r.db") as registry:
        registry.check()
    release.join()
    other.close()


def as_nobody(url: str) -> str:
    """The words when another user writes."""
    Registry.open(url).close()  # imports what that user may not read
    if os.getuid() == 0:
        os.setuid(65534)
    return refusal(url, upsert)


@pytest.mark.slow
def test_a_sqlite_file_of_another_user_is_explained():
    """Writing to it is refused in words, and the hint says where to look."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "registry.db")
        with Registry.open(f"sqlite:///{path}") as registry:
            registry.upsert("r1", A, "deployed")
        path.chmod(0o444)
        path.parent.chmod(0o555)
        with ProcessPoolExecutor(1, mp_context=PROCESSES) as pool:
            assert "readonly database" in pool.submit(as_nobody, f"sqlite:///{path}").result()
        path.parent.chmod(0o700)


def hammer(url: str, worker: int, turns: int) -> None:
    """One process that deploys again and again, to its own host and to one that all share."""
    with Registry.open(url) as registry:
        for turn in range(turns):
            both = (host("shared", "live"), host(f"h{worker}", "live"))
            one = record(f"r{turn}", *both, commit_sha=A, attempt=f"{worker}-{turn}", minute=turn)
            registry.begin(one)
            registry.intend(one)
            registry.finish(one)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "workers", "turns"),
    [("sqlite", 2, 25), pytest.param("postgres", 8, 8, marks=pytest.mark.postgres)],
)
def test_processes_that_write_at_once_lose_nothing(request, name, workers, turns):
    """No write fails, every attempt is there, every release has one row, every host its last release."""
    url = request.getfixturevalue(f"{name}_url")
    with ProcessPoolExecutor(workers, mp_context=PROCESSES) as pool:
        list(pool.map(hammer, [url] * workers, range(workers), [turns] * workers))
    last = f"r{turns - 1}"
    with Registry.open(url) as registry:
        counts = registry.database.read(
            lambda db: [
                bare(db).exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
                for table in ("oroboros_attempts", "oroboros_attempt_hosts", "releases")
            ]
        )
        assert counts == [workers * turns, 2 * workers * turns, turns]
        assert registry.get(last)["status"] == "deployed"
        assert registry.serving() == {f"h{worker}": last for worker in range(workers)} | {"shared": last}


def test_a_registry_is_opened_without_being_reached():
    """Opening sends nothing, so that a wrong address is met by check, in words."""
    with Registry.open("postgresql://u:p@127.0.0.1:1/d") as registry, pytest.raises(RegistryUnavailable):
        registry.check()


def test_a_closed_sqlite_registry_is_one_file(tmp_path):
    """Nothing of it is left open or beside it."""
    with Registry.open(f"sqlite:///{tmp_path}/r.db") as registry:
        registry.check()
    assert [each.name for each in tmp_path.iterdir()] == ["r.db"]


def test_who_asks_cannot_write(url):
    """A connection for reading refuses to change anything, whatever is sent on it."""
    with Registry.open(url) as registry:
        registry.upsert(A, A, "deployed")
        with pytest.raises(RegistryUnavailable, match=r"read-?only"):
            registry.database.ask(lambda db: db.connection.cursor().execute("DELETE FROM releases"))
        assert [row["release_id"] for row in registry.list()] == [A]


def ask_at_once(registry, number):
    """So many questions, of which none ends before all have begun."""
    gate = threading.Barrier(number)
    threads = [threading.Thread(target=registry.database.ask, args=(lambda _: gate.wait(10),)) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)


@pytest.mark.postgres
def test_who_asks_does_not_notice_that_connections_were_lost(server: PostgresServer, postgres_url):
    """Connections for reading that the server dropped, all of them and also in the middle, cost nothing but time."""
    name = postgres_url.rpartition("/")[2]
    drop = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
    with Registry.open(postgres_url) as registry:
        registry.upsert(A, A, "deployed")
        ask_at_once(registry, 3)
        assert registry.database.idle == 3
        server.execute(drop, "postgres")
        assert registry.reader.release(A) == registry.list()[0]
        dropped = []

        def work(db):
            if not dropped:
                dropped.append(server.execute(drop, "postgres"))
            return db.value(select(literal("done")))

        assert registry.database.ask(work) == "done"
        assert len(dropped) == 1


def test_few_connections_stay_open(url, monkeypatch):
    """However many ask at once, only so many connections for reading are kept."""
    monkeypatch.setattr(database, "IDLE", 2)
    with Registry.open(url) as registry:
        registry.check()
        ask_at_once(registry, 6)
        assert registry.database.idle == 2


def test_what_sqlalchemy_logs_of_a_cut_connection_is_not_shown() -> None:
    """Ctrl-C in the middle of a question is no traceback on the terminal: only the pool's log has one."""
    cut_off = (
        "from oroboros_deploy.registry import database\n"
        "from sqlalchemy import create_engine, event\n"
        "engine = create_engine('sqlite://')\n"
        "@event.listens_for(engine, 'reset')\n"
        "def cut(*_): raise RuntimeError('cut off')\n"
        "engine.connect().close()\n"
    )
    ran = subprocess.run([sys.executable, "-c", cut_off], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
