"""Whoever activates is waited for on the host: its own for as long as was said, another's for a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import hold, launch, process, turn, units
from oroboros_deploy.host.refusal import Refusal
from tests.host.test_launch import a_unit
from tests.support.local_agent import LocalAgent
from tests.support.watching import eventually

pytestmark = pytest.mark.slow  # whole activations


@pytest.fixture
def gated(host: LocalAgent, tmp_path: Path) -> tuple[LocalAgent, str, Any]:
    """A host on which an activation stands in its gate for two seconds, and who follows it."""
    good, new = host.sealed("good"), host.sealed("new")
    host.activate_here(good)
    command = {"command": "sleep 2", "timeout": 20, "interval": 0.1, "stable_for": 0}
    host.facts()
    follower = host.start("activate", host.request(new, healthcheck=command))
    assert eventually(lambda: host.live == new)
    return host, good, follower


def test_an_activation_of_this_root_is_waited_for_as_long_as_was_said(
    gated: tuple[LocalAgent, str, Any],
) -> None:
    """The second begins when the first has ended; one word tells whom it waits for, and for how long at most."""
    host, good, follower = gated
    answer = host.activate(good, wait=30, kind="rollback")
    assert (answer.result or {})["state"]["phase"] == "committed", answer.refusal
    assert [entry["kind"] for entry in host.journal] == ["deploy", "deploy", "rollback"]
    (told,) = answer.said("waiting")
    assert told.startswith("waits up to 30 s: deploy of "), told
    follower.communicate(timeout=10)


def test_facts_are_those_of_the_end_of_what_was_waited_for(gated: tuple[LocalAgent, str, Any]) -> None:
    """What is decided by them was not true a moment before."""
    host, _, follower = gated
    assert (host.facts(wait=30)["running"], host.journal[-1]["outcome"]) == (None, "committed")
    follower.communicate(timeout=10)


def test_nobody_waits_for_longer_than_was_said(gated: tuple[LocalAgent, str, Any]) -> None:
    """Without a word for its own root it is refused at once; what runs is told in the facts."""
    host, good, follower = gated
    assert host.facts(wait=0.1)["running"]["phase"] == "restarted"
    assert (host.activate(good).refusal or {})["kind"] == "busy"
    follower.communicate(timeout=10)


def test_nobody_waits_where_a_hold_would_refuse(gated: tuple[LocalAgent, str, Any]) -> None:
    """The hold is told at once, for it may last for days."""
    host, _, follower = gated
    hold.lock(host.paths, {"layout": host.layout, "actor": "ann", "reason": "audit"})  # type: ignore[typeddict-item]
    assert host.facts(wait=600)["running"] is not None
    follower.communicate(timeout=10)


@pytest.mark.parametrize(("wait", "last"), [(None, 59), (0, 2), (5, 4)])
def test_an_activationelsewhere_is_waited_for(
    host: LocalAgent, monkeypatch: pytest.MonkeyPatch, wait: float | None, last: int
) -> None:
    """A minute where nothing is said: its unit has the one name; after that it is refused with its description."""
    request = host.request(host.sealed("new"), detached=False, **({} if wait is None else {"wait": wait}))
    told: list[str] = []
    ends = last

    def systemd_run(argv: Any, **_: Any) -> process.Ended:
        over = turn.time.monotonic() > ends
        return process.Ended(0, "", 0.0) if over else process.Ended(1, f"Unit {launch.UNIT} already exists", 0.0)

    now = [0.0]
    monkeypatch.setattr(turn.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(turn.time, "sleep", lambda _: now.__setitem__(0, now[0] + 0.5))
    monkeypatch.setattr(process, "run", systemd_run)
    monkeypatch.setattr(units, "show", lambda names: {name: a_unit(name, "active") for name in names})
    monkeypatch.setattr(launch.running, "second_runs", lambda: False)
    monkeypatch.setattr(launch.running, "elsewhere", lambda: "deploy of a in /srv/b by ann holds this host")
    launch.start_unit(host.paths, request, lambda event, message, **_: told.append(message))
    most = 60 if wait is None else max(wait, 3)
    assert told == [f"waits up to {most} s: deploy of a in /srv/b by ann holds this host"]
    ends, now[0] = 1000, 0.0
    with pytest.raises(Refusal, match="deploy of a in /srv/b by ann holds this host"):
        launch.start_unit(host.paths, request, lambda *_, **__: None)
    assert most <= now[0] <= most + 1


@pytest.mark.parametrize("seen", ["deactivating", "inactive"])
def test_a_unit_that_just_ends_after_a_long_wait(host: LocalAgent, monkeypatch: pytest.MonkeyPatch, seen: str) -> None:
    """Its name is tried again, and no other: the wait before does not count for a unit that does not end."""
    request = host.request(host.sealed("new"), detached=False)
    now, asked = [0.0], [""]

    def systemd_run(argv: Any, **_: Any) -> process.Ended:
        asked.append(next(word for word in argv if word.startswith("--unit=")))
        return process.Ended(0, "", 0.0) if now[0] > 31 else process.Ended(1, f"Unit {launch.UNIT} already exists", 0.0)

    def show(names: Any) -> dict[str, units.Unit]:
        return {name: a_unit(name, "active" if now[0] < 30 else seen) for name in names}

    monkeypatch.setattr(turn.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(turn.time, "sleep", lambda _: now.__setitem__(0, now[0] + 0.5))
    monkeypatch.setattr(process, "run", systemd_run)
    monkeypatch.setattr(units, "show", show)
    monkeypatch.setattr(launch.running, "second_runs", lambda: False)
    monkeypatch.setattr(launch.running, "elsewhere", lambda: "deploy of a in /srv/b by ann holds this host")
    launch.start_unit(host.paths, request, lambda *_, **__: None)
    assert {*asked[1:]} == {f"--unit={launch.UNIT}"}
