"""What the first page says before anything else: what runs where, and what is not as it should be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from ..errors import InvalidInput
from ..outcome import State
from ..records.environments import reading_order
from ..records.record import RUNNING, AttemptState
from ..registry.reading import LATELY, Reader

HOSTS = 100  # on the page
_FEW = 5  # hosts of an environment at most are all shown unasked;
_ODD = 3  # of more, so many of those that need to be looked at
_ATTEMPTS = 30  # of each state
_WRONG = (AttemptState.RESTORED, AttemptState.FAILED, AttemptState.BROKEN)
_OPEN = (RUNNING, State.UNKNOWN)  # of a host whose end is not known, when its attempt is lost or unknown

Row = Mapping[str, Any]


class Seen(StrEnum):
    """What is known of a host beyond the registry's own word."""

    DRIFT = "drift"  # asked, it served something else
    OPEN = "open"  # nobody knows how its newest attempt ended
    RUNNING = "running"  # an attempt works on it
    NEVER = "never asked"
    BEFORE = "not asked since"  # what it said was before its newest attempt, and says nothing of that
    OLD = "asked long ago"
    CONFIRMED = "as recorded"
    COMING = "coming"  # asked, it served what an attempt brings there


def seen(host: Row) -> Seen:
    """What a host's row tells; only a host that was asked lately and after its newest attempt is confirmed."""
    if host["drift"]:
        return Seen.DRIFT
    if host["last_state"] in (AttemptState.LOST, State.UNKNOWN):
        return Seen.OPEN
    if host["observed_at"] is None:
        return Seen.RUNNING if host["last_state"] == RUNNING else Seen.NEVER
    if host["observed_release"] != host["release_id"]:
        return Seen.COMING if host["last_state"] == RUNNING else Seen.BEFORE
    if host["last_state"] == RUNNING:
        return Seen.RUNNING
    if host["observed_at"] <= max(host["since"] or "", host["last_at"] or ""):
        return Seen.BEFORE
    return Seen.OLD if datetime.now(UTC) - datetime.fromisoformat(host["observed_at"]) > LATELY else Seen.CONFIRMED


@dataclass(frozen=True)
class Place:
    """One environment: its hosts on the page, what serves there, the attempt that brought it, and the newest one."""

    name: str
    hosts: Sequence[Row]
    releases: Sequence[Row] = ()
    brought: Row | None = None
    last: Row | None = None
    newest: str | None = None  # the release of the newest attempt that was to bring one
    commits: int = 0  # that were new in it

    @property
    def known(self) -> int:
        """How many hosts there are."""
        return sum(each["hosts"] for each in self.releases)

    @property
    def split(self) -> bool:
        """Whether its hosts serve different releases, and nothing is being done about it."""
        alike = len({host["application"] for host in self.hosts}) <= 1  # others' releases are no split of ours
        return alike and len(self.releases) > 1 and not (self.last and self.last["state"] == AttemptState.RUNNING)

    @property
    def went_wrong(self) -> bool:
        """Whether its newest attempt ended, and is not live."""
        return self.last is not None and self.last["state"] in _WRONG

    @property
    def odd(self) -> list[Row]:
        """The hosts that need to be looked at by themselves."""
        return [host for host in self.hosts if _serves_nothing(host) or seen(host) in (Seen.DRIFT, Seen.OPEN)]

    @property
    def shown(self) -> Sequence[Row]:
        """The hosts that are shown unasked: all of few, else the odd ones, or the first of those."""
        return self.hosts if len(self.hosts) <= _FEW else self.odd[:_ODD]

    def on(self, release: Row) -> list[Row]:
        """The hosts that serve a release; none where not all of them are on the page."""
        found = [host for host in self.hosts if host["release_id"] == release["release_id"]]
        return found if len(found) == release["hosts"] else []

    @property
    def back(self) -> tuple[str, str] | None:
        """The release that one can go back to, and in what sense: a split ends with the one that was there before."""
        if self.split:
            older = [each["release_id"] for each in self.releases if each["release_id"] not in (None, self.newest)]
            return (older[0], "All hosts on one release again") if older else None
        parts = self.brought["hosts"] if self.brought else []
        before = next((part["previous"] for part in parts if part["previous"] not in (None, part["live"])), None)
        return (before, "Back to what served before") if before else None


