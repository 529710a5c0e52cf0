"""The four figures of delivery, from what attempts came to.  Pure; `docs/figures.md` defines them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

from ..host.constants import IN_PLACE


class Ended(NamedTuple):
    """One attempt that put a release in front of users, on whatever came of it.

    ``previous`` is the release that served before, ``activation_seconds`` how long the
    switch and, where it failed, the way back took, ``lead_seconds`` the time from the
    commit to the first time it was live (None: it was not the first, or not known).
    """

    kind: str
    state: str
    environment: str | None
    release_id: str
    previous: str | None
    finished_at: datetime
    activation_seconds: float | None
    lead_seconds: float | None


@dataclass(frozen=True)
class Figures:
    """The four DORA measures of one environment, or of all (None), over the last ``days`` days.

    ``series`` has one entry a day, the oldest first: ``day``, ``deployments``,
    ``failures``, ``lead_time_seconds`` and ``time_to_restore_seconds`` (the day's medians).
    ``weeks`` has the same for each week, by its Monday, from the first record on.
    """

    environment: str | None
    days: int
    deployment_frequency_per_day: float
    lead_time_seconds: float | None
    change_failure_rate: float | None
    time_to_restore_seconds: float | None
    deployments: int
    failures: int
    series: list[dict[str, Any]]
    weeks: list[dict[str, Any]]


@dataclass(slots=True)
class _Day:
    deployments: int = 0
    failures: int = 0
    leads: list[float] = field(default_factory=list)
    restores: list[float] = field(default_factory=list)


def figures_of_each(
    ended: Iterable[Ended], names: Iterable[str | None], *, days: int, today: date, first: Mapping[str | None, date]
) -> dict[str | None, Figures]:
    """The figures of each of these environments (None: of all together), as `figures` has them, in one go."""
    counted = {name: _Count(days, today) for name in names}
    for each in ended:
        for name in {each.environment, None} & counted.keys():
            counted[name].add(each)
    return {name: found.figures(name, first.get(name)) for name, found in counted.items()}


def figures(
    ended: Iterable[Ended], *, environment: str | None, days: int, today: date, first: date | None = None
) -> Figures:
    """The figures of what ended in the ``days`` days up to and with ``today`` (UTC), given the newest first.

    ``first`` is the day of the first record: days before it were not without deployments, they were not recorded.
    """
    counted = _Count(days, today)
    for each in ended:
        counted.add(each)
    return counted.figures(environment, first)


class _Count:
    """What deployments came to, by day; of each attempt nothing is kept but its numbers.

    Back in time, what came after each attempt is known, and nothing else has to be remembered.
    """

    def __init__(self, days: int, today: date) -> None:
        self._today = today
        self._calendar = {today - timedelta(ago): _Day() for ago in reversed(range(days))}
        self._other = _Day()  # a clock that is wrong makes no day of its own
        self._good: dict[str | None, datetime] = {}  # when, after that, an attempt first ended live in an environment
        self._left: dict[tuple[str | None, str | None], datetime] = {}  # when a rollback left a release there

    def add(self, each: Ended) -> None:
        """Count an attempt; they come the newest first."""
        if each.kind == "deploy":
            self._add_deployment(each)
        elif each.kind == "rollback" and each.state == "live":
            self._left[each.environment, each.previous] = each.finished_at
        if each.state == "live" and each.kind not in IN_PLACE:
            self._good[each.environment] = each.finished_at

    def _add_deployment(self, each: Ended) -> None:
        day, at = self._calendar.get(each.finished_at.date(), self._other), each.finished_at
        day.deployments += 1
        if each.lead_seconds is not None:
            day.leads.append(each.lead_seconds)
        until = self._left.pop((each.environment, each.release_id), None)
        if each.state != "live":
            until = self._good.get(each.environment)
        if each.state != "live" or until:
            day.failures += 1
        if each.state == "restored":
            day.restores.append(max(0.0, each.activation_seconds or 0.0))
        elif until:
            day.restores.append(max(0.0, (until - at).total_seconds()))

    def figures(self, environment: str | None, first: date | None) -> Figures:
        """What was counted, of an environment with its first record on this day."""
        days, every = len(self._calendar), _together([*self._calendar.values(), self._other])
        recorded = days if first is None else min(days, max((self._today - first).days + 1, 1))
        return Figures(
            environment=environment,
            days=days,
            deployment_frequency_per_day=every.deployments / recorded,
            lead_time_seconds=_median(every.leads),
            change_failure_rate=every.failures / every.deployments if every.deployments else None,
            time_to_restore_seconds=_median(every.restores),
            deployments=every.deployments,
            failures=every.failures,
            series=[_entry(day, each) for day, each in self._calendar.items()],
            weeks=[_entry(monday, _together(each)) for monday, each in _weeks(self._calendar, first)],
        )


def _weeks(calendar: Mapping[date, _Day], first: date | None) -> list[tuple[date, list[_Day]]]:
    """The days of each week from the first record on, by its Monday."""
    weeks: dict[date, list[_Day]] = {}
    for day, each in calendar.items():
        if first is None or day >= first:
            weeks.setdefault(day - timedelta(day.weekday()), []).append(each)
    return list(weeks.items())


def _together(days: Iterable[_Day]) -> _Day:
    found = _Day()
    for day in days:
        found.deployments += day.deployments
        found.failures += day.failures
        found.leads += day.leads
        found.restores += day.restores
    return found


def _entry(day: date, found: _Day) -> dict[str, Any]:
    return {
        "day": day.isoformat(),
        "deployments": found.deployments,
        "failures": found.failures,
        "lead_time_seconds": _median(found.leads),
        "time_to_restore_seconds": _median(found.restores),
    }


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None
