"""The questions that reading asks, built once: building one costs more than most answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Float,
    FromClause,
    Label,
    ScalarSelect,
    Select,
    Subquery,
    and_,
    bindparam,
    case,
    exists,
    func,
    not_,
    or_,
    select,
    tuple_,
    type_coerce,
    union,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

from ..host.constants import IN_PLACE
from ..outcome import State
from ..records.environments import PRODUCTION
from ..records.figures import Ended
from ..records.names import GONE
from ..records.record import AttemptState
from .schema import (
    AnyText,
    IsoTime,
    UtcDateTime,
    attempt_hosts,
    attempts,
    commits,
    events,
    holds,
    hosts,
    observations,
    targets,
)

_A = attempts.c
_E = events.c
_H = attempt_hosts.c


def _text(column: ColumnElement[Any], name: str) -> Label[Any]:
    return type_coerce(column, IsoTime).label(name)


def _columns(*columns: Column[Any]) -> list[ColumnElement[Any]]:
    """The columns, with times as text."""
    return [_text(each, each.name) if isinstance(each.type, UtcDateTime) else each for each in columns]


class _FromNow(FunctionElement[Any]):
    """So many seconds from now, by the clock that all control nodes share; on SQLite, this machine's."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(_FromNow, "postgresql")
def _from_now(element: _FromNow, compiler: SQLCompiler, **options: Any) -> str:
    return f"(statement_timestamp() + make_interval(secs => {compiler.process(element.clauses, **options)}))"


@compiles(_FromNow, "sqlite")
def _from_now_on_sqlite(element: _FromNow, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {seconds} || ' seconds')"


_ATTEMPT = _columns(
    _A.attempt,
    _A.application,
    _A.kind,
    _A.release_id,
    _A.commit_sha,
    _A.subject,
    _A.environment,
    _A.actor,
    _A.control_node,
    _A.tool_version,
    _A.started_at,
    _A.finished_at,
    _A.exit_code,
    _A.state,
    _A.migration_marker,
    _A.seen_at,
)
_HOST = [_H.host, _H.state, _H.phase, _H.live, _H.previous, _H.message, _H.log, _H.seconds, _H.configuration, _H.names]
ATTEMPT = [each.name for each in _ATTEMPT]  # the columns of `attempts_that`: these, a row number, and
HOST = [each.name for each in _HOST]  # these, empty when the attempt has no host


def _quiet(seen_at: ColumnElement[Any], started_at: ColumnElement[Any]) -> ColumnElement[bool]:
    """No sign of life since ``silence``, which is seconds from now and so below zero."""
    return func.coalesce(seen_at, started_at) < _FromNow(bindparam("silence", type_=Float))


def _is_lost(of: FromClause) -> ColumnElement[bool]:
    return and_(of.c.state == AttemptState.RUNNING, _quiet(of.c.seen_at, of.c.started_at))


# Every filter of the list of attempts, with the value of the same name.  An attempt that runs and one that is lost
# look the same but for the last sign of life.
_QUIET = _quiet(_A.seen_at, _A.started_at)
_BROUGHT = (
    exists()
    .where(_H.attempt_id == _A.id, _H.state == State.LIVE, _H.live.is_distinct_from(_H.previous))
    .correlate(attempts)
)


def _moves(attempt: Any) -> ColumnElement[bool]:
    """Whether an attempt brings a release to hosts, and does not stay with the one that serves there."""
    return and_(*(attempt.kind != kind for kind in IN_PLACE))


# Whether a later attempt brought a release to a host; an attempt is unanswered while none did to one of its own.
_SINCE_THEN = attempts.alias("since_then")
_ANSWERED = (
    exists()
    .where(hosts.c.host == _H.host, hosts.c.since >= _A.started_at)
    .where(_SINCE_THEN.c.id == hosts.c.attempt_id, _moves(_SINCE_THEN.c))
    .correlate(attempt_hosts, attempts)
)
_OPEN = or_(_H.state == AttemptState.RUNNING, _H.state == State.UNKNOWN)
_STAYS = _H.target_id.is_distinct_from(GONE)  # nobody can ask a host that somebody has forgotten
_UNANSWERED = exists().where(_H.attempt_id == _A.id, _OPEN, _STAYS, ~_ANSWERED).correlate(attempts)

