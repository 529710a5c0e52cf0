"""What the first page says before anything else: what runs where, and what is not as it should be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from ..errors import InvalidInput
from ..host.constants import IN_PLACE
from ..outcome import State
from ..records.environments import reading_order
from ..records.record import RUNNING, AttemptState
from ..registry.reading import LATELY, Reader
from .display import short
from .ending import DRIFTED, HELD, REPLACED, SOME, came_to

HOSTS = 100  # on the page
_FEW = 5  # hosts of an environment at most are all shown unasked;
_MORE = 10  # or so many, where something goes on or went wrong, and not with one of them;
_ODD = 3  # of more, so many of those that need to be looked at
_RUNNING = 30  # attempts
_TITLES = 10  # of releases that drifting hosts serve
_NOTHING = frozenset({""})
_WRONG = (AttemptState.RESTORED, AttemptState.FAILED, AttemptState.BROKEN)
_FAILED = (State.RESTORED, State.NOT_RESTORED, State.NOT_SWITCHED)  # of a host that could not have a release
_OPEN = (RUNNING, State.UNKNOWN)  # of a host whose end is not known, when its attempt is lost or unknown

_UNSURE = (AttemptState.UNKNOWN, AttemptState.LOST)

Row = Mapping[str, Any]
_Key = tuple[str, str]  # environment and application, empty for none


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
    return Seen.OLD if _long_ago(host["observed_at"]) else Seen.CONFIRMED


def put_back(host: Row) -> bool:
    """Whether a host serves its release since a failed attempt put it back there."""
    return bool(host["last_state"] == State.RESTORED and host["since"] and host["since"] == host["last_at"])


@dataclass(frozen=True)
class Place:
    """One application in one environment: its hosts on the page, what serves there, what brought it, and what was last.

    ``application`` is empty where it need not be told: there is one alone.
    """

    name: str
    hosts: Sequence[Row]
    releases: Sequence[Row] = ()
    brought: Row | None = None
    last: Row | None = None
    newest: str | None = None  # the release of the newest attempt that was to bring one
    returns: bool = False  # that attempt went back: by a rollback, or to what was there before another that serves
    commits: int = 0  # that were new in it
    application: str = ""
    held: Sequence[Row] = ()  # who holds what of it, as far as that was told
    counted: frozenset[str] = frozenset()  # the hosts that its releases count; known where some are held
    told: frozenset[str] = frozenset()  # of the hosts that a hold refused its last attempt: known since it began
    failed: frozenset[str | None] = frozenset()  # what served before, and failed when it was last to be brought
    recorded: frozenset[str | None] = frozenset()  # what serves there by the registry, whether anybody doubts it or not
    unsure: Sequence[Row] = ()  # the hosts of which nobody knows what serves; no release of these counts them

    @property
    def known(self) -> int:
        """How many hosts there are."""
        return sum(int(each["hosts"]) for each in self.releases) + len(self.unsure)

    @property
    def serving(self) -> int:
        """How many hosts are known to serve what was brought; one that served something else when asked is not."""
        return self.serving_of(self.brought["release_id"]) if self.brought else 0

    def serving_of(self, release_id: str | None) -> int:
        """How many hosts are known to serve a release."""
        recorded = sum(int(each["hosts"]) for each in self.releases if each["release_id"] == release_id)
        unsure = {each["host"] for each in self.unsure}  # the releases do not count these
        drifted = [each for each in self.drifting if each["release_id"] == release_id and each["host"] not in unsure]
        return recorded - len(drifted)

    def became(self, release_id: str | None) -> str:
        """What became of a release that the registry has there: live on some, drifted from; empty where it is live."""
        if self._latest not in (None, release_id):
            return SOME
        if all(each["release_id"] != release_id for each in self.drifting):
            return ""
        return SOME if self.serving_of(release_id) else DRIFTED

    @property
    def doubts(self) -> list[tuple[tuple[str | None, ...], list[Row]]]:
        """What hosts may serve of which nobody knows, with these hosts."""
        found: dict[tuple[str | None, ...], list[Row]] = {}
        for each in self.unsure:
            found.setdefault(each["may"], []).append(each)
        return list(found.items())

    @property
    def split(self) -> bool:
        """Whether its hosts serve different releases, and nothing is being done about it."""
        return sum(each["release_id"] is not None for each in self.releases) > 1 and not self.at_work

    @property
    def uneven(self) -> bool:
        """Whether it is split, or some of its hosts serve nothing while others do."""
        return len(self.releases) > 1 and not self.at_work

    @property
    def at_work(self) -> bool:
        """Whether an attempt works on it."""
        return self.last is not None and self.last["state"] == AttemptState.RUNNING

    @property
    def went_wrong(self) -> bool:
        """Whether its newest attempt ended, and is not live."""
        return self.last is not None and self.last["state"] in _WRONG

    @property
    def mended(self) -> bool:
        """Whether its last attempt was a deploy to be made again once its cause is gone."""
        again = self.last is not None and self.last["kind"] == "deploy" and self.last["state"] != AttemptState.BROKEN
        return again and self.went_wrong and not self.uneven and not self.held

    @property
    def goes_on(self) -> bool:
        """Whether each host goes on with what was brought: its last attempt asked none of them in vain."""
        parts = self.last["hosts"] if self.last else ()
        asked = all(part["state"] != State.UNREACHABLE for part in parts)
        return asked and self.brought is not None and self.serving == self.known

    @property
    def whole(self) -> bool:
        """Whether its last attempt named each of its hosts."""
        named = {part["host"] for part in self.last["hosts"]} if self.last else set()
        return len(named) >= self.known and named.issuperset(host["host"] for host in self.hosts)

    @property
    def moved(self) -> bool:
        """Whether its last attempt was to bring a release."""
        return self.last is not None and self.last["kind"] not in IN_PLACE

    @property
    def blamed(self) -> bool:
        """Whether the release of its last attempt failed on a host where it was put in use."""
        parts = self.last["hosts"] if self.last and self.moved else ()
        return any(part["state"] in (State.RESTORED, State.NOT_RESTORED) for part in parts)

    @property
    def refused_by_hold(self) -> list[str]:
        """The hosts where somebody's hold refused the last attempt, where nobody told since it began who holds."""
        refused = _refused_by_hold(self.last) if self.last and not self.held else []
        return [host for host in refused if host not in self.told]

    @property
    def troubled(self) -> bool:
        """Whether something is being done about it, or has to be."""
        return bool(self.at_work or self.unsure or self.held or self.uneven or self.went_wrong or self.odd)

    @property
    def drifting(self) -> list[Row]:
        """The hosts that served something else when they were asked."""
        return [host for host in self.hosts if host["drift"]]

    @property
    def aside(self) -> str | None:
        """The release that the registry has of each host that drifts, where nothing else is wrong and none is held."""
        recorded = {host["release_id"] for host in self.drifting}
        busy = self.at_work or self.unsure or self.held or self.uneven or self.went_wrong
        return recorded.pop() if len(recorded) == 1 and not busy else None

    @property
    def unasked(self) -> list[Row]:
        """The hosts that did not say lately what they serve."""
        return [host for host in self.hosts if _long_ago(host["observed_at"])]

    @property
    def beyond(self) -> bool:
        """Whether some of its hosts are not on the page."""
        return len(self.hosts) < self.known

    @property
    def checked(self) -> str | None:
        """When each of its hosts had said what it serves; None where one never has."""
        times = [host["observed_at"] for host in self.hosts]
        return min(times) if times and None not in times else None

    @property
    def unchecked(self) -> str:
        """That not each of its hosts said what it serves since that came there, in words; empty where each did."""
        told = [host for host in self.hosts if seen(host) in (Seen.CONFIRMED, Seen.OLD)]
        if len(told) == len(self.hosts):
            return ""
        return f"not {'all ' if told else ''}checked {'since' if self.checked else 'yet'}"

    @property
    def stale(self) -> bool:
        """Whether all that is known of it was said long ago."""
        return len(self.hosts) == self.known > 0 and all(seen(host) == Seen.OLD for host in self.hosts)

    @property
    def well(self) -> bool:
        """Whether nothing is known to be wrong there, whatever is being done."""
        return not (self.unsure or self.drifting or self.went_wrong or self.empty or len(self.releases) > 1)

    @property
    def newer(self) -> Row | None:
        """The attempt that brought the newest release of a split, where it can be brought to the others."""
        return next((each["brought"] for each in self.releases if self.forward == each["release_id"]), None)

    @property
    def free(self) -> int:
        """How many of its hosts nobody is known to hold."""
        counted = self.counted.union(each["host"] for each in self.unsure)
        return self.known - len(counted.intersection(each["host"] for each in self.held))

    @property
    def empty(self) -> list[Row]:
        """The hosts that serve nothing."""
        return [host for host in self.hosts if _serves_nothing(host) and seen(host) not in (Seen.OPEN, Seen.DRIFT)]

    @property
    def tried(self) -> bool:
        """Whether the release to go back to was tried already: the last attempt could not restore it on a host."""
        back = self.back[0] if self.back else None
        parts = self.last["hosts"] if self.last else ()
        return any(part["state"] == State.NOT_RESTORED and part["previous"] == back for part in parts)

    @property
    def odd(self) -> list[Row]:
        """The hosts that need to be looked at by themselves."""
        wrong, named = (Seen.DRIFT, Seen.OPEN), {each["host"] for each in self.held} | self._failing
        return [host for host in self.hosts if _serves_nothing(host) or host["host"] in named or seen(host) in wrong]

    @property
    def _failing(self) -> set[str]:
        """The hosts where the last attempt failed."""
        parts = self.last["hosts"] if self.last and self.went_wrong else ()
        return {part["host"] for part in parts if part["state"] in _FAILED}

    @property
    def configured_at(self) -> str | None:
        """When a push gave the newest of them another configuration than the release came with; None: none did."""
        return max((host["configured_at"] for host in self.hosts if host["configured_at"]), default=None)

    @property
    def shown(self) -> Sequence[Row]:
        """The hosts that are shown unasked: all of few, else the odd ones, or the first of those."""
        few = _MORE if self.troubled and not self.odd else _FEW
        return self.hosts if len(self.hosts) <= few else self.odd[:_ODD]

    def on(self, release: Row) -> list[Row]:
        """The hosts that serve a release; none where not all of them are on the page."""
        found = [host for host in self.hosts if host["release_id"] == release["release_id"]]
        return found if len(found) == release["hosts"] else []

    @property
    def back(self) -> tuple[str, str] | None:
        """The release that one can go back to, and what that does: a split ends with the one that was there before.

        None while nobody knows what serves (an attempt goes on, or how one ended is not known), after an attempt that
        failed and left all hosts on the release before, and while somebody holds a host: that refuses it.
        """
        if self.at_work or self.unsure or (self.last and self.last["state"] in _UNSURE):
            return None
        if self.held:
            return None
        if self.returns and self._latest:
            return (self._latest, f"put all hosts back on {short(self._latest)}")
        if self.uneven:
            older = [each for each in self.releases if each["release_id"] not in (None, self.newest)]
            most = max(older, key=lambda each: int(each["hosts"]))["release_id"] if older else None
            return (most, f"put all hosts back on {short(most)}") if most else None
        if self.last and self.last["state"] == AttemptState.BROKEN:
            before = self._before(self.last)
            return (before, f"bring {short(before)} back, which served before") if before else None
        before = self._before(self.brought) if self.brought and not self.went_wrong else None
        return (before, f"go back to {short(before)}, which served before") if before else None

    @property
    def forward(self) -> str | None:
        """The newest release of a split, where a host serves it: it can be brought to the others."""
        return None if self.returns else self._latest

    @property
    def _latest(self) -> str | None:
        """The release of the newest attempt on a split, where a host serves it."""
        served = {each["release_id"] for each in self.releases}
        return self.newest if self.split and self.newest in served else None

    def called(self, release: Row) -> str:
        """What one release of a split is, as far as it is known which is the newer one."""
        if not self.forward or not release["release_id"]:
            return "split"
        return "new release" if release["release_id"] == self.forward else "old release"

    def _before(self, attempt: Row) -> str | None:
        """What served before an attempt, unless that failed: nobody is sent back there."""
        before = _before(attempt)
        return None if before in self.failed else before


