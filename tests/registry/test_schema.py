"""The tables of other programs stay as they are, and ours are made once."""

from __future__ import annotations

import sqlite3
import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from oroboros_deploy.errors import RegistryUnavailable
from oroboros_deploy.registry import Registry, schema
from tests.support.databases import bare
from tests.support.postgres import PostgresServer
from tests.support.samples import PROCESSES, A, B, host, record

# What a migration of the control plane leaves behind.
MIGRATION = """
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES ('4f1c2ab09d33');
CREATE TABLE releases (
    id {serial} NOT NULL,
    release_id VARCHAR(64) NOT NULL,
    commit_sha VARCHAR(64) NOT NULL,
    migration_marker VARCHAR(128),
    status VARCHAR(32) NOT NULL,
    deployed_at {timestamp},
    CONSTRAINT pk_releases PRIMARY KEY (id),
    CONSTRAINT uq_releases_release_id UNIQUE (release_id)
);
CREATE INDEX ix_releases_commit_sha ON releases (commit_sha);
CREATE INDEX ix_releases_status ON releases (status);
INSERT INTO releases (release_id, commit_sha, status, deployed_at)
    VALUES ('old', 'abcdef0', 'deployed', '2029-12-31 23:00:00{offset}');
"""
CATALOG = """
SELECT c.oid, c.relfilenode, c.relname, c.relkind, c.relacl::text, pg_get_indexdef(c.oid),
       a.attname, a.attnum, a.attnotnull, format_type(a.atttypid, a.atttypmod),
       pg_get_expr(d.adbin, d.adrelid), k.conname, pg_get_constraintdef(k.oid)
FROM pg_class c
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN pg_constraint k ON k.conrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE '%oroboros%'
ORDER BY c.relname, a.attnum, k.conname
"""
ROW = {"id": 1, "release_id": "old", "commit_sha": "abcdef0", "migration_marker": None, "status": "deployed"}


def use(url):
    """Every way of writing, on a registry that exists."""
    with Registry.open(url) as registry:
        assert registry.get("old") == ROW | {"deployed_at": "2029-12-31T23:00:00+00:00"}
        one = record(A, host("h1", "live", previous="old"))
        registry.begin(one)
        registry.intend(one)
        registry.finish(one)
        registry.upsert(B, B, "deployed")
        assert [row["status"] for row in registry.list()] == ["deployed", "deployed", "replaced"]


@pytest.mark.postgres
def test_a_releases_table_on_postgresql_is_used_as_it_is(server: PostgresServer, postgres_url):
    """Its columns, defaults, constraints and indexes, and the control plane's version, are the same afterwards."""
    database = postgres_url.rpartition("/")[2]
    server.execute(MIGRATION.format(serial="SERIAL", timestamp="TIMESTAMP WITH TIME ZONE", offset="+00"), database)
    server.execute(f"ALTER DATABASE {database} SET timezone = 'Asia/Kathmandu'", database)
    before = server.execute(CATALOG, database)
    use(postgres_url)
    assert server.execute(CATALOG, database) == before
    assert server.execute("SELECT * FROM alembic_version", database) == [("4f1c2ab09d33",)]


def test_a_releases_table_on_sqlite_is_used_as_it_is(tmp_path):
    """Its definition and the control plane's version are the same afterwards."""
    path = tmp_path / "control-plane.db"
    others = "SELECT * FROM sqlite_master WHERE tbl_name NOT LIKE 'oroboros%' ORDER BY name"
    connection = sqlite3.connect(path)
    connection.executescript(MIGRATION.format(serial="INTEGER", timestamp="DATETIME", offset=".000000"))
    before = connection.execute(others).fetchall()
    use(f"sqlite:///{path}")
    assert connection.execute(others).fetchall() == before
    assert connection.execute("SELECT * FROM alembic_version").fetchall() == [("4f1c2ab09d33",)]
    connection.close()


@pytest.mark.postgres
def test_a_new_releases_table_has_the_columns_of_the_control_plane(server: PostgresServer, postgres_url):
    """Where the table is missing, it is created with the same columns, types, and indexed columns."""
    Registry.open(postgres_url).check()
    made = postgres_url.rpartition("/")[2]
    migrated = server.database().rpartition("/")[2]
    server.execute(MIGRATION.format(serial="SERIAL", timestamp="TIMESTAMP WITH TIME ZONE", offset="+00"), migrated)
    columns = """SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
        WHERE attrelid = 'releases'::regclass AND attnum > 0 ORDER BY attnum"""
    indexes = """SELECT indisunique, indkey::text FROM pg_index WHERE indrelid = 'releases'::regclass ORDER BY 1, 2"""
    for question in (columns, indexes):
        assert server.execute(question, made) == server.execute(question, migrated)


def test_a_new_sqlite_registry_is_private(tmp_path):
    """The directory and the file are readable by their owner alone, and writes survive a power cut."""
    path = tmp_path / "state" / "oroboros" / "registry.db"
    with Registry.open(f"sqlite:///{path}") as registry:
        registry.check()
        shown = [stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path, Path(f"{path}-wal"))]
        settings = registry.database.read(
            lambda db: [
                db.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
        )
    assert (shown, settings) == ([0o700, 0o600, 0o600], ["wal", 2, 1, 15000])


def check(url):
    """Open a registry and make its tables."""
    with Registry.open(url) as registry:
        registry.check()


@pytest.mark.slow
def test_many_processes_may_make_the_tables_at_once(url):
    """Each of them finds a complete registry, and the version is there once."""
    with ProcessPoolExecutor(4, mp_context=PROCESSES) as pool:
        list(pool.map(check, [url] * 12))
    with Registry.open(url) as registry:
        versions = registry.database.read(
            lambda db: bare(db).exec_driver_sql("SELECT * FROM oroboros_schema").fetchall()
        )
    assert versions == [(schema.VERSION,)]


def test_tables_of_a_newer_version_are_refused(url):
    """An old program neither reads nor writes them, and says what to do."""
    with Registry.open(url) as registry:
        registry.check()
        registry.database.write(
            lambda db: bare(db).exec_driver_sql(f"UPDATE oroboros_schema SET version = {schema.VERSION + 1}")
        )
    with Registry.open(url) as registry:
        for call in (registry.check, registry.tables, registry.list, lambda: registry.upsert(A, A, "deployed")):
            with pytest.raises(
                RegistryUnavailable, match=f"version {schema.VERSION + 1}, this program knows {schema.VERSION}"
            ) as caught:
                call()
            assert caught.value.hint == "pip install --upgrade oroboros_deploy"


def test_the_version_of_the_tables_is_read_alone(url):
    """None before there are any, and nothing is made by asking."""
    with Registry.open(url) as registry:
        assert (registry.tables(), registry.tables()) == (None, None)
        registry.check()
        assert registry.tables() == schema.VERSION
