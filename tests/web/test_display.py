"""How values read on a page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from oroboros_deploy.web import display


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0.04, "40 ms"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (192, "3 min 12 s"),
        (7260, "2 h 1 min"),
        (187200, "2 d 4 h"),
    ],
)
def test_durations(seconds: float | None, said: str) -> None:
    """A duration reads in at most two units."""
    assert display.duration(seconds) == said


@pytest.mark.parametrize(("seconds", "said"), [(0, "0 s"), (47.9, "47 s"), (192, "3 min 12 s"), (-9, "0 s")])
def test_for_how_long(seconds: float, said: str) -> None:
    """What goes on has lasted whole seconds, also where the clock of who began it is ahead."""
    began = datetime.now(UTC) - timedelta(seconds=seconds)
    assert display.elapsed(began.isoformat()) == said


@pytest.mark.parametrize(("minutes", "said"), [(-5, "-1h"), (9, "-1h"), (49, "-1h"), (51, "-2h"), (300, "-6h")])
def test_how_far_back_logs_are_asked_for(minutes: int, said: str) -> None:
    """In whole hours, at least ten minutes before a time: what services said before they stopped is there."""
    time = datetime.now(UTC) - timedelta(minutes=minutes)
    assert display.reaching(time.isoformat()) == said


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        (0, "just now"),
        (0.6 / 60, "just now"),
        (59.6 / 60, "1 h ago"),
        (3.98, "4 h ago"),
        (23.4, "23 h ago"),
        (-5.4, "5 h ahead of the clock"),
    ],
)
def test_how_long_ago(hours: float, said: str) -> None:
    """In the nearest number of the largest unit; a time that a clock which is ahead wrote is not said to be now."""
    time = datetime.now(UTC) - timedelta(hours=hours)
    assert display.ago(time.isoformat()) == said


def test_times_of_other_years_have_their_year() -> None:
    """Those of this year do without."""
    now = datetime.now(UTC)
    assert display.when(now.isoformat()) == display.moment(now.isoformat(), "%-d %b, %H:%M")
    assert display.when("1999-03-17T17:46:40+00:00") == "17 Mar 1999, 17:46"


@pytest.mark.parametrize(
    ("per_day", "said"), [(2.34, ("2.3", "a day")), (0.5, ("3.5", "a week")), (0.0, ("0.0", "a month"))]
)
def test_frequencies(per_day: float, said: tuple[str, str]) -> None:
    """A frequency reads in the smallest unit in which it is not below one."""
    assert display.frequency(per_day) == said


def test_spans_follow_one_another() -> None:
    """Hosts work side by side until they are switched in turn: the slowest counts before, the sum after."""
    one = {"seconds": {"connect": 1.0, "build": 5.0, "activate": 9.9, "activate.gating": 2.0}}
    other = {"seconds": {"connect": 2.0, "build": 4.0, "activate.gating": 3.0}}
    assert display.spans([one, other]) == [
        display.Span("connect", 0.0, 2.0),
        display.Span("build", 2.0, 5.0),
        display.Span("gate", 7.0, 5.0),
    ]


def test_a_stretch_of_names_leaves_none_out() -> None:
    """Names that differ in one number are told by the first and the last; a gap or another difference prevents that."""
    given = (["w2.a", "w10.a", *(f"w{at}.a" for at in range(3, 10))], ["w1", "w3"], ["w1", "x2"], ["w1.a1", "w2.a2"])
    told = [display.stretch(names) for names in (*given, ["web", "w1"], ["w1", "w01"], ["w1"], [])]
    assert told == [("w2.a", "w10.a"), *[None] * 7]
