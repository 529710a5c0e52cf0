"""Reading the registry: what an API or a page shows, each answer in a few queries that an index serves."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any, get_args

from sqlalchemy import Select

from ..errors import InvalidInput
from ..outcome import Kind
from ..records.environments import PRODUCTION
from ..records.figures import Ended, Figures, figures, figures_of_each
from ..records.record import AttemptState
from . import queries, releases
from .checks import check_limit, check_one_of, check_status, parse_time
from .database import Database, Result
from .driver import Driver

LATELY = timedelta(days=1)  # what a host said before that says nothing of today
LOST_AFTER = timedelta(seconds=30)  # without a sign of life from the control node, which gives one every 5 s
_DAYS = 3660
_RECENT = 500  # events of a host that are looked through for what parts took
_CHUNK = 5000  # rows of a long answer that are held at once
_BY_SIGN_OF_LIFE = (AttemptState.RUNNING, AttemptState.LOST)
_NOT_KNOWN = (AttemptState.UNKNOWN, AttemptState.LOST)
_LAST_ID = 2**31 - 1
_HELD = 100  # that are told
_MANY = 500  # attempts that are held at once
_SHA = re.compile(r"[0-9a-f]{4,64}")
_LIKE, _ESCAPED = re.compile(r"[/%_]"), r"/\g<0>"  # what stands for other text in a pattern of SQL


@dataclass(frozen=True)
class Page:
    """Some rows of a list; ``next`` is what to give as ``after`` for those that follow, None at the end."""

    items: list[dict[str, Any]]
    next: str | None


class Reader:
    """What the registry knows, as plain values; times are ISO 8601 in UTC.

    Every method raises RegistryUnavailable when the database cannot be read, and
    InvalidInput for an argument that names nothing.
    """

    def __init__(self, database: Database, check: Callable[[], None]) -> None:
        self._database = database
        self._check = check

    @property
    def source(self) -> object:
        """What it reads from: one object for all readers of one open registry, and for no others."""
        return self._database

    def apart(self) -> Reader:
        """A reader of the same that may be kept long: it holds no session of somebody else's meanwhile."""
        return self

    def releases(
        self, limit: int = 100, status: str | None = None, after: int | None = None, application: str | None = None
    ) -> list[dict[str, Any]]:
        """The newest rows of `releases` first, at most ``limit`` (1 to 500); those that follow the row ``after``.

        With an ``application``, those that attempts tell of others alone are left out.
        """
        check_limit(limit)
        if status is not None:
            check_status(status)
        return self._read(lambda db: releases.newest(db, limit, status, after, application))

    def release(self, release_id: str) -> dict[str, Any] | None:
        """A release's row, None when it has none."""
        return self._read(lambda db: releases.get(db, release_id))

    def attempts(
        self,
        limit: int = 50,
        after: str | None = None,
        *,
        kind: str | None = None,
        state: str | None = None,
        host: str | None = None,
        environment: str | None = None,
        since: str | None = None,
        until: str | None = None,
        sha: str | None = None,
        actor: str | None = None,
        subject: str | None = None,
        application: str | None = None,
    ) -> Page:
        """The attempts that began last, the newest first, each with its hosts.

        ``since`` and ``until`` are ISO 8601 with an offset, the latter not included; ``sha`` is a
        prefix of 4 digits or more, ``actor`` is who asked for it, ``subject`` is a part of the commit's
        subject, in capitals or not; SQLite knows only the capitals of ASCII.  An empty one is none.  The oldest rows
        name no ``application``, and are of any.
        """
        check_limit(limit)
        values = _given(kind=kind, state=state, host=host, environment=environment, since=since, until=until, sha=sha)
        values |= _given(after=after, actor=actor, subject=subject or None, application=application)
        filters = frozenset(state if name == "state" and state in _BY_SIGN_OF_LIFE else name for name in values)
        values = _checked(values) | {"limit": limit + 1}

        def work(db: Driver) -> Page:
            found = _found(db, filters, values)
            shown = [item for _, item in found[:limit]]
            return Page(shown, _cursor(*found[limit - 1]) if len(found) > limit else None)

        return self._read(work)

    def every_attempt(self, **filters: str | None) -> Iterator[dict[str, Any]]:
        """All the attempts that pass the filters of `attempts`, the newest first; a few hundred are held at once.

        The first of them are read at once, so that an error comes before anything else.
        """
        return self._rest(self.attempts(_MANY, **filters), filters)

    def _rest(self, page: Page, filters: Mapping[str, str | None]) -> Iterator[dict[str, Any]]:
        yield from page.items
        while page.next:
            page = self.attempts(_MANY, page.next, **filters)
            yield from page.items

    def unanswered(self) -> list[dict[str, Any]]:
        """All attempts, unknown before lost, whose end is not known of a host where no later one brought a release.

        A host that somebody has forgotten is none of theirs.
        """
        return [each for state in _NOT_KNOWN for each in self._unanswered(state)]

    def _unanswered(self, state: AttemptState) -> Iterator[dict[str, Any]]:
        filters = frozenset({state if state in _BY_SIGN_OF_LIFE else "state", "unanswered"})
        values: dict[str, Any] = {"state": state, "limit": _MANY}
        while found := self._read(partial(_found, filters=filters, values=values)):
            yield from (attempt for _, attempt in found)
            if len(found) < _MANY:
                return
            filters |= {"after"}
            number, last = found[-1]
            values |= {"started_at": parse_time(last["started_at"]), "id": number}

    def latest(
        self,
        environment: str | None,
        application: str | None = None,
        *,
        moves: bool = False,
        brought: str | None = None,
    ) -> dict[str, Any] | None:
        """The newest attempt in an environment (None: without one), of one application or of any, with its hosts.

        With ``moves`` it is one that was to bring a release, with ``brought`` one that brought that release to a host;
        None when there is none.
        """
        values = _given(environment=environment, application=application, moves=moves or None, brought=brought)
        filters = frozenset(values) | ({"nowhere"} if environment is None else set())
        found = self._read(lambda db: _found(db, filters, values | {"limit": 1}))
        return found[0][1] if found else None

    def commit_count(self, attempt: str) -> int:
        """How many commits were new in what an attempt brought."""
        return self._read(lambda db: int(db.value(queries.COMMIT_COUNT, {"attempt": attempt})))

    def brought(self, release_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Of each of these releases the newest attempt, without its hosts: its subject, who asked for it, and when."""
        questions = ({"release_id": each} for each in release_ids)
        found = self._read(lambda db: [row for each in questions for row in db.dicts(queries.NEWEST_OF, each)])
        return {row["release_id"]: row for row in found}

    def attempt(self, attempt: str) -> dict[str, Any] | None:
        """One attempt with its hosts and commits, None when there is none of that name."""

        def work(db: Driver) -> dict[str, Any] | None:
            found = _found(db, _ATTEMPT, {"attempt": attempt, "limit": 1})
            return found[0][1] | {"commits": db.dicts(queries.COMMITS, {"id": found[0][0]})} if found else None

        return self._read(work)

    def events(
        self,
        *,
        after: int = 0,
        limit: int = 500,
        attempt: str | None = None,
        host: str | None = None,
        environment: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> list[dict[str, Any]]:
        """What happened, in the order in which it was recorded, after the event of that id.

        ``since`` and ``until`` are as for `attempts`.
        """
        check_limit(limit)
        if not 0 <= after <= _LAST_ID:
            raise InvalidInput(f"{after} is the id of no event")
        values = _given(attempt=attempt, host=host, environment=environment, since=since, until=until)
        rows = queries.events_that(frozenset(values))
        values = _in_utc(values) | {"after": after, "limit": limit}
        return self._read(lambda db: db.dicts(rows, values))

    def part_seconds(self, hosts: Iterable[str]) -> dict[str, dict[str, float]]:
        """How long each part of a build took on these hosts when it was made last, not taken from an earlier build."""
        return {host: found for host in hosts if (found := self._part_seconds(host))}

    def _part_seconds(self, host: str) -> dict[str, float]:
        rows = self._read(lambda db: db.dicts(queries.RECENT, {"host": host, "limit": _RECENT}))
        made = [row["data"] for row in rows if row["name"] == "part.finished" and not row["data"].get("cached")]
        found = ((str(data.get("part")), data.get("seconds")) for data in reversed(made))
        return {part: float(seconds) for part, seconds in found if isinstance(seconds, (int, float))}

    def last_event(self) -> int:
        """The id of the newest event, 0 when there is none."""
        return self._read(lambda db: db.value(queries.LAST_EVENT)) or 0

    def hosts(
        self,
        limit: int = 100,
        after: str | None = None,
        *,
        environment: str | None = None,
        prefix: str | None = None,
        release_id: str | None = None,
        drift: bool = False,
    ) -> Page:
        """Known hosts, by name: what the registry says each serves, and what it said itself when last asked.

        ``drift`` is True of one that said something else, after the registry's last change, and not
        what an attempt brings there now; as a filter it leaves only those.  ``last_attempt`` is the newest
        that named the host, ``last_state`` how it went there (or "lost"), ``last_at`` when it ended or began.
        ``since`` is when the release came there, ``configured_at`` when a push gave it another configuration (None:
        none has since), ``hold`` who held what is served there, since when and why, as it was last told (None:
        nobody).
        ``configuration`` is the revision in use since ``attempt``, and ``names`` are those that it changed; the same
        values have another revision on another target.
        """
        check_limit(limit)
        values = _given(after=after, environment=environment, prefix=prefix, release_id=release_id, drift=drift or None)
        rows = self._hosts(limit + 1, values)
        return Page(rows[:limit], rows[limit - 1]["host"] if len(rows) > limit else None)

    def broken_hosts(self) -> list[dict[str, Any]]:
        """Those that could not be restored and serve nothing since, by name; the first hundred."""
        return self._hosts(100, {"broken": True})

    def held(self) -> list[dict[str, Any]]:
        """Who holds what, as it was seen last: ``host``, ``application``, ``root``, ``environment``, ``hold``.

        By the hosts' names, the first hundred; ``application`` and ``root`` are empty in records of earlier
        versions of oroboros_deploy.
        """
        return self._held(queries.HELD, {"limit": _HELD})

    def every_hold(self) -> list[dict[str, Any]]:
        """Who holds what, as `held` tells it, however many there are."""
        return self._held(queries.EVERY_HOLD, {})

    def held_on(self, host: str) -> list[dict[str, Any]]:
        """Who holds what on one host, as `held` tells it."""
        return self._held(queries.HELD_ON, {"host": host})

    def hold_told(self, host: str, application: str, since: str) -> bool:
        """Whether it was told since then if somebody holds what an application has on a host."""
        values = {"host": host, "application": application, "since": parse_time(since)}
        return self._read(lambda db: db.value(queries.HOLD_TOLD, values)) is not None

    def host(self, host: str) -> dict[str, Any] | None:
        """One host as `hosts` tells it, None when it is not known."""
        found = self._hosts(1, {"host": host})
        return found[0] if found else None

    def host_counts(self) -> tuple[int, int]:
        """How many hosts are known, and how many of them have drifted."""
        known, drifted = self._read(lambda db: db.rows(queries.HOSTS, _silence()))[0]
        return known, drifted

    def unasked_hosts(self) -> int:
        """How many hosts nobody has asked lately what they serve, or ever."""
        return self._read(lambda db: int(db.value(queries.UNASKED, {"lately": -LATELY.total_seconds()})))

    def serving(self) -> list[dict[str, Any]]:
        """Each release that an application serves in an environment, on how many ``hosts``; that on most of them first.

        ``application`` is empty in records of earlier versions of oroboros_deploy.
        """
        return self._read(lambda db: db.dicts(queries.SERVING))

    def targets(self) -> list[dict[str, Any]]:
        """What each application serves on each host, by root: a host may serve several applications.

        ``application`` and ``root`` are empty in records of earlier versions of oroboros_deploy.
        """
        return self._read(lambda db: db.dicts(queries.TARGETS))

    def environments(self) -> list[str]:
        """The environments that attempts were made in, sorted."""
        return self._read(lambda db: [name for (name,) in db.rows(queries.ENVIRONMENTS)])

    def ended_counts(self) -> dict[tuple[str | None, str, str], int]:
        """How many attempts there are with an end, by environment, kind and state."""
        return {tuple(key): count for *key, count in self._read(lambda db: db.rows(queries.ENDED_COUNTS))}

    def figures(
        self,
        *,
        environment: str | None = None,
        days: int = 90,
        production: bool = False,
        application: str | None = None,
    ) -> Figures:
        """The four DORA measures over the last ``days`` days, today included (UTC), of one application or of all.

        With ``production``, where no environment is named, those alone that are production by their name; all where
        none is.
        """
        if not 1 <= days <= _DAYS:
            raise InvalidInput(f"{days} is no number of days: 1 to {_DAYS}")

        def work(db: Driver) -> Figures:
            today = db.value(queries.NOW).date()
            since = datetime.combine(today - timedelta(days - 1), time(), UTC)
            known = [name for (name,) in db.rows(queries.ENVIRONMENTS)] if production and environment is None else []
            named = [name for name in known if name in PRODUCTION]
            values = _given(environment=environment, production=named or None, application=application)
            about = environment or ", ".join(named) or None
            return figures(
                _ended(db, values, since), environment=about, days=days, today=today, first=_first(db, values)
            )

        return self._read(work)

    def figures_of_each(self, names: Sequence[str], *, days: int = 90) -> dict[str | None, Figures]:
        """The four DORA measures of each of these environments and, by None, of all together; read once."""

        def work(db: Driver) -> dict[str | None, Figures]:
            today = db.value(queries.NOW).date()
            since = datetime.combine(today - timedelta(days - 1), time(), UTC)
            first = {name: _first(db, _given(environment=name)) for name in (None, *names)}
            begun = {name: found for name, found in first.items() if found}
            return figures_of_each(_ended(db, {}, since), (None, *names), days=days, today=today, first=begun)

        return self._read(work)

    def change_tag(self) -> str:
        """A text that changes whenever anything the other methods return may have changed."""
        mark = self._database.mark()
        now, lost = self._read(lambda db: db.rows(queries.STANDING, _silence()))[0]
        return f"{mark}-{now:%Y%m%d}-{lost}"

    def _hosts(self, limit: int, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        rows = queries.hosts_that(frozenset(values))
        return self._read(lambda db: db.dicts(rows, {**values, **_silence(), "limit": limit}))

    def _held(self, rows: Select[Any], values: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [row for row in self._read(lambda db: db.dicts(rows, values)) if row["hold"]]

    def _read(self, work: Callable[[Driver], Result]) -> Result:
        self._check()
        return self._database.ask(work)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _silence() -> dict[str, float]:
    return {"silence": -LOST_AFTER.total_seconds()}


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of filters as the database takes them."""
    checked = dict(values)
    if "kind" in values:
        check_one_of(values["kind"], "kind of attempt", get_args(Kind))
    if "state" in values:
        check_one_of(values["state"], "state of an attempt", AttemptState)
    if "sha" in values:
        checked["beyond"] = f"{_sha(values['sha'])}g"
    if "subject" in values:
        checked["subject"] = f"%{_LIKE.sub(_ESCAPED, values['subject'])}%"
    if "after" in values:
        checked["started_at"], checked["id"] = _position(values["after"])
    return _in_utc(checked)


def _in_utc(values: dict[str, Any]) -> dict[str, Any]:
    return values | {name: parse_time(values[name]) for name in ("since", "until") if name in values}


def _sha(prefix: str) -> str:
    if not _SHA.fullmatch(prefix):
        raise InvalidInput(f"{prefix[:80]!r} is no beginning of a sha: 4 to 64 lower-case hexadecimal digits")
    return prefix


def _cursor(number: int, attempt: Mapping[str, Any]) -> str:
    return urlsafe_b64encode(f"{attempt['started_at']} {number}".encode()).decode().rstrip("=")


def _position(cursor: str) -> tuple[datetime, int]:
    try:
        started_at, _, number = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(" ")
        return parse_time(started_at), _row_number(number)
    except (ValueError, InvalidInput) as error:
        raise InvalidInput("that cursor names no place in the list", hint="begin again without one") from error


def _row_number(text: str) -> int:
    number = int(text)
    if not 0 <= number <= _LAST_ID:
        raise ValueError(text)
    return number


_ATTEMPT = frozenset({"attempt"})
_WIDTH = len(queries.ATTEMPT)


def _found(db: Driver, filters: frozenset[str], values: Mapping[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """The attempts, each with its row number."""
    found: dict[int, dict[str, Any]] = {}
    for row in db.rows(queries.attempts_that(filters), {**values, **_silence()}):
        number = row[_WIDTH]
        if number not in found:
            found[number] = _attempt(dict(zip(queries.ATTEMPT, row, strict=False)))
        if row[_WIDTH + 1] is not None:
            found[number]["hosts"].append(dict(zip(queries.HOST, row[_WIDTH + 1 :], strict=True)))
    return list(found.items())


def _attempt(values: dict[str, Any]) -> dict[str, Any]:
    ended = values["finished_at"]
    values["seconds"] = ended and _seconds_between(values["started_at"], ended)
    values["hosts"] = []
    return values


def _seconds_between(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def _first(db: Driver, named: Mapping[str, Any]) -> date | None:
    """The day of the first record."""
    first = db.value(queries.first_that(frozenset(named)), named)
    return date.fromisoformat(first[:10]) if first else None


def _ended(db: Driver, named: Mapping[str, Any], since: datetime) -> Iterator[Ended]:
    """What the figures count, a little at a time: a long window does not have to fit into memory."""
    values = {**named, "since": since, "limit": _CHUNK}
    while chunk := db.rows(queries.ended_that(frozenset(values)), values):
        yield from (Ended._make(row[:-2]) for row in chunk)
        values |= zip(("after", "id"), chunk[-1][-2:], strict=True)
