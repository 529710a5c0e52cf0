"""Our tables have a schema of their own in PostgreSQL, where another program's migrations never see them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from oroboros_deploy.registry import Registry, place, schema
from tests.registry.test_migration import first
from tests.support.pooler import pooled, why_not
from tests.support.postgres import PostgresServer
from tests.support.samples import A, B, host, record

pytestmark = pytest.mark.postgres

OURS = sorted(table.name for table in schema.OURS)
TABLES = """SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace('{}') AND relkind = 'r'
    ORDER BY relname"""
BESIDE = "CREATE TABLE invoices (id int primary key)"


def tables(server: PostgresServer, url: str) -> tuple[list[object], list[object]]:
    """The tables of the default schema, and those of ours."""
    name = url.rpartition("/")[2]
    public, ours = (server.execute(TABLES.format(each), name) for each in ("public", place.NAME))
    return [each for (each,) in public], [each for (each,) in ours]


def login(server: PostgresServer, url: str, role: str | None = None, rights: str = "") -> str:
    """The URL for a login that may make tables in the default schema, and has these rights besides."""
    name = url.rpartition("/")[2]
    role = role or f"role_{name}"
    server.execute(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'x'", name)
    server.execute(f"GRANT CREATE ON SCHEMA public TO {role}; {rights.format(role=role, name=name)}", name)
    return re.sub("//.*@", f"//{role}:x@", url)


def use(registry: Registry, attempt: str = "one", release: str = A) -> None:
    """Write and read a little of everything."""
    one = record(release, host("web1", "live"), attempt=attempt)
    registry.begin(one)
    registry.intend(one)
    registry.finish(one)
    assert registry.memory().serving["web1"] == registry.serving()["web1"] == release
    assert [each["attempt"] for each in registry.reader.attempts().items][:1] == [attempt]
    assert (registry.reader.host("web1") or {})["release_id"] == release


def test_a_new_registry_has_its_own_schema(server, postgres_url):
    """Beside the tables of others is `releases` alone, and nobody is told anything."""
    server.execute(BESIDE, postgres_url.rpartition("/")[2])
    with Registry.open(postgres_url, owner="ours") as registry:
        use(registry)
        assert registry.notice is None
    assert tables(server, postgres_url) == (["invoices", "releases"], OURS)


def test_the_tables_of_an_earlier_version_are_moved_with_all_they_have(server, postgres_url):
    """Rows, indexes, sequences and rights come along; an earlier program still finds the version that it refuses."""
    name = postgres_url.rpartition("/")[2]
    reader = login(server, postgres_url)
    server.execute(first("postgresql"), name)
    server.execute(f"GRANT SELECT ON oroboros_attempts TO role_{name}", name)
    server.execute("SELECT setval('oroboros_attempts_id_seq', 100)", name)
    before = server.execute("SELECT attempt, started_at FROM oroboros_attempts ORDER BY id", name)
    with Registry.open(postgres_url) as registry:
        registry.check()
        assert registry.notice is None
        assert tables(server, postgres_url) == (["alembic_version", "releases"], OURS)
        assert server.execute("SELECT attempt, started_at FROM oroboros_attempts ORDER BY id", name) == before
        assert server.execute("SELECT version FROM public.oroboros_schema", name) == [(schema.VERSION,)]
        use(registry)
    import psycopg2

    with psycopg2.connect(reader) as other, other.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM oroboros.oroboros_attempts")
        assert cursor.fetchone() == (len(before) + 1,)
    other.close()


def test_who_may_make_no_schema_keeps_the_tables_where_they_are(server, postgres_url):
    """All works as before; it is told by who made the tables, once; when the schema is made, they are moved there."""
    name = postgres_url.rpartition("/")[2]
    url = login(server, postgres_url)
    with Registry.open(url) as registry, Registry.open(url) as kept_open:
        use(registry)
        assert (registry.notice or "").startswith("the registry's tables are beside those of other programs")
        use(kept_open, "two", B)
        assert (kept_open.notice, tables(server, url)) == (None, (sorted([*OURS, "releases"]), []))
        server.execute(f"CREATE SCHEMA oroboros AUTHORIZATION role_{name}", name)
        with Registry.open(url) as another:
            another.check()
            assert (another.notice, tables(server, url)) == (None, (["releases"], OURS))
        assert [each["attempt"] for each in kept_open.reader.attempts().items] == ["two", "one"]
        use(registry, "three")


@pytest.mark.parametrize(
    ("role", "made"),
    [
        ("oroboros", ""),
        (None, "CREATE SCHEMA oroboros AUTHORIZATION {role}; CREATE TABLE oroboros.of_another (x int)"),
        (None, "CREATE SCHEMA oroboros"),
    ],
)
def test_a_schema_of_that_name_that_is_another_programs_is_left_alone(server, postgres_url, role, made):
    """So it is where the login's name makes it the default of all programs, where it has tables, or other owners."""
    url = login(server, postgres_url, role, f"GRANT CREATE ON DATABASE {{name}} TO {{role}}; {made}")
    before = tables(server, url)[1]
    with Registry.open(url) as registry:
        use(registry)
        assert registry.notice
    assert tables(server, url) == (sorted([*OURS, "releases"]), before)
    name = url.rpartition("/")[2]
    there = server.execute("SELECT to_regnamespace('oroboros') IS NOT NULL", name)
    assert there == [(bool(made),)]
    server.execute(f"DROP OWNED BY {role or f'role_{name}'} CASCADE", name)


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_tables_are_moved_through_a_pooler(server, postgres_url):
    """In transaction mode every statement finds them, before and after, and the session's path is what it was."""
    server.execute(first("postgresql"), postgres_url.rpartition("/")[2])
    server.execute("SELECT setval('oroboros_attempts_id_seq', 100)", postgres_url.rpartition("/")[2])
    with pooled(server, postgres_url) as url, Registry.open(url) as registry:
        use(registry)
        path = registry.database.read(lambda db: db.exec_driver_sql("SHOW search_path").scalar())
    assert (path, tables(server, postgres_url)[1]) == ('"$user", public', OURS)