def standing(reader: Reader) -> dict[str, Any]:
    """The values of the headline and of the tables of hosts."""
    hosts = reader.hosts(HOSTS)
    known, drifting = reader.host_counts()
    broken = reader.broken_hosts()
    wrong = [*broken, *(reader.hosts(HOSTS, drift=True).items if drifting and hosts.next else ())]
    shown = {host["host"]: host for host in (*hosts.items, *wrong)}
    held = [hold | {"serves": _surely(hold, shown.get(hold["host"]))} for hold in reader.every_hold()]
    environments = reader.environments()
    unanswered = _unanswered(reader, dict(shown))
    found = places(reader, [*shown.values()], held, unanswered)
    return {
        "running": reader.attempts(_RUNNING, state=AttemptState.RUNNING).items,
        "open": unanswered,
        "broken": [host for host in broken if not host["drift"] and seen(host) != Seen.OPEN],
        "known": known,
        "drifting": drifting,
        "unasked": reader.unasked_hosts(),
        "checked": None if hosts.next else max((host["observed_at"] or "" for host in shown.values()), default=""),
        "places": found,
        "became": _became(found),
        "titles": _titles(reader, [host["observed_release"] for place in found for host in place.drifting]),
        "held": held,
        "more_hosts": hosts.next and urlencode({"after": hosts.next}),
        "names": {"environment": environments, "host": [*shown]},
    }


