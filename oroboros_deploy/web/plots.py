"""The figures day by day or week by week, as bars that a template draws without arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from math import expm1, log1p
from typing import Any

from ..records.figures import Figures
from .display import duration, moment

HEIGHT = 100.0  # of a plot, in the units of its drawing; a day, or a week, is one unit wide
_VISIBLE = 2.0  # of that: the lowest bar that can be seen
_HOUR, _DAY = 3600, 86400
_ROUND_TIMES = (1, 5, 15, 30, 60, 300, 900, 1800, _HOUR, 4 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 30 * _DAY)


@dataclass(frozen=True)
class Bar:
    """One day, or the week that begins with it: what it says, how high it is, and how much of that is failures."""

    day: str
    text: str
    height: float
    failed: float
    failures: int
    since: str  # the first and the last of its days
    until: str


@dataclass(frozen=True)
class Plot:
    """One measure over time: its bars (``x`` is the period's number), the value at the top and in the middle, in words.

    ``middle`` is the text beside half the height, ``line`` how high the figure of the whole time is (None: none).
    Times are drawn on a logarithmic axis (``logarithmic``), so that minutes are seen beside days.
    """

    bars: Mapping[int, Bar]
    days: int
    first: str
    last: str
    top: str
    middle: str
    line: float | None
    summary: str
    logarithmic: bool = False


@dataclass(frozen=True)
class _Measure:
    name: str
    value: Callable[[Mapping[str, Any]], float | None]
    top: Callable[[float], float]
    text: Callable[[float], str]
    whole: Callable[[Figures], float | None]
    logarithmic: bool = False

    def height(self, value: float, top: float) -> float:
        """How high a value is drawn, where the axis ends at ``top``."""
        return HEIGHT * (log1p(value) / log1p(top) if self.logarithmic else value / top) if top else 0.0

    def middle(self, top: float) -> float:
        """The value that is drawn half as high as the top."""
        return expm1(log1p(top) / 2) if self.logarithmic else top / 2


def plots(figures: Figures, weekly: bool = False) -> dict[str, Plot]:
    """The plots of a page of figures, by the name of their measure; a bar for each day, or for each week."""
    series = figures.weeks if weekly else figures.series
    period = "week" if weekly else "day"
    return {name: _plot(series, measure, measure.whole(figures), period) for name, measure in _MEASURES.items()}


def _plot(series: Sequence[Mapping[str, Any]], measure: _Measure, whole: float | None, period: str) -> Plot:
    values = {index: found for index, each in enumerate(series) if (found := measure.value(each)) is not None}
    highest = measure.top(max(values.values(), default=0.0))
    length = 7 if period == "week" else 1
    bars = {
        index: _bar(series[index], measure.height(found, highest), measure.text(found), length)
        for index, found in values.items()
    }
    first, last = (_day(series[0]["day"]), _day(series[-1]["day"])) if series else ("", "")
    summary = f"{measure.name} by {period}, {first} to {last}: {_in_words(bars, values, period)}"
    line = round(measure.height(whole, highest), 2) if whole is not None and 0 < whole <= highest else None
    top, middle = measure.text(highest), measure.text(measure.middle(highest))
    return Plot(bars, len(series), first, last, top, middle, line, summary, measure.logarithmic)


def _bar(day: Mapping[str, Any], drawn: float, text: str, days: int) -> Bar:
    height = max(drawn, _VISIBLE) if drawn else 0.0
    failed = min(day["failures"] / day["deployments"], 1.0) if day["deployments"] else 0.0
    first = date.fromisoformat(day["day"][:10])
    days_of = (first.isoformat(), (first + timedelta(days - 1)).isoformat())
    return Bar(_day(day["day"]), text, round(height, 2), round(height * failed, 2), day["failures"], *days_of)


def _in_words(bars: Mapping[int, Bar], values: Mapping[int, float], period: str) -> str:
    if not bars:
        return "nothing to show"
    highest = bars[max(values, key=lambda index: values[index])]
    preposition = "on" if period == "day" else "in the week of"
    many = f"{len(bars)} {period}{'' if len(bars) == 1 else 's'}"
    return f"{'on' if period == 'day' else 'in'} {many}, at most {highest.text}, {preposition} {highest.day}"


def _failure_rate(day: Mapping[str, Any]) -> float | None:
    return day["failures"] / day["deployments"] if day["deployments"] else None


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _round_number(value: float) -> float:
    sizes = (1, 2, 3, 4, 5, 6, 8)
    return next(size * 10.0**power for power in count() for size in sizes if size * 10**power >= value)


def _round_time(seconds: float) -> float:
    return next((float(size) for size in _ROUND_TIMES if size >= seconds), seconds)


def _day(text: str) -> str:
    return moment(f"{text[:10]}T00:00:00+00:00", "%-d %b %Y")


_MEASURES = {
    "deployments": _Measure(
        "Deployments", lambda day: day["deployments"] or None, _round_number, "{:g}".format, lambda _: None
    ),
    "lead_time": _Measure(
        "Lead time",
        lambda day: day["lead_time_seconds"],
        _round_time,
        duration,
        lambda found: found.lead_time_seconds,
        logarithmic=True,
    ),
    "failure_rate": _Measure(
        "Change failure rate", _failure_rate, lambda _: 1.0, _percent, lambda found: found.change_failure_rate
    ),
    "restore_time": _Measure(
        "Time to restore",
        lambda day: day["time_to_restore_seconds"],
        _round_time,
        duration,
        lambda found: found.time_to_restore_seconds,
        logarithmic=True,
    ),
}
