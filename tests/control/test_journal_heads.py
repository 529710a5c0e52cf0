"""What this machine remembers of a host's journal."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from oroboros_deploy.control.journal_heads import JournalHeads

ROOT = "/srv/app"
WHERE = {"host": "web1", "root": ROOT}


def head(seq: int) -> dict[str, object]:
    return {"seq": seq, "hash": f"hash {seq}"}


def test_only_a_later_entry_takes_the_place(tmp_path: Path) -> None:
    """A host whose journal became shorter does not make this machine forget."""
    heads = JournalHeads(tmp_path / "journals")
    assert heads.seen("web1", ROOT) is None
    for seq in (3, 5, 4, 1):
        heads.note("web1", ROOT, head(seq))
    heads.note("web1", ROOT, None)
    assert heads.seen("web1", ROOT) == {"host": "web1", "root": ROOT, **head(5)}


def test_each_host_and_root_has_its_own(tmp_path: Path) -> None:
    """Whatever characters are in their names."""
    heads = JournalHeads(tmp_path)
    places = [("web1", ROOT), ("web2", ROOT), ("web1", "/srv/other"), ("../etc", ROOT)]
    for seq, (host, root) in enumerate(places, 1):
        heads.note(host, root, head(seq))
    assert [(heads.seen(*place) or {})["seq"] for place in places] == [1, 2, 3, 4]
    assert {heads.path(*place).parent for place in places} == {tmp_path}


def test_a_target_keeps_its_own_under_every_name(tmp_path: Path) -> None:
    """A host that is renamed has the memory that it had; another one under its name has none of it."""
    heads = JournalHeads(tmp_path)
    heads.note("web1", ROOT, head(7), "one")
    heads.note("web1.example", ROOT, head(5), "one")
    assert [(heads.seen(name, ROOT) or {})["seq"] for name in ("web1", "web1.example")] == [7, 7]
    heads.note("web1", ROOT, head(2), "two")
    assert [(heads.seen("web1", ROOT, target) or {})["seq"] for target in (None, "one", "two")] == [2, 7, 2]
    assert (heads.target("web1", ROOT), heads.target("web1.example", ROOT)) == ("two", "one")
    heads.path("web1", ROOT).unlink()
    assert heads.seen("web1", ROOT) is None
    assert heads.seen("web1.example", ROOT) == {"host": "web1.example", "root": ROOT, **head(7)}


def test_what_was_kept_by_name_becomes_the_targets(tmp_path: Path) -> None:
    """0.1.0 knew no targets: its memory counts for the target that answers to the name first, also one that was cut."""
    heads = JournalHeads(tmp_path)
    heads.path("web1", ROOT).write_text(json.dumps({**WHERE, **head(5)}))
    heads.note("web1", ROOT, head(3), "one")
    assert heads.seen("other", ROOT, "one") == {**WHERE, **head(5)}
    assert heads.seen("web1", ROOT, "two") is None


@pytest.mark.parametrize("text", ["", "{", "[1", "[]"])
def test_a_memory_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    """It is written anew."""
    heads = JournalHeads(tmp_path)
    heads.path("web1", ROOT).write_text(text)
    assert heads.seen("web1", ROOT) is None
    heads.note("web1", ROOT, head(1))
    assert (heads.seen("web1", ROOT) or {})["seq"] == 1


def test_a_machine_that_cannot_remember(tmp_path: Path) -> None:
    """Works all the same."""
    (tmp_path / "file").touch()
    JournalHeads(tmp_path / "file" / "journals").note("web1", ROOT, head(1))
    assert os.listdir(tmp_path) == ["file"]