def places(
    reader: Reader, hosts: Sequence[Row], held: Sequence[Row] = (), unanswered: Sequence[Row] = ()
) -> list[Place]:
    """Each application in each environment, with what serves there, those of these hosts and of those who hold some.

    Last is what has no environment.  A host of which an attempt is ``unanswered`` counts for no release.
    """
    serving = reader.serving()
    names = _names([*serving, *hosts, *held, *unanswered])
    released: dict[_Key, Counter[str | None]] = {}
    for each in serving:
        released.setdefault(_key(each, names), Counter())[each["release_id"]] += each["hosts"]
    shown: dict[_Key, list[Row]] = {}
    for host in sorted(hosts, key=lambda row: in_order(str(row["host"]))):
        shown.setdefault(_key(host, names), []).append(host)
    holds: dict[_Key, list[Row]] = {}
    for hold in held:
        holds.setdefault(_key(hold, names), []).append(hold)
    counted: dict[_Key, set[str]] = {}
    for target in reader.targets() if held else ():
        counted.setdefault(_key(target, names), set()).add(target["host"])
    unsure = _unsure(unanswered, names)
    keys = sorted({*shown, *released, *unsure}, key=lambda key: (reading_order(key[0]), key[1]))
    told = len(set().union(*names.values())) > 1  # whose it is
    unnamed = {(name, "") for name, own in names.items() if len(own) > 1}  # whose attempts would be anybody's
    found = (
        _place(reader, key, shown.get(key, []), released.get(key, Counter()), unsure.get(key, []), told, key in unnamed)
        for key in keys
    )
    return [
        replace(each, held=holds.get(key, []), counted=frozenset(counted.get(key, ())))
        for key, each in zip(keys, found, strict=True)
    ]


