"""What version 0.1.0 left on a host is read, and written anew as it is touched.

The files in ``written_by_0_1_0/`` are those that 0.1.0 wrote for a deploy that went live, one that was restored,
a pin, a lock, and a deploy that was refused because of it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from oroboros_deploy.control.journal_heads import JournalHeads
from oroboros_deploy.host import launch
from oroboros_deploy.records.history import History, of_facts
from tests.support.local_agent import LocalAgent

pytestmark = pytest.mark.slow  # whole builds and activations

FILES = Path(__file__).parent / "written_by_0_1_0"
OLD = "c00dbbc9dadfbe1e232e93a729dd4752fade0abf"
BAD = "1902e3d6fc4e78a0bcc50ba12b882769afbf4a8c"
LIVE, RESTORED, REFUSED = "20261128T100000-0a0a0a0a", "20261128T100500-0b0b0b0b", "20261128T101000-0c0c0c0c"
HOLD = {"actor": "ada@desk", "at": 1795893060.7676349, "reason": "the database moves"}
HEALTH = {"command": "sh health", "timeout": 10, "interval": 0.05, "stable_for": 0}


@pytest.fixture
def host(host: LocalAgent) -> LocalAgent:
    """A host that 0.1.0 deployed to."""
    assert (host.sealed("old", health="exit 0"), host.sealed("bad", health="exit 1")) == (OLD, BAD)
    shutil.copytree(FILES, host.paths.ours, dirs_exist_ok=True)
    host.paths.format.unlink()
    for request in host.paths.ours.glob("attempts/*/request.json"):
        request.write_text(request.read_text().replace("/srv/oroboros", str(host.root)))
    (host.root / "current").symlink_to(f"releases/{OLD}")
    return host


@pytest.mark.slow
def test_a_hold(host: LocalAgent) -> None:
    """A `freeze.json` still holds against everybody, and `unlock` takes it away for good."""
    words = "this host is held by ada@desk since 2026-11-28 19:11:00 UTC: the database moves"
    assert host.facts()["hold"] == HOLD
    for refused in (host.activate(OLD), host.call("lock", {"actor": "eve", "reason": "mine"})):
        assert ((refused.refusal or {})["message"], (refused.refusal or {})["hold"]) == (words, HOLD)
    assert host.call("unlock", {"actor": "bob@lap"}).result == {"freed": HOLD}
    assert (host.facts()["hold"], (host.paths.ours / "freeze.json").exists()) == (None, False)
    assert host.activate(OLD, healthcheck=HEALTH).phases[-1] == "committed"


def test_what_is_written_next(host: LocalAgent) -> None:
    """Reading leaves the host to 0.1.0's format; the first write says that this version was there."""
    host.facts()
    assert not host.paths.format.exists()
    host.call("unlock", {"actor": "bob@lap"})
    assert host.paths.format.read_text() == "2\n"
    host.call("lock", {"actor": "bob@lap", "reason": "the fair"})
    assert json.loads((host.paths.ours / "hold").read_text())["reason"] == "the fair"


def test_the_journal(host: LocalAgent) -> None:
    """It is whole, goes on where it ended, and the registry can be rebuilt from it."""
    host.call("unlock", {"actor": "bob@lap"})
    audit = host.call("audit", {"verify": True, "limit": 9, "seen": None}).result or {}
    assert (audit["wrong"], [entry["seq"] for entry in audit["entries"]]) == (None, [1, 2, 3, 4])
    facts = host.facts(history=9, before=99)
    history = History(of_facts("web1", facts, facts["journal"], 0.0))  # type: ignore[arg-type]
    ends = [(entry.attempt, entry.target, entry.part.state, entry.origin["environment"]) for entry in history.entries]
    assert ends == [(LIVE, OLD, "live", "prod"), (RESTORED, BAD, "restored", "prod")]
    assert (history.whole, history.live) == (True, OLD)


def test_the_state(host: LocalAgent) -> None:
    """The last activation is known, and what it came to."""
    last = host.facts(BAD)["last"]
    assert (last["attempt"], last["phase"], last["source"], last["switched"]) == (RESTORED, "restored", OLD, True)


@pytest.mark.parametrize("settles", ["recovery", "next contact"])
def test_an_interrupted_activation(host: LocalAgent, settles: str) -> None:
    """One that 0.1.0 began and did not end is brought to its end, held or not."""
    found = json.loads(host.paths.state.read_text()) | {"phase": "swapped", "sequence": 1, "reason": ""}
    lost = host.paths.attempt(RESTORED)
    (lost / "result.json").unlink()
    lines = host.paths.journal.read_text().splitlines(keepends=True)
    host.paths.journal.write_text(lines[0])
    host.paths.journal.with_suffix(".head").unlink()
    host.paths.state.write_text(json.dumps(found))
    host.paths.unfinished.symlink_to(f"attempts/{RESTORED}")
    (host.root / "current").unlink()
    (host.root / "current").symlink_to(f"releases/{BAD}")
    if settles == "recovery":
        launch.recover(host.paths, json.loads((lost / "request.json").read_text()))
    else:
        assert (host.activate(OLD, healthcheck=HEALTH).refusal or {})["kind"] == "busy"  # by the hold, after that
    assert (host.live, [entry["outcome"] for entry in host.journal]) == (OLD, ["committed", "restored"])


def test_a_pin(host: LocalAgent) -> None:
    """The pin is known with who pinned, and keeps the release."""
    assert host.call("pin", {"actor": "eve", "release": OLD}).result == {
        "release": OLD,
        "pin": {"actor": "ada@desk", "at": 1795893060.0746179},
        "new": False,
    }
    pruned = host.call("prune", {"keep": 1, "dry_run": True}).result or {}
    assert {each["id"]: each["stays"] for each in pruned["releases"]}[OLD] is True


@pytest.mark.parametrize(("attempt", "phase"), [(LIVE, "committed"), (RESTORED, "restored")])
def test_a_result(host: LocalAgent, attempt: str, phase: str) -> None:
    """Whoever asks how an attempt ended is told."""
    answer = host.call("follow", {"attempt": attempt}).result or {}
    assert (answer["state"]["phase"], answer["live"]) == (phase, OLD)


def test_a_refused_attempt(host: LocalAgent) -> None:
    """An attempt that was refused stays refused, in the words that were said then."""
    refusal = host.call("follow", {"attempt": REFUSED}).refusal or {}
    assert (refusal["kind"], refusal["message"].partition(" since ")[0]) == ("busy", "this host is locked by ada@desk")


def test_a_journal_head_on_the_control_node(tmp_path: Path) -> None:
    """What a workstation remembered of a host with 0.1.0 is what it remembers now."""
    heads = JournalHeads(tmp_path)
    heads.path("web1", "/srv/oroboros").write_text(
        '{"host": "web1", "root": "/srv/oroboros", "seq": 3, "hash": "8a8dfec9"}'
    )
    assert (heads.seen("web1", "/srv/oroboros") or {})["seq"] == 3
