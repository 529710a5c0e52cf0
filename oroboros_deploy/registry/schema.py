"""The registry's tables.

`releases` may belong to another program: it is mapped as it is, created only where
it is missing and no other program makes it, and never altered. The tables with the
prefix ``oroboros_`` are ours, and so is their version, in `oroboros_schema`;
`alembic_version` is not.  Ours are declared in a schema of their own, which `place`
replaces by the one that they are in.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    inspect,
    select,
)
from sqlalchemy.types import JSON, TypeEngine

from . import place, values

VERSION = 11


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, in UTC on every database: timestamptz on PostgreSQL, without its offset on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store the time in UTC."""
        return value and value.astimezone(UTC).replace(tzinfo=None if dialect.name == "sqlite" else UTC)

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Callable[[Any], datetime | None]:
        """Read it back in UTC, whatever the server's time zone."""
        return values.time


class IsoTime(TypeEngine[str]):
    """A stored time as ISO 8601 text in UTC, for reading many."""

    cache_ok = True

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Callable[[Any], str | None]:
        """How a stored time becomes text."""
        return _iso


def _iso(value: object) -> str | None:
    found = values.time(value)
    return found.isoformat() if found else None


class AnyText(TypeDecorator[str]):
    """Text that every database takes: what none can store (NUL, lone surrogates) becomes a question mark."""

    impl: Any = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """Replace what cannot be stored."""
        return value and storable(value)

    def result_processor(self, dialect: Dialect, _coltype: object) -> Callable[[Any], str | None] | None:
        """Read it as text; SQLite holds bytes and numbers in a column of text, too."""
        return values.text if dialect.name == "sqlite" else None


class ToldTime(AnyText):
    """A time as text, which keeps its offset; None for what is no time."""

    cache_ok = True

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Callable[[Any], str | None]:
        """Read it as it was told."""
        return values.told_time


class ShortText(AnyText):
    """The same, of so many characters at most."""

    impl: Any = String
    cache_ok = True


class Whole(TypeDecorator[int]):
    """A whole number, None for what is none."""

    impl = Integer
    cache_ok = True

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Callable[[Any], int | None]:
        """Read a number; SQLite holds anything in a column of integers."""
        return values.whole


class Seconds(TypeDecorator[float]):
    """A number of seconds, None for what is none."""

    impl = Float
    cache_ok = True

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Callable[[Any], float | None]:
        """Read a number that can be reckoned with."""
        return values.seconds


class Object(TypeDecorator[dict[str, Any]]):
    """An object of JSON, empty for what is none."""

    impl = JSON
    cache_ok = True

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Callable[[Any], dict[str, Any]]:
        """Read an object; PostgreSQL's driver decodes it itself."""
        return values.an_object


class Times(Object):
    """An object of seconds, by the name of what took them."""

    cache_ok = True

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Callable[[Any], dict[str, float]]:
        """Read its numbers."""
        return values.times


class ChangedNames(TypeDecorator[dict[str, list[str]]]):
    """Names that were added, changed and removed; None for what is no such object."""

    impl: Any = JSON(none_as_null=True)
    cache_ok = True

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Callable[[Any], dict[str, list[str]] | None]:
        """Read the three lists."""
        return values.changes


class Hold(TypeDecorator[dict[str, str]]):
    """Who holds a host, since when and why; None for what is no such object."""

    impl: Any = JSON(none_as_null=True)
    cache_ok = True

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Callable[[Any], dict[str, str] | None]:
        """Read the three texts."""
        return values.hold


def storable(text: str) -> str:
    """The text with NUL and lone surrogates, which no database takes, replaced by question marks."""
    return text.replace("\0", "?").encode(errors="replace").decode()


# The names of indexes do not tell the schema: they are the same wherever our tables are.
metadata = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_name)s"})

releases = Table(
    "releases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("release_id", ShortText(64), nullable=False, unique=True),
    Column("commit_sha", ShortText(64), nullable=False, index=True),
    Column("migration_marker", ShortText(128)),
    Column("status", ShortText(32), nullable=False, index=True),
    Column("deployed_at", UtcDateTime),
)

# The rows that wait for `releases`, where another program makes that table and has not done so yet.
waiting = Table(
    "oroboros_releases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("release_id", ShortText(64), nullable=False, unique=True),
    Column("commit_sha", ShortText(64), nullable=False),
    Column("migration_marker", ShortText(128)),
    Column("status", ShortText(32), nullable=False),
    Column("deployed_at", UtcDateTime),
    schema=place.NAME,
)

