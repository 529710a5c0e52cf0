"""What the hosts' journals say and the registry does not.  Pure: found by comparing, before anything is written.

A journal is the truth about its host as far as it can be trusted.  What none of them
says is not made up; it is listed among the doubts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from heapq import merge
from itertools import chain
from operator import attrgetter
from typing import Any

from ..outcome import State
from .history import Entry, History, HostJournal
from .record import HostRecord, Memory, Record, Row
from .status import IN_PROGRESS, SERVING, transitions

Parts = Mapping[str, Entry]  # how one attempt ended, by host


@dataclass(frozen=True)
class AttemptRepair:
    """An attempt as the registry should have it; ``before`` is its state there, None when it lacks it."""

    record: Record
    before: str | None


@dataclass(frozen=True)
class ServingRepair:
    """The release a host serves since an attempt; ``before`` and ``credited`` are the two that the registry has."""

    host: str
    release_id: str | None
    attempt: str
    since: str
    before: str | None
    credited: str | None
    application: str = ""
    root: str = ""
    target_id: str | None = None


@dataclass(frozen=True)
class RowRepair:
    """A row of `releases` as it should be, and as it is (None: there is none)."""

    release_id: str
    row: Row
    before: Row | None


Repair = AttemptRepair | ServingRepair | RowRepair


@dataclass(frozen=True)
class Doubt:
    """What cannot be known or was not trusted; ``host`` is None when it is about no single one."""

    host: str | None
    message: str


@dataclass(frozen=True)
class Repairs:
    """All that differs between the journals of ``hosts`` and the registry, and all that is doubtful.

    ``unread`` are the hosts that could not be asked; ``written`` is False when the registry
    was left as it is.
    """

    hosts: tuple[str, ...]
    attempts: tuple[AttemptRepair, ...]
    serving: tuple[ServingRepair, ...]
    rows: tuple[RowRepair, ...]
    doubts: tuple[Doubt, ...]
    unread: tuple[str, ...] = ()
    written: bool = False

    def __len__(self) -> int:
        return len(self.attempts) + len(self.serving) + len(self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def compare(memory: Memory, journals: Sequence[HostJournal]) -> Repairs:
    """What to change in the registry, so that it says what the journals say.

    A host on which something goes on is left alone, and so is an attempt whose control
    node still works on it.
    """
    return _Comparison(memory, journals).repairs()


class _Comparison:
    def __init__(self, memory: Memory, journals: Sequence[HostJournal]) -> None:
        self.memory = memory
        self.own = memory.own
        self.hosts = tuple(journal.host for journal in journals)
        self.doubts: list[Doubt] = []
        for attempt in sorted(memory.unreadable):
            self._doubt(f"the registry's rows of attempt {attempt} cannot be read; they are left as they are")
        self.histories = {journal.host: self._history(journal) for journal in journals if not self._busy(journal)}
        self.ended = self._by_attempt()

    def repairs(self) -> Repairs:
        records = {attempt: self._record(attempt) for attempt in [*self._silent(), *self.ended]}
        known = [record for record in records.values() if record]
        attempts = tuple(AttemptRepair(record, self._state(record)) for record in known if self._differs(record))
        serving = tuple(self._serving())
        serves = {**self.memory.serving, **{repair.host: repair.release_id for repair in serving}}
        rows = _Rows(self.memory, known, serves).repairs({repair.record.attempt for repair in attempts})
        return Repairs(self.hosts, attempts, serving, tuple(rows), tuple(dict.fromkeys(self.doubts)))

    def _doubt(self, message: str, host: str | None = None) -> None:
        self.doubts.append(Doubt(host, message))

    def _busy(self, journal: HostJournal) -> bool:
        alive = (self.own[attempt] for attempt in sorted(self.memory.alive & self.own.keys()))
        goes_on = next((f"attempt {record.attempt} goes on" for record in alive if record.part(journal.host)), None)
        if busy := journal.busy or goes_on:
            self._doubt(f"left alone: {busy}", journal.host)
        return busy is not None

    def _history(self, journal: HostJournal) -> History:
        history = History(journal)
        for message in history.doubts:
            self._doubt(message, history.host)
        name = self.memory.names.last.get(journal.target or "", journal.host)
        if name != journal.host:
            self._doubt(f"the registry knows this target as {name}, another name of the same host", journal.host)
        parts = ((attempt, self._own_part(record, history)) for attempt, record in self.own.items())
        for attempt in (attempt for attempt, part in parts if part and part.switched and not history.has(attempt)):
            self._doubt(f"its journal does not have attempt {attempt}; the registry has it, and keeps it", history.host)
            history.whole = False
            # The registry knows of a later switch: this is no journal of what serves now.
            history.ends_well &= self.memory.credited.get(history.host) != attempt
        return history

    def _own_part(self, record: Record, history: History) -> HostRecord | None:
        """This target's part, unless another target had its name then."""
        part = record.part(history.host)
        other = part and part.target_id and history.target and part.target_id != history.target
        return None if other else part

    def _by_attempt(self) -> dict[str, Parts]:
        """How each attempt ended, those first that ended first.

        The order of each journal stands; clocks decide only between hosts.
        """
        found: dict[str, Parts] = {}
        for entry in merge(*(history.entries for history in self.histories.values()), key=attrgetter("at")):
            entry = self._as_known(entry)
            left_alone = entry.attempt in self.memory.alive | self.memory.unreadable
            if not left_alone and not self._by_another_name(entry):
                found[entry.attempt] = {**found.pop(entry.attempt, {}), entry.part.host: entry}
        return found

    def _as_known(self, entry: Entry) -> Entry:
        """The entry by the name that the registry has for this target in that attempt."""
        known, own = self.memory.records.get(entry.attempt), entry.part.target_id
        names = [part.host for part in known.hosts if own and part.target_id == own] if known else []
        return replace(entry, part=replace(entry.part, host=names[0])) if names else entry

    def _by_another_name(self, entry: Entry) -> bool:
        """Whether the attempt called this host by a name that the registry, or another journal, goes by."""
        host, known = entry.part.host, self.memory.records.get(entry.attempt)
        if known is None:
            return entry.origin.get("host", host) != host and entry.origin["host"] in self.histories
        if known.part(host) or host in entry.origin.get("hosts", ()):
            return False
        names = ", ".join(part.host for part in known.hosts)
        self._doubt(f"some of its attempts are known as those of {names}: another name of the same host?", host)
        return True

    def _silent(self) -> list[str]:
        """The attempts without a known end that no journal has."""
        records = self.own.values()
        return [each.attempt for each in records if self._unsettled(each) and each.attempt not in self.ended]

    def _unsettled(self, record: Record) -> bool:
        return record.attempt not in self.memory.alive and (record.finished_at is None or not record.settled)

    def _record(self, attempt: str) -> Record | None:
        """The attempt as it should be remembered, None when it is not known how it ended everywhere."""
        ends = self.ended.get(attempt, {})
        known = self.memory.records.get(attempt) or _new(attempt, ends, self.memory.application)
        parts = [self._part(host, known, ends) for host in _names(known, ends)]
        record = replace(known, hosts=tuple(part for part in parts if part))
        if not record.settled:
            where = ", ".join(part.host for part in record.hosts if part.open)
            self._doubt(f"it is not known how attempt {attempt} ended on {where}")
            return None
        if self._unsettled(known):
            record = replace(record, finished_at=self._end(known, ends))
        return replace(record, migration_marker=record.migration_marker or _marker(record))

    def _part(self, host: str, known: Record, ends: Parts) -> HostRecord | None:
        """A host's part: by its journal, else as it is known, else as one that switched nothing."""
        part = known.part(host)
        if host in ends:
            return _merged(part, ends[host].part)
        if part and not part.open:
            return part
        history = self.histories.get(host)
        if history and history.whole:
            return _untouched(part or HostRecord(host), known, history, ends)
        if part is None:
            what = "other hosts' journals say that attempts went to this host, too; how they ended here is not known"
            self._doubt(what, host)
        return part

    def _end(self, known: Record, ends: Parts) -> str | None:
        """When an attempt ended: on its last host, else when its control node was last heard of."""
        times = [max(ends.values(), key=attrgetter("at")).time] if ends else []
        return next(iter(times), known.finished_at or self.memory.seen.get(known.attempt, known.started_at))

    def _state(self, record: Record) -> str | None:
        known = self.memory.records.get(record.attempt)
        return str(known.state) if known else None

    def _differs(self, record: Record) -> bool:
        known = self.memory.records.get(record.attempt)
        return known is None or self._unsettled(known) or any(map(_news, record.hosts, map(known.part, _hosts(record))))

    def _serving(self) -> Iterator[ServingRepair]:
        """The hosts of which the registry knows another release than their journal ends on."""
        for host, history in self.histories.items():
            last = history.last_switch()
            if last is None or not history.ends_well:
                continue
            if history.live != last.serves and last.part.state != State.NOT_RESTORED:
                said = f"by the last switch in its journal {last.serves or 'nothing'} is live"
                what = f"the link `current` names {history.live or 'nothing'}, but {said}"
                self._doubt(f"{what}: for the registry the journal counts", host)
            name = self.memory.names.last.get(history.target or "", host)
            before = self.memory.serving.get(name)
            if before != last.serves or name not in self.memory.serving:
                credited = self.memory.credited.get(name)
                own, root = self.memory.application or "", self.memory.root or ""
                yield ServingRepair(
                    host, last.serves, last.attempt, last.time, before, credited, own, root, history.target
                )