def _became(places: Sequence[Place]) -> Callable[[Row], str]:
    """Tells of an attempt what became of what it brought: no host serves it any more, or those alone of a split."""

    def became(attempt: Row) -> str:
        return next((each.became(attempt["release_id"]) for each in places if _there(attempt, each)), REPLACED)

    return became


def _there(attempt: Row, place: Place) -> bool:
    """Whether what an attempt brought serves in a place, as far as it is told whose both are."""
    own = not attempt["application"] or place.application in ("", attempt["application"])
    return own and place.name == (attempt["environment"] or "") and attempt["release_id"] in place.recorded


def _titles(reader: Reader, served: Iterable[str | None]) -> dict[str, Row | None]:
    """The newest attempt of each release that hosts served instead of the recorded one; None: there is none."""
    asked = list(dict.fromkeys(each for each in served if each))[:_TITLES]
    found = reader.brought(asked)
    return {each: found.get(each) for each in asked}


def _unsure(unanswered: Iterable[Row], names: Mapping[str, set[str]]) -> dict[_Key, list[Row]]:
    """The hosts of each place of which nobody knows what serves, with what it may serve: the recorded one first."""
    found: dict[_Key, dict[str, Row]] = {}
    for attempt in unanswered:
        hosts = found.setdefault(_key(attempt, names), {})
        for part in attempt["hosts"]:
            may = hosts[part["host"]]["may"] if part["host"] in hosts else (part["recorded"],)
            may += () if attempt["release_id"] in may else (attempt["release_id"],)
            told = {name: attempt[name] for name in ("environment", "application")}
            hosts[part["host"]] = {"host": part["host"], "counted": part["counted"], "may": may, **told}
    return {key: sorted(hosts.values(), key=lambda row: in_order(row["host"])) for key, hosts in found.items()}


