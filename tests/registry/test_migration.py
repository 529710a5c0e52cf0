"""Our tables grow with the program; nobody else's do."""

from __future__ import annotations

import re
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection

from oroboros_deploy.errors import RegistryUnavailable
from oroboros_deploy.records.record import Asked
from oroboros_deploy.registry import Registry, place, schema
from tests.registry.test_schema import CATALOG, MIGRATION
from tests.support.databases import bare
from tests.support.postgres import PostgresServer
from tests.support.samples import PROCESSES, A, B, C, host, record

ROOT = Path(__file__).resolve().parents[2]
WORDS = {
    "sqlite": {"serial": "INTEGER", "timestamp": "DATETIME", "offset": ".000000"},
    "postgresql": {"serial": "SERIAL", "timestamp": "TIMESTAMP WITH TIME ZONE", "offset": "+00"},
}
# The tables as the first version made them, with attempts of every kind that it could leave behind.
FIRST = """
CREATE TABLE oroboros_attempts (
    id {serial} NOT NULL, attempt TEXT NOT NULL, kind TEXT NOT NULL, release_id TEXT NOT NULL,
    commit_sha TEXT NOT NULL, environment TEXT, actor TEXT NOT NULL, control_node TEXT NOT NULL,
    tool_version TEXT NOT NULL, started_at {timestamp} NOT NULL, finished_at {timestamp}, exit_code INTEGER,
    migration_marker TEXT, intended BOOLEAN NOT NULL, before TEXT, settled BOOLEAN NOT NULL,
    PRIMARY KEY (id), UNIQUE (attempt)
);
CREATE INDEX ix_oroboros_attempts_release_id ON oroboros_attempts (release_id);
CREATE TABLE oroboros_attempt_hosts (
    attempt_id INTEGER NOT NULL, host TEXT NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL, live TEXT,
    previous TEXT, message TEXT NOT NULL, seconds JSON NOT NULL, migration_marker TEXT,
    target_missing BOOLEAN NOT NULL,
    PRIMARY KEY (attempt_id, host), FOREIGN KEY(attempt_id) REFERENCES oroboros_attempts (id)
);
CREATE INDEX ix_oroboros_attempt_hosts_live ON oroboros_attempt_hosts (live);
CREATE INDEX ix_oroboros_attempt_hosts_previous ON oroboros_attempt_hosts (previous);
CREATE TABLE oroboros_hosts (
    host TEXT NOT NULL, release_id TEXT, attempt_id INTEGER NOT NULL, since {timestamp} NOT NULL,
    PRIMARY KEY (host), FOREIGN KEY(attempt_id) REFERENCES oroboros_attempts (id)
);
CREATE TABLE oroboros_schema (version INTEGER NOT NULL, PRIMARY KEY (version));
INSERT INTO oroboros_schema VALUES (1);
"""
ENDINGS = [  # host states, exit code (None: not finished), state of the whole
    (["live", "already_live"], 0, "live"),
    (["live"], 60, "live"),
    (["live", "restored"], 10, "failed"),
    (["live", "skipped"], 30, "failed"),
    (["not_switched"], 30, "failed"),
    (["restored", "not_restored"], 11, "broken"),
    (["live", "unknown"], 40, "unknown"),
    (["running"], None, "lost"),
    (["restored", "skipped"], 10, "restored"),
]


def first(dialect: str) -> str:
    """A database of the control plane with our first version's tables in it."""
    lines = [MIGRATION, FIRST]
    for number, (states, exit_code, _) in enumerate(ENDINGS, 1):
        code = "NULL" if exit_code is None else exit_code
        began, ended = f"'2019-01-0{number} 10:00:00{{offset}}'", f"'2019-01-0{number} 10:01:30{{offset}}'"
        lines.append(
            f"INSERT INTO oroboros_attempts VALUES ({number}, 'attempt-{number}', 'deploy', '{A}', '{A}', 'prod',"
            f" 'ada', 'desk', '0.1.0', {began}, {code if code == 'NULL' else ended}, {code},"
            " NULL, true, NULL, true);"
        )
        lines += [
            f"INSERT INTO oroboros_attempt_hosts VALUES ({number}, 'h{place}', {place}, '{state}', NULL, '{B}', '',"
            f' \'{{{{"facts": 1, "activate": {place}.5}}}}\', NULL, false);'
            for place, state in enumerate(states, 1)
        ]
    lines.append(f"INSERT INTO oroboros_hosts VALUES ('h1', '{A}', 2, '2019-01-02 10:01:30{{offset}}');")
    return "\n".join(lines).format(**WORDS[dialect])


