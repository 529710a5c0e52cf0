"""Who activates on a host is known by the lock that a living process holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from oroboros_deploy.host import lock, manager, running, state, units
from oroboros_deploy.host.layout import Layout
from tests.support.local_agent import LocalAgent


@pytest.fixture
def layout(host: LocalAgent) -> Layout:
    host.paths.create()
    return host.paths


def begun(host: LocalAgent, layout: Layout) -> state.State:
    found = state.begin(host.request("b" * 40), "a" * 40)  # type: ignore[arg-type]
    state.save(layout.state, found)
    return found


def test_a_quiet_host(layout: Layout) -> None:
    """Nothing runs where nobody holds the lock, whatever the state says."""
    assert running.running(layout) is None


def test_what_runs_is_told(host: LocalAgent, layout: Layout) -> None:
    """The holder's attempt, release, person, phase and start are those of the state that it wrote."""
    found = begun(host, layout)
    assert running.running(layout) is None
    with lock.take(layout.lock):
        told = running.running(layout)
    assert told == {
        "attempt": found.attempt,
        "kind": "deploy",
        "target": "b" * 40,
        "actor": found.actor,
        "since": found.started_at,
        "phase": "prepared",
    }


def test_one_that_has_not_said_what_it_is(host: LocalAgent, layout: Layout) -> None:
    """A holder that has written no state of its own yet is told as such, with the words for who waits."""
    state.save(layout.state, begun(host, layout)._replace(phase="committed"))
    with lock.take(layout.lock):
        assert running.running(layout) == {}
    refusal = running.busy(layout)
    assert (refusal.kind, "another activation holds this host" in refusal.message) == ("busy", True)


@pytest.mark.parametrize(("active", "phase"), [("active", "prepared"), ("failed", None)])
def test_a_lock_that_somebody_removed(
    host: LocalAgent, layout: Layout, monkeypatch: pytest.MonkeyPatch, active: str, phase: str | None
) -> None:
    """Of an attempt without an end systemd is asked too: one whose unit runs holds the host, without its file."""
    begun(host, layout)
    unit = units.Unit(running.UNIT, "loaded", active, "", "exec", "", "0", "", "0", False, "0")
    monkeypatch.setattr(units, "present", lambda: True)
    monkeypatch.setattr(units, "show", lambda names: dict.fromkeys(names, unit))
    assert (running.running(layout) or {}).get("phase") == phase


@pytest.mark.parametrize("active", ["active", "deactivating", "failed"])
def test_the_second_name_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, active: str) -> None:
    """Systemd is asked of it where it has such a unit, and one that has not ended holds the host."""
    unit = units.Unit(running.SECOND, "loaded", active, "", "exec", "", "0", "", "0", False, "0")
    monkeypatch.setattr(manager, "RUN", tmp_path)
    known = tmp_path / "systemd/transient"
    known.mkdir(parents=True)
    monkeypatch.setattr(units, "show", lambda names: {running.SECOND: unit})
    assert not running.second_runs()
    (known / running.SECOND).touch()
    assert running.second_runs() == (active != "failed")
