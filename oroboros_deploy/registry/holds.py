"""Who holds each target, as it was seen last: several applications may be on a host, each with holds of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_

from ..records.record import Asked
from .database import clock, insert, skew
from .schema import holds

_KEY = [holds.c.application, holds.c.host, holds.c.root]


def seen_at(db: Connection, asked: Asked) -> datetime:
    """When hosts were asked, by the clock that all control nodes share; what a clock says too late is now."""
    return min(asked.at + skew(db), clock(db)) if asked.at else clock(db)


def may_replace(db: Connection, known: ColumnElement[datetime], told: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Whether what was told is as new as what is known, or that is from the future: a clock was set back since."""
    now = clock(db) if db.dialect.name == "sqlite" else func.clock_timestamp()
    return or_(known <= told, known > now)


def put(db: Connection, held: Mapping[str, Mapping[str, Any] | None], asked: Asked, at: datetime) -> None:
    """Remember who was seen to hold hosts then (None: nobody), unless something is known that was seen later."""
    for host, found in held.items():
        own = {"application": asked.application, "host": host, "root": asked.root}
        values = {"hold": found and _told(found), "seen_at": at}
        row = insert(db, holds).values(**own, **values)
        newer = may_replace(db, holds.c.seen_at, row.excluded.seen_at)
        db.execute(row.on_conflict_do_update(index_elements=_KEY, set_=values, where=newer))
        if asked.application:  # what was known by the host alone may have been of this target, and is told anew
            nameless = and_(holds.c.application == "", holds.c.host == host, holds.c.seen_at <= at)
            db.execute(delete(holds).where(nameless))


def forget(db: Connection, hosts: Collection[str], application: str | None = None) -> None:
    """Forget who holds these hosts: what one application was told, or all."""
    own = (holds.c.host.in_(hosts), *([holds.c.application == application] if application is not None else []))
    db.execute(delete(holds).where(*own))


def _told(found: Mapping[str, Any]) -> dict[str, str] | None:
    """The hold as it is kept; what a host tells as one may be anything."""
    try:
        at = datetime.fromtimestamp(float(found["at"]), UTC)
        return {"actor": str(found["actor"]), "at": at.isoformat(), "reason": str(found["reason"])}
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