ENV = """
from alembic import context
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine

{lines}
metadata = MetaData()
Table("releases", metadata, Column("id", Integer, primary_key=True), Column("name", String(20), nullable=False))
engine = create_engine({url!r})
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata{options})
    with context.begin_transaction():
        context.run_migrations()
"""
FILTERED = ", include_schemas=True, include_name=include_name, include_object=include_object"


class Program:
    """Another program, which looks after its own `releases` by Alembic."""

    def __init__(self, directory: Path, url: str, options: str = "", lines: str = "") -> None:
        self.directory = directory
        scripts = directory / "scripts"
        (scripts / "versions").mkdir(parents=True)
        url = url.replace("postgresql:", "postgresql+psycopg2:")
        (scripts / "env.py").write_text(ENV.format(url=url, options=options, lines=lines))
        (scripts / "script.py.mako").write_text(
            "revision = ${repr(up_revision)}\ndown_revision = ${repr(down_revision)}\n"
            "import sqlalchemy as sa\nfrom alembic import op\n"
            "def upgrade():\n    ${upgrades}\ndef downgrade():\n    pass\n"
        )
        (directory / "alembic.ini").write_text("[alembic]\nscript_location = scripts\n")

    def alembic(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the real program."""
        command = [sys.executable, "-m", "alembic", *arguments]
        return subprocess.run(command, cwd=self.directory, capture_output=True, text=True, timeout=60, check=False)

    def revision(self, name: str) -> str:
        """What an automatic migration would do."""
        made = self.alembic("revision", "--autogenerate", "-m", name)
        assert made.returncode == 0, made.stderr
        (path,) = (self.directory / "scripts" / "versions").glob(f"*_{name}.py")
        does = path.read_text().partition("def upgrade():")[2].partition("def downgrade")[0]
        return re.sub("#.*", "", does).strip()


def documented() -> str:
    """The lines for Alembic's env.py that docs/registry.md gives."""
    text = Path("docs/registry.md").read_text()
    found = re.search(r"```python\n(def include_name.*?)```", text, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("apart", [True, False])
def test_a_program_that_makes_its_migrations_by_alembic_sees_nothing_of_ours(
    server, postgres_url, tmp_path, apart, named
):
    """Of its own table alone is spoken: as Alembic comes, and with every schema and the lines of the docs."""
    url = postgres_url if apart else login(server, postgres_url)
    options = (FILTERED, documented()) if named else ("", "")
    program = Program(tmp_path, url, *options)
    assert re.findall(r"op\.\w+\('(\w+)'", program.revision("first")) == ["releases"]
    assert program.alembic("upgrade", "head").returncode == 0
    with Registry.open(url) as registry:
        registry.begin(record(A, host("web1", "live")))
    assert bool(tables(server, url)[1]) == apart
    checked = program.alembic("check")
    seen = program.revision("second")
    if apart or named:
        assert (checked.returncode, seen) == (0, "pass")
    else:  # what the lines of the docs are for
        assert (checked.returncode, "drop_table('oroboros_attempts')" in seen) == (255, True)
