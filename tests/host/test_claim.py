"""A root that is another machine's, or a copy, gets an id of its own when a person says so, and never by itself."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import contract, lock
from tests.support.local_agent import LocalAgent
from tests.support.watching import tree

ASKED = {"actor": "ada@desk", "dry_run": False}
LOOK = {**ASKED, "dry_run": True}


def given_to(host: LocalAgent, machine: str) -> dict[str, Any]:
    """The root's id, as the machine would have written it."""
    told: dict[str, Any] = {**json.loads(host.paths.id.read_text()), "machine": machine, "name": "web1"}
    host.paths.id.write_text(json.dumps(told))
    return told


@pytest.fixture
def copied(host: LocalAgent, tmp_path: Path) -> LocalAgent:
    """A root that was deployed to on another machine, copied with all that is in it."""
    host.activate(host.sealed("one"))
    given_to(host, "0" * 32)
    copy = LocalAgent(tmp_path / "copy")
    shutil.copytree(host.root, copy.root, symlinks=True)
    return copy


@pytest.mark.slow
def test_a_copy_becomes_a_root_of_this_machine(copied: LocalAgent) -> None:
    """It is refused before, and deployed to after it; its history is kept, and says who did that."""
    was, sha = json.loads(copied.paths.id.read_text()), copied.live
    refusal = copied.call("facts", {"sha": None}).refusal or {}
    assert refusal["hint"] == "if this root is a copy or has moved here, make it this machine's: fab -H HOST claim"
    before = tree(copied.root)
    assert copied.call("claim", LOOK).result == {"was": was, "now": None, "claimed": False}
    assert tree(copied.root) == before
    answer = copied.call("claim", ASKED).result or {}
    assert set(answer) == contract.ClaimAnswer.__required_keys__
    now = json.loads(copied.paths.id.read_text())
    assert (answer["was"], answer["now"], answer["claimed"]) == (was, now, True)
    assert (set(now), now["root"], now["id"] == was["id"]) == (set(was), str(copied.root), False)
    assert [(entry["kind"], entry["outcome"], entry["actor"]) for entry in copied.journal[1:]] == [
        ("claim", "claimed", "ada@desk")
    ]
    assert copied.journal[-1]["reason"] == f"was the deploy root {was['root']} of web1, id {was['id']}"
    assert (copied.call("audit", {"verify": True, "limit": 9}).result or {})["wrong"] is None
    assert copied.facts()["live"] == sha
    assert copied.activate(copied.sealed("two")).phases[-1] == "committed"


@pytest.mark.slow
def test_a_copy_on_the_same_machine(host: LocalAgent, tmp_path: Path) -> None:
    """It is refused by name, and claimed; the root that was copied keeps its id, and so does one that was moved."""
    host.activate(host.sealed("one"))
    first = json.loads(host.paths.id.read_text())
    copy, linked = LocalAgent(tmp_path / "copy"), LocalAgent(tmp_path / "linked")
    shutil.copytree(host.root, copy.root, symlinks=True)
    linked.root.symlink_to(host.root)
    assert copy.call("facts", {"sha": None}).refusal == {
        "kind": "invalid",
        "message": f"nothing was changed: {copy.root} is a copy of the deploy root {host.root}, and has its id",
        "hint": "give it an id of its own: fab -H HOST claim",
    }
    assert copy.call("claim", LOOK).result == {"was": first, "now": None, "claimed": False}
    assert (copy.call("claim", ASKED).result or {})["claimed"]
    assert json.loads(host.paths.id.read_text()) == first != json.loads(copy.paths.id.read_text())
    assert [each.facts()["problems"] for each in (host, copy, linked)] == [[], [], []]
    moved = LocalAgent(tmp_path / "moved")
    linked.root.unlink()
    host.root.rename(moved.root)
    assert (moved.facts()["problems"], json.loads(moved.paths.id.read_text())) == ([], first)


@pytest.mark.slow
def test_a_root_that_came_from_a_place_that_is_closed(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root that was moved keeps its id, also where this login may not look at the place that it came from."""

    def closed(*_: object) -> bool:
        raise PermissionError(13, "Permission denied")

    host.activate(host.sealed("one"))
    told = {**json.loads(host.paths.id.read_text()), "root": "/home/bob/shop"}
    monkeypatch.setattr(os.path, "samefile", closed)
    assert host.paths.is_copy_of(told) is False


@pytest.mark.slow
def test_a_root_of_this_machine_stays_as_it_is(host: LocalAgent) -> None:
    """Nothing is written, and the answer says whose it is."""
    host.activate(host.sealed("one"))
    told, before = json.loads(host.paths.id.read_text()), tree(host.root)
    assert host.call("claim", ASKED).result == {"was": told, "now": told, "claimed": False}
    assert tree(host.root) == before


@pytest.mark.slow
def test_an_activation_that_runs_there(copied: LocalAgent) -> None:
    """Nobody takes a root from under it."""
    before = tree(copied.root)
    with lock.take(copied.paths.lock):
        for asked in (LOOK, ASKED):
            assert (copied.call("claim", asked).refusal or {})["kind"] == "busy"
    assert tree(copied.root) == before


@pytest.mark.slow
@pytest.mark.parametrize("text", [None, "", "torn", "[]", "{}", "null"])
def test_an_id_that_cannot_be_read(copied: LocalAgent, text: str | None) -> None:
    """The root gets a new one, as the refusal says, or has none and gets one."""
    copied.paths.id.unlink()
    if text is not None:
        copied.paths.id.write_text(text)
        assert (copied.call("facts", {"sha": None}).refusal or {})["hint"] == "to give it a new id: fab -H HOST claim"
    answer = copied.call("claim", ASKED).result or {}
    assert (answer["was"], answer["claimed"], copied.journal[-1]["reason"]) == (None, True, "had no id")
    assert copied.facts()["problems"] == []


def test_what_is_no_root_yet(host: LocalAgent) -> None:
    """A path that nothing was deployed to is not made a root, so a wrong --root claims nothing."""
    refusal = host.call("claim", ASKED).refusal or {}
    assert refusal["message"] == f"nothing was changed: {host.root} is no deploy root yet"
    assert not host.paths.id.exists()
