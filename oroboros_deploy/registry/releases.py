"""The rows of `releases`, a table that may belong to another program.

Until that table is there, where another program makes it, they wait and are read in `waiting`.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    type_coerce,
    update,
)

from .database import insert
from .driver import Driver
from .schema import AnyText, IsoTime, attempts, releases, storable, waiting

_THERE = {
    "postgresql": "to_regclass('releases') IS NOT NULL",
    "sqlite": "EXISTS (SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = 'releases')",
}


def there(db: Driver) -> bool:
    """Whether the table `releases` is there."""
    return bool(db.value(_is_there(db.dialect.name)))


def make(db: Connection) -> None:
    """Make the table `releases` where it is missing, with the rows that waited for it."""
    releases.create(db, checkfirst=True)
    arrive(db)


def arrive(db: Connection) -> None:
    """Move the rows that waited into `releases`, once that is there."""
    if not there(Driver.under(db)):
        return
    rows = db.execute(select(waiting).order_by(waiting.c.id)).all()
    for row in rows:
        put(db, row.release_id, row.commit_sha, row.status)
        note(db, row.release_id, row.migration_marker, live_since=row.deployed_at)
    if rows:
        db.execute(delete(waiting))


def get(db: Driver, release_id: str) -> dict[str, Any] | None:
    """A release's row, None when it has none."""
    found = db.dicts(_one(_table(db)), {"release_id": release_id})
    return found[0] if found else None


def every(db: Driver) -> list[dict[str, Any]]:
    """All rows."""
    return db.dicts(_rows(_table(db)))


def newest(
    db: Driver, limit: int, status: str | None, after: int | None = None, application: str | None = None
) -> list[dict[str, Any]]:
    """The rows that were added last, the newest first; those that follow the row ``after``, where it is given.

    With an ``application``, without those of which attempts of others alone tell.

    By ``id``: it is never null, so a release on its way up stands on top and one that
    never went live stays at its place, where ordering by ``deployed_at`` would put both
    at one end; and that time is set once, so for all the others the order is the same.
    """
    values = {"limit": limit, "status": status, "after": after, "application": application}
    given = {name: value for name, value in values.items() if value is not None}
    return db.dicts(_newest(_table(db), frozenset(given)), given)


def find(db: Connection, prefix: str) -> list[str]:
    """The release ids that start with a prefix, sorted; upper and lower case differ."""
    own = _table(Driver.under(db)).c.release_id
    starts = func.substr(own, 1, len(prefix)) == storable(prefix)
    return list(db.scalars(select(own).where(starts).order_by(own)))


def status_of(db: Connection, release_id: str) -> str | None:
    """A release's status, None when it has no row."""
    table = _table(Driver.under(db))
    return db.scalar(select(table.c.status).where(_is(table, release_id)))


def set_status(db: Connection, release_id: str, status: str) -> None:
    """Change a release's status; nothing when it has no row."""
    table = _table(Driver.under(db))
    db.execute(update(table).where(_is(table, release_id)).values(status=status))


def put(db: Connection, release_id: str, commit_sha: str, status: str) -> None:
    """Set a release's commit and status, in a new row when it has none."""
    table = _table(Driver.under(db))
    row = insert(db, table).values(release_id=release_id, commit_sha=commit_sha, status=status)
    same = [table.c.release_id]
    db.execute(row.on_conflict_do_update(index_elements=same, set_={"commit_sha": commit_sha, "status": status}))


def note(
    db: Connection,
    release_id: str,
    marker: str | None,
    *,
    live_since: datetime | None = None,
    deployed_at: datetime | None = None,
) -> None:
    """Set what a row keeps: its marker, never erased, and ``deployed_at``.

    ``live_since`` only sets the latter where there is none yet, ``deployed_at`` always.
    """
    table = _table(Driver.under(db))
    fitting = marker and storable(marker)[:128]
    values: dict[str, Any] = {
        "migration_marker": func.coalesce(fitting, table.c.migration_marker),
        "deployed_at": deployed_at or func.coalesce(table.c.deployed_at, live_since),
    }
    db.execute(update(table).where(_is(table, release_id)).values(values))


def _is(table: Table, release_id: str) -> ColumnElement[bool]:
    own: ColumnElement[str] = table.c.release_id
    return own == storable(release_id)


@cache
def _is_there(dialect: str) -> Select[bool]:
    return select(literal_column(_THERE[dialect], Boolean).label("there"))


def _table(db: Driver) -> Table:
    """Where the rows are: asked each time, for a migration makes `releases` in the middle of a deploy."""
    return releases if there(db) else waiting


@cache
def _rows(table: Table) -> Select[Any]:
    return select(*(type_coerce(c, IsoTime) if c is table.c.deployed_at else c for c in table.c))


@cache
def _one(table: Table) -> Select[Any]:
    return _rows(table).where(table.c.release_id == bindparam("release_id", type_=AnyText))


@cache
def _newest(table: Table, filters: frozenset[str]) -> Select[Any]:
    passed = {
        "after": table.c.id < bindparam("after"),
        "status": table.c.status == bindparam("status"),
        "application": _of_application(table),
    }
    rows = _rows(table).where(*(passed[name] for name in sorted(filters & {*passed})))
    return rows.order_by(table.c.id.desc()).limit(bindparam("limit"))


def _of_application(table: Table) -> ColumnElement[bool]:
    """Whether an attempt of an application tells of the release, or none of any: whose it is nobody knows then."""
    tells = exists().where(attempts.c.release_id == table.c.release_id).correlate(table)
    own = attempts.c.application.in_(["", bindparam("application", type_=AnyText)])
    return or_(tells.where(own), ~tells)
