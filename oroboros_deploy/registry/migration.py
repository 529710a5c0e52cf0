"""From the tables that are there to those of this version: only ever ours, and only ever forward."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import (
    Case,
    Column,
    Connection,
    Exists,
    Table,
    and_,
    case,
    exists,
    func,
    insert,
    inspect,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.schema import CreateColumn

from ..records.record import AttemptState
from . import schema
from .schema import OURS, AnyText, attempt_hosts, attempts, events, hosts, metadata, targets, waiting


def migrate(db: Connection) -> int:
    """Create or change our tables, in one transaction that holds the write lock; returns their version.

    Tables of a later version are left alone.
    """
    found = schema.version(db)
    if found is None:
        metadata.create_all(db, tables=OURS)
        db.execute(insert(schema.schema).values(version=schema.VERSION))
        return schema.VERSION
    steps = STEPS[found - 1 :]
    if steps:
        _take_time(db)
        for step in steps:
            step(db)
        db.execute(update(schema.schema).values(version=schema.VERSION))
    return max(found, schema.VERSION)


def _take_time(db: Connection) -> None:
    if db.dialect.name == "postgresql":
        db.execute(text("SET LOCAL statement_timeout = 0"))


def _second(db: Connection) -> None:
    """Events, commits and observations; and in an attempt's own row what lists and figures need."""
    _add(db, attempts, "subject", "previous", "state", "seen_at", "activation_seconds", "lead_seconds")
    _add(db, attempt_hosts, "log", "phase", "started_at")
    metadata.create_all(db, tables=OURS)
    own = attempt_hosts.c.attempt_id == attempts.c.id
    first = select(attempt_hosts.c.previous).where(own).order_by(attempt_hosts.c.position).limit(1)
    slowest = select(func.max(attempt_hosts.c.seconds["activate"].as_float()))
    switched = attempt_hosts.c.state.in_(["live", "restored", "not_restored"])
    db.execute(
        update(attempts).values(
            state=_state(),
            previous=first.scalar_subquery(),
            seen_at=func.coalesce(attempts.c.finished_at, attempts.c.started_at),
            activation_seconds=slowest.where(own, switched).scalar_subquery(),
        )
    )
    started = select(attempts.c.started_at).where(own).scalar_subquery()
    db.execute(update(attempt_hosts).values(started_at=started))
    _index(db, attempts, attempt_hosts)


def _third(db: Connection) -> None:
    """In an event's own row the environment that lists filter by."""
    if "environment" not in {column["name"] for column in inspect(db).get_columns(events.name)}:
        _add(db, events, "environment")
    own = select(attempts.c.environment).where(attempts.c.id == events.c.attempt_id)
    db.execute(update(events).values(environment=own.scalar_subquery()))
    _index(db, events)


def _fourth(db: Connection) -> None:
    """A place where rows wait for `releases`."""
    waiting.create(db, checkfirst=True)


def _fifth(db: Connection) -> None:
    """What each application serves on each host; whose the known attempts and hosts are, nobody knows yet."""
    _add(db, attempts, "application")
    targets.create(db, checkfirst=True)
    known = [literal("", AnyText), hosts.c.host, hosts.c.release_id, hosts.c.attempt_id, hosts.c.since]
    db.execute(insert(targets).from_select(list(targets.c), select(*known)))


def _index(db: Connection, *tables: Table) -> None:
    for table in tables:
        for index in table.indexes:
            index.create(db, checkfirst=True)


def _state() -> Case[str]:
    def some(*states: str) -> Exists:
        return exists().where(attempt_hosts.c.attempt_id == attempts.c.id, attempt_hosts.c.state.in_(states))

    return case(
        (attempts.c.finished_at.is_(None), AttemptState.RUNNING),
        (some("not_restored"), AttemptState.BROKEN),
        (some("unknown", "running"), AttemptState.UNKNOWN),
        (and_(some("restored"), ~some("live", "already_live")), AttemptState.RESTORED),
        (attempts.c.exit_code.in_([0, 60]), AttemptState.LIVE),
        else_=AttemptState.FAILED,
    )


def _add(db: Connection, table: Table, *names: str) -> None:
    for name in names:
        column: Column[object] = table.c[name]
        definition = CreateColumn(column).compile(dialect=db.dialect)
        db.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {definition}"))


STEPS: tuple[Callable[[Connection], None], ...] = (_second, _third, _fourth, _fifth)
