"""The questions that reading asks, built once: building one costs more than most answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Label, Select, and_, bindparam, func, select, tuple_, type_coerce

from ..record import AttemptState
from .schema import IsoTime, UtcDateTime, attempt_hosts, attempts, commits, events, hosts, observations

_A = attempts.c
_H = attempt_hosts.c


def _text(column: Column[Any]) -> Label[Any]:
    return type_coerce(column, IsoTime).label(column.name)


_ATTEMPT = [
    _A.attempt,
    _A.kind,
    _A.release_id,
    _A.commit_sha,
    _A.subject,
    _A.environment,
    _A.actor,
    _A.control_node,
    _A.tool_version,
    _text(_A.started_at),
    _text(_A.finished_at),
    _A.exit_code,
    _A.state,
    _A.migration_marker,
    _text(_A.seen_at),
]
_HOST = [_H.host, _H.state, _H.phase, _H.live, _H.previous, _H.message, _H.log, _H.seconds]
ATTEMPT = [each.name for each in _ATTEMPT]  # the columns of `attempts_that`: these, a row number, and
HOST = [each.name for each in _HOST]  # these, empty when the attempt has no host

# Every filter of the list of attempts, with the value of the same name.  An attempt that runs and one that is lost
# look the same but for the last sign of life.
_QUIET = func.coalesce(_A.seen_at, _A.started_at) < bindparam("quiet")
_FILTERS: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    "kind": lambda _: _A.kind == bindparam("kind"),
    "state": lambda _: _A.state == bindparam("state"),
    "running": lambda _: and_(_A.state == AttemptState.RUNNING, ~_QUIET),
    "lost": lambda _: and_(_A.state == AttemptState.RUNNING, _QUIET),
    "host": lambda _: _H.host == bindparam("host"),
    "environment": lambda _: _A.environment == bindparam("environment"),
    "since": lambda begun: begun[0] >= bindparam("since"),
    "until": lambda begun: begun[0] < bindparam("until"),
    "sha": lambda _: and_(_A.release_id >= bindparam("sha"), _A.release_id < bindparam("beyond")),
    "after": lambda begun: tuple_(*begun) < tuple_(bindparam("started_at", type_=UtcDateTime), bindparam("id")),
    "attempt": lambda _: _A.attempt == bindparam("attempt"),
}

_E = events.c
_EVENT = [_E.id, _A.attempt, _E.host, _text(_E.at), _E.name, _E.level, _E.message, _E.data]
_AFTER = select(*_EVENT).join_from(events, attempts).where(_E.id > bindparam("after"))
EVENTS = _AFTER.order_by(_E.id).limit(bindparam("limit"))
EVENTS_OF = EVENTS.where(_A.attempt == bindparam("attempt"))
LAST_EVENT = select(func.max(_E.id))
COMMITS = (
    select(commits.c.sha, commits.c.subject, commits.c.author, commits.c.committed_at)
    .where(commits.c.attempt_id == bindparam("id"))
    .order_by(commits.c.position)
)
HOSTS = select(hosts.c.host, hosts.c.release_id, _text(hosts.c.since), _A.attempt, _A.environment).join_from(
    hosts, attempts
)
_O = observations.c
OBSERVATIONS = select(_O.host, _O.environment, _O.release_id, _text(_O.at))

# From each name to the next one in the index, not through all the rows that share it.
_first = select(func.min(_A.environment).label("name")).cte("names", recursive=True)
_next = select(func.min(_A.environment)).where(_A.environment > _first.c.name).scalar_subquery()
_names = _first.union_all(select(_next).where(_first.c.name.is_not(None)))
ENVIRONMENTS = select(_names.c.name).where(_names.c.name.is_not(None))

ENDED = (
    select(
        _A.kind,
        _A.state,
        _A.environment,
        _A.release_id,
        _A.previous,
        _A.finished_at,
        _A.activation_seconds,
        _A.lead_seconds,
    )
    .where(_A.started_at >= bindparam("since"), _A.activation_seconds.is_not(None))
    .where(_A.state.in_(["live", "restored", "broken", "failed"]))
    .order_by(_A.started_at, _A.id)
)
ENDED_IN = ENDED.where(_A.environment == bindparam("environment"))

LOST = select(func.count()).select_from(attempts).where(_FILTERS["lost"](()))


@cache
def attempts_that(filters: frozenset[str]) -> Select[Any]:
    """The attempts that pass these filters, the newest first, with a row for each of their hosts."""
    begun = (_H.started_at, _H.attempt_id) if "host" in filters else (_A.started_at, _A.id)
    rows = select(*_ATTEMPT, _A.id, _A.started_at.label("begun")).select_from(attempts)
    if "host" in filters:
        rows = rows.join_from(attempt_hosts, attempts)
    rows = rows.where(*(_FILTERS[name](begun) for name in sorted(filters)))
    page = rows.order_by(*(each.desc() for each in begun)).limit(bindparam("limit")).subquery("page")
    parts = page.outerjoin(attempt_hosts, page.c.id == _H.attempt_id)
    own = [page.c[name] for name in (*ATTEMPT, "id")]
    return select(*own, *_HOST).select_from(parts).order_by(page.c.begun.desc(), page.c.id.desc(), _H.position)
