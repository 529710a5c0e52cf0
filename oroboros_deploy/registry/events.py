"""What happened during attempts, and what it says of their hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from .. import words
from ..events import Event
from .database import clock, insert, skew
from .schema import attempt_hosts, attempts, events, observations

_MESSAGE_LENGTH = 500


def tell(db: Connection, attempt_id: int, name: str, at: datetime, **data: Any) -> None:
    """Store that an attempt as a whole began or ended."""
    environment = select(attempts.c.environment).where(attempts.c.id == attempt_id).scalar_subquery()
    row = {"attempt_id": attempt_id, "at": at, "name": name, "level": "info", "message": "", "data": data}
    db.execute(insert(db, events).values({**row, "environment": environment}))


def hear(db: Connection, attempt: str, heard: Sequence[Event], said: Mapping[str, str]) -> None:
    """Store the events of an attempt's hosts, and that its control node lives."""
    own = select(attempts.c.id, attempts.c.environment, attempts.c.finished_at).where(attempts.c.attempt == attempt)
    attempt_id, environment, finished = db.execute(own).one()
    db.execute(update(attempts).where(attempts.c.id == attempt_id).values(seen_at=clock(db)))
    if heard:
        common, ahead = {"attempt_id": attempt_id, "environment": environment}, skew(db)
        db.execute(insert(db, events), [_row(event, ahead) | common for event in heard])
    # What is heard late changes nothing of how the attempt ended.
    for name, values in (("phase", _phases(heard)), ("log", said)) if not finished else ():
        for host, value in values.items():
            part = (attempt_hosts.c.attempt_id == attempt_id, attempt_hosts.c.host == host)
            db.execute(update(attempt_hosts).where(*part).values({name: value}))
    facts = {event.host: event.data for event in heard if event.host and event.name == "facts.read"}
    if facts:
        holds = {host: each["hold"] for host, each in facts.items() if "hold" in each}
        observe(db, {host: each["live"] for host, each in facts.items()}, environment, holds)


def observe(
    db: Connection,
    served: Mapping[str, str | None],
    environment: str | None,
    holds: Mapping[str, Mapping[str, Any] | None],
) -> None:
    """Remember what hosts themselves say they serve, now, and who holds those of them that said it."""
    for host, release_id in served.items():
        values = {"release_id": release_id, "environment": environment, "at": clock(db)}
        row = insert(db, observations).values(host=host, **values)
        db.execute(row.on_conflict_do_update(index_elements=[observations.c.host], set_=values))
    hold(db, holds)


def hold(db: Connection, holds: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Remember who holds hosts that have been asked before (None: nobody does any more)."""
    for host, found in holds.items():
        db.execute(update(observations).where(observations.c.host == host).values(hold=found and _held(found)))


def _held(found: Mapping[str, Any]) -> dict[str, str] | None:
    """The hold as it is kept; what a host tells as one may be anything."""
    try:
        at = datetime.fromtimestamp(float(found["at"]), UTC)
        return {"actor": str(found["actor"]), "at": at.isoformat(), "reason": str(found["reason"])}
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def _row(event: Event, ahead: timedelta) -> dict[str, Any]:
    # A message goes on with the output of what failed, which stays with the host's part in the attempt.
    message = event.message.partition("\n")[0][:_MESSAGE_LENGTH]
    at = datetime.fromtimestamp(event.at, UTC) + ahead
    return {
        "host": event.host,
        "at": at,
        "name": event.name,
        "level": event.level,
        "message": message,
        "data": dict(event.data),
    }


def _phases(heard: Iterable[Event]) -> dict[str, str]:
    """The last phase that each host was heard of in."""
    told = [(event.host, words.phase_of(event)) for event in heard]
    return {host: phase for host, phase in told if host and phase}