_FILTERS: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    "kind": lambda _: _A.kind == bindparam("kind"),
    "state": lambda _: _A.state == bindparam("state"),
    "running": lambda _: and_(_A.state == AttemptState.RUNNING, ~_QUIET),
    "lost": lambda _: and_(_A.state == AttemptState.RUNNING, _QUIET),
    "host": lambda _: _H.host == bindparam("host"),
    "environment": lambda _: _A.environment == bindparam("environment"),
    "nowhere": lambda _: _A.environment.is_(None),
    "application": lambda _: or_(_A.application == "", _A.application == bindparam("application", type_=AnyText)),
    "actor": lambda _: _A.actor == bindparam("actor"),
    "subject": lambda _: _A.subject.ilike(bindparam("subject", type_=AnyText), escape="/"),
    "moves": lambda _: _moves(_A),
    "unanswered": lambda _: _UNANSWERED,
    "brought": lambda _: and_(_A.release_id == bindparam("brought"), _moves(_A), _BROUGHT),
    "since": lambda begun: begun[0] >= bindparam("since"),
    "until": lambda begun: begun[0] < bindparam("until"),
    "sha": lambda _: and_(_A.release_id >= bindparam("sha"), _A.release_id < bindparam("beyond")),
    "after": lambda begun: tuple_(*begun) < tuple_(bindparam("started_at", type_=UtcDateTime), bindparam("id")),
    "attempt": lambda _: _A.attempt == bindparam("attempt"),
}


@cache
def attempts_that(filters: frozenset[str]) -> Select[Any]:
    """The attempts that pass these filters, the newest first, with a row for each of their hosts.

    Those that are unanswered come without the hosts that somebody has forgotten.
    """
    begun = (_H.started_at, _H.attempt_id) if "host" in filters else (_A.started_at, _A.id)
    rows = select(*(_A[name] for name in ATTEMPT), _A.id, begun[0].label("begun")).select_from(attempts)
    if "host" in filters:
        rows = rows.join_from(attempt_hosts, attempts)
    rows = rows.where(*(_FILTERS[name](begun) for name in sorted(filters)))
    page = rows.order_by(*(each.desc() for each in begun)).limit(bindparam("limit")).subquery("page")
    theirs = [page.c.id == _H.attempt_id, *([_STAYS] if "unanswered" in filters else [])]
    parts = page.outerjoin(attempt_hosts, and_(*theirs))
    own = {name: page.c[name] for name in ATTEMPT}
    own |= {name: _text(own[name], name) for name in ("started_at", "finished_at", "seen_at")}
    own["state"] = case((_is_lost(page), AttemptState.LOST), else_=page.c.state).label("state")
    newest = (page.c.begun.desc(), page.c.id.desc())
    return select(*own.values(), page.c.id, *_HOST).select_from(parts).order_by(*newest, _H.position)


# The newest attempt of a release.
NEWEST_OF = (
    select(*_columns(_A.release_id, _A.attempt, _A.kind, _A.subject, _A.actor, _A.environment, _A.started_at))
    .where(_A.release_id == bindparam("release_id"))
    .order_by(_A.started_at.desc(), _A.id.desc())
    .limit(1)
)

# How many were lost, and today's date: what changes without being written.
STANDING = select(
    _FromNow(0.0),
    select(func.count()).select_from(attempts).where(_FILTERS["lost"](())).scalar_subquery(),
)
NOW = select(_FromNow(0.0))
ENDED_COUNTS = (
    select(_A.environment, _A.kind, _A.state, func.count())
    .where(_A.state != AttemptState.RUNNING)
    .group_by(_A.environment, _A.kind, _A.state)
)
COMMIT_COUNT = select(func.count()).select_from(commits.join(attempts)).where(_A.attempt == bindparam("attempt"))
COMMITS = (
    select(commits.c.sha, commits.c.subject, commits.c.author, commits.c.committed_at)
    .where(commits.c.attempt_id == bindparam("id"))
    .order_by(commits.c.position)
)

