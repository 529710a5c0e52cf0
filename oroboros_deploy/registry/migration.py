"""From the tables that are there to those of this version: only ever ours, and only ever forward."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import (
    Case,
    Column,
    ColumnClause,
    Connection,
    Exists,
    Table,
    TableClause,
    and_,
    case,
    column,
    exists,
    func,
    insert,
    inspect,
    literal,
    literal_column,
    null,
    select,
    text,
    update,
)
from sqlalchemy.schema import CreateColumn

from ..records.record import AttemptState
from . import place, schema
from .schema import (
    OURS,
    AnyText,
    Hold,
    attempt_hosts,
    attempts,
    events,
    holds,
    hosts,
    metadata,
    observations,
    plans,
    targets,
    waiting,
)

_SERVED = ["application", "host", "release_id", "attempt_id", "since"]


def migrate(db: Connection) -> int:
    """Create or change our tables, in one transaction that holds the write lock; returns their version.

    Tables of a later version are left alone.
    """
    place.find(db)  # who had the write lock before may have made or moved them
    found = schema.version(db)
    if found is None:
        place.use(db, place.NAME if place.prepare(db) else None)
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


def settle(db: Connection) -> None:
    """Move our tables to a schema that somebody has made for them since they were made beside the tables of others."""
    if place.find(db) is None and place.usable(db):
        place.move(db, [table.name for table in OURS])


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
    db.execute(insert(targets).from_select(_SERVED, select(*known)))


def _sixth(db: Connection) -> None:
    """A schema of our own, where we may make it."""
    if place.prepare(db):
        there = inspect(db).get_table_names()
        place.move(db, [table.name for table in OURS if table.name in there])


def _seventh(db: Connection) -> None:
    """The ids of targets; what served before is known by its name until the target is met again."""
    _add(db, attempt_hosts, "target_id")
    found, where = inspect(db), place.of(db)
    if "target_id" in {column["name"] for column in found.get_columns(targets.name, schema=where)}:
        return  # an earlier step has just made it as it is now
    if db.dialect.name == "postgresql":  # who may read the table, and what others made of it, stays
        _add(db, targets, "root", "target_id")
        key = found.get_pk_constraint(targets.name, schema=where)["name"]
        changes = f'DROP CONSTRAINT "{key}", ADD PRIMARY KEY (application, host, root)'
        db.execute(text(f"ALTER TABLE {_named(db, targets)} {changes}"))
        return
    known = db.execute(select(*(targets.c[name] for name in _SERVED))).mappings().all()
    targets.drop(db)  # SQLite changes no primary key
    targets.create(db)
    if known:
        db.execute(insert(targets), [dict(row) for row in known])


def _eighth(db: Connection) -> None:
    """In each host's part the configuration in use after the attempt, and the names that it changed."""
    _add(db, attempt_hosts, "configuration", "names")


def _ninth(db: Connection) -> None:
    """An index for what somebody did."""
    _index(db, attempts)


def _tenth(db: Connection) -> None:
    """Who holds each target; of the holds that were known by the host alone, nobody knows yet which one they are of.

    The column that they were in stays, without values: SQLite before 3.35 drops none, a view of others may read it, and
    programs of the version before go on writing it.
    """
    holds.create(db, checkfirst=True)
    if "hold" not in {column["name"] for column in inspect(db).get_columns(observations.name, schema=place.of(db))}:
        return
    told: ColumnClause[dict[str, str]] = literal_column("hold", Hold)
    known = select(observations.c.host, told, observations.c.at).where(told.is_not(None))
    db.execute(insert(holds).from_select(["host", "hold", "seen_at"], known))
    older = TableClause(observations.name, column("hold"), schema=place.of(db))
    db.execute(update(older).values(hold=null()))


def _eleventh(db: Connection) -> None:
    """Plans."""
    plans.create(db, checkfirst=True)


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
        db.execute(text(f"ALTER TABLE {_named(db, table)} ADD COLUMN {definition}"))


def _named(db: Connection, table: Table) -> str:
    where = place.of(db)
    return f"{where}.{table.name}" if where else table.name


STEPS: tuple[Callable[[Connection], None], ...] = (
    _second,
    _third,
    _fourth,
    _fifth,
    _sixth,
    _seventh,
    _eighth,
    _ninth,
    _tenth,
    _eleventh,
)
