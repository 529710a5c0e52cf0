"""What real deploys leave in the registry for people to look at."""

from __future__ import annotations

import pytest

from oroboros_deploy.control import asking
from oroboros_deploy.deployment import Deployment
from oroboros_deploy.errors import BuildFailed, DeployError, RegistryUnavailable
from oroboros_deploy.events import Event
from oroboros_deploy.outcome import Outcome
from oroboros_deploy.registry import Registry
from tests.support.site import Site, states

pytestmark = pytest.mark.slow  # whole deploys, or servers that have to start


def shown(site: Site) -> list[dict]:
    """The attempts, the newest first, each with everything."""
    with site.deployment().registry() as registry:
        reader = registry.reader
        return [reader.attempt(item["attempt"]) or {} for item in reader.attempts().items]


def events(site: Site) -> list[tuple[str, str]]:
    with site.deployment().registry() as registry:
        return [(each["name"], each["data"].get("phase", "")) for each in registry.reader.events()]


def test_a_deploy_is_recorded_with_its_commit_and_phases(site: Site) -> None:
    """The subject of its commit, every phase in order, and what each took."""
    site.deployment().deploy(["web1"], sha=site.good)
    (attempt,) = shown(site)
    (part,) = attempt["hosts"]
    assert (attempt["state"], attempt["subject"], attempt["commits"], part["phase"]) == (
        "live",
        "good",
        [],
        "committed",
    )
    assert {"connect", "facts", "build", "activate"} <= set(part["seconds"])
    told = events(site)
    assert (told[0][0], told[-1][0]) == ("attempt.started", "attempt.finished")
    assert [phase for name, phase in told if name == "phase"] == [
        "prepared",
        "swapped",
        "restarted",
        "gated",
        "committed",
    ]
    assert {"host.connected", "facts.read", "build.started", "step", "host.finished"} <= {name for name, _ in told}


def test_a_failed_deploy_is_recorded_with_what_was_new_and_the_gates_last_words(site: Site) -> None:
    """The commits since the release that served, the newest first, and the transcript of the gate."""
    site.deployment().deploy(["web1"], sha=site.good)
    gate = site.deployment()
    object.__setattr__(gate.config.healthcheck, "command", "grep yes ok || { echo upstream says 502; exit 78; }")
    gate.deploy(["web1"], sha=site.bad)
    attempt = shown(site)[0]
    assert [(commit["sha"], commit["subject"]) for commit in attempt["commits"]] == [
        (site.bad, "bad"),
        (site.better, "better"),
    ]
    assert all(commit["author"] and commit["committed_at"] for commit in attempt["commits"])
    assert (attempt["state"], attempt["hosts"][0]["log"].strip()) == ("restored", "upstream says 502")


def test_figures_come_from_deploys(site: Site) -> None:
    """Two releases, one rolled back: two deployments, one failure, restored when the rollback was live."""
    for sha in (site.good, site.better):
        site.deployment().deploy(["web1"], sha=sha)
    site.deployment().rollback(["web1"], release=site.good)
    with site.deployment().registry() as registry:
        found = registry.reader.figures(days=1)
    assert (found.deployments, found.failures) == (2, 1)
    assert found.lead_time_seconds is not None and found.time_to_restore_seconds is not None
    assert shown(site)[0]["subject"] == "good"


