"""What the registry remembers, for comparing it with the hosts' journals, and putting it right by them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, select

from ..records.reconcile import AttemptRepair, Repair, RowRepair, ServingRepair
from ..records.record import HostRecord, Memory, Record, Row
from . import attempts as memory
from . import releases, schema, targets
from .database import clock, insert
from .driver import Driver
from .reading import LOST_AFTER
from .schema import attempt_hosts, attempts, hosts

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
_T = schema.targets.c
_SERVED = (
    select(_T.application, _T.host, _T.root, _T.target_id, _T.release_id, attempts.c.attempt)
    .join_from(schema.targets, attempts, _T.attempt_id == attempts.c.id)
    .order_by(_T.application, _T.since)  # the nameless before those whose application is known
)


def remembered(db: Connection, application: str | None, root: str | None, control_node: str | None) -> Memory:
    """All that the journals of one application and root (None: of any) can tell otherwise."""
    parts: dict[int, list[HostRecord]] = defaultdict(list)
    for number, *values in db.execute(select(attempt_hosts.c.attempt_id, *_PART).order_by(attempt_hosts.c.position)):
        parts[number].append(HostRecord(*values))
    found = db.execute(select(attempts).order_by(attempts.c.id)).mappings().all()
    served = db.execute(_SERVED).all()
    own = [row for row in served if _is_of(row, application, root)]
    seen = {row["attempt"]: row["seen_at"] or row["started_at"] for row in found if row["finished_at"] is None}
    quiet = clock(db) - LOST_AFTER
    records = {row["attempt"]: _record(row, parts[row["id"]]) for row in found}
    return Memory(
        records={attempt: record for attempt, record in records.items() if record},
        unreadable=frozenset(attempt for attempt, record in records.items() if record is None),
        alive=frozenset(attempt for attempt, at in seen.items() if at >= quiet),
        seen={attempt: at.isoformat() for attempt, at in seen.items()},
        serving={row.host: row.release_id for row in own},
        credited={row.host: row.attempt for row in own},
        elsewhere=frozenset(row.release_id for row in served if row not in own and row.release_id),
        application=application,
        root=root,
        names=targets.names(db, application, control_node),
        rows={row["release_id"]: _row(row) for row in releases.every(Driver.under(db))},
        intents={row["attempt"]: row["before"] for row in found if row["intended"]},
    )


def _is_of(row: Any, application: str | None, root: str | None) -> bool:
    """Whether a row of `targets` is of this application and root; what an earlier version wrote may be."""
    return (application is None or row.application in ("", application)) and (root is None or row.root in ("", root))


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
    named = db.execute(_SERVED.where(_T.host == repair.host, targets.owned(_T.application, repair.application))).all()
    met = db.execute(_SERVED.where(_T.target_id == repair.target_id)).all() if repair.target_id else []
    known = met or [row for row in named if _is_of(row, None, repair.root or None)]
    if (known[-1].attempt if known else None) != repair.credited:
        return False
    # A host's clock may be ahead; what it did is over, and what ends from now on is newer.
    since, attempt_id = min(datetime.fromisoformat(repair.since), clock(db)), memory.identify(db, repair.attempt)
    values = {"release_id": repair.release_id, "attempt_id": attempt_id, "since": since}
    if repair.application:  # what was nameless is in this application's journal
        db.execute(delete(schema.targets).where(_T.host == repair.host, _T.application == ""))
    targets.put(db, targets.Target(repair.application, repair.host, repair.root, repair.target_id), values)
    _list(db, repair, values)
    return True


def _list(db: Connection, repair: ServingRepair, values: Mapping[str, Any]) -> None:
    """Show it in the lists of hosts, unless another application came to the host later."""
    row = insert(db, hosts).values(host=repair.host, **values)
    # Asked before: in an ON CONFLICT, SQLAlchemy leaves out the schema of what it selects from.
    own = targets.owned(attempts.c.application, repair.application)
    ours = db.scalar(select(hosts.c.host).join(attempts).where(hosts.c.host == repair.host, own))
    last = None if ours else hosts.c.since <= row.excluded.since
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


def _record(values: RowMapping, parts: Sequence[HostRecord]) -> Record | None:
    """The record of an attempt; None when the rows are none, for another program changed them."""
    times = {name: values[name] and values[name].isoformat() for name in ("started_at", "finished_at")}
    try:
        return Record(**{name: values[name] for name in _COPIED}, **times, hosts=tuple(parts))
    except ValueError:
        return None