def _new(attempt: str, ends: Parts, application: str | None) -> Record:
    """An attempt that the registry lacks, as far as its hosts tell."""
    first = next(iter(ends.values()))
    origin = first.origin
    return Record(
        attempt=attempt,
        kind=first.kind,
        release_id=first.target,
        commit_sha=first.target,
        environment=origin.get("environment"),
        actor=first.actor,
        control_node=origin.get("control_node", ""),
        tool_version=origin.get("tool_version", ""),
        started_at=origin.get("started_at") or min(ends.values(), key=attrgetter("at")).time,
        application=application or "",
    )


def _names(known: Record, ends: Parts) -> Iterable[str]:
    """The hosts that an attempt was for, as the registry or the hosts themselves have them."""
    told = [entry.origin.get("hosts", [host]) for host, entry in ends.items()]
    return dict.fromkeys([*_hosts(known), *chain.from_iterable(told), *ends])


def _hosts(record: Record) -> list[str]:
    return [part.host for part in record.hosts]


def _merged(part: HostRecord | None, said: HostRecord) -> HostRecord:
    """What the host says, with what only the control node could see; of what went well no output is kept."""
    if part is None:
        return said
    log = None if said.state == State.LIVE else part.log
    return replace(said, seconds={**said.seconds, **part.seconds}, log=log)


