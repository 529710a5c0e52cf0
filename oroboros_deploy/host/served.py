"""When each release served here first, and whether it passed its gate: what a way back is chosen by."""

from __future__ import annotations

from . import records
from .annotations import TYPE_CHECKING, Dict, List
from .journal import Journal
from .layout import Layout

if TYPE_CHECKING:
    from .contract import JournalEntry, ReleaseFacts


def told(layout: Layout, releases: List[ReleaseFacts]) -> List[ReleaseFacts]:
    """The facts of releases, with how each of them served."""
    entries = Journal(layout.journal).attempts()
    committed, left, undone = first_commits(entries), first_left(entries), rolled_back(entries)
    found = (_told(layout, each, committed, left) for each in releases)
    return [{**each, "undone": undone.get(each["id"])} for each in found]


def first_commits(entries: List[JournalEntry]) -> Dict[str, int]:
    """By release the place of the entry that committed it first: twice its number, so that there is one before it."""
    places: Dict[str, int] = {}
    for entry in entries:
        if entry["outcome"] == "committed":
            places.setdefault(entry["target"], 2 * entry["seq"])
    return places


def first_left(entries: List[JournalEntry]) -> Dict[str, int]:
    """By release the place right before the first attempt that found it live."""
    places: Dict[str, int] = {}
    for entry in entries:
        if entry["source"]:
            places.setdefault(entry["source"], 2 * entry["seq"] - 1)
    return places


def rolled_back(entries: List[JournalEntry]) -> Dict[str, float]:
    """By release when a rollback left it, where nobody made it live since (Unix time)."""
    undone: Dict[str, float] = {}
    for entry in entries:
        if entry["outcome"] == "committed":
            if entry["kind"] == "rollback" and entry["source"]:
                undone[entry["source"]] = entry["at"]
            undone.pop(entry["target"], None)
    return undone


def _told(layout: Layout, facts: ReleaseFacts, committed: Dict[str, int], left: Dict[str, int]) -> ReleaseFacts:
    release_id = facts["id"]
    places = [committed.get(release_id)] + ([left.get(release_id)] if facts["state"] == "adopted" else [])
    return {
        **facts,
        "gate": records.gate_passed(layout, release_id) if release_id in committed else "never",
        "first": min((place for place in places if place is not None), default=None),
    }
