"""The host's own record of what was done to it: append-only, each line sealed by a hash over the one before.

Attempts are recorded when they end, holds when they begin and when they end.  Beside it,
``journal.head`` holds the number and hash of the last line: without it nobody would
miss lines cut from the end.  A power cut leaves the head behind, never ahead.
"""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path

from . import durable, lock
from .annotations import TYPE_CHECKING, Iterator, List, Optional, cast
from .constants import ATTEMPTS
from .journal_entry import GENESIS, chained, digest, head_of, line_of, parse

if TYPE_CHECKING:
    from .contract import JournalEntry, JournalHead

WAIT = 30.0  # seconds for somebody else's line to reach the disk


class Journal:
    """The file, oldest entry first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head_path = path.with_suffix(".head")

    def lines(self) -> List[bytes]:
        """The whole lines; a last one without its end was torn by a power cut and is none."""
        return self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []

    def entries(self) -> List[JournalEntry]:
        """All entries that can be read; the chain of hashes shows where a damaged one is left out."""
        return [entry for entry in map(parse, self.lines()) if entry is not None]

    def attempts(self) -> List[JournalEntry]:
        """The entries of finished attempts."""
        return [entry for entry in self.entries() if entry.get("kind") in ATTEMPTS]

    def committed(self) -> Optional[str]:
        """The release that was committed last, None when none was."""
        return next((each["target"] for each in reversed(self.attempts()) if each["outcome"] == "committed"), None)

    def head(self) -> Optional[JournalHead]:
        """Number and hash of the last entry as they were noted apart; None when that cannot be read."""
        noted = chained(self.head_path.read_bytes()) if self.head_path.exists() else None
        return cast("Optional[JournalHead]", noted)

    def last(self) -> JournalHead:
        """What the next entry follows: the last one, or the head when that knows of a later or another one.

        After the head a gap or a break stays in the chain, where the last line that was
        left would close it over what is missing.
        """
        newest = next(filter(None, map(parse, reversed(self.lines()))), None)
        last: JournalHead = head_of(newest) if newest else {"seq": 0, "hash": GENESIS}
        head = self.head()
        return head if head and head["seq"] >= last["seq"] else last

    def newest(self) -> Optional[JournalHead]:
        """Number and hash of the last entry; None when there is none."""
        last = self.last()
        return last if last["seq"] else None

    def append(self, entry: JournalEntry) -> JournalEntry:
        """Add one entry with its sequence number and hash; returns it as written."""
        with self._alone():
            last = self.last()
            entry = {**entry, "seq": last["seq"] + 1, "previous": last["hash"]}
            entry["hash"] = digest(entry)
            durable.append(self.path, line_of(entry) + b"\n")
            durable.sync_directory(self.path.parent)
            with contextlib.suppress(OSError):  # the line is what counts, and a head may be behind
                durable.write_json(self.head_path, head_of(entry), lasting=False)
        return entry

    def has(self, attempt: str) -> bool:
        """Whether an attempt is recorded."""
        named = filter(lambda line: attempt.encode() in line, self.lines())
        return any(entry.get("attempt") == attempt for entry in filter(None, map(parse, named)))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """The begin and the end of a hold are written while an activation runs."""
        held = self.path.with_suffix(".lock")
        try:
            with lock.take(held, wait=WAIT):
                yield
        except lock.Held:  # not to be taken for the lock of an activation
            what = f"another process has held the lock {held} for {WAIT:g} s (lslocks on the host names it)"
            raise OSError(errno.EBUSY, what, str(self.path)) from None
