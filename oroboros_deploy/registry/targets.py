"""What each application serves on each target.

A target is known by the id that it has minted.  Where no id is known (told by an earlier version) it is known by
its name, until an attempt of its application meets it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, true, update

from ..records.names import GONE, Names
from . import holds
from .database import insert
from .schema import attempt_hosts, attempts, hosts, observations, targets

_T = targets.c


@dataclass(frozen=True)
class Target:
    """A deploy root, by the name that was typed; ``id`` is None, and ``root`` empty, where it is not known."""

    application: str
    host: str
    root: str = ""
    id: str | None = None


def serving(db: Connection, application: str | None, control_node: str | None = None) -> dict[str, str | None]:
    """The release that each known host serves: of one application, or of whichever came there last.

    The hosts have the names that ``control_node`` calls them by, where it has met them.
    """
    newest = [_T.since] if application is None else [_T.application, _T.since]  # the nameless before its own
    known, own = names(db, application, control_node), owned(_T.application, application)
    rows = db.execute(select(_T.host, _T.target_id, _T.release_id).where(own).order_by(*newest))
    found = {known.now(row.host, row.target_id): row.release_id for row in rows}  # the newest last
    return {name: found[name] for name in sorted(filter(None, found))}


def served(db: Connection) -> dict[str, str | None]:
    """The release that each target of every application serves."""
    rows = db.execute(select(_T.application, _T.host, _T.root, _T.release_id))
    return {f"{row.application} {row.host} {row.root}": row.release_id for row in rows}


def names(db: Connection, application: str | None, control_node: str | None = None) -> Names:
    """By which name each target of an application answers, and how ``control_node`` calls it."""
    own = (owned(_T.application, application), _T.target_id.is_not(None))
    rows = db.execute(select(_T.target_id, _T.host, _T.application, _T.root).where(*own)).all()
    last = {row.target_id: row.host for row in rows}
    places = {row.target_id: (row.application, row.root) for row in rows}
    if not last or control_node is None:
        return Names(last, places=places)
    part = attempt_hosts.c
    mine = (attempts.c.control_node == control_node, part.target_id.in_(last))
    called = select(part.target_id, part.host).join_from(attempt_hosts, attempts).where(*mine)
    here = db.execute(called.group_by(part.target_id, part.host).order_by(func.max(attempts.c.id)))
    return Names(last, {row.target_id: row.host for row in here}, places)


def owned(column: ColumnElement[str], application: str | None) -> ColumnElement[bool]:
    """Whether a row is this application's, or may be: an earlier version did not say whose it is."""
    return true() if application is None else column.in_(["", application])


def put(db: Connection, target: Target, values: Mapping[str, Any], until: datetime | None = None) -> bool:
    """Remember what a target serves: whatever else was known by its id or its name is known no more.

    Nothing is done, and False returned, when one of these is known from after ``until``.
    """
    before = db.execute(select(targets).where(_same(target))).all()
    if until and any(row.since > until for row in before):
        return False
    db.execute(delete(targets).where(_same(target)))
    own = {"application": target.application, "host": target.host, "root": target.root, "target_id": target.id}
    db.execute(insert(db, targets).values(**own, **values))
    _leave(db, {row.host for row in before} - {target.host})
    if target.id:
        nameless = and_(attempt_hosts.c.host == target.host, attempt_hosts.c.target_id.is_(None))
        db.execute(update(attempt_hosts).where(nameless, _of(target.application)).values(target_id=target.id))
    return True


def forget(db: Connection, host: str, application: str, control_node: str | None = None) -> list[str]:
    """End what an application serves by this name, also where ``control_node`` alone calls it so.

    Returns the releases that were served there.  Its attempts stay, and so does all of another target that has had the
    name once.
    """
    called = names(db, application, control_node)
    meant = [each for each, last in called.last.items() if called.now(last, each) == host]
    named = and_(owned(_T.application, application), or_(_T.host == host, _T.target_id.in_(meant)))
    ended = db.execute(select(_T.host, _T.release_id, _T.target_id).where(named)).all()
    db.execute(delete(targets).where(named))
    _leave(db, {host, *(row.host for row in ended)})
    holds.forget(db, {host, *(row.host for row in ended)}, application)
    ids = [row.target_id for row in ended if row.target_id]
    part, living = attempt_hosts.c, select(_T.target_id).where(_T.target_id.is_not(None))
    gone = and_(part.host == host, or_(part.target_id.is_(None), part.target_id.not_in(living)))
    there = or_(gone, part.target_id.in_(ids))
    db.execute(update(attempt_hosts).where(there, _of(application)).values(target_id=GONE))
    return sorted({row.release_id for row in ended if row.release_id})


def known(db: Connection, application: str) -> list[str]:
    """The names of all hosts that an application was ever sent to, sorted."""
    ever = select(attempt_hosts.c.host).where(_of(application)).distinct()
    return sorted({*db.scalars(ever), *serving(db, application)})


def _same(target: Target) -> ColumnElement[bool]:
    """Whether a row is of this target: by its id, or by its name and root within the application."""
    roots = _T.root.in_(["", target.root]) if target.root else true()
    by_name = and_(_T.application == target.application, _T.host == target.host, roots)
    return or_(by_name, _T.target_id == target.id) if target.id else by_name


def _leave(db: Connection, names: Collection[str]) -> None:
    """Take names off the lists of hosts by which nothing answers any more."""
    if not names:
        return
    still = set(db.scalars(select(_T.host).where(_T.host.in_(names))))
    gone = [name for name in names if name not in still]
    for table in (hosts, observations):
        db.execute(delete(table).where(table.c.host.in_(gone)))
    holds.forget(db, gone)


def _of(application: str) -> ColumnElement[bool]:
    """Whether a part is of an attempt of this application."""
    return attempt_hosts.c.attempt_id.in_(select(attempts.c.id).where(owned(attempts.c.application, application)))
