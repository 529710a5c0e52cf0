"""What is heard of hosts during an attempt, as it is stored."""

from __future__ import annotations

import pytest

from oroboros_deploy.events import Event
from oroboros_deploy.registry import Registry
from tests.support.samples import A, B, host, record


@pytest.fixture
def running(registry: Registry) -> Registry:
    """A registry with an attempt that has begun on two hosts."""
    registry.begin(record(A, host("h1", "running"), host("h2", "running"), finished_at=None, exit_code=None))
    return registry


def test_an_event_is_stored_with_its_attempt_and_environment(running: Registry) -> None:
    """It is found by each of them and by its host, with its data as they were."""
    running.hear("attempt", [Event("build.started", "building", "h1", data={"part": "api", "depth": [1, None]})])
    for asked in ({"host": "h1"}, {"attempt": "attempt", "host": "h1"}, {"environment": "prod", "host": "h1"}):
        (found,) = running.reader.events(**asked)
        shown = {name: found[name] for name in ("attempt", "host", "environment", "name", "level", "message", "data")}
        assert shown == {
            "attempt": "attempt",
            "host": "h1",
            "environment": "prod",
            "name": "build.started",
            "level": "info",
            "message": "building",
            "data": {"part": "api", "depth": [1, None]},
        }


def test_a_message_is_its_first_line(running: Registry) -> None:
    """The output of what failed stays with the host's part; what is too long is cut."""
    running.hear("attempt", [Event("warning", "first\nsecond", "h1"), Event("warning", "x" * 2000, "h1")])
    assert [event["message"] for event in running.reader.events(host="h1")] == ["first", "x" * 500]


def test_the_last_phase_of_each_host_is_kept(running: Registry) -> None:
    """What says no phase changes none."""
    heard = [
        Event("host.connected", "", "h1"),
        Event("phase", "", "h1", data={"phase": "gate"}),
        Event("build.started", "", "h2"),
        Event("warning", "", "h2"),
        Event("phase", "", None, data={"phase": "commit"}),
    ]
    running.hear("attempt", heard)
    hosts = (running.reader.attempt("attempt") or {})["hosts"]
    assert {each["host"]: each["phase"] for each in hosts} == {"h1": "gate", "h2": "build"}


def test_what_a_host_said_last_counts(running: Registry) -> None:
    """Its facts during an attempt, or what `status` heard."""
    running.hear("attempt", [Event("facts.read", "", "h1", data={"live": A})])
    running.observe({"h1": B, "h2": None}, "lab")
    found = {each["host"]: each["observed_release"] for each in running.reader.hosts().items}
    assert found == {"h1": B, "h2": None}
