"""What an activation does with units: what it brings, what it finds, and what it says when that cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import unit_sets
from oroboros_deploy.host.refusal import Failed, Refusal
from oroboros_deploy.host.unit_files import Brought
from oroboros_deploy.host.unit_switch import UnitSwitch
from tests.host.test_unit_sets import API, ASKED, TIMER, Host
from tests.support.local_agent import LocalAgent

pytestmark = pytest.mark.slow  # a shell for each set that is put in place


class Switch(Host):
    """A host with one release's unit installed, and another release's to be."""

    def __init__(self, agent: LocalAgent, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(agent, place, monkeypatch)
        monkeypatch.setattr(unit_sets, "verify", lambda *_: None)
        self.said: list[str] = []
        self.units_of = UnitSwitch(agent.paths)
        self.old, self.new = (
            self.release(name, **{"api.service": API, f"{name}.timer": TIMER}).name for name in ("old", "new")
        )
        self.go(self.bring(self.old))

    def bring(self, sha: str) -> Brought:
        def say(event: str, message: str = "", **_: Any) -> None:
            self.said.append(message)

        return self.units_of.brought_by(sha, ASKED, say, recorded=False)

    def go(self, brought: Brought) -> None:
        self.units_of.put(str(brought.before), str(brought.after), [], float("inf"), [], "attempt")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Switch:
    (tmp_path / "srv").mkdir()
    agent = LocalAgent(tmp_path / "srv")
    agent.paths.create()
    return Switch(agent, tmp_path, monkeypatch)


def test_what_a_release_brings(host: Switch) -> None:
    """The two sets by name, the same where nothing changes; what changes is told."""
    again, other = host.bring(host.old), host.bring(host.new)
    assert (again.differ, other.differ, other.changes) == (
        False,
        True,
        {"added": ["new.timer"], "changed": [], "removed": ["old.timer"]},
    )
    assert (other.altered, host.said[-1]) == (["old.timer"], "units: + new.timer, - old.timer")


def test_a_timer_that_nothing_starts(host: Switch) -> None:
    """It is told when it comes, by name; one that a boot or a unit beside it starts is not."""
    texts = {
        "idle.timer": "[Timer]\n",
        "new.timer": TIMER,
        "all.target": "[Unit]\nWants=one.timer\n",
        "one.timer": "[Timer]\n",
    }
    host.bring(host.release("idle", **{"api.service": API, **texts}).name)
    assert [said for said in host.said if "Install" in said] == [
        "idle.timer has no [Install], and neither `services` nor a unit beside it names it: it is not started"
    ]


def test_what_is_not_ours(host: Switch) -> None:
    """It is refused by name before anything was switched."""
    (host.units / "new.timer").write_text("by hand\n")
    with pytest.raises(Refusal, match=r"^nothing was switched: new\.timer was put on this host by somebody else"):
        host.bring(host.new)


def test_whether_a_switch_touched_anything(host: Switch) -> None:
    """A text that has another content, or none of its own yet, is told from one that is as it was."""
    brought = host.bring(host.new)
    found = [host.units_of.touched(str(brought.before))]
    (host.units / ".new.timer.new").write_text("half")
    found.append(host.units_of.touched(str(brought.before)))
    host.go(brought)
    found += [host.units_of.touched(str(brought.before)), host.units_of.touched(str(brought.after))]
    assert (found, host.units_of.altered(str(brought.before))) == (
        [False, True, True, False],
        ["new.timer", "old.timer"],
    )


def test_what_cannot_be_had(host: Switch) -> None:
    """Root that refuses, and a set that nobody can read, end the step."""
    brought = host.bring(host.new)
    host.tool("systemd-run", "echo no; exit 1")
    with pytest.raises(Failed, match="the units could not be installed"):
        host.go(brought)
    (host.agent.paths.unit_sets / str(brought.after)).write_text("[]")
    with pytest.raises(Failed, match=r"the earlier units were not put back: .* is damaged"):
        host.units_of.loaded(str(brought.before), str(brought.after))
