"""What the facts of a host make of a plan."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from oroboros_deploy.control.looking import (
    configured_first,
    drift,
    host_plan,
    parts,
    question,
    refused,
    settings,
)
from oroboros_deploy.control.plan import Plan, switch_request
from oroboros_deploy.errors import Busy
from oroboros_deploy.records.plan import HostPlan, Refusal
from tests.control.test_plan import DOWN, OLD, SHA, UP, facts, job

SOURCES: Any = {"file": "app.env", "values": {"A": "1"}, "secrets": {"S": "hush"}, "build": []}


def known(**changes: Any) -> Any:
    return facts(free_bytes=9, needs_bytes=7, units={"api": UP}, **changes)


def test_a_host_is_told_as_its_facts_are() -> None:
    """Parts where something is built, units where the release brings some, with restarts, and the hold in words."""
    hold = {"actor": "bob", "at": 0.0, "reason": "the fair"}
    units: Any = {"added": ["a.service"], "changed": [], "removed": []}
    work = job(units="infra", build={"frontend": None, "venvs": {"api": ["api"]}, "steps": []})
    found = host_plan(work, "web1", known(hold=hold), Plan(build=True, activate=True), (0, 2), units)
    assert found.hold is not None
    assert "the fair" in found.hold
    assert (found.live, found.direction, found.ahead, found.behind) == (OLD, "forward", 2, 0)
    assert (found.parts, found.units, found.needs_bytes, found.free_bytes) == (("api",), units, 7, 9)
    bare = host_plan(job(), "web1", known(), Plan(build=False, activate=True), None, units)
    assert (bare.parts, bare.units, bare.direction) == ((), None, "unknown")
    skipping = replace(work, config=replace(work.config, skip_restart=True))
    assert host_plan(skipping, "web1", known(), Plan(build=True, activate=True), (0, 2), units).units is None


def test_the_parts_are_those_of_the_settings() -> None:
    """Frontend, environments and steps by their names; a release of files alone says so."""
    step = {"name": "pages", "command": "make"}
    assert parts(job(build={"venvs": {"api": ["."]}, "steps": [step]}).config) == ("frontend", "api", "pages")
    assert parts(job(build={"frontend": None, "venvs": {}}).config) == ("the files alone",)


def test_drift_is_what_no_deploy_left() -> None:
    """Services that are down, units that were edited, an activation that did not end."""
    units = {"api": DOWN, "web": {**UP, "stale": True}}
    assert [*drift(known(last={"phase": "swapped"}) | {"units": units})] == [
        "its last activation did not come to an end: the next one settles it first",
        "api is inactive (dead)",
        "web was changed on this host, and systemd has not read it since",
    ]
    assert [*drift(known())] == []


@pytest.mark.parametrize(("bad", "told"), [("the gate was not passed", "the gate was not passed"), (None, None)])
def test_a_release_that_failed_before(bad: str | None, told: str | None) -> None:
    """Why it did is what the host noted."""
    target = {"id": SHA, "state": "sealed", "bad": bad}
    assert host_plan(job(), "web1", known(live=OLD, target=target), None, None, None).failed == told


ROLLED_BACK = {
    "kind": "rollback",
    "phase": "committed",
    "source": SHA,
    "started_at": 1_796_058_497.0,
    "actor": "root@desk",
}


def test_the_release_that_was_rolled_back_from() -> None:
    """When and by whom is told."""
    found = host_plan(job(), "web1", known(live=OLD, last=ROLLED_BACK), None, None, None)
    assert found.rolled_back == "at 2026-11-30 17:08 UTC by root@desk"


@pytest.mark.parametrize("change", [{"kind": "deploy"}, {"phase": "restored"}, {"source": OLD}, {"source": None}])
def test_another_last_activation_is_no_rollback_from_it(change: dict[str, Any]) -> None:
    """A deploy, a rollback that was not committed, and one that left another release tell nothing."""
    found = host_plan(job(), "web1", known(live=OLD, last={**ROLLED_BACK, **change}), None, None, None)
    assert found.rolled_back is None


def test_no_value_is_in_a_plan() -> None:
    """Names alone, where nothing is live to compare with."""
    found = configured_first(HostPlan("web1"), SOURCES, {"F": "2"})
    assert found.names == {"added": ["A", "F", "S"], "changed": [], "removed": []}
    assert "hush" not in repr(found)


def test_what_a_host_is_asked() -> None:
    """By a release that is there the host reads the file; else its variables travel, below the values."""
    file = {"A": "0", "F": "2"}
    there = question(job(), known(), SOURCES, None, complete=True)
    assert there == {"sha": SHA, "env": SOURCES, "dry_run": True}
    env = {**SOURCES, "file": None, "values": {"A": "1", "F": "2"}}
    assert question(job(), known(), SOURCES, file, complete=False) == {"sha": None, "env": env, "dry_run": True}
    assert question(job(), known(live=None), SOURCES, file, complete=False) is None


@pytest.mark.parametrize(
    "change",
    [
        {"healthcheck": {"tcp": "127.0.0.1:5432"}},
        {"restart_timeout": 7},
        {"parallel": 8},
        {"migrate": {"command": "./m", "once": False}},
    ],
)
def test_what_shapes_a_switch_is_in_the_digest(change: dict[str, Any]) -> None:
    """Settings of the gate, of restarts, and of how many hosts switch together."""
    assert settings(job(**change)) != settings(job())


def test_a_right_that_nobody_has_is_in_no_digest() -> None:
    """A plan that was made before there was `privileged` stays good; one of another right does not."""
    work = job(migrate="./migrate")
    left_out = ("attempt", "actor", "look", "said", "wait", "sha", "services")
    asked = {name: each for name, each in switch_request(work).items() if name not in left_out}
    before = [asked, [False, None], False, False, False, False, "system"]
    assert settings(work) == hashlib.sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()
    assert settings(job(migrate="./migrate", privileged=["migrate"])) != settings(work)


@pytest.mark.parametrize("flag", ["skip_healthcheck", "skip_restart", "rebuild", "adopt_units"])
def test_flags_of_a_deploy_are_in_the_digest(flag: str) -> None:
    """How long to wait for a host is none of them."""
    one = job()
    assert settings(replace(one, config=replace(one.config, **{flag: True}))) != settings(one)
    assert settings(replace(one, config=replace(one.config, wait=9.0))) == settings(one)


def test_a_refusal_is_told_with_its_code() -> None:
    """And with the line to type."""
    assert refused(HostPlan("web1"), Busy("held", hint="unlock"), 20).refusal == Refusal(20, "held", "unlock")