@pytest.fixture
def old(url: str, request: pytest.FixtureRequest) -> str:
    """A registry of the first version, once on each database."""
    if url.startswith("sqlite"):
        path = request.getfixturevalue("tmp_path") / "old.db"
        connection = sqlite3.connect(path)
        connection.executescript(first("sqlite"))
        connection.close()
        return f"sqlite:///{path}"
    server: PostgresServer = request.getfixturevalue("server")
    server.execute(first("postgresql"), url.rpartition("/")[2])
    # Numbers were given by hand: the sequence goes on after them.
    server.execute("SELECT setval('oroboros_attempts_id_seq', 100)", url.rpartition("/")[2])
    return url


LEFT = {("oroboros_observations", "hold")}  # what older tables keep, and nothing reads any more


def shape(url: str) -> list[object]:
    """Every table and index of ours, as the database describes it, whatever the order in which columns came."""
    with Registry.open(url) as registry:
        registry.check()
        return registry.database.read(_shape)


def _shape(db):  # type: ignore[no-untyped-def]
    from sqlalchemy import inspect

    found, where = inspect(db), place.of(db)
    tables = sorted(name for name in found.get_table_names(schema=where) if name.startswith("oroboros_"))
    plain = re.compile(r"\s+")
    return [
        (
            table,
            sorted(
                (c["name"], plain.sub(" ", str(c["type"])), c["nullable"])
                for c in found.get_columns(table, schema=where)
                if (table, c["name"]) not in LEFT
            ),
            sorted((str(i["name"]), tuple(i["column_names"])) for i in found.get_indexes(table, schema=where)),
            found.get_pk_constraint(table, schema=where)["constrained_columns"],
        )
        for table in tables
    ]


def test_tables_of_the_first_version_become_those_of_this_one(tmp_path):
    """A migrated registry has the tables, columns and indexes of a new one."""
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    connection.executescript(first("sqlite"))
    connection.close()
    assert shape(f"sqlite:///{path}") == shape(f"sqlite:///{tmp_path}/new.db")


@pytest.mark.postgres
def test_tables_of_the_first_version_become_those_of_this_one_on_postgresql(server, postgres_url):
    """The same there."""
    server.execute(first("postgresql"), postgres_url.rpartition("/")[2])
    assert shape(postgres_url) == shape(server.database())


def test_what_the_first_version_remembered_is_shown_as_before_and_as_now(old):
    """Old attempts get the state that their hosts' parts come to, their duration, and what served before."""
    with Registry.open(old) as registry:
        shown = registry.reader.attempts().items
        assert [(each["attempt"], each["state"]) for each in reversed(shown)] == [
            (f"attempt-{number}", state) for number, (*_, state) in enumerate(ENDINGS, 1)
        ]
        assert shown[-1] == {
            "attempt": "attempt-1",
            "application": "",
            "kind": "deploy",
            "release_id": A,
            "commit_sha": A,
            "subject": None,
            "environment": "prod",
            "actor": "ada",
            "control_node": "desk",
            "tool_version": "0.1.0",
            "started_at": "2019-01-01T10:00:00+00:00",
            "finished_at": "2019-01-01T10:01:30+00:00",
            "seconds": 90.0,
            "exit_code": 0,
            "state": "live",
            "migration_marker": None,
            "seen_at": "2019-01-01T10:01:30+00:00",
            "hosts": [
                {
                    "host": f"h{place}",
                    "state": state,
                    "phase": None,
                    "live": None,
                    "previous": B,
                    "message": "",
                    "log": None,
                    "seconds": {"facts": 1, "activate": place + 0.5},
                    "configuration": None,
                    "names": None,
                }
                for place, state in enumerate(["live", "already_live"], 1)
            ],
        }
        own = registry.database.read(
            lambda db: (
                bare(db)
                .exec_driver_sql("SELECT previous, activation_seconds FROM oroboros_attempts ORDER BY id")
                .fetchall()
            )
        )
        assert own == [(B, seconds) for seconds in (1.5, 1.5, 2.5, 1.5, None, 2.5, 1.5, None, 1.5)]
        assert registry.hosts_of(A) == ["h1", "h2"]