LAST_EVENT = select(func.max(_E.id))
_EVENT_FILTERS: dict[str, ColumnElement[bool]] = {
    "attempt": _E.attempt_id == select(_A.id).where(_A.attempt == bindparam("attempt")).scalar_subquery(),
    "host": _E.host == bindparam("host"),
    "environment": _E.environment == bindparam("environment"),
    "since": _E.at >= bindparam("since"),
    "until": _E.at < bindparam("until"),
}


_EVENT = [_E.id, _A.attempt, *_columns(_E.host, _E.environment, _E.at, _E.name, _E.level, _E.message, _E.data)]


@cache
def events_that(filters: frozenset[str]) -> Select[Any]:
    """The events after one that pass these filters, in the order in which they were recorded."""
    passed = [_EVENT_FILTERS[name] for name in sorted(filters)]
    if filters & {"since", "until"}:
        return _events_of_a_time(*passed)
    found = select(*_EVENT).join_from(events, attempts).where(_E.id > bindparam("after"), *passed)
    return found.order_by(_E.id).limit(bindparam("limit"))


def _events_of_a_time(*passed: ColumnElement[bool]) -> Select[Any]:
    """Found by time and then put in order: in their order, every event before that time would be looked at."""
    number = _E.id + 0  # no column: no index leads through them in this order
    numbers = select(_E.id).where(number > bindparam("after"), *passed).order_by(number).limit(bindparam("limit"))
    page = numbers.subquery("page")
    return select(*_EVENT).select_from(page.join(events, _E.id == page.c.id).join(attempts)).order_by(page.c.id)


# The newest events of a host: an index leads to them, whatever there are of others.
RECENT = (
    select(_E.name, *_columns(_E.data))
    .where(_E.host == bindparam("host"))
    .order_by(_E.id.desc())
    .limit(bindparam("limit"))
)

# What is known of hosts stands in two small tables, a row for each: as many as there are hosts, not attempts.
_S = hosts.c
_O = observations.c
_HOLD = holds.c
# A host that is being switched may serve what comes before the registry says so.
_COMING = (
    select(_A.id)
    .join_from(attempts, attempt_hosts)
    .where(_FILTERS["running"](()), _H.host == _O.host, _A.release_id == _O.release_id)
    .correlate(observations)
    .exists()
)
_DRIFT = and_(
    _O.host.is_not(None),
    or_(_S.host.is_(None), _O.at > _S.since),
    _O.release_id.is_distinct_from(_S.release_id),
    ~_COMING,
)
_ENVIRONMENT = func.coalesce(_A.environment, _O.environment)
_PREFIX_LENGTH = func.length(bindparam("prefix", type_=AnyText))
_NAMED: dict[str, Callable[[Column[str]], ColumnElement[bool]]] = {
    "after": lambda host: host > bindparam("after"),
    "host": lambda host: host == bindparam("host"),
    "prefix": lambda host: and_(
        host >= bindparam("prefix"), func.substr(host, 1, _PREFIX_LENGTH) == bindparam("prefix")
    ),
}
_HOST_FILTERS: dict[str, ColumnElement[bool]] = {
    "environment": bindparam("environment", type_=AnyText) == _ENVIRONMENT,
    "release_id": func.substr(_S.release_id, 1, func.length(bindparam("release_id", type_=AnyText)))
    == bindparam("release_id"),
    "drift": _DRIFT,
    "broken": and_(_S.host.is_not(None), _S.release_id.is_(None)),
}


