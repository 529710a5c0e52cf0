"""The audit call: reads the journal, and finds where it is not what was written."""

from __future__ import annotations

from .annotations import Any, Dict, List, NamedTuple, Optional
from .journal import GENESIS, Entry, Journal, digest, line_of, parse
from .layout import Layout


class Wrong(NamedTuple):
    """The first line of a journal that is not what was written, and what is wrong with it."""

    line: int
    what: str


def audit(layout: Layout, request: Dict[str, Any]) -> Dict[str, Any]:
    """The last ``limit`` entries; with ``verify`` also the first wrong line of all.

    ``seen`` is what the asker remembers of an earlier look: number and hash of the entry that was the last then.
    """
    journal = Journal(layout.journal)
    entries = journal.entries()
    wrong = verify(journal, request.get("seen")) if request["verify"] else None
    return {
        "entries": entries[max(0, len(entries) - request["limit"]) :],
        "count": len(entries),
        "head": head(journal),
        "verified": bool(request["verify"]),
        "wrong": wrong._asdict() if wrong else None,
    }


def head(journal: Journal) -> Optional[Entry]:
    """Number and hash of the journal's last entry, None when it has none."""
    last = journal.last()
    return {"seq": last["seq"], "hash": last["hash"]} if last["seq"] else None


def verify(journal: Journal, seen: Optional[Entry] = None) -> Optional[Wrong]:
    """The first line that is wrong by the chain of hashes, by the head kept apart, or by what was ``seen`` before."""
    lines, kept = journal.lines(), journal.head()
    if kept is None and len(lines) > 1:
        return _chain(lines) or Wrong(len(lines) + 1, f"{journal.head_path.name} is gone: a cut would not show")
    return _chain(lines) or _reaches(lines, kept, "was written") or _reaches(lines, seen, "was seen from here")


def _chain(lines: List[bytes]) -> Optional[Wrong]:
    before: Entry = {"seq": 0, "hash": GENESIS}
    for number, line in enumerate(lines, 1):
        entry = parse(line)
        fault = "cannot be read" if entry is None else _fault(entry, line, before)
        if fault:
            return Wrong(number, fault)
        assert entry is not None
        before = entry
    return None


def _fault(entry: Entry, line: bytes, before: Entry) -> Optional[str]:
    if digest(entry) != entry["hash"] or line_of(entry) != line:
        return "was edited: it does not fit its hash"
    if entry["seq"] != before["seq"] + 1:
        return f"holds entry {entry['seq']} where entry {before['seq'] + 1} belongs: cut, or in another order"
    if entry.get("previous") != before["hash"]:
        return f"does not follow entry {before['seq']} as it stands: that one was replaced"
    return None


def _reaches(lines: List[bytes], anchor: Optional[Entry], how: str) -> Optional[Wrong]:
    """Whether a whole chain holds an entry that is known to have been there."""
    if anchor is None or anchor["seq"] == 0:
        return None
    number = anchor["seq"]
    if number > len(lines):
        return Wrong(len(lines) + 1, f"is missing: the end was cut off, for entry {number} {how}")
    entry = parse(lines[number - 1])
    if entry is None or entry["hash"] != anchor["hash"]:
        return Wrong(number, f"holds another entry {number} than the one that {how}: written anew from there")
    return None