def test_a_migrated_registry_is_written_as_a_new_one(old):
    """An attempt that begins after the migration is recorded whole."""
    with Registry.open(old) as registry:
        one = record(C, host("h1", "live", previous=A), attempt="after")
        registry.begin(one)
        registry.finish(one)
        assert (registry.reader.attempt("after") or {})["state"] == "live"
        assert registry.reader.hosts().items[0]["release_id"] == C


@pytest.mark.parametrize("previous", [A, B])
def test_a_host_of_the_first_version_becomes_that_of_who_finds_its_release_there(old, previous):
    """Its release was of no named application: it is replaced by the one that left it, and by no other."""
    with Registry.open(old) as registry:
        registry.upsert(A, A, "deployed")
        assert [registry.serving(each) for each in ("shop", "blog")] == [{"h1": A}, {"h1": A}]
        one = record(C, host("h1", "live", previous=previous), attempt="after", application="shop")
        registry.begin(one)
        registry.finish(one)
        found = previous == A
        assert [registry.serving(each) for each in ("shop", "blog")] == [{"h1": C}, {} if found else {"h1": A}]
        assert (registry.get(A) or {})["status"] == ("replaced" if found else "deployed")


UNDONE = {  # what takes each version away again
    6: [
        "DROP VIEW IF EXISTS public.oroboros_schema",
        *(f"ALTER TABLE {t.name} SET SCHEMA public" for t in schema.OURS),
    ],
    7: [
        "ALTER TABLE oroboros_attempt_hosts DROP COLUMN target_id",
        "ALTER TABLE oroboros_targets DROP COLUMN root, DROP COLUMN target_id, ADD PRIMARY KEY (application, host)",
    ],
    8: ["ALTER TABLE oroboros_attempt_hosts DROP COLUMN configuration, DROP COLUMN names"],
    9: ["DROP INDEX ix_oroboros_attempts_actor"],
    10: [
        "ALTER TABLE oroboros_observations ADD COLUMN hold JSON",
        "UPDATE oroboros_observations SET hold = (SELECT hold FROM oroboros_holds)",
        "DROP TABLE oroboros_holds",
    ],
    11: ["DROP TABLE oroboros_plans"],
    5: ["DROP TABLE oroboros_targets", "ALTER TABLE oroboros_attempts DROP COLUMN application"],
    4: ["DROP TABLE oroboros_releases"],
    3: [
        *(f"DROP INDEX ix_oroboros_events_{name}" for name in ("host", "environment", "at", "host_at")),
        "DROP INDEX ix_oroboros_events_environment_at",
        "ALTER TABLE oroboros_events DROP COLUMN environment",
    ],
}
UNDONE_ON_SQLITE = UNDONE | {
    6: [],
    8: [f"ALTER TABLE oroboros_attempt_hosts DROP COLUMN {name}" for name in ("configuration", "names")],
    7: [
        "ALTER TABLE oroboros_attempt_hosts DROP COLUMN target_id",
        "CREATE TABLE older AS SELECT application, host, release_id, attempt_id, since FROM oroboros_targets",
        "DROP TABLE oroboros_targets",
        "ALTER TABLE older RENAME TO oroboros_targets",
    ],
}


SHOP = Asked("shop", "/srv/shop")


def go_back(registry: Registry, version: int) -> None:
    """Make the tables those of an earlier version."""

    def undo(db: Connection) -> None:
        undone = UNDONE_ON_SQLITE if db.dialect.name == "sqlite" else UNDONE
        lines = [line for number, each in undone.items() if number > version for line in each]
        for line in [*lines, f"UPDATE oroboros_schema SET version = {version}"]:
            bare(db).exec_driver_sql(line)

    registry.database.write(undo)