def test_status_is_remembered_as_what_the_host_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that was changed by hand has drifted as soon as somebody asks it."""
    monkeypatch.setattr(asking, "REMEMBERING", 60.0)  # a busy machine may take its time
    for sha in (site.good, site.better):
        site.deployment().deploy(["web1"], sha=sha)
    current = site.root() / "current"
    current.unlink()
    current.symlink_to(f"releases/{site.good}")
    site.deployment().status(["web1"])
    with site.deployment().registry() as registry:
        (host,) = registry.reader.hosts().items
    assert (host["release_id"], host["observed_release"], host["drift"]) == (site.better, site.good, True)


def test_status_does_not_need_the_registry(site: Site) -> None:
    """When the database does not answer, the answer about the hosts is the same."""
    site.deployment().deploy(["web1"], sha=site.good)
    down = site.deployment()
    object.__setattr__(down.config, "registry_url", "postgresql://nobody:secret@127.0.0.1:1/none")
    answers = down.status(["web1"])
    assert answers["web1"]["live"] == site.good  # type: ignore[index]


def deploy(deployment: Deployment, sha: str) -> Outcome | DeployError:
    try:
        return deployment.deploy(["web1"], sha=sha)
    except DeployError as error:
        return error


def test_a_deploy_is_the_same_when_nothing_of_it_can_be_shown(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that cannot be stored and commits that cannot be read change neither outcome, and say so once."""

    def unavailable(*_: object, **__: object) -> None:
        raise RegistryUnavailable("no room on device")

    def gone(*_: object, **__: object) -> None:
        raise BuildFailed("git is gone")

    site.deployment().deploy(["web1"], sha=site.good)
    site.events.clear()
    monkeypatch.setattr(Registry, "hear", unavailable)
    monkeypatch.setattr("oroboros_deploy.source.Source.log", gone)
    outcome = site.deployment().deploy(["web1"], sha=site.better)
    assert (int(outcome.exit_code), {host: str(state) for host, state in states(outcome).items()}) == (
        0,
        {"web1": "live"},
    )
    assert [event.name for event in site.events if event.level == "warning"] == ["warning"]
    assert (shown(site)[0]["state"], shown(site)[0]["commits"]) == ("live", [])


def test_build_output_is_not_recorded(site: Site) -> None:
    """What a build prints is in no event."""
    build = {"frontend": None, "venvs": {}, "steps": [{"name": "compile", "command": "echo hun''ter2; exit 7"}]}
    assert isinstance(deploy(site.deployment(build=build), site.good), BuildFailed)
    with site.deployment().registry() as registry:
        told = registry.reader.events()
    assert "hunter2" not in str(told)
    assert [each["data"]["state"] for each in told if each["name"] == "attempt.finished"] == ["failed"]


def test_what_is_new_is_known_while_it_is_built(site: Site) -> None:
    """The commits of an attempt, and what served before, stand in the registry before anything is built."""
    site.deployment().deploy(["web1"], sha=site.good)
    seen: list[tuple[list[str], str | None]] = []

    def look(event: Event) -> None:
        if event.name == "build.started":
            attempt = shown(site)[0]
            seen.append(([each["subject"] for each in attempt["commits"]], attempt["hosts"][0]["previous"]))

    site.deployment(listener=look).deploy(["web1"], sha=site.better)
    assert seen == [(["better"], site.good)]
    assert [each["subject"] for each in shown(site)[0]["commits"]] == ["better"]


def test_connecting_takes_as_long_as_people_wait_for_it(site: Site) -> None:
    """The time of `connect` is that from the attempt's start to the connection, also where it was begun before."""
    site.deployment().deploy(["web1"], sha=site.good)
    at = {event.name: event.at for event in site.events if event.name in ("attempt.started", "host.connected")}
    took = shown(site)[0]["hosts"][0]["seconds"]["connect"]
    assert took + 0.001 > at["host.connected"] - at["attempt.started"] > 0  # it is rounded


def test_a_lock_is_known_to_the_registry(site: Site) -> None:
    """Who holds a host, and that it was freed, is known there at once; so is a hold that `status` found."""

    def hold() -> object:
        with site.deployment().registry() as registry:
            return (registry.reader.host("web1") or {})["hold"]

    site.deployment().deploy(["web1"], sha=site.good)
    seen = [hold()]
    site.deployment(actor="grace@laptop").lock(["web1"], reason="moving the database")
    seen.append(hold())
    site.deployment().unlock(["web1"])
    seen.append(hold())
    with site.deployment().registry() as registry:
        registry.hold({"web1": {"actor": "x", "at": 1.0, "reason": "y"}})
    site.deployment().status(["web1"])
    seen.append(hold())
    told = [each and {key: value for key, value in each.items() if key != "at"} for each in seen]  # type: ignore[attr-defined]
    assert told == [None, {"actor": "grace@laptop", "reason": "moving the database"}, None, None]