def in_order(name: str) -> list[tuple[int, str]]:
    """What a host is sorted by: numbers in a name count as numbers, so that web2 comes before web10."""
    return [(int(piece), "") if piece.isdecimal() else (0, piece) for piece in re.split(r"(\d{1,9})", name)]


def _names(rows: Iterable[Row]) -> dict[str, set[str]]:
    """The applications in each environment, as far as they have a name."""
    found: dict[str, set[str]] = {}
    for each in rows:
        found.setdefault(each["environment"] or "", set()).update({each["application"] or ""} - _NOTHING)
    return found


def _key(row: Row, names: Mapping[str, set[str]]) -> _Key:
    """The environment and the application of a row; one that does not say whose it is belongs to the only one there."""
    environment = row["environment"] or ""
    own = names[environment]
    return environment, row["application"] or (next(iter(own)) if len(own) == 1 else "")


def _ranked(releases: Counter[str | None]) -> list[Row]:
    """The one on most hosts first; of equals the first by its id, and nothing last."""
    ordered = sorted(releases.items(), key=lambda each: (-each[1], each[0] is None, each[0] or ""))
    return [{"release_id": release_id, "hosts": count, "brought": None} for release_id, count in ordered]


def attempts_of(reader: Reader, release_id: str, environment: str | None = None) -> list[dict[str, Any]]:
    """The newest attempts of exactly that release; a release id written by other programs may be no sha at all."""
    try:
        found = reader.attempts(sha=release_id, environment=environment).items
        return [row for row in found if row["release_id"] == release_id]
    except InvalidInput:
        return []


