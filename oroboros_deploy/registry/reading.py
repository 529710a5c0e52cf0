"""Reading the registry: what an API or a page shows, each answer in a few queries that an index serves."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, get_args

from sqlalchemy import Connection, Select

from ..errors import InvalidInput
from ..figures import Ended, Figures, figures
from ..outcome import Kind
from ..record import AttemptState
from . import queries, releases
from .checks import check_limit, check_one_of, check_status, parse_time
from .database import Database, Result, clock

LOST_AFTER = timedelta(seconds=30)  # without a sign of life from the control node, which gives one every 5 s
_DAYS = 3660
_BY_SIGN_OF_LIFE = (AttemptState.RUNNING, AttemptState.LOST)
_LAST_ID = 2**31 - 1
_SHA = re.compile(r"[0-9a-f]{4,64}")


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

    def releases(self, limit: int = 100, status: str | None = None) -> list[dict[str, Any]]:
        """The newest rows of `releases` first, at most ``limit`` (1 to 500)."""
        check_limit(limit)
        if status is not None:
            check_status(status)
        return self._read(lambda db: releases.newest(db, limit, status))

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
    ) -> Page:
        """The attempts that began last, the newest first, each with its hosts.

        ``since`` and ``until`` are ISO 8601 with an offset, the latter not included; ``sha`` is a
        prefix of 4 digits or more.
        """
        check_limit(limit)
        values: dict[str, Any] = {"kind": kind, "state": state, "host": host, "environment": environment}
        values |= {"since": since, "until": until, "sha": sha, "after": after}
        values = {name: value for name, value in values.items() if value is not None}
        filters = frozenset(state if name == "state" and state in _BY_SIGN_OF_LIFE else name for name in values)
        values = _checked(values) | {"limit": limit + 1}

        def work(db: Connection) -> Page:
            found = _found(db, filters, values)
            shown = [item for _, item in found[:limit]]
            return Page(shown, _cursor(*found[limit - 1]) if len(found) > limit else None)

        return self._read(work)

    def attempt(self, attempt: str) -> dict[str, Any] | None:
        """One attempt with its hosts and commits, None when there is none of that name."""

        def work(db: Connection) -> dict[str, Any] | None:
            found = _found(db, frozenset({"attempt"}), {"attempt": attempt, "limit": 1})
            return found[0][1] | {"commits": _dicts(db, queries.COMMITS, {"id": found[0][0]})} if found else None

        return self._read(work)

    def events(self, *, attempt: str | None = None, after: int = 0, limit: int = 500) -> list[dict[str, Any]]:
        """What happened after the event of that id, in order, in one attempt or in all."""
        check_limit(limit)
        if not 0 <= after <= _LAST_ID:
            raise InvalidInput(f"{after} is the id of no event")
        rows = queries.EVENTS if attempt is None else queries.EVENTS_OF
        values = {"attempt": attempt, "after": after, "limit": limit}
        return self._read(lambda db: _dicts(db, rows, values))

    def last_event(self) -> int:
        """The id of the newest event, 0 when there is none."""
        return self._read(lambda db: db.scalar(queries.LAST_EVENT)) or 0

    def hosts(self) -> list[dict[str, Any]]:
        """Every known host, by name: what the registry says it serves, and what it said itself when last asked.

        ``drift`` is True when it said something else, after the registry's last change.
        """
        return self._read(_known_hosts)

    def environments(self) -> list[str]:
        """The environments that attempts were made in, sorted."""
        return self._read(lambda db: list(db.scalars(queries.ENVIRONMENTS)))

    def figures(self, *, environment: str | None = None, days: int = 90) -> Figures:
        """The four DORA measures over the last ``days`` days, today included (UTC)."""
        if not 1 <= days <= _DAYS:
            raise InvalidInput(f"{days} is no number of days: 1 to {_DAYS}")

        def work(db: Connection) -> Figures:
            today = clock(db).date()
            since = datetime.combine(today - timedelta(days - 1), time(), UTC)
            return figures(_ended(db, environment, since), environment=environment, days=days, today=today)

        return self._read(work)

    def change_tag(self) -> str:
        """A text that changes whenever anything the other methods return may have changed."""

        def work(db: Connection) -> str:
            now = clock(db)
            lost = db.scalar(queries.LOST, {"quiet": now - LOST_AFTER})
            return f"{now:%Y%m%d}-{lost}"

        return f"{self._database.mark()}-{self._read(work)}"

    def _read(self, work: Callable[[Connection], Result]) -> Result:
        self._check()
        return self._database.read(work)


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of filters as the database takes them."""
    checked = dict(values)
    if "kind" in values:
        check_one_of(values["kind"], "kind of attempt", get_args(Kind))
    if "state" in values:
        check_one_of(values["state"], "state of an attempt", AttemptState)
    if "sha" in values:
        checked["beyond"] = f"{_sha(values['sha'])}g"
    if "after" in values:
        checked["started_at"], checked["id"] = _position(values["after"])
    return checked | {name: parse_time(values[name]) for name in ("since", "until") if name in values}


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


def _found(db: Connection, filters: frozenset[str], values: Mapping[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """The attempts, each with its row number."""
    quiet = clock(db) - LOST_AFTER
    rows = db.execute(queries.attempts_that(filters), {**values, "quiet": quiet}).all()
    width = len(queries.ATTEMPT)
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        number = row[width]
        if number not in found:
            found[number] = _attempt(dict(zip(queries.ATTEMPT, row, strict=False)), quiet)
        if row[width + 1] is not None:
            found[number]["hosts"].append(dict(zip(queries.HOST, row[width + 1 :], strict=True)))
    return list(found.items())


def _attempt(values: dict[str, Any], quiet: datetime) -> dict[str, Any]:
    seen_at = datetime.fromisoformat(values["seen_at"] or values["started_at"])
    if values["state"] == AttemptState.RUNNING and seen_at < quiet:
        values["state"] = str(AttemptState.LOST)
    ended = values["finished_at"]
    values["seconds"] = ended and _seconds_between(values["started_at"], ended)
    values["hosts"] = []
    return values


def _seconds_between(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def _known_hosts(db: Connection) -> list[dict[str, Any]]:
    recorded = {row["host"]: row for row in _dicts(db, queries.HOSTS)}
    seen = {row["host"]: row for row in _dicts(db, queries.OBSERVATIONS)}
    return [_known_host(name, recorded.get(name), seen.get(name)) for name in sorted({*recorded, *seen})]


def _known_host(name: str, recorded: dict[str, Any] | None, seen: dict[str, Any] | None) -> dict[str, Any]:
    serves = recorded and recorded["release_id"]
    observed = seen and seen["release_id"]
    newer = seen is not None and (recorded is None or _seconds_between(recorded["since"], seen["at"]) > 0)
    return {
        "host": name,
        "environment": (recorded and recorded["environment"]) or (seen and seen["environment"]),
        "release_id": serves,
        "since": recorded and recorded["since"],
        "attempt": recorded and recorded["attempt"],
        "observed_release": observed,
        "observed_at": seen and seen["at"],
        "drift": newer and observed != serves,
    }


def _dicts(db: Connection, rows: Select[Any], values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    result = db.execute(rows, values or {})
    names = list(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result.all()]


def _ended(db: Connection, environment: str | None, since: datetime) -> Iterator[Ended]:
    """What the figures count, a little at a time: a long window does not have to fit into memory."""
    rows = queries.ENDED if environment is None else queries.ENDED_IN
    values = {"since": since, "environment": environment}
    for chunk in db.execute(rows, values, execution_options={"yield_per": 5000}).partitions():
        yield from map(Ended._make, chunk)
