"""The journal: what was written can be checked, and what was damaged shows."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from oroboros_deploy.host.journal import Journal
from oroboros_deploy.host.journal_entry import GENESIS, digest


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "journal.jsonl")
    for attempt in ("one", "two", "three"):
        journal.append({"attempt": attempt, "reason": "ünï ☃"})
    return journal


def broken(journal: Journal) -> list[int]:
    """The sequence numbers at which the chain does not hold."""
    entries = journal.entries()
    changed = [entry["seq"] for entry in entries if digest(entry) != entry["hash"]]
    unlinked = [after["seq"] for before, after in pairwise(entries) if after["previous"] != before["hash"]]
    return sorted({*changed, *unlinked})


def test_the_chain_holds(journal: Journal) -> None:
    """Each entry is numbered and carries the hash of the one before; the first starts from nothing."""
    entries = journal.entries()
    assert [(entry["seq"], entry["attempt"]) for entry in entries] == [(1, "one"), (2, "two"), (3, "three")]
    assert (entries[0]["previous"], broken(journal)) == (GENESIS, [])


def test_an_empty_journal_has_no_entries(tmp_path: Path) -> None:
    """Nothing was ever activated: that is not an error."""
    journal = Journal(tmp_path / "journal.jsonl")
    assert (journal.entries(), journal.has("one")) == ([], False)


def test_a_torn_last_line_is_dropped_and_written_over(journal: Journal) -> None:
    """A power cut in the middle of a line costs that line and nothing else."""
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + whole[:40])
    assert [entry["attempt"] for entry in journal.entries()] == ["one", "two", "three"]
    journal.append({"attempt": "four"})
    assert [entry["attempt"] for entry in journal.entries()] == ["one", "two", "three", "four"]
    assert (broken(journal), journal.path.read_bytes().startswith(whole)) == ([], True)


@pytest.mark.parametrize(("old", "new"), [(b'"two"', b'"2wo"'), (b"\\u00fc", b"u")])
def test_an_edited_line_is_found(journal: Journal, old: bytes, new: bytes) -> None:
    """Whoever changes an entry cannot keep its hash."""
    lines = journal.path.read_bytes().splitlines(keepends=True)
    edited = lines[1].replace(old, new)
    assert edited != lines[1]
    journal.path.write_bytes(lines[0] + edited + lines[2])
    assert broken(journal) == [2]


def test_a_removed_or_unreadable_line_is_found(journal: Journal) -> None:
    """A gap shows in the chain; an unreadable line does not make the rest unreadable."""
    lines = journal.path.read_bytes().splitlines(keepends=True)
    for instead in (b"", b"\0" * 80 + b"\n"):
        journal.path.write_bytes(lines[0] + instead + lines[2])
        assert ([entry["seq"] for entry in journal.entries()], broken(journal)) == ([1, 3], [3])
