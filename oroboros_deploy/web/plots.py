"""The figures day by day, as bars that a template draws without arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from .display import duration, moment

HEIGHT = 100.0  # of a plot, in the units of its drawing; a day is one unit wide
_HOUR, _DAY = 3600, 86400
_ROUND_TIMES = (1, 5, 15, 30, 60, 300, 900, 1800, _HOUR, 4 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 30 * _DAY)


@dataclass(frozen=True)
class Bar:
    """One day: what it says, how high it is, how much of that height is failures, and how many those were."""

    day: str
    text: str
    height: float
    failed: float
    failures: int


@dataclass(frozen=True)
class Plot:
    """One measure over time: its bars (``x`` is the day's number), the value at the top, and all of it in words."""

    bars: Mapping[int, Bar]
    days: int
    first: str
    last: str
    top: str
    summary: str


def plots(series: Sequence[Mapping[str, Any]]) -> dict[str, Plot]:
    """The plots of a page of figures, by the name of their measure."""
    return {
        "deployments": _plot(
            series, "Deployments", lambda day: day["deployments"] or None, _round_number, "{:g}".format
        ),
        "lead_time": _plot(series, "Lead time", lambda day: day["lead_time_seconds"], _round_time, duration),
        "failure_rate": _plot(series, "Change failure rate", _failure_rate, lambda _: 1.0, "{:.0%}".format),
        "restore_time": _plot(
            series, "Time to restore", lambda day: day["time_to_restore_seconds"], _round_time, duration
        ),
    }


def _plot(
    series: Sequence[Mapping[str, Any]],
    what: str,
    value: Callable[[Mapping[str, Any]], float | None],
    top: Callable[[float], float],
    text: Callable[[float], str],
) -> Plot:
    values = {index: found for index, day in enumerate(series) if (found := value(day)) is not None}
    highest = top(max(values.values(), default=0.0))
    bars = {index: _bar(series[index], found, highest, text(found)) for index, found in values.items()}
    first, last = (_day(series[0]["day"]), _day(series[-1]["day"])) if series else ("", "")
    summary = f"{what} by day, {first} to {last}: {_in_words(bars, values)}"
    return Plot(bars, len(series), first, last, text(highest), summary)


def _bar(day: Mapping[str, Any], value: float, highest: float, text: str) -> Bar:
    height = HEIGHT * value / highest if highest else 0.0
    failed = min(day["failures"] / day["deployments"], 1.0) if day["deployments"] else 0.0
    return Bar(_day(day["day"]), text, round(height, 2), round(height * failed, 2), day["failures"])


def _in_words(bars: Mapping[int, Bar], values: Mapping[int, float]) -> str:
    if not bars:
        return "nothing to show"
    highest = bars[max(values, key=lambda index: values[index])]
    return f"on {len(bars)} {'day' if len(bars) == 1 else 'days'}, at most {highest.text}, on {highest.day}"


def _failure_rate(day: Mapping[str, Any]) -> float | None:
    return day["failures"] / day["deployments"] if day["deployments"] else None


def _round_number(value: float) -> float:
    return next(size * 10.0**power for power in count() for size in (1, 2, 5) if size * 10**power >= value)


def _round_time(seconds: float) -> float:
    return next((float(size) for size in _ROUND_TIMES if size >= seconds), seconds)


def _day(text: str) -> str:
    return moment(f"{text[:10]}T00:00:00+00:00", "%-d %b %Y")
