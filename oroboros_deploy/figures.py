"""The four figures of delivery, from what attempts came to.  Pure; `docs/figures.md` defines them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any, NamedTuple


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
    activation_seconds: float
    lead_seconds: float | None


@dataclass(frozen=True)
class Figures:
    """The four DORA measures of one environment, or of all (None), over the last ``days`` days.

    ``series`` has one entry a day, the oldest first: ``day``, ``deployments``,
    ``failures``, ``lead_time_seconds`` and ``time_to_restore_seconds`` (the day's medians).
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


@dataclass(slots=True)
class _Deployment:
    """What the figures keep of one deployment."""

    day: date
    at: datetime
    lead: float | None
    failed: bool = False
    restore: float | None = None


@dataclass
class _Day:
    deployments: int = 0
    failures: int = 0
    leads: list[float] = field(default_factory=list)
    restores: list[float] = field(default_factory=list)


def figures(ended: Iterable[Ended], *, environment: str | None, days: int, today: date) -> Figures:
    """The figures of what ended in the ``days`` days up to and with ``today`` (UTC), given in the order it ended."""
    deployments = _deployments(ended)
    failed = [each for each in deployments if each.failed]
    leads = [each.lead for each in deployments if each.lead is not None]
    restores = [each.restore for each in failed if each.restore is not None]
    return Figures(
        environment=environment,
        days=days,
        deployment_frequency_per_day=len(deployments) / days,
        lead_time_seconds=_median(leads),
        change_failure_rate=len(failed) / len(deployments) if deployments else None,
        time_to_restore_seconds=_median(restores),
        deployments=len(deployments),
        failures=len(failed),
        series=_series(deployments, days, today),
    )


def _deployments(ended: Iterable[Ended]) -> list[_Deployment]:
    """The deployments, with the failures that a later attempt showed or ended."""
    found: list[_Deployment] = []
    latest: dict[tuple[str | None, str], _Deployment] = {}  # of each release in each environment
    broken: dict[str | None, list[_Deployment]] = {}  # failed, and nothing healthy went live since
    for each in ended:
        if broken and each.state == "live":
            _restored(broken.pop(each.environment, ()), each.finished_at)
        if each.kind == "rollback":
            _rolled_back(latest.get((each.environment, each.previous or "")), each)
            continue
        deployment = _Deployment(each.finished_at.date(), each.finished_at, each.lead_seconds)
        found.append(deployment)
        latest[each.environment, each.release_id] = deployment
        if each.state == "restored":
            deployment.failed, deployment.restore = True, each.activation_seconds
        elif each.state != "live":
            deployment.failed = True
            broken.setdefault(each.environment, []).append(deployment)
    return found


def _rolled_back(deployment: _Deployment | None, rollback: Ended) -> None:
    """Someone went back from a release that had passed its gate: its deployment had failed after all."""
    if deployment and rollback.state == "live" and not deployment.failed:
        deployment.failed = True
        _restored([deployment], rollback.finished_at)


def _restored(deployments: Iterable[_Deployment], at: datetime) -> None:
    for deployment in deployments:
        deployment.restore = max(0.0, (at - deployment.at).total_seconds())


def _series(deployments: Iterable[_Deployment], days: int, today: date) -> list[dict[str, Any]]:
    calendar = {today - timedelta(ago): _Day() for ago in reversed(range(days))}
    for deployment in deployments:
        day = calendar.get(deployment.day)
        if day is None:  # a clock that is wrong makes no day of its own
            continue
        day.deployments += 1
        day.failures += deployment.failed
        if deployment.lead is not None:
            day.leads.append(deployment.lead)
        if deployment.restore is not None:
            day.restores.append(deployment.restore)
    return [
        {
            "day": day.isoformat(),
            "deployments": each.deployments,
            "failures": each.failures,
            "lead_time_seconds": _median(each.leads),
            "time_to_restore_seconds": _median(each.restores),
        }
        for day, each in calendar.items()
    ]


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None