def standing(reader: Reader) -> dict[str, Any]:
    """The values of the headline and of the tables of hosts."""
    hosts = reader.hosts(HOSTS)
    known, drifting = reader.host_counts()
    environments = reader.environments()
    return {
        "running": _attempts(reader, AttemptState.RUNNING),
        "open": [each for state in ("unknown", "lost") for each in _unanswered(reader, _attempts(reader, state))],
        "broken": [host for host in reader.broken_hosts() if not host["drift"]],
        "known": known,
        "drifting": drifting,
        "unasked": reader.unasked_hosts(),
        "places": places(reader, hosts.items),
        "more_hosts": hosts.next and urlencode({"after": hosts.next}),
        "names": {"environment": environments, "host": [host["host"] for host in hosts.items]},
    }


def places(reader: Reader, hosts: Sequence[Row]) -> list[Place]:
    """All environments, each with what serves there and those of these hosts; last the hosts without one."""
    serving: dict[str, list[Row]] = {}
    for each in reader.serving():
        serving.setdefault(each["environment"] or "", []).append(each)
    shown = dict(by_environment(hosts))
    names = sorted({*shown, *serving}, key=reading_order)
    return [_place(reader, name, shown.get(name, []), serving.get(name, [])) for name in names]


def attempts_of(reader: Reader, release_id: str) -> list[dict[str, Any]]:
    """The newest attempts of exactly that release; a release id written by other programs may be no sha at all."""
    try:
        return [row for row in reader.attempts(sha=release_id).items if row["release_id"] == release_id]
    except InvalidInput:
        return []


def by_environment(hosts: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """The hosts of each environment; last those without one."""

    def environment(host: Row) -> str:
        return host["environment"] or ""

    ordered = sorted(hosts, key=lambda host: (reading_order(environment(host)), host["host"]))
    return [(name, list(group)) for name, group in groupby(ordered, environment)]


def _place(reader: Reader, name: str, hosts: list[Row], releases: list[Row]) -> Place:
    main = releases[0]["release_id"] if releases else None
    there = (each for each in attempts_of(reader, main or "") if (each["environment"] or "") == name)
    brought = next(filter(_brought, there), None)
    recent = reader.attempts(_ATTEMPTS, environment=name).items if name else []
    newest = next((each["release_id"] for each in recent if each["kind"] != "env"), None)
    return Place(name, hosts, releases, brought, recent[0] if recent else None, newest, _new_in(reader, brought))


def _brought(attempt: Row) -> bool:
    """Whether it brought its release to a host; one that changed the configuration alone did not."""
    parts = (part for part in attempt["hosts"] if part["state"] == State.LIVE)
    return attempt["kind"] != "env" and any(part["live"] != part["previous"] for part in parts)


def _new_in(reader: Reader, attempt: Row | None) -> int:
    """How many commits an attempt brought."""
    found = reader.attempt(attempt["attempt"]) if attempt else None
    return len(found["commits"]) if found else 0


def _serves_nothing(host: Row) -> bool:
    return bool(host["since"] and not host["release_id"])


def _since(host: Row) -> str:
    return host["since"] or ""


def _attempts(reader: Reader, state: str) -> list[dict[str, Any]]:
    return reader.attempts(_ATTEMPTS, state=state).items


def _unanswered(reader: Reader, attempts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those with a host whose end is not known and that no later one has switched; with these ``hosts`` alone."""
    left = ({**each, "hosts": [part for part in each["hosts"] if _is_open(reader, each, part)]} for each in attempts)
    return [each for each in left if each["hosts"]]


def _is_open(reader: Reader, attempt: Row, part: Row) -> bool:
    host = reader.host(part["host"]) if part["state"] in _OPEN else None
    return part["state"] in _OPEN and _since(host or {"since": None}) < attempt["started_at"]