@pytest.mark.slow
@pytest.mark.parametrize("version", [2, 3, 4, 5, 6, 7, 8, 9])
def test_each_version_becomes_this_one(old, version):
    """Events are found by their environment, hosts serve what they served, and nothing else is changed."""
    with Registry.open(old) as registry:
        one = record(C, host("h1", "live"), attempt="heard", environment="lab")
        registry.begin(one)
        registry.finish(one)
        before = registry.reader.events(attempt="heard"), registry.memory()
        go_back(registry, version)
    with Registry.open(old) as registry:
        assert (registry.reader.events(environment="lab"), registry.memory()) == before


def test_a_hold_that_was_known_by_its_host_alone_stays_known(old):
    """Whose it is nobody knows until the host is asked again; its place among what the host said is empty."""
    with Registry.open(old) as registry:
        registry.observe({"h1": C}, "lab", {"h1": {"actor": "ada", "at": 0.0, "reason": "the fair"}}, SHOP)
        go_back(registry, 9)
    with Registry.open(old) as registry:
        registry.check()
        hold = {"actor": "ada", "at": "1970-01-01T00:00:00+00:00", "reason": "the fair"}
        assert registry.reader.held() == [
            {"application": "", "host": "h1", "root": "", "environment": "prod", "hold": hold}
        ]
        assert registry.database.read(holds_of_the_version_before) == [("h1", None)]


def holds_of_the_version_before(db: Connection) -> list[tuple[str, str | None]]:
    """Each host and who holds it, where the version before this one reads it."""
    named = f"{place.of(db)}.oroboros_observations" if place.of(db) else "oroboros_observations"
    return [(row.host, row.hold) for row in bare(db).exec_driver_sql(f"SELECT host, hold FROM {named}")]


def test_what_reads_the_holds_of_the_version_before_goes_on(old):
    """A view of others, and a program of that version that still runs: the migration takes no column from them."""
    with Registry.open(old) as registry:
        registry.observe({"h1": C}, "lab", {"h1": {"actor": "ada", "at": 0.0, "reason": "the fair"}}, SHOP)
        go_back(registry, 9)
        registry.database.write(view_of_holds)
    with Registry.open(old) as registry:
        registry.check()
        registry.observe({"h1": A}, "lab", {"h1": None}, SHOP)
        seen = registry.database.read(lambda db: bare(db).exec_driver_sql("SELECT host, hold FROM seen").fetchall())
        assert seen == [("h1", None)]


def view_of_holds(db: Connection) -> None:
    """Somebody else reads who holds which host."""
    named = f"{place.of(db)}.oroboros_observations" if place.of(db) else "oroboros_observations"
    bare(db).exec_driver_sql(f"CREATE VIEW seen AS SELECT host, hold FROM {named}")


@pytest.mark.postgres
@pytest.mark.parametrize("version", [4, 5, 6, 7])
def test_who_reads_a_table_still_does_after_the_migration(server: PostgresServer, postgres_url, version):
    """Rights, views and triggers of others stay, and the columns and the key are those of a new table."""
    with Registry.open(postgres_url) as registry:
        registry.finish(record(A, host("h1", "live"), application="shop", root="/srv/shop"))
        go_back(registry, version)
    database, place = postgres_url.rpartition("/")[2], "oroboros" if version >= 6 else "public"
    if version > 4:
        server.execute(f"GRANT SELECT ON {place}.oroboros_targets TO PUBLIC", database)
        server.execute(f"CREATE VIEW seen AS SELECT host, release_id FROM {place}.oroboros_targets", database)
    rights = "SELECT oid, relacl::text FROM pg_class WHERE relname = 'oroboros_targets'"
    before = server.execute(rights, database)
    assert shape(postgres_url) == shape(server.database())
    if version > 4:
        assert server.execute(rights, database) == before
        assert server.execute("SELECT * FROM seen", database) == [("h1", A)]


