"""The registry's tables.

`releases` belongs to the control plane: it is mapped as it is, created only where
it is missing, and never altered. The tables with the prefix ``oroboros_`` are
ours, and so is their version, in `oroboros_schema`; `alembic_version` is not.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    DateTime,
    Dialect,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    insert,
    inspect,
    select,
)
from sqlalchemy.types import JSON

VERSION = 1


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, in UTC on every database: timestamptz on PostgreSQL, without its offset on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store the time in UTC."""
        return value and value.astimezone(UTC).replace(tzinfo=None if dialect.name == "sqlite" else UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Read it back in UTC, whatever the server's time zone."""
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


class AnyText(TypeDecorator[str]):
    """Text that every database takes: what none can store (NUL, lone surrogates) becomes a question mark."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """Replace what cannot be stored."""
        return value and storable(value)


def storable(text: str) -> str:
    """The text with NUL and lone surrogates, which no database takes, replaced by question marks."""
    return text.replace("\0", "?").encode(errors="replace").decode()


metadata = MetaData()

releases = Table(
    "releases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("release_id", String(64), nullable=False, unique=True),
    Column("commit_sha", String(64), nullable=False, index=True),
    Column("migration_marker", String(128)),
    Column("status", String(32), nullable=False, index=True),
    Column("deployed_at", UtcDateTime),
)

# `id` is the order in which intents were written; `before` is the status of the
# release's row when the attempt put its own there, so that it can be put back.
attempts = Table(
    "oroboros_attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("attempt", AnyText, nullable=False, unique=True),
    Column("kind", AnyText, nullable=False),
    Column("release_id", AnyText, nullable=False, index=True),
    Column("commit_sha", AnyText, nullable=False),
    Column("environment", AnyText),
    Column("actor", AnyText, nullable=False),
    Column("control_node", AnyText, nullable=False),
    Column("tool_version", AnyText, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("exit_code", Integer),
    Column("migration_marker", AnyText),
    Column("intended", Boolean, nullable=False, default=False),
    Column("before", AnyText),
    Column("settled", Boolean, nullable=False, default=False),
)

attempt_hosts = Table(
    "oroboros_attempt_hosts",
    metadata,
    Column("attempt_id", ForeignKey(attempts.c.id), primary_key=True),
    Column("host", AnyText, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("state", AnyText, nullable=False),
    Column("live", AnyText, index=True),
    Column("previous", AnyText, index=True),
    Column("message", AnyText, nullable=False),
    Column("seconds", JSON, nullable=False),
    Column("migration_marker", AnyText),
    Column("target_missing", Boolean, nullable=False),
)

# What each host serves, as far as finished attempts tell; `since` is by the database's clock.
hosts = Table(
    "oroboros_hosts",
    metadata,
    Column("host", AnyText, primary_key=True),
    Column("release_id", AnyText),
    Column("attempt_id", ForeignKey(attempts.c.id), nullable=False),
    Column("since", UtcDateTime, nullable=False),
)

schema = Table("oroboros_schema", metadata, Column("version", Integer, primary_key=True, autoincrement=False))


def version(db: Connection) -> int | None:
    """The version of our tables, None when they were never created."""
    return db.scalar(select(schema.c.version)) if inspect(db).has_table(schema.name) else None


def create(db: Connection) -> int:
    """Create the tables that are missing, in one transaction that holds the write lock; returns their version."""
    found = version(db)
    if found is None:
        metadata.create_all(db)
        db.execute(insert(schema).values(version=VERSION))
    return found or VERSION
