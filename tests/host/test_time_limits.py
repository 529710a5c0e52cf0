"""How long an activation may take, and that the documentation says the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from oroboros_deploy.host import process, time_limits

PROMISES = (Path(__file__).parents[2] / "docs/promises.md").read_text()
DEFAULTS = {"restart_timeout": 180.0, "migrate_timeout": 900.0, "migrate": None, "healthcheck": {"timeout": 60.0}}


@pytest.mark.parametrize(
    ("changes", "there", "back", "whole"),
    [
        ({}, 244, 274, 792),
        ({"migrate": "alembic upgrade head"}, 1144, 274, 1692),
        ({"restart_timeout": 10.0, "healthcheck": {"timeout": 4.0}}, 18, 48, 114),
        ({"healthcheck": None}, 244, 274, 792),
        ({"stopping": 300.0}, 244, 574, 1392),
        ({"healthcheck": {"timeout": 60.0, "tcp": ["127.0.0.1:80"]}}, 246, 274, 794),
    ],
    ids=["defaults", "migration", "short", "no health command", "a slow stop", "probes"],
)
def test_the_bounds(changes: dict[str, object], there: float, back: float, whole: float) -> None:
    """A migration that there is not takes no time; the whole is there, back, and back again for a recovery."""
    request = DEFAULTS | changes
    assert (time_limits.way_there(request), time_limits.way_back(request), time_limits.whole(request)) == (
        there,
        back,
        whole,
    )


@pytest.mark.parametrize(
    ("allowed", "seconds"),
    [([], 0.0), ([90.0], 0.0), ([90.0, 300.0], 300.0), ([0.0], 0.0), ([None], 900.0), ([1e6], 900.0)],
)
def test_a_stop_that_may_take_longer_than_a_restart(allowed: list[float | None], seconds: float) -> None:
    """A restore waits as long as the slowest unit may take to stop, but not for ever."""
    units = [{"stops_within": each} for each in allowed]
    assert time_limits.stopping([*units, {}], 180.0) == seconds  # type: ignore[list-item]


def test_a_command_gets_its_time_to_end() -> None:
    """The bound counts what ending a process group takes at most: asked, then killed."""
    assert time_limits.ENDING == process.GRACE + process.DYING


def test_the_promises_say_the_same() -> None:
    """The seconds in docs/promises.md are those of the defaults."""
    there, back, whole = (act(DEFAULTS) for act in (time_limits.way_there, time_limits.way_back, time_limits.whole))
    assert re.findall(r"\[(\d+) s\]", PROMISES) == [f"{seconds:.0f}" for seconds in (there + back, back, whole)]


def test_the_promises_name_tests_that_there_are() -> None:
    """Every file that a row names exists, and every test in it."""
    tests = Path(__file__).parents[1]
    for row in re.findall(r"^\|.*\| ([^|]*`[^|]*) \|$", PROMISES, re.MULTILINE):
        for file, names in re.findall(r"`(hosts?/test_\w+\.py)`([\w ,]*)", row):
            text = (tests / file).read_text()
            assert [name for name in re.findall(r"[a-z]\w+", names) if f"def test_{name}" not in text] == []