@cache
def hosts_that(filters: frozenset[str]) -> Select[Any]:
    """The hosts that pass these filters, by name: what they serve by the registry, and what they said themselves."""
    known = _known(*(_NAMED[name] for name in sorted(filters & {*_NAMED})))
    last, part, brought = attempts.alias("last"), attempt_hosts.alias("part"), attempt_hosts.alias("brought")
    newest = select(_H.attempt_id).where(_H.host == known.c.host).correlate(known).limit(1)
    newest = newest.order_by(_H.started_at.desc(), _H.attempt_id.desc())
    pushed, stayed, carried = _A.kind == "env", not_(_moves(_A)), _carried(known)
    shown = [
        known.c.host,
        _A.application,
        _ENVIRONMENT.label("environment"),
        *_columns(_S.release_id),
        _text(case((stayed, func.coalesce(carried, _S.since)), else_=_S.since), "since"),
        _text(case((and_(pushed, brought.c.state == State.LIVE), _S.since)), "configured_at"),
        *_columns(_A.attempt),
        _O.release_id.label("observed_release"),
        _text(_O.at, "observed_at"),
        _hold(known).label("hold"),
        _DRIFT.label("drift"),
        last.c.attempt.label("last_attempt"),
        case((_is_lost(last), AttemptState.LOST), else_=part.c.state).label("last_state"),
        _text(func.coalesce(last.c.finished_at, last.c.started_at), "last_at"),
        brought.c.configuration,
        brought.c.names,
    ]
    found = known.outerjoin(hosts, _S.host == known.c.host).outerjoin(attempts)
    found = found.outerjoin(brought, and_(brought.c.attempt_id == _S.attempt_id, brought.c.host == known.c.host))
    found = found.outerjoin(observations, _O.host == known.c.host)
    found = found.outerjoin(last, last.c.id == newest.scalar_subquery())
    found = found.outerjoin(part, and_(part.c.attempt_id == last.c.id, part.c.host == known.c.host))
    passed = [_HOST_FILTERS[name] for name in sorted(filters & {*_HOST_FILTERS})]
    return select(*shown).select_from(found).where(*passed).order_by(known.c.host).limit(bindparam("limit"))


def _carried(known: FromClause) -> ScalarSelect[Any]:
    """When the release of a host came there, if what was put in use there last was a configuration."""
    part, brought = attempt_hosts.alias("carrying"), attempts.alias("carrier")
    serves = or_(part.c.state == State.LIVE, part.c.state == State.RESTORED)
    came = (part.c.host == known.c.host, part.c.live == _S.release_id, serves)
    own = (_moves(brought.c), brought.c.application == _A.application)
    found = select(brought.c.finished_at).select_from(part.join(brought, brought.c.id == part.c.attempt_id))
    newest = found.where(*came, *own).order_by(part.c.started_at.desc(), part.c.attempt_id.desc()).limit(1)
    return newest.correlate(known, hosts, attempts).scalar_subquery()


def _hold(known: FromClause) -> ScalarSelect[Any]:
    """Who holds a host, by what the target was told that was switched there last; of any where none was."""
    root = select(targets.c.root).where(targets.c.attempt_id == _S.attempt_id, targets.c.host == known.c.host)
    there = root.limit(1).correlate(known, hosts).scalar_subquery()
    application = or_(_A.application.is_(None), _HOLD.application.in_(["", _A.application]))
    own = (application, or_(_HOLD.root == "", func.coalesce(there, _HOLD.root) == _HOLD.root))
    found = select(_HOLD.hold).where(_HOLD.host == known.c.host, _HOLD.hold.is_not(None), *own)
    newest = found.order_by(_HOLD.seen_at.desc(), _HOLD.application, _HOLD.root).limit(1)
    return newest.correlate(known, hosts, attempts).scalar_subquery()


def _known(*named: Callable[[Column[str]], ColumnElement[bool]]) -> Subquery:
    """The names of the hosts; each side is asked for itself, by its own index."""
    return union(*(select(host).where(*(each(host) for each in named)) for host in (_S.host, _O.host))).subquery(
        "known"
    )