def _untouched(part: HostRecord, known: Record, history: History, ends: Parts) -> HostRecord:
    """The part of a host whose journal is whole and does not have the attempt."""
    served = history.last_switch(until=datetime.fromisoformat(known.started_at).timestamp())
    live = served.serves if served else None
    state, message = State.INTERRUPTED, "nothing was switched: the host's journal does not have this attempt"
    if known.moves and live == known.release_id:
        state, message = State.ALREADY_LIVE, f"{live} was live already"
    elif any(not entry.part.ok for entry in ends.values()):
        state = State.SKIPPED
    return replace(part, state=str(state), live=live, previous=live, message=message)


def _news(new: HostRecord, known: HostRecord | None) -> bool:
    if known is None or (new.state, new.live, new.previous) != (known.state, known.live, known.previous):
        return True
    return known.configuration is None and new.configuration is not None  # an earlier version did not record it


def _marker(record: Record) -> str | None:
    return next((part.migration_marker for part in record.hosts if part.migration_marker), None)


def _broken_by_a_push(records: Iterable[Record], serving: Mapping[str, str | None]) -> dict[str, str | None]:
    """The releases that are live, and not known to serve, where a push could not be taken back: their rows stay."""
    pushes = (record for record in records if not record.moves)
    parts = (part for record in pushes for part in record.hosts if part.state == State.NOT_RESTORED)
    return {f"broken {part.host}": part.previous for part in parts if not serving.get(part.host, "unknown")}


class _Rows:
    """What the rows of `releases` should say, after the attempts whose records come in the order they ended."""

    def __init__(self, memory: Memory, records: Sequence[Record], serving: Mapping[str, str | None]) -> None:
        self.memory = memory
        self.of: dict[str, list[Record]] = {}  # the attempts at each release
        self.served = {*serving.values(), *memory.elsewhere}
        self.status: dict[str, str] = {}
        self.by: dict[str, str] = {}  # the attempt whose word is the last on a release
        everywhere = {**serving, **{f"elsewhere {release}": release for release in memory.elsewhere}}
        everywhere |= _broken_by_a_push(records, serving)
        self.served |= {*everywhere.values()}
        for record in filter(attrgetter("moves"), records):
            self.of.setdefault(record.release_id, []).append(record)
            before = self.status.get(record.release_id, self._now(record.release_id))
            before = memory.intents.get(record.attempt) if before in IN_PROGRESS else before
            changed = dict(transitions(record, everywhere, before))
            self.status |= changed
            self.by |= dict.fromkeys(changed, record.attempt)

    def repairs(self, news: Collection[str]) -> Iterator[RowRepair]:
        """The rows that contradict what is served, that lack something, or on which the last word is news.

        ``news`` are the attempts that the registry is told of now.  A release that no attempt of
        the journals was for gets no row: its commit is not known.  One whose attempt has not
        come to a known end is left alone.
        """
        unsettled = (r for r in self.memory.records.values() if not (r.finished_at and r.settled))
        left_alone = {record.release_id for record in unsettled if record.attempt not in news}
        for release, status in self.status.items():
            before = self.memory.rows.get(release)
            if release in left_alone or (before is None and release not in self.of):
                continue
            keeps = before is not None and not self._contradicts(release) and self.by[release] not in news
            row = self._filled(release, before.status if before and keeps else status)
            if row != before:
                yield RowRepair(release, row, before)

    def _filled(self, release: str, status: str) -> Row:
        """The row with this status, and with what it lacks: when it was first live, and its marker."""
        own = self.of.get(release, [])
        live = (record.finished_at for record in own if any(part.ok for part in record.hosts))
        markers = (record.migration_marker for record in reversed(own) if record.migration_marker)
        before = self.memory.rows.get(release) or Row(status, None, None)
        return Row(status, before.deployed_at or next(live, None), before.migration_marker or next(markers, None))

    def _now(self, release: str) -> str | None:
        row = self.memory.rows.get(release)
        return row.status if row else None

    def _contradicts(self, release: str) -> bool:
        now = self._now(release)
        return now in IN_PROGRESS or (now in SERVING) != (release in self.served)
