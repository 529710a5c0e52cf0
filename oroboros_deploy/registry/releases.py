"""The control plane's `releases` rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, func, select, type_coerce, update

from .database import insert
from .driver import Driver
from .schema import AnyText, IsoTime, releases, storable

_COLUMNS = releases.c
_ROWS = select(*(type_coerce(c, IsoTime) if c is _COLUMNS.deployed_at else c for c in _COLUMNS))
_ROW = _ROWS.where(_COLUMNS.release_id == bindparam("release_id", type_=AnyText))
_NEWEST = _ROWS.order_by(_COLUMNS.id.desc()).limit(bindparam("limit"))
_NEWEST_OF_STATUS = _NEWEST.where(_COLUMNS.status == bindparam("status"))


def get(db: Driver, release_id: str) -> dict[str, Any] | None:
    """A release's row, None when it has none."""
    found = db.dicts(_ROW, {"release_id": release_id})
    return found[0] if found else None


def every(db: Driver) -> list[dict[str, Any]]:
    """All rows."""
    return db.dicts(_ROWS)


def newest(db: Driver, limit: int, status: str | None) -> list[dict[str, Any]]:
    """The rows that were added last, the newest first.

    By ``id``: it is never null, so a release on its way up stands on top and one that
    never went live stays at its place, where ordering by ``deployed_at`` would put both
    at one end; and that time is set once, so for all the others the order is the same.
    """
    rows = _NEWEST if status is None else _NEWEST_OF_STATUS
    return db.dicts(rows, {"limit": limit, "status": status})


def find(db: Connection, prefix: str) -> list[str]:
    """The release ids that start with a prefix, sorted; upper and lower case differ."""
    starts = func.substr(_COLUMNS.release_id, 1, len(prefix)) == storable(prefix)
    return list(db.scalars(select(_COLUMNS.release_id).where(starts).order_by(_COLUMNS.release_id)))


def status_of(db: Connection, release_id: str) -> str | None:
    """A release's status, None when it has no row."""
    return db.scalar(select(_COLUMNS.status).where(_is(release_id)))


def set_status(db: Connection, release_id: str, status: str) -> None:
    """Change a release's status; nothing when it has no row."""
    db.execute(update(releases).where(_is(release_id)).values(status=status))


def put(db: Connection, release_id: str, commit_sha: str, status: str) -> None:
    """Set a release's commit and status, in a new row when it has none."""
    row = insert(db, releases).values(release_id=release_id, commit_sha=commit_sha, status=status)
    same = [_COLUMNS.release_id]
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
    fitting = marker and storable(marker)[:128]
    values: dict[str, Any] = {
        "migration_marker": func.coalesce(fitting, _COLUMNS.migration_marker),
        "deployed_at": deployed_at or func.coalesce(_COLUMNS.deployed_at, live_since),
    }
    db.execute(update(releases).where(_is(release_id)).values(values))


def _is(release_id: str) -> ColumnElement[bool]:
    return _COLUMNS.release_id == storable(release_id)