_KNOWN = _known()
HOSTS = select(func.count(), func.count(case((_DRIFT, 1)))).select_from(
    _KNOWN.outerjoin(hosts, _S.host == _KNOWN.c.host).outerjoin(observations, _O.host == _KNOWN.c.host)
)
# How many were not asked since ``lately``, which is seconds from now and so below zero.
UNASKED = (
    select(func.count())
    .select_from(_KNOWN.outerjoin(observations, _O.host == _KNOWN.c.host))
    .where(func.coalesce(_O.at < _FromNow(bindparam("lately", type_=Float)), True))
)
# What each application serves on each target: a host may have several.
TARGETS = select(targets.c.application, targets.c.host, targets.c.root, _A.environment, targets.c.release_id).join_from(
    targets, attempts, targets.c.attempt_id == _A.id
)
TARGETS = TARGETS.order_by(targets.c.application, targets.c.host, targets.c.root)
# Who holds what, on the hosts that are known.
_ON = and_(
    targets.c.host == _HOLD.host,
    targets.c.application == _HOLD.application,
    or_(_HOLD.root == "", targets.c.root == _HOLD.root),
)
_HELD = (
    select(_HOLD.application, _HOLD.host, _HOLD.root, _ENVIRONMENT.label("environment"), _HOLD.hold)
    .select_from(
        holds.outerjoin(targets, _ON)
        .outerjoin(attempts, targets.c.attempt_id == _A.id)
        .outerjoin(observations, _O.host == _HOLD.host)
    )
    .where(_HOLD.hold.is_not(None), or_(_O.host.is_not(None), targets.c.host.is_not(None)))
    .order_by(_HOLD.host, _HOLD.application, _HOLD.root)
)
HELD = _HELD.limit(bindparam("limit"))
EVERY_HOLD = _HELD
HELD_ON = _HELD.where(_HOLD.host == bindparam("host"))
# Whether anybody told since then who holds what an application has on a host: somebody, or nobody.
HOLD_TOLD = (
    select(_HOLD.seen_at)
    .where(_HOLD.host == bindparam("host"), _HOLD.seen_at >= bindparam("since"))
    .where(or_(_HOLD.application == "", _HOLD.application == bindparam("application")))
    .limit(1)
)
# What each application serves in each environment, and on how many hosts.
_HOSTS = func.count(targets.c.host.distinct())
SERVING = (
    select(targets.c.application, _ENVIRONMENT.label("environment"), targets.c.release_id, _HOSTS.label("hosts"))
    .select_from(targets.join(attempts).outerjoin(observations, _O.host == targets.c.host))
    .group_by(targets.c.application, _ENVIRONMENT, targets.c.release_id)
    .order_by(_ENVIRONMENT, targets.c.application)
    .order_by(_HOSTS.desc(), targets.c.release_id.is_(None), targets.c.release_id)
)

# From each name to the next one in the index, not through all the rows that share it.
_first = select(func.min(_A.environment).label("name")).cte("names", recursive=True)
_next = select(func.min(_A.environment)).where(_A.environment > _first.c.name).scalar_subquery()
_names = _first.union_all(select(_next).where(_first.c.name.is_not(None)))
ENVIRONMENTS = select(_names.c.name).where(_names.c.name.is_not(None))

# Where the next chunk goes on: the last begin, as the driver gives and takes it, and the row number.
_BEGUN = type_coerce(_A.started_at, NullType())
_ENDED = [getattr(_A, name) for name in Ended._fields]
_ENDED_FILTERS: dict[str, ColumnElement[bool]] = {
    "since": _A.started_at >= bindparam("since"),
    "after": tuple_(_BEGUN, _A.id) < tuple_(bindparam("after", type_=NullType()), bindparam("id")),
    "environment": _A.environment == bindparam("environment"),
    "production": or_(*(_A.environment == name for name in sorted(PRODUCTION))),
    "application": _FILTERS["application"](()),
}


@cache
def first_that(filters: frozenset[str]) -> Select[Any]:
    """When the first attempt that passes these filters began."""
    passed = [_ENDED_FILTERS[name] for name in sorted(filters)]
    return select(_text(_A.started_at, "first")).where(*passed).order_by(_A.started_at).limit(1)


@cache
def ended_that(filters: frozenset[str]) -> Select[Any]:
    """What the figures count, the newest first; and of each attempt when it began and its row number."""
    came_to = or_(*(_A.state == state for state in ("live", "restored", "broken", "failed")))
    passed = [_ENDED_FILTERS[name] for name in sorted(filters & {*_ENDED_FILTERS})]
    counts = (_A.activation_seconds.is_not(None), _A.finished_at.is_not(None), came_to)
    found = select(*_ENDED, _BEGUN.label("begun"), _A.id).where(*counts, *passed)
    return found.order_by(_A.started_at.desc(), _A.id.desc()).limit(bindparam("limit"))