# `id` is the order in which intents were written; `before` is the status of the
# release's row when the attempt put its own there, so that it can be put back.
# What a list of attempts filters or sorts by, and what the figures count, stands in the row itself:
# `previous` the release that served before, `activation_seconds` the slowest activation that switched a host,
# `lead_seconds` from the commit to the first time it was live in its environment, `seen_at` the control node's
# last sign of life. All times are by the database's clock. `application` is empty in what earlier versions wrote.
attempts = Table(
    "oroboros_attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("attempt", AnyText, nullable=False, unique=True),
    Column("application", AnyText, nullable=False, server_default=""),
    Column("kind", AnyText, nullable=False),
    Column("release_id", AnyText, nullable=False, index=True),
    Column("commit_sha", AnyText, nullable=False),
    Column("environment", AnyText),
    Column("actor", AnyText, nullable=False),
    Column("control_node", AnyText, nullable=False),
    Column("tool_version", AnyText, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("exit_code", Whole),
    Column("migration_marker", AnyText),
    Column("intended", Boolean, nullable=False, default=False),
    Column("before", AnyText),
    Column("settled", Boolean, nullable=False, default=False),
    Column("subject", AnyText),
    Column("previous", AnyText),
    Column("state", AnyText, nullable=False, server_default="running"),
    Column("seen_at", UtcDateTime),
    Column("activation_seconds", Seconds),
    Column("lead_seconds", Seconds),
    Index("ix_oroboros_attempts_started", "started_at", "id"),
    Index("ix_oroboros_attempts_kind", "kind", "started_at", "id"),
    Index("ix_oroboros_attempts_state", "state", "started_at", "id"),
    Index("ix_oroboros_attempts_environment", "environment", "started_at", "id"),
    Index("ix_oroboros_attempts_actor", "actor", "started_at", "id"),
    schema=place.NAME,
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
    Column("seconds", Times, nullable=False),
    Column("migration_marker", AnyText),
    Column("target_missing", Boolean, nullable=False),
    Column("log", AnyText),
    Column("phase", AnyText),
    Column("started_at", UtcDateTime),
    Column("target_id", AnyText),
    Column("configuration", AnyText),
    Column("names", ChangedNames),
    Index("ix_oroboros_attempt_hosts_started", "host", "started_at", "attempt_id"),
    schema=place.NAME,
)

# What is new in an attempt's release against the one that served before, the newest first.
commits = Table(
    "oroboros_commits",
    metadata,
    Column("attempt_id", ForeignKey(attempts.c.id), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("sha", AnyText, nullable=False),
    Column("subject", AnyText, nullable=False),
    Column("author", AnyText, nullable=False),
    Column("committed_at", ToldTime, nullable=False),
    schema=place.NAME,
)

# What happened, in the order in which it became visible: every writer holds the write lock. `environment` is the
# attempt's: an index goes over one table.
events = Table(
    "oroboros_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("attempt_id", ForeignKey(attempts.c.id), nullable=False),
    Column("host", AnyText),
    Column("environment", AnyText),
    Column("at", UtcDateTime, nullable=False),
    Column("name", AnyText, nullable=False),
    Column("level", AnyText, nullable=False),
    Column("message", AnyText, nullable=False),
    Column("data", Object, nullable=False),
    Index("ix_oroboros_events_attempt", "attempt_id", "id"),
    Index("ix_oroboros_events_host", "host", "id"),
    Index("ix_oroboros_events_environment", "environment", "id"),
    Index("ix_oroboros_events_at", "at", "id"),
    Index("ix_oroboros_events_host_at", "host", "at", "id"),
    Index("ix_oroboros_events_environment_at", "environment", "at", "id"),
    schema=place.NAME,
)

# What each application serves on each target, as far as finished attempts tell: what a release's status is decided by.
# `application` is empty where an earlier version wrote, until an attempt finds that release on that host; `host` is the
# name that the target of this id answered to last. In the parts of attempts the id is empty when it was forgotten.
targets = Table(
    "oroboros_targets",
    metadata,
    Column("application", AnyText, primary_key=True),
    Column("host", AnyText, primary_key=True),
    Column("root", AnyText, primary_key=True, server_default=""),
    Column("target_id", AnyText),
    Column("release_id", AnyText),
    Column("attempt_id", ForeignKey(attempts.c.id), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    schema=place.NAME,
)

# What each host serves, of whichever application came there last, for lists; `since` is by the database's clock.
hosts = Table(
    "oroboros_hosts",
    metadata,
    Column("host", AnyText, primary_key=True),
    Column("release_id", AnyText),
    Column("attempt_id", ForeignKey(attempts.c.id), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    schema=place.NAME,
)

# What a host itself said it serves, and when it was asked.
observations = Table(
    "oroboros_observations",
    metadata,
    Column("host", AnyText, primary_key=True),
    Column("environment", AnyText),
    Column("release_id", AnyText),
    Column("at", UtcDateTime, nullable=False),
    schema=place.NAME,
)

# Who holds each target (empty: nobody), and when that was seen.  `application` and `root` are empty where an earlier
# version wrote, until the target is asked again.
holds = Table(
    "oroboros_holds",
    metadata,
    Column("application", AnyText, primary_key=True, server_default=""),
    Column("host", AnyText, primary_key=True),
    Column("root", AnyText, primary_key=True, server_default=""),
    Column("hold", Hold),
    Column("seen_at", UtcDateTime, nullable=False),
    schema=place.NAME,
)

# What deploys would have done, as they were planned; each is kept for a week.
plans = Table(
    "oroboros_plans",
    metadata,
    Column("plan", AnyText, primary_key=True),
    Column("application", AnyText, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("content", Object, nullable=False),
    Index("ix_oroboros_plans_made", "made_at"),
    schema=place.NAME,
)

schema = Table(
    "oroboros_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    schema=place.NAME,
)

OURS = [table for table in metadata.sorted_tables if table is not releases]


def version(db: Connection) -> int | None:
    """The version of our tables, None when they were never created."""
    found = inspect(db).has_table(schema.name, schema=place.of(db))
    return db.scalar(select(schema.c.version)) if found else None


def others(db: Connection) -> bool:
    """Whether another program has tables here, besides `releases`."""
    known = {table.name for table in metadata.sorted_tables}
    return any(name not in known for name in inspect(db).get_table_names())
