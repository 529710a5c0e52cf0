"""What happened during attempts, and what it says of their hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from .. import words
from ..events import Event
from ..records.record import Asked
from . import holds
from .database import clock, insert, skew
from .schema import attempt_hosts, attempts, events, observations

_MESSAGE_LENGTH = 500


def tell(db: Connection, attempt_id: int, name: str, at: datetime, **data: Any) -> None:
    """Store that an attempt as a whole began or ended."""
    environment = select(attempts.c.environment).where(attempts.c.id == attempt_id).scalar_subquery()
    row = {"attempt_id": attempt_id, "at": at, "name": name, "level": "info", "message": "", "data": data}
    db.execute(insert(db, events).values({**row, "environment": environment}))


def hear(db: Connection, attempt: str, heard: Sequence[Event], said: Mapping[str, str], root: str = "") -> None:
    """Store the events of an attempt's hosts, which has this root there, and that its control node lives."""
    known = (attempts.c.id, attempts.c.application, attempts.c.environment, attempts.c.finished_at)
    own = select(*known).where(attempts.c.attempt == attempt)
    attempt_id, application, environment, finished = db.execute(own).one()
    db.execute(update(attempts).where(attempts.c.id == attempt_id).values(seen_at=clock(db)))
    if heard:
        common, ahead = {"attempt_id": attempt_id, "environment": environment}, skew(db)
        db.execute(insert(db, events), [_row(event, ahead) | common for event in heard])
    # What is heard late changes nothing of how the attempt ended.
    for name, values in (("phase", _phases(heard)), ("log", said)) if not finished else ():
        for host, value in values.items():
            part = (attempt_hosts.c.attempt_id == attempt_id, attempt_hosts.c.host == host)
            db.execute(update(attempt_hosts).where(*part).values({name: value}))
    for event in heard:
        if event.host and event.name == "facts.read":
            asked = Asked(application, root, _asked_at(event))
            held = {event.host: event.data["hold"]} if "hold" in event.data else {}
            observe(db, {event.host: event.data["live"]}, environment, held, asked)


def observe(
    db: Connection,
    served: Mapping[str, str | None],
    environment: str | None,
    held: Mapping[str, Mapping[str, Any] | None],
    asked: Asked,
) -> None:
    """Remember what hosts said they serve when they were asked, and who holds those of them that said it.

    An answer that is older than what is known changes nothing: it was slow to come here.
    """
    at = holds.seen_at(db, asked)
    for host, release_id in served.items():
        values = {"release_id": release_id, "environment": environment, "at": at}
        row = insert(db, observations).values(host=host, **values)
        newer = holds.may_replace(db, observations.c.at, row.excluded.at)
        db.execute(row.on_conflict_do_update(index_elements=[observations.c.host], set_=values, where=newer))
    holds.put(db, held, asked, at)


def _asked_at(event: Event) -> datetime:
    """When a host was asked for what an event tells: its answer may have come much later."""
    return datetime.fromtimestamp(event.data.get("asked_at", event.at), UTC)


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