@pytest.mark.postgres
def test_who_was_granted_what_will_be_made_reads_the_tables_of_this_version(server: PostgresServer, postgres_url):
    """The lines of docs/registry.md let a role that only reads read what the migration makes."""
    database = postgres_url.rpartition("/")[2]
    with Registry.open(postgres_url) as registry:
        registry.finish(record(A, host("h1", "live")))
        go_back(registry, 9)
    reader = f"reader_of_{database}"
    server.execute(f"CREATE ROLE {reader}", database)
    (lines,) = re.findall(r"```sql\n(GRANT SELECT.*?)```", (ROOT / "docs/registry.md").read_text(), re.DOTALL)
    for line in lines.replace("reader", reader).splitlines():
        server.execute(line, database)
    check(postgres_url)
    made = ("oroboros_holds", "oroboros_plans")
    rights = [f"SELECT has_table_privilege('{reader}', 'oroboros.{name}', 'SELECT')" for name in made]
    assert [server.execute(each, database) for each in rights] == [[(True,)], [(True,)]]


def check(url):
    """Open a registry and bring its tables up to date."""
    with Registry.open(url) as registry:
        registry.check()


@pytest.mark.slow
def test_many_processes_may_migrate_at_once(old):
    """One of them migrates, the others wait for it; each finds a complete registry."""
    with ProcessPoolExecutor(4, mp_context=PROCESSES) as pool:
        list(pool.map(check, [old] * 8))
    with Registry.open(old) as registry:
        versions = registry.database.read(
            lambda db: bare(db).exec_driver_sql("SELECT * FROM oroboros_schema").fetchall()
        )
        assert (versions, len(registry.reader.attempts().items)) == ([(schema.VERSION,)], len(ENDINGS))


def test_a_migration_that_fails_changes_nothing(old, monkeypatch):
    """Halfway through it stops: the tables are those of the first version, and the next program migrates them."""
    from oroboros_deploy.registry import migration

    def fail(_db: object) -> None:
        raise RuntimeError("halfway")

    with Registry.open(old) as registry, monkeypatch.context() as broken:
        broken.setattr(migration, "STEPS", (*migration.STEPS, fail))
        with pytest.raises(RuntimeError, match="halfway"):
            registry.check()
    with Registry.open(old) as registry:
        assert (
            registry.database.read(lambda db: bare(db).exec_driver_sql("SELECT version FROM oroboros_schema").scalar())
            == 1
        )
        assert len(registry.reader.attempts().items) == len(ENDINGS)


def test_tables_of_others_are_left_alone_on_sqlite(tmp_path):
    """A migration changes no definition and no row of the control plane's tables."""
    path = tmp_path / "old.db"
    others = "SELECT * FROM sqlite_master WHERE tbl_name NOT LIKE 'oroboros%' ORDER BY name"
    connection = sqlite3.connect(path)
    connection.executescript(first("sqlite"))
    before = [connection.execute(sql).fetchall() for sql in (others, "SELECT * FROM releases")]
    check(f"sqlite:///{path}")
    assert [connection.execute(sql).fetchall() for sql in (others, "SELECT * FROM releases")] == before
    assert connection.execute("SELECT * FROM alembic_version").fetchall() == [("4f1c2ab09d33",)]
    connection.close()


@pytest.mark.postgres
def test_tables_of_others_are_left_alone_on_postgresql(server: PostgresServer, postgres_url):
    """The same there, down to the number of the file that holds the table."""
    database = postgres_url.rpartition("/")[2]
    server.execute(first("postgresql"), database)
    before = [server.execute(sql, database) for sql in (CATALOG, "SELECT * FROM releases")]
    check(postgres_url)
    assert [server.execute(sql, database) for sql in (CATALOG, "SELECT * FROM releases")] == before
    assert server.execute("SELECT * FROM alembic_version", database) == [("4f1c2ab09d33",)]


def test_what_the_hint_says_brings_older_tables_up_to_date(old):
    """Comparing refuses them; `fab registry.list` reads the releases, and then they can be compared."""
    with Registry.open(old) as registry, pytest.raises(RegistryUnavailable, match="of version 1, not 11\n  → fab reg"):
        registry.memory()
    with Registry.open(old) as registry:
        registry.list()
    with Registry.open(old) as registry:
        assert sorted(registry.memory().records) == [f"attempt-{number}" for number, _ in enumerate(ENDINGS, 1)]