def by_environment(hosts: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """The hosts of each environment; last those without one."""

    def environment(host: Row) -> str:
        return host["environment"] or ""

    ordered = sorted(hosts, key=lambda host: (reading_order(environment(host)), host["host"]))
    return [(name, list(group)) for name, group in groupby(ordered, environment)]


def _place(
    reader: Reader,
    key: _Key,
    hosts: list[Row],
    recorded: Counter[str | None],
    unsure: list[Row],
    told: bool,
    unnamed: bool,
) -> Place:
    name, application = key
    releases = _ranked(recorded - Counter(each["may"][0] for each in unsure if each["counted"]))
    if unnamed:
        return Place(name, hosts, releases, recorded=frozenset(recorded), unsure=unsure)
    where = (name or None, application or None)
    ranked = releases or _ranked(recorded)
    main = next((each["release_id"] for each in ranked if each["release_id"]), None)
    brought, last = reader.latest(*where, brought=main) if main else None, reader.latest(*where)
    newest = reader.latest(*where, moves=True) if len(releases) > 1 else None
    if len(releases) > 1:
        releases = [{**each, "brought": _brought(reader, where, each["release_id"])} for each in releases]
        releases.sort(key=lambda each: _age(each, newest))
    return Place(
        name,
        hosts,
        releases,
        brought,
        last,
        newest["release_id"] if newest else None,
        newest is not None and _returns(reader, where, newest, releases),
        reader.commit_count(brought["attempt"]) if brought else 0,
        application if told else "",
        told=frozenset(_told(reader, last) if last else ()),
        failed=frozenset(_failed(reader, where, attempt) for attempt in (brought, last) if attempt),
        recorded=frozenset(recorded),
        unsure=unsure,
    )


def _returns(reader: Reader, where: tuple[str | None, str | None], newest: Row, releases: Iterable[Row]) -> bool:
    """Whether an attempt went back: it rolled back, or another release that serves there was first brought later."""
    if newest["kind"] == "rollback":
        return True
    served = [each["release_id"] for each in releases if each["release_id"]]
    first = {each: _first(reader, where, each) for each in served} if len(served) > 1 else {}
    own = first.get(newest["release_id"])
    return bool(own and own < max(first.values()))


def _first(reader: Reader, where: tuple[str | None, str | None], release_id: str) -> str:
    """When the first attempt began that brought a release there; empty where none is known."""
    brought = (row for row in attempts_of(reader, release_id, where[0]) if _brings(row, *where))
    came = (row["started_at"] for row in brought if any(part["state"] == State.LIVE for part in row["hosts"]))
    return min(came, default="")


def _failed(reader: Reader, where: tuple[str | None, str | None], attempt: Row) -> str | None:
    """The release from before an attempt, where its own newest attempt to be brought there failed."""
    before = _before(attempt)
    brought = (row for row in (attempts_of(reader, before, where[0]) if before else []) if _brings(row, *where))
    newest = next(brought, None)
    return before if newest and any(part["state"] in _FAILED for part in newest["hosts"]) else None


def _refused_by_hold(attempt: Row) -> list[str]:
    """The hosts where somebody's hold refused an attempt."""
    parts = attempt["hosts"] if came_to(attempt) == HELD else ()
    return [part["host"] for part in parts if part["state"] == State.BUSY]


def _told(reader: Reader, last: Row) -> list[str]:
    """The hosts that a hold refused to an attempt, of which it was told since it began whether somebody holds them."""
    about = (last["application"] or "", last["started_at"])
    return [host for host in _refused_by_hold(last) if reader.hold_told(host, *about)]


def _brings(attempt: Row, environment: str | None, application: str | None) -> bool:
    """Whether an attempt was to bring its release to that environment, of that application."""
    ours = not application or attempt["application"] in ("", application)
    return ours and attempt["environment"] == environment and attempt["kind"] not in IN_PLACE


def _brought(reader: Reader, where: tuple[str | None, str | None], release_id: str | None) -> Row | None:
    """The attempt that brought a release there; None when nothing serves, or nobody knows."""
    return reader.latest(*where, brought=release_id) if release_id else None


def _age(release: Row, newest: Row | None) -> tuple[bool, bool, str]:
    """What the releases of an environment are sorted by: the one from before first, and nothing last."""
    release_id, brought = release["release_id"], release["brought"]
    last = newest is not None and newest["release_id"] == release_id
    return release_id is None, last, brought["started_at"] if brought else ""


def _before(attempt: Row) -> str | None:
    """What served before an attempt, on the first host where it was another release."""
    parts = attempt["hosts"]
    return next((part["previous"] for part in parts if part["previous"] not in (None, part["live"])), None)


def _surely(hold: Row, host: Row | None) -> str | None:
    """What a host serves of what is held there, as far as nobody doubts it."""
    own = host is not None and hold["application"] in ("", host["application"])
    found: str | None = host["release_id"] if host and own and seen(host) not in (Seen.DRIFT, Seen.OPEN) else None
    return found


def _long_ago(asked: str | None) -> bool:
    """Whether a host was never asked, or so long ago that its answer says nothing of today."""
    return asked is None or datetime.now(UTC) - datetime.fromisoformat(asked) > LATELY


def _serves_nothing(host: Row) -> bool:
    return bool(host["since"] and not host["release_id"])


def _switched(host: Mapping[str, Any]) -> str | None:
    """When something was put in use on a host last: a release, or a configuration for it."""
    found: str | None = host.get("configured_at") or host.get("since")
    return found


def _unanswered(reader: Reader, known: dict[str, Row]) -> list[dict[str, Any]]:
    """The attempts with a host whose end is not known and that no later one has switched; with these hosts alone.

    Each host tells what is ``recorded`` of it, and whether a release ``counted`` it; the rows of ``known`` hosts were
    read already, those of others are added.
    """
    left = ({**each, "hosts": _open_parts(reader, known, each)} for each in reader.unanswered())
    return [each for each in left if each["hosts"]]


def _open_parts(reader: Reader, known: dict[str, Row], attempt: Row) -> list[Row]:
    """The parts of an attempt whose end is not known."""
    parts = [part for part in attempt["hosts"] if part["state"] in _OPEN]
    for name in {part["host"] for part in parts}.difference(known):
        known[name] = reader.host(name) or {}
    rows = [(part, known[part["host"]]) for part in parts]
    return [_as_recorded(part, row, attempt) for part, row in rows if (_switched(row) or "") < attempt["started_at"]]


def _as_recorded(part: Row, row: Row, attempt: Row) -> Row:
    """A part, with what the registry says of its host; of another application it says nothing of this one."""
    own = not row.get("application") or not attempt["application"] or row["application"] == attempt["application"]
    recorded = row.get("release_id") if own else part["previous"]
    return {**part, "recorded": recorded, "counted": bool(row.get("since") if own else recorded)}
