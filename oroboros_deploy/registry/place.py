"""Where our tables are in PostgreSQL: in a schema of their own, so that another program's migrations never see them.

Where that schema cannot be used, our tables stay beside the tables of others, in the default schema of the login.
Every statement names the schema: a `search_path` that is set would be passed on by a pooler.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

NAME = "oroboros"

# The catalogue answers to everybody; `to_regclass` fails for who may not use the schema.
IN_OURS = (
    "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = 'oroboros' AND c.relname = 'oroboros_schema')"
)
_MAY_MAKE = text(f"SELECT has_database_privilege(current_database(), 'CREATE') AND to_regnamespace('{NAME}') IS NULL")
# A schema in the search path (by default the one that is named like the login) would be the default of other programs
# too; one that has tables already is another program's.
_USABLE = text(
    """SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace n WHERE n.nspname = 'oroboros'
        AND has_schema_privilege(n.oid, 'CREATE') AND has_schema_privilege(n.oid, 'USAGE')
        AND n.nspname <> ALL (current_schemas(false))
        AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid))
    AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class c
        WHERE c.oid = to_regclass('oroboros_schema') AND NOT pg_has_role(c.relowner, 'USAGE'))"""
)
_MAY_CREATE = text("SELECT has_schema_privilege(current_schema(), 'CREATE')")


def find(db: Connection) -> str | None:
    """The schema that our tables are in, None for the default one; this transaction looks for them there."""
    ours = db.dialect.name == "postgresql" and bool(db.exec_driver_sql(IN_OURS).scalar())
    return use(db, NAME if ours else None)


def use(db: Connection, schema: str | None) -> str | None:
    """Let this connection's statements look for our tables in a schema; returns it."""
    db.execution_options(schema_translate_map=translation(schema))
    return schema


def of(db: Connection) -> str | None:
    """The schema in which this connection's statements look for our tables."""
    found: dict[str, str | None] = db.get_execution_options().get("schema_translate_map", {})
    return found.get(NAME)


def translation(schema: str | None) -> dict[str, str | None]:
    """What SQLAlchemy replaces the name of our schema by."""
    return {NAME: schema}


def beside_others(db: Connection) -> bool:
    """Whether our tables are in PostgreSQL's default schema, or would be."""
    return db.dialect.name == "postgresql" and of(db) is None


def usable(db: Connection) -> bool:
    """Whether there is a schema that our tables, which are not there yet, may be in."""
    return db.dialect.name == "postgresql" and bool(db.scalar(_USABLE))


def prepare(db: Connection) -> bool:
    """Make the schema where that is allowed; whether our tables may be in it."""
    if db.dialect.name != "postgresql":
        return False
    if db.scalar(_MAY_MAKE):
        _make(db)
    return usable(db)


def _make(db: Connection) -> None:
    """Make the schema, and leave it only where it can be used; who reads our tables needs no right to it besides."""
    with db.begin_nested() as made:
        db.execute(text(f"CREATE SCHEMA {NAME}"))
        db.execute(text(f"GRANT USAGE ON SCHEMA {NAME} TO PUBLIC"))
        if not usable(db):
            made.rollback()


def move(db: Connection, tables: list[str]) -> None:
    """Move our tables from the default schema, with their rows, indexes, sequences and rights.

    A view of the version stays: an earlier version of this program looks for that there, and stops.
    """
    for table in tables:
        db.execute(text(f"ALTER TABLE {table} SET SCHEMA {NAME}"))
    if db.scalar(_MAY_CREATE):
        db.execute(text("CREATE VIEW oroboros_schema AS SELECT version FROM oroboros.oroboros_schema"))
    use(db, NAME)
