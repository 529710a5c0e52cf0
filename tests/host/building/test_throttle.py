"""What is heard of a build that prints a lot."""

from __future__ import annotations

from typing import Any

import pytest

from oroboros_deploy.host.building import throttle
from oroboros_deploy.host.building.throttle import MOST, Throttle
from tests.support.local_agent import LocalAgent
from tests.support.repository import Repository


class Heard:
    """A ``say`` that remembers."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []

    def __call__(self, event: str, message: str = "", level: str = "info", **data: Any) -> None:
        self.said.append((event, data.get("text", message)))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as a test sets it."""
    now = [100.0]
    monkeypatch.setattr(throttle.time, "monotonic", lambda: now[0])
    return now


def test_what_comes_slowly_is_told_whole(clock: list[float]) -> None:
    """Every piece, as it comes."""
    heard = Heard()
    say = Throttle(heard)
    for text in ("one\n", "two\n", "three\n"):
        say("output", part="a", text=text)
        clock[0] += 1
    assert heard.said == [("output", "one\n"), ("output", "two\n"), ("output", "three\n")]


def test_what_comes_fast_is_told_from_its_end(clock: list[float]) -> None:
    """Not more than so much at a time, beginning with a whole line, and the end before anything else is said."""
    heard = Heard()
    say = Throttle(heard)
    for number in range(10_000):
        say("output", part="a", text=f"line {number}\n")
    say("part.finished", "a built")
    first, rest, last = heard.said
    assert (first, last) == (("output", "line 0\n"), ("part.finished", "a built"))
    assert rest[1].startswith("line ") and rest[1].endswith("line 9998\nline 9999\n")
    assert MOST - 20 < len(rest[1]) <= MOST


def test_a_line_without_an_end_is_told_in_part(clock: list[float]) -> None:
    """There is nowhere better to begin."""
    heard = Heard()
    say = Throttle(heard)
    say("output", part="a", text="x" * 3 * MOST)
    assert heard.said == [("output", "x" * MOST)]


def test_parts_do_not_wait_for_each_other(clock: list[float]) -> None:
    """Each has its own pause, and what is left of all is told at the end."""
    heard = Heard()
    say = Throttle(heard)
    for text in ("one\n", "two\n"):
        for part in ("a", "b"):
            say("output", part=part, text=f"{part} {text}")
    assert heard.said == [("output", "a one\n"), ("output", "b one\n")]
    say.finish()
    assert heard.said[2:] == [("output", "a two\n"), ("output", "b two\n")]


@pytest.mark.slow
def test_a_build_that_prints_a_lot(host: LocalAgent, mirrored: Repository) -> None:
    """Its log is whole, byte for byte; what is heard is little, and ends as the log does; the refusal says why."""
    steps = [{"name": "noise", "path": ".", "command": "seq 300000; echo the cause; exit 3"}]
    request = host.build_request(mirrored.git("rev-parse", "HEAD"), {"steps": steps}) | {"verbose": False}
    answer = host.call("build", request)
    (log,) = host.paths.ours.glob("attempts/*/noise.log")
    assert log.read_text() == "".join(f"{number}\n" for number in range(1, 300001)) + "the cause\n"
    heard = "".join(event["data"]["text"] for event in answer.events if event["event"] == "output")
    assert len(heard) < 500_000 and heard.endswith("300000\nthe cause\n")
    assert (answer.refusal or {})["log"].endswith("300000\nthe cause")
