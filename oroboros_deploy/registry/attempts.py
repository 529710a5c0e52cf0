"""Our own memory of every attempt, and of what each host serves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, func, or_, select, update

from ..outcome import State
from ..records.record import AttemptState, Record
from . import events, schema, targets
from .database import clock, insert, skew
from .schema import attempt_hosts, attempts, commits, hosts

_COPIED = (
    "attempt",
    "application",
    "kind",
    "release_id",
    "commit_sha",
    "environment",
    "actor",
    "control_node",
    "tool_version",
    "subject",
    "previous",
)
_OK = [state.value for state in State if state.ok]


def add(db: Connection, record: Record, started_at: datetime | None = None) -> None:
    """Remember that an attempt begins, by default at the record's time; nothing when it is known already."""
    values = {name: getattr(record, name) for name in _COPIED}
    values["started_at"] = started_at or datetime.fromisoformat(record.started_at) + skew(db)
    values |= {"state": AttemptState.RUNNING, "seen_at": clock(db)}
    if db.execute(insert(db, attempts).values(values).on_conflict_do_nothing()).rowcount == 1:
        _set_hosts(db, record)
        events.tell(db, identify(db, record.attempt), "attempt.started", values["started_at"], kind=record.kind)


def tell(db: Connection, record: Record) -> None:
    """Remember what is known of an attempt since its hosts were asked: what served there, and what is new."""
    _set_commits(db, record)
    attempt_id = identify(db, record.attempt)
    for host in record.hosts:
        own = (attempt_hosts.c.attempt_id == attempt_id, attempt_hosts.c.host == host.host)
        db.execute(update(attempt_hosts).where(*own).values(previous=host.previous, target_id=host.target_id))


def intend(db: Connection, attempt: str, before: str | None) -> None:
    """Remember that the attempt puts its own status on a release's row, which had the status ``before``."""
    db.execute(update(attempts).where(attempts.c.attempt == attempt).values(intended=True, before=before))


def intent(db: Connection, attempt: str) -> tuple[bool, str | None]:
    """Whether `intend` was called for an attempt, and the status it remembered."""
    intended, before = db.execute(
        select(attempts.c.intended, attempts.c.before).where(attempts.c.attempt == attempt)
    ).one()
    return intended, before


def finish(db: Connection, record: Record, finished_at: datetime, *, by_journal: bool = False) -> bool:
    """Remember how an attempt ended; False, and nothing done, when it was settled before.

    ``by_journal`` when its hosts told it: then it goes over what was settled, and the
    order of the journals, not the time, says what the hosts serve.
    """
    values = {
        "finished_at": finished_at,
        "exit_code": record.exit_code,
        "migration_marker": record.migration_marker,
        "settled": record.settled,
        "state": record.state,
        "subject": func.coalesce(record.subject, attempts.c.subject),
        "previous": record.previous,
        "activation_seconds": record.activation_seconds,
    }
    if record.committed_at or record.state is not AttemptState.LIVE:  # whoever mends it may not have the commit
        values["lead_seconds"] = _lead_seconds(db, record, finished_at)
    before = db.execute(select(attempts.c.state, attempts.c.settled).where(attempts.c.attempt == record.attempt)).one()
    if before.settled and not by_journal:
        return False
    db.execute(update(attempts).where(attempts.c.attempt == record.attempt).values(values))
    _set_hosts(db, record)
    _set_commits(db, record)
    if not by_journal:
        _set_serving(db, record, finished_at)
    if before.state != record.state:  # a record may come twice from a spool
        ended = {"state": record.state, "exit_code": record.exit_code}
        events.tell(db, identify(db, record.attempt), "attempt.finished", finished_at, **ended)
    return True


def identify(db: Connection, attempt: str) -> int:
    """The row number of an attempt that is known."""
    number: int = db.scalars(select(attempts.c.id).where(attempts.c.attempt == attempt)).one()
    return number


def hosts_of(db: Connection, release_id: str, application: str | None, control_node: str | None = None) -> list[str]:
    """The hosts on which an application's release was ever live, as ``control_node`` calls them.

    Those of the newest attempt come first.
    """
    parts = _live(release_id, application, select(attempt_hosts.c.host, attempt_hosts.c.target_id))
    names = targets.names(db, application, control_node)
    rows = db.execute(parts.order_by(attempts.c.id.desc(), attempt_hosts.c.position))
    found = dict.fromkeys(names.now(row.host, row.target_id) for row in rows)
    return [name for name in found if name]


