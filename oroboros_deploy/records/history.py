"""What a host's journal says, as far as it can be trusted.  Pure.

An entry counts when its own hash is right and it follows the entry before it.
Whatever else is found is a doubt, told in words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from ..control.plan import unfinished
from ..host.constants import ATTEMPTS
from ..host.journal_entry import GENESIS, digest
from ..outcome import Kind, State, ended
from .record import HostRecord

if TYPE_CHECKING:
    from ..host.contract import ActivationEnd, Changes, Facts, FinalPhase, JournalEntry, JournalHead, Origin

_SKEW = 60.0  # seconds by which a host's clock may differ from ours without a word
_ATTEMPT = re.compile(r"[\w.-]{1,100}", re.ASCII)
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class HostJournal:
    """What one host says of itself.

    ``entries`` are those of its journal as they were read, oldest first: what a journal entry has to be, but a
    host may say anything.  ``live`` is the release that
    `current` names, ``last`` the attempt of its last activation and ``head`` the number of the entry
    that was the last when it was written.  ``busy`` says what goes on there
    or was interrupted, None when it is quiet; ``ahead`` is by how many seconds its clock is.  ``target`` is the id
    that the host has minted, None where it has none.
    """

    host: str
    entries: Sequence[JournalEntry]
    live: str | None = None
    last: str | None = None
    head: int = 0
    busy: str | None = None
    ahead: float = 0.0
    target: str | None = None


def of_facts(
    host: str, facts: Facts, entries: Sequence[JournalEntry], ahead: float, target: str | None = None
) -> HostJournal:
    """The journal of a host whose facts were read with it."""
    last, busy = facts["last"], None
    if facts["running"] is not None:
        busy = "an activation goes on there"
    elif last is not None and unfinished(last):
        busy = f"attempt {last['attempt']} was interrupted there, and the next deploy settles it"
    head = facts["head"]["seq"] if facts["head"] else 0
    return HostJournal(host, entries, facts["live"], last and last["attempt"], head, busy, ahead, target)


@dataclass(frozen=True)
class Entry:
    """One trusted entry: how an attempt ended on this host, at Unix time ``at`` of its clock.

    ``origin`` is what the entry keeps of the attempt as a whole; empty in entries of earlier versions of
    oroboros_deploy.
    """

    attempt: str
    kind: Kind
    target: str
    actor: str
    at: float
    origin: Origin
    part: HostRecord

    @property
    def time(self) -> str:
        """When it ended, as ISO 8601."""
        return _moment(self.at).isoformat()

    @property
    def serves(self) -> str | None:
        """The release that the host served from then on, where it was switched."""
        return self.target if self.part.ok else self.part.live if self.part.state == State.RESTORED else None


class History:
    """A journal's trusted entries, oldest first, and what is doubtful about the rest."""

    def __init__(self, journal: HostJournal) -> None:
        self.host = journal.host
        self.live = journal.live
        self.target = journal.target
        self.entries: list[Entry] = []
        self._attempts: set[str] = set()
        self.doubts: list[str] = []
        self.ends_well = True  # the last entry is there and can be trusted
        self._read(journal)
        self._check_end(journal)
        self.whole = not self.doubts  # so what it does not have did not happen
        self._check_clock(journal.ahead)

    def has(self, attempt: str) -> bool:
        """Whether the attempt changed, or tried to change, what this host serves."""
        return attempt in self._attempts

    def last_switch(self, until: float = float("inf")) -> Entry | None:
        """The last entry that switched, or tried to, until that time."""
        switches = (entry for entry in reversed(self.entries) if entry.part.switched)
        return next((entry for entry in switches if entry.at <= until), None)

    def _read(self, journal: HostJournal) -> None:
        before: JournalEntry | JournalHead = {"seq": 0, "hash": GENESIS}
        for said in journal.entries:
            damage = _damage(said, before)
            self.ends_well = damage is None
            if damage:
                self.doubts.append(f"entry {_number(said)} of its journal {damage}; it is not trusted")
            elif said.get("kind") in ATTEMPTS:
                self._add(said, journal)
            before = said if isinstance(said, dict) else before

    def _add(self, said: JournalEntry, journal: HostJournal) -> None:
        try:
            entry = _entry(journal, said)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            self.ends_well = False
            self.doubts.append(f"entry {_number(said)} of its journal is not understood; it is left out")
        else:
            self.entries.append(entry)
            self._attempts.add(entry.attempt)

    def _check_end(self, journal: HostJournal) -> None:
        end = journal.entries[-1]["seq"] if journal.entries else 0
        if journal.head > end:
            self.ends_well = False
            self.doubts.append(f"its journal ends with entry {end} and once had {journal.head}")
        if journal.last is not None and not self.has(journal.last):
            self.ends_well = False
            self.doubts.append(f"its last attempt, {journal.last}, is not in what can be trusted of its journal")

    def _check_clock(self, ahead: float) -> None:
        if abs(ahead) > _SKEW:
            way = "ahead of" if ahead > 0 else "behind"
            self.doubts.append(
                f"its clock is {abs(ahead):.0f} s {way} this machine's: when things happened there, "
                "and what came first on which host, is by that clock"
            )


