"""Activation with services, by a scripted systemd: what is restarted, stopped, and believed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import gate, process, state, units
from oroboros_deploy.host.process import Ended
from oroboros_deploy.host.units import Unit
from tests.support.clock import Hasty
from tests.support.local_agent import Answer, LocalAgent

pytestmark = pytest.mark.slow  # whole builds and activations

UP = Unit("api", "loaded", "active", "running", "simple", "success", "100", "i0", "0", False, "0")
DEAD = UP._replace(active="failed", sub="failed", result="exit-code", pid="0", status="203")
GATE = {"command": None, "timeout": 5.0, "interval": 0.1, "stable_for": 0.2}  # the tests are hasty


class Systemd:
    """One service that runs what ``current`` names: well, or not at all."""

    def __init__(self, host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = host
        self.unit = UP
        self.serves: Callable[[str | None], bool] = lambda sha: True
        self.restart_status: Callable[[str | None], int] = lambda sha: 0
        self.stop_status = 0
        self.restarts_for_real = True
        self.starts = 0
        self.asked: list[tuple[str, str | None]] = []
        for name in ("show", "restart", "stop", "recent_log"):
            monkeypatch.setattr(units, name, getattr(self, name))

    def show(self, names: Any) -> dict[str, Unit]:
        return {name: self.unit._replace(name=name) for name in names}

    def restart(self, before: dict[str, Unit], deadline: float) -> Ended:
        live = self.host.live
        self.asked.append(("restart", live))
        if self.restarts_for_real:
            self.starts += 1
            self.unit = (UP if self.serves(live) else DEAD)._replace(invocation=f"i{self.starts}")
        return Ended(self.restart_status(live), "systemctl said no", 0.0)

    def stop(self, names: Any, deadline: float) -> Ended:
        self.asked.append(("stop", self.host.live))
        return Ended(self.stop_status, "", 0.0)

    def recent_log(self, name: str, since: float) -> str:
        return f"the log of {name}"

    def activate(self, sha: str, **changes: Any) -> Answer:
        options = {"services": ["api"], "restart": True, "healthcheck": GATE}
        return self.host.activate_here(sha, **{**options, **changes})


@pytest.fixture
def systemd(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    monkeypatch.setattr(gate, "time", Hasty())
    return Systemd(host, monkeypatch)


@pytest.fixture
def old(host: LocalAgent, systemd: Systemd) -> str:
    sha = host.sealed("old")
    assert systemd.activate(sha).phases[-1] == "committed"
    systemd.asked.clear()
    return sha


def ended(answer: Answer) -> dict[str, Any]:
    state: dict[str, Any] = (answer.result or {})["state"]
    return state


def test_services_are_restarted_after_the_switch(host: LocalAgent, systemd: Systemd, old: str) -> None:
    """They start from the new release, once."""
    new = host.sealed("new")
    assert systemd.activate(new).phases[-1] == "committed"
    assert systemd.asked == [("restart", new)]


def test_a_failed_restart_is_restored(host: LocalAgent, systemd: Systemd, old: str) -> None:
    """When systemctl says no the previous release is put back and restarted; the unit and its log are told."""
    new = host.sealed("new")
    systemd.restart_status = lambda sha: int(sha == new)
    systemd.serves = lambda sha: sha == old
    state = ended(systemd.activate(new))
    assert (state["phase"], state["reason"]) == (
        "restored",
        "systemctl restart exited 1: api is failed (exit-code, status 203); last output: systemctl said no",
    )
    assert state["transcript"] == "systemctl said no\n--- api\nthe log of api"
    assert (systemd.asked, host.live) == ([("restart", new), ("restart", old)], old)


def test_a_service_that_dies_after_its_restart_is_restored(host: LocalAgent, systemd: Systemd, old: str) -> None:
    """systemctl said yes, the process ended: the gate sees it (203: the console script's interpreter is gone)."""
    new = host.sealed("new")
    systemd.serves = lambda sha: sha == old
    state = ended(systemd.activate(new))
    assert (state["phase"], state["reason"], state["transcript"]) == (
        "restored",
        "the gate was not passed: api is failed (exit-code, status 203)",
        "--- api\nthe log of api",
    )
    assert (systemd.asked, host.live) == ([("restart", new), ("restart", old)], old)


def test_a_restart_that_did_not_happen_is_no_success(host: LocalAgent, systemd: Systemd, old: str) -> None:
    """The process as before runs the old release, whatever systemctl answered: it is left alone, and nothing is bad."""
    systemd.restarts_for_real = False
    new = host.sealed("new")
    state = ended(systemd.activate(new))
    assert state["reason"].startswith("api was not restarted: it still runs the process it had before")
    assert (state["phase"], host.live, host.paths.bad(new).exists()) == ("restored", old, False)
    assert systemd.asked == [("restart", new)]


def test_a_stop_that_takes_longer_than_the_restart(
    host: LocalAgent, systemd: Systemd, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was told before the switch.  The way back waits for the stop that goes on, and the new release is not bad."""
    systemd.unit = systemd.unit._replace(stops_within=300.0)
    time_given: list[float] = []

    def restart(before: dict[str, Unit], deadline: float) -> Ended:
        time_given.append(deadline - time.monotonic())
        if len(time_given) == 1:
            systemd.unit = systemd.unit._replace(active="deactivating", sub="stop-sigterm", job=True)
            return Ended(None, "", 10.0)
        return systemd.restart(before, deadline)

    monkeypatch.setattr(units, "restart", restart)
    new = host.sealed("new")
    answer = systemd.activate(new, stopping=300.0)
    assert (ended(answer)["phase"], host.live, host.paths.bad(new).exists()) == ("restored", old, False)
    assert [round(seconds, -1) for seconds in time_given] == [10, 310]
    told = "api may take 300 s to stop (TimeoutStopSec), and restart_timeout is 10 s"
    assert answer.said("warning") == [f"{told}: a stop that takes longer is a failure"]


def test_a_job_that_systemd_has_yet_to_do(host: LocalAgent, systemd: Systemd, old: str) -> None:
    """A service that systemd is about to restart does not count as left alone."""
    systemd.restarts_for_real, systemd.unit = False, systemd.unit._replace(job=True)
    systemd.activate(host.sealed("new"))
    assert [what for what, _ in systemd.asked] == ["restart", "restart"]


def test_a_unit_that_cannot_be_started_is_refused_before(host: LocalAgent, systemd: Systemd, old: str) -> None:
    """Nothing was switched, restarted or recorded."""
    systemd.unit = UP._replace(load="masked")
    assert systemd.activate(host.sealed("new")).refusal == {
        "kind": "invalid",
        "message": "unit api is masked on this host",
        "hint": "systemctl status api",
    }
    assert (systemd.asked, host.live, len(host.journal)) == ([], old, 1)


def test_a_unit_that_systemd_would_not_restart_is_refused_before(host: LocalAgent, systemd: Systemd, old: str) -> None:
    """RefuseManualStart= and its like are known before the switch; nothing is asked of systemd, and nothing changes."""
    systemd.unit = UP._replace(refuses=True)
    refusal = systemd.activate(host.sealed("new")).refusal or {}
    assert refusal["message"] == "systemd would refuse to restart api on this host"
    assert (systemd.asked, host.live) == ([], old)


def test_a_failing_first_deploy_stops_the_services(host: LocalAgent, systemd: Systemd) -> None:
    """There is no release to run, so nothing runs."""
    systemd.unit, systemd.serves = DEAD, lambda sha: False
    new = host.sealed("new")
    state = ended(systemd.activate(new))
    assert (state["phase"], host.live, systemd.asked) == ("restored", None, [("restart", new), ("stop", None)])


def test_services_that_do_not_stop_need_a_person(host: LocalAgent, systemd: Systemd) -> None:
    """A release that failed its gate and still runs is not called restored."""
    systemd.unit, systemd.serves, systemd.stop_status = DEAD, lambda sha: False, 1
    state = ended(systemd.activate(host.sealed("new")))
    assert (state["phase"], host.live) == ("restore_failed", None)
    assert state["reason"].endswith("and the restore failed: systemctl stop exited 1")


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_service_that_ran_before_a_first_deploy(host: LocalAgent, systemd: Systemd, comes_back: bool) -> None:
    """It is not stopped by a first deploy that fails: it runs again, or a person is called."""
    systemd.serves = lambda sha: sha is None and comes_back
    new = host.sealed("new")
    state = ended(systemd.activate(new))
    assert (state["phase"], state["ran"], host.live) == (
        "restored" if comes_back else "restore_failed",
        {"api": "i0"},
        None,
    )
    assert systemd.asked == [("restart", new), ("restart", None)]
    assert (host.journal[-1]["ran"], host.journal[-1]["foreign"]) == ({"api": "i0"}, None)


def test_skipping_the_restart_leaves_systemd_alone(host: LocalAgent, systemd: Systemd, old: str) -> None:
    """Configured services do not matter then, not even when the gate fails."""
    systemd.unit = DEAD
    gate = {**GATE, "command": "false", "timeout": 0.05}
    assert systemd.activate(host.sealed("new"), restart=False, healthcheck=gate).phases[-1] == "restored"
    assert (systemd.asked, host.live) == ([], old)


def test_services_that_were_dead_before_are_judged_by_what_the_restart_made_of_them(
    host: LocalAgent, systemd: Systemd
) -> None:
    """The gate looks at what serves now: a release may heal what the one before it had broken."""
    systemd.unit = DEAD
    assert systemd.activate(host.sealed("healing")).phases[-1] == "committed"


CRASHED = UP._replace(active="activating", sub="auto-restart", result="exit-code", pid="0", status="1")


STOPPING = UP._replace(active="deactivating", sub="stop-sigterm", job=True)


@pytest.mark.parametrize("at_last", [DEAD, CRASHED, STOPPING, UP._replace(active="inactive", sub="dead", pid="0")])
def test_a_service_that_dies_after_the_gate(
    host: LocalAgent, systemd: Systemd, old: str, monkeypatch: pytest.MonkeyPatch, at_last: Unit
) -> None:
    """The commit looks once more, whatever the gate saw: the old release is back, and a restart makes it serve."""
    save = state.save

    def saving(path: Path, entered: state.State) -> None:
        save(path, entered)
        if entered.phase == "gated":
            systemd.unit = at_last

    monkeypatch.setattr(state, "save", saving)
    new = host.sealed("new")
    end = ended(systemd.activate(new))
    assert (end["phase"], end["reason"], host.live) == ("restored", f"api is {at_last.condition}", old)
    assert systemd.asked == [("restart", new), ("restart", old)]


def test_a_systemd_that_says_nothing_after_the_gate(
    host: LocalAgent, systemd: Systemd, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its silence says nothing of a release that has just passed."""
    save = state.save

    def silent(names: Any) -> dict[str, Unit]:
        raise units.Silent("systemd does not say how the units are")

    def saving(path: Path, entered: state.State) -> None:
        save(path, entered)
        if entered.phase == "gated":
            monkeypatch.setattr(units, "show", silent)

    monkeypatch.setattr(state, "save", saving)
    assert systemd.activate(host.sealed("new")).phases[-1] == "committed"


@pytest.mark.parametrize(
    ("meanwhile", "comes_back", "asked", "end"),
    [
        (UP, True, 0, "restored"),
        (UP._replace(active="reloading", sub="reload"), True, 0, "restored"),
        (DEAD, True, 1, "restored"),
        (CRASHED, True, 1, "restored"),
        (DEAD, False, 1, "restore_failed"),
    ],
    ids=["serves", "reloads", "died", "crashed", "cannot be started"],
)
def test_a_restore_that_has_touched_nothing(
    host: LocalAgent,
    systemd: Systemd,
    old: str,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Unit,
    comes_back: bool,
    asked: int,
    end: str,
) -> None:
    """It looks before it says that the old release serves: what ended during the migration is started, or told."""

    def migration(line: str, **_: Any) -> Ended:
        systemd.unit, systemd.serves = meanwhile, lambda sha: comes_back
        return Ended(1, "", 0.0)

    monkeypatch.setattr(process, "shell", migration)
    came = ended(systemd.activate(host.sealed("new"), migrate="alembic upgrade head"))
    assert (came["phase"], came["switched"], host.live) == (end, False, old)
    assert systemd.asked == [("restart", old)] * asked
    assert ("api is failed" in came["reason"]) == (end == "restore_failed")


def test_a_restart_is_gated_and_recorded(host: LocalAgent, systemd: Systemd, old: str) -> None:
    """One restart of the live release: nothing moves, the journal has its kind, and the record stays what it passed."""
    record = json.loads(host.paths.record(old).read_text())
    answer = systemd.activate(old, kind="restart", said=["services"], healthcheck={**GATE, "timeout": 6.0})
    assert answer.phases == ["prepared", "swapped", "restarted", "gated", "committed"]
    assert (systemd.asked, host.live) == ([("restart", old)], old)
    assert [event["message"] for event in answer.events if event["event"] == "phase"][:2] == [
        "the live release is whole",
        "current stays as it is",
    ]
    entry = host.journal[-1]
    assert (entry["kind"], entry["switched"], entry["target"], entry["source"]) == ("restart", False, old, old)
    assert json.loads(host.paths.record(old).read_text()) == record


def test_a_restart_is_held_to_its_record(host: LocalAgent, systemd: Systemd, old: str) -> None:
    """What the release was committed with decides, and not today's settings, unless a flag or variable says so."""
    today: Any = {"kind": "restart", "healthcheck": {**GATE, "command": "exit 78"}}
    answers = [systemd.activate(old, said=said, **today) for said in ([], ["healthcheck.command"])]
    assert [answer.phases[-1] for answer in answers] == ["committed", "restore_failed"]


def test_a_restart_that_fails_restores_nothing(host: LocalAgent, systemd: Systemd, old: str) -> None:
    """It is told, and left to a person: no second restart, and the release is not marked bad."""
    systemd.serves = lambda _: False
    state = ended(systemd.activate(old, kind="restart"))
    why = "the gate was not passed: api is failed (exit-code, status 203)"
    assert (state["phase"], state["reason"]) == ("restore_failed", f"{why}; a restart has nothing to go back to")
    assert (systemd.asked, host.live, host.paths.bad(old).exists()) == ([("restart", old)], old, False)
    systemd.serves = lambda _: True
    assert ended(systemd.activate(old, kind="restart"))["phase"] == "committed"


@pytest.mark.parametrize(
    ("left", "outcome"),
    [({}, "restored"), ({"job": True}, "restore_failed"), ({"invocation": "i9"}, "restore_failed")],
)
def test_a_restart_that_systemd_did_nothing_of(
    host: LocalAgent, systemd: Systemd, old: str, left: dict[str, Any], outcome: str
) -> None:
    """Services that all run their process of before, without a job, serve as they did; else it needs a person."""

    def restart(before: dict[str, Unit], deadline: float) -> Ended:
        systemd.unit = systemd.unit._replace(**left)
        return Ended(1, "refused", 0.0)

    units.restart = restart  # type: ignore[assignment]  # the fixture puts it back
    state = ended(systemd.activate(old, kind="restart"))
    assert (state["phase"], host.live) == (outcome, old)


def test_a_restart_of_a_held_host_is_refused(host: LocalAgent, systemd: Systemd, old: str) -> None:
    """Whoever held the host after the control node looked at it is named, and nothing is restarted."""
    host.call("lock", {"actor": "ada", "reason": "the fair"})
    refusal = systemd.activate(old, kind="restart").refusal or {}
    assert (refusal["kind"], "held by ada" in refusal["message"], systemd.asked) == ("busy", True, [])
