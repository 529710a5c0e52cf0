"""What the registry remembers, for comparing it with the hosts' journals, and putting it right by them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, or_, select

from ..records.reconcile import AttemptRepair, Repair, RowRepair, ServingRepair
from ..records.record import HostRecord, Memory, Record, Row
from . import attempts as memory
from . import releases
from .database import clock, insert
from .driver import Driver
from .reading import LOST_AFTER
from .schema import attempt_hosts, attempts, hosts, targets

_COPIED = (
    *(
        "attempt",
        "application",
        "kind",
        "release_id",
        "commit_sha",
        "environment",
        "actor",
        "control_node",
        "tool_version",
    ),
    *("exit_code", "migration_marker", "subject"),
)
_PART = [attempt_hosts.c[each.name] for each in fields(HostRecord)]
_SERVED = (
    select(targets.c.application, targets.c.host, targets.c.release_id, attempts.c.attempt)
    .join_from(targets, attempts, targets.c.attempt_id == attempts.c.id)
    .order_by(targets.c.application)  # the nameless before those whose application is known
)


def remembered(db: Connection, application: str | None) -> Memory:
    """All that the journals of one application (default: of any) can tell otherwise."""
    parts: dict[int, list[HostRecord]] = defaultdict(list)
    for number, *values in db.execute(select(attempt_hosts.c.attempt_id, *_PART).order_by(attempt_hosts.c.position)):
        parts[number].append(HostRecord(*values))
    found = db.execute(select(attempts).order_by(attempts.c.id)).mappings().all()
    served = db.execute(_SERVED).all()
    own = [row for row in served if application is None or row.application in ("", application)]
    seen = {row["attempt"]: row["seen_at"] or row["started_at"] for row in found if row["finished_at"] is None}
    quiet = clock(db) - LOST_AFTER
    return Memory(
        records={row["attempt"]: _record(row, parts[row["id"]]) for row in found},
        alive=frozenset(attempt for attempt, at in seen.items() if at >= quiet),
        seen={attempt: at.isoformat() for attempt, at in seen.items()},
        serving={row.host: row.release_id for row in own},
        credited={row.host: row.attempt for row in own},
        elsewhere=frozenset(row.release_id for row in served if row not in own and row.release_id),
        application=application,
        rows={row["release_id"]: _row(row) for row in releases.every(Driver.under(db))},
        intents={row["attempt"]: row["before"] for row in found if row["intended"]},
    )


def mend(db: Connection, repair: Repair) -> bool:
    """Make one thing as the journals have it; False, and nothing done, when it was changed since they were compared."""
    if isinstance(repair, AttemptRepair):
        return _settle(db, repair)
    return _serve(db, repair) if isinstance(repair, ServingRepair) else _put(db, repair)


def _settle(db: Connection, repair: AttemptRepair) -> bool:
    record = repair.record
    if db.scalar(select(attempts.c.state).where(attempts.c.attempt == record.attempt)) != repair.before:
        return False
    started, ended = (datetime.fromisoformat(time) for time in (record.started_at, record.finished_at or ""))
    memory.add(db, record, started)
    return memory.finish(db, record, ended, by_journal=True)


def _serve(db: Connection, repair: ServingRepair) -> bool:
    known = db.execute(
        _SERVED.where(targets.c.host == repair.host, memory.owned(targets.c.application, repair.application))
    ).all()
    if (known[-1].attempt if known else None) != repair.credited:
        return False
    # A host's clock may be ahead; what it did is over, and what ends from now on is newer.
    since, attempt_id = min(datetime.fromisoformat(repair.since), clock(db)), memory.identify(db, repair.attempt)
    values = {"release_id": repair.release_id, "attempt_id": attempt_id, "since": since}
    if repair.application:  # what was nameless is in this application's journal
        db.execute(delete(targets).where(targets.c.host == repair.host, targets.c.application == ""))
    row = insert(db, targets).values(application=repair.application, host=repair.host, **values)
    db.execute(row.on_conflict_do_update(index_elements=[targets.c.application, targets.c.host], set_=values))
    _list(db, repair, values)
    return True


def _list(db: Connection, repair: ServingRepair, values: Mapping[str, Any]) -> None:
    """Show it in the lists of hosts, unless another application came to the host later."""
    row = insert(db, hosts).values(host=repair.host, **values)
    own = select(attempts.c.id).where(memory.owned(attempts.c.application, repair.application))
    last = or_(hosts.c.attempt_id.in_(own), hosts.c.since <= row.excluded.since)
    db.execute(row.on_conflict_do_update(index_elements=[hosts.c.host], set_=values, where=last))


def _put(db: Connection, repair: RowRepair) -> bool:
    found = releases.get(Driver.under(db), repair.release_id)
    if (found and _row(found)) != repair.before:
        return False
    row, live = repair.row, repair.row.deployed_at
    releases.put(db, repair.release_id, found["commit_sha"] if found else repair.release_id, row.status)
    live_since = datetime.fromisoformat(live) if live else None
    releases.note(db, repair.release_id, row.migration_marker, live_since=live_since)
    return True


def _row(values: Mapping[str, Any]) -> Row:
    return Row(values["status"], values["deployed_at"], values["migration_marker"])


def _record(values: RowMapping, parts: Sequence[HostRecord]) -> Record:
    times = {name: values[name] and values[name].isoformat() for name in ("started_at", "finished_at")}
    return Record(**{name: values[name] for name in _COPIED}, **times, hosts=tuple(parts))