def _damage(said: JournalEntry, before: JournalEntry | JournalHead) -> str | None:
    if not isinstance(said, dict) or digest(said) != said.get("hash"):
        return "was changed after it was written"
    if (said.get("seq"), said.get("previous")) != (before.get("seq", 0) + 1, before.get("hash")):
        return "does not follow the one before it: entries are missing, or in another order"
    return None


def _entry(journal: HostJournal, said: JournalEntry) -> Entry:
    """The entry; ValueError and its like when it does not say what it has to, for a host may say anything."""
    origin: Origin = said.get("origin") or {}
    releases = [each for each in (said["target"], said["source"]) if each is not None]
    texts = [said["actor"], said["reason"], said["migration_marker"] or "", *_texts(origin, journal.host)]
    wrong = [not _ATTEMPT.fullmatch(said["attempt"]), said["target"] is None, not all(map(_SHA.fullmatch, releases))]
    if any(wrong) or not all(isinstance(text, str) for text in texts):
        raise ValueError(said)
    _moment(said["at"])
    kind = cast(Kind, said["kind"])
    return Entry(said["attempt"], kind, said["target"], said["actor"], said["at"], origin, _part(journal, said))


def _texts(origin: Origin, host: str) -> list[object]:
    """All texts of an origin; its time is one that can be stored."""
    if "started_at" in origin and datetime.fromisoformat(origin["started_at"]).tzinfo is None:
        raise ValueError(origin)
    environment = origin.get("environment")
    return [
        "" if environment is None else environment,
        *origin.get("hosts", ()),
        origin.get("host", host),
        origin.get("control_node", ""),
        origin.get("tool_version", ""),
    ]


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _part(journal: HostJournal, said: JournalEntry) -> HostRecord:
    """The host's part in the attempt, as a deploy records it; of the wall times only those that the host took."""
    seconds = said["seconds"]
    # An earlier version did not write whether anything was switched; what was, was gone back from.
    known: ActivationEnd = {
        "target": said["target"],
        "source": said["source"],
        "phase": cast("FinalPhase", said["outcome"]),
        "seconds": seconds,
        "reason": said["reason"],
        "transcript": "",
        "migration_marker": said["migration_marker"],
        "switched": said.get("switched", "restoring" in seconds),
        "ran": said.get("ran"),
        "foreign": said.get("foreign"),
        "configuration": said.get("configuration"),  # what is in use at the end, whichever that was
        "configuration_before": said.get("configuration"),
        "names": said.get("names"),
    }
    end = ended(journal.host, known, "the attempt's directory")
    return HostRecord(
        host=journal.host,
        state=str(end.state),
        live=end.live,
        previous=end.previous,
        message=end.message,
        seconds={"activate": round(sum(seconds.values()), 3), **end.seconds},
        migration_marker=end.migration_marker,
        target_id=journal.target,
        configuration=_text(end.configuration),
        names=_changes(end.names),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _changes(names: object) -> Changes | None:
    """The names that an attempt changed, as far as they are such; a host may say anything."""
    found = names if isinstance(names, dict) else {}
    lists = [found.get(key) for key in ("added", "changed", "removed")]
    if not all(isinstance(each, list) and all(isinstance(name, str) for name in each) for each in lists):
        return None
    return {"added": found["added"], "changed": found["changed"], "removed": found["removed"]}


def _number(said: JournalEntry) -> object:
    return said.get("seq", "?") if isinstance(said, dict) else "?"