def environment_of(db: Connection, release_id: str, application: str | None) -> str | None:
    """The environment of the newest attempt during which an application's release was live somewhere."""
    rows = _live(release_id, application, select(attempts.c.environment)).where(attempts.c.environment.is_not(None))
    environment: str | None = db.scalar(rows.order_by(attempts.c.id.desc()).limit(1))
    return environment


def _live(release_id: str, application: str | None, rows: Select[Any]) -> Select[Any]:
    there = or_(attempt_hosts.c.live.is_(None), attempt_hosts.c.live == release_id)  # a push goes to several releases
    went_live: ColumnElement[bool] = and_(attempts.c.release_id == release_id, attempt_hosts.c.state.in_(_OK), there)
    was_live = or_(attempt_hosts.c.live == release_id, attempt_hosts.c.previous == release_id)
    own = targets.owned(attempts.c.application, application)
    return rows.join_from(attempt_hosts, attempts).where(own, or_(went_live, was_live))


def _set_hosts(db: Connection, record: Record) -> None:
    """The hosts' parts; the phase they were last heard of in stays."""
    attempt_id = identify(db, record.attempt)
    started_at = db.scalar(select(attempts.c.started_at).where(attempts.c.id == attempt_id))
    own = {"attempt_id": attempt_id, "started_at": started_at}
    for position, host in enumerate(record.hosts):
        row = insert(db, attempt_hosts).values(
            {**vars(host), **own, "seconds": dict(host.seconds), "position": position}
        )
        key = [attempt_hosts.c.attempt_id, attempt_hosts.c.host]
        news = {column.name: column for column in row.excluded if column.name != "phase"}
        db.execute(row.on_conflict_do_update(index_elements=key, set_=news))


def _set_commits(db: Connection, record: Record) -> None:
    attempt_id = identify(db, record.attempt)
    rows = [{**vars(each), "attempt_id": attempt_id, "position": n} for n, each in enumerate(record.commits)]
    if rows:
        db.execute(insert(db, commits).on_conflict_do_nothing(), rows)


def _lead_seconds(db: Connection, record: Record, finished_at: datetime) -> float | None:
    """From the commit until it was live everywhere it was sent, the first time in its environment."""
    switched = record.kind == "deploy" and record.activation_seconds is not None
    if not (switched and record.state is AttemptState.LIVE and record.committed_at):
        return None
    same = and_(
        attempts.c.release_id == record.release_id,
        targets.owned(attempts.c.application, record.application),
        attempts.c.environment.is_not_distinct_from(record.environment),
        attempts.c.state == AttemptState.LIVE,
        attempts.c.attempt != record.attempt,
    )
    if db.scalar(select(attempts.c.id).where(same).limit(1)):
        return None
    return max(0.0, (finished_at - datetime.fromisoformat(record.committed_at)).total_seconds())


def _set_serving(db: Connection, record: Record, since: datetime) -> None:
    attempt_id = identify(db, record.attempt)
    for host, release_id in record.served.items():
        _disown(db, record, host)
        part = record.part(host)
        values = {"release_id": release_id, "attempt_id": attempt_id, "since": since}
        target = targets.Target(record.application, host, record.root, part.target_id if part else None)
        # A record that comes late, from a spool, does not undo what a later attempt did.
        if not targets.put(db, target, values, until=since):
            continue
        row = insert(db, hosts).values(host=host, **values)
        newer = hosts.c.since <= row.excluded.since
        db.execute(row.on_conflict_do_update(index_elements=[hosts.c.host], set_=values, where=newer))


def _disown(db: Connection, record: Record, host: str) -> None:
    """Forget what an earlier version wrote of a host when this attempt found just that release there: it is its own."""
    part = record.part(host)
    found = [each for each in (part and part.previous, part and part.live, record.served[host]) if each]
    own = schema.targets.c
    nameless = and_(own.application == "", own.host == host, own.release_id.in_(found))
    if record.application:
        db.execute(delete(schema.targets).where(nameless))
