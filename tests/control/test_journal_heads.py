"""What this machine remembers of a host's journal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oroboros_deploy.control.journal_heads import JournalHeads

ROOT = "/srv/app"


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


@pytest.mark.parametrize("text", ["", "{", "[1"])
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
