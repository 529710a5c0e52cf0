"""The audit call: reads the journal, and finds where it is not what was written."""

from __future__ import annotations

from .annotations import TYPE_CHECKING, List, NamedTuple, Optional, cast
from .journal import Journal
from .journal_entry import GENESIS, digest, head_of, line_of, parse
from .layout import Layout

if TYPE_CHECKING:
    from .contract import AuditAnswer, AuditRequest, JournalEntry, JournalHead, WrongLine


class Wrong(NamedTuple):
    """The first line of a journal that is not what was written, and what is wrong with it."""

    line: int
    what: str


def audit(layout: Layout, request: AuditRequest) -> AuditAnswer:
    """The last ``limit`` entries; with ``verify`` also the first wrong line of all.

    ``seen`` is what the asker remembers of an earlier look: number and hash of the entry that was the last then.
    """
    journal = Journal(layout.journal)
    entries = journal.entries()
    wrong = verify(journal, request.get("seen")) if request["verify"] else None
    return {
        "entries": entries[max(0, len(entries) - request["limit"]) :],
        "count": len(entries),
        "head": journal.newest(),
        "verified": bool(request["verify"]),
        "wrong": cast("WrongLine", wrong._asdict()) if wrong else None,
    }


def verify(journal: Journal, seen: Optional[JournalHead] = None) -> Optional[Wrong]:
    """The first line that is wrong by the chain of hashes, by the head kept apart, or by what was ``seen`` before."""
    lines, kept = journal.lines(), journal.head()
    if kept is None and len(lines) > 1:
        lost = f"may have been cut off: {journal.head_path.name}, which names the last entry, is gone"
        return _chain(lines) or Wrong(len(lines) + 1, lost)
    return (
        _chain(lines)
        or _reaches(lines, kept, "was written")
        or _reaches(lines, seen, "was seen before by this control node")
    )


def _chain(lines: List[bytes]) -> Optional[Wrong]:
    before: JournalHead = {"seq": 0, "hash": GENESIS}
    for number, line in enumerate(lines, 1):
        entry = parse(line)
        fault = "cannot be read" if entry is None else _fault(entry, line, before)
        if fault:
            return Wrong(number, fault)
        assert entry is not None
        before = head_of(entry)
    return None


def _fault(entry: JournalEntry, line: bytes, before: JournalHead) -> Optional[str]:
    if digest(entry) != entry["hash"] or line_of(entry) != line:
        return "was edited: it does not fit its hash"
    if entry["seq"] != before["seq"] + 1:
        return f"holds entry {entry['seq']} where entry {before['seq'] + 1} belongs: cut, or in another order"
    if entry.get("previous") != before["hash"]:
        return f"does not follow entry {before['seq']} as it stands: that one was replaced"
    return None


def _reaches(lines: List[bytes], anchor: Optional[JournalHead], how: str) -> Optional[Wrong]:
    """Whether a whole chain holds an entry that is known to have been there."""
    if anchor is None or anchor["seq"] == 0:
        return None
    number = anchor["seq"]
    if number > len(lines):
        return Wrong(len(lines) + 1, f"is missing: entry {number} {how}, so the end was cut off")
    entry = parse(lines[number - 1])
    if entry is None or entry["hash"] != anchor["hash"]:
        return Wrong(number, f"holds an entry {number} that differs from the one that {how}: that one was replaced")
    return None
