"""The four figures, each from a few attempts that a person can follow."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, date, datetime, timedelta

import pytest

from oroboros_deploy.records.figures import Ended, Figures, figures, figures_of_each

NOON = datetime(2030, 1, 10, 12, tzinfo=UTC)
A, B, C = "a" * 40, "b" * 40, "c" * 40


def ended(minute: float, release_id: str, state: str = "live", **more: object) -> Ended:
    """A deploy to prod that ended so many minutes after noon."""
    values: dict[str, object] = {
        "kind": "deploy",
        "state": state,
        "environment": "prod",
        "release_id": release_id,
        "previous": None,
        "finished_at": NOON + timedelta(minutes=minute),
        "activation_seconds": 4.0,
        "lead_seconds": None,
    }
    return Ended(**values | more)  # type: ignore[arg-type]


def measured(*attempts: Ended, days: int = 2) -> Figures:
    return figures(reversed(attempts), environment=None, days=days, today=date(2030, 1, 10))


def rates(found: Figures) -> tuple[int, int, float | None, float | None]:
    return found.deployments, found.failures, found.change_failure_rate, found.time_to_restore_seconds


def test_nothing_happened() -> None:
    """Without deployments there is a frequency of zero and no rate, and every day has its entry."""
    empty = {"deployments": 0, "failures": 0, "lead_time_seconds": None, "time_to_restore_seconds": None}
    assert measured() == Figures(
        environment=None,
        days=2,
        deployment_frequency_per_day=0.0,
        lead_time_seconds=None,
        change_failure_rate=None,
        time_to_restore_seconds=None,
        deployments=0,
        failures=0,
        series=[{"day": "2030-01-09", **empty}, {"day": "2030-01-10", **empty}],
        weeks=[{"day": "2030-01-07", **empty}],
    )


def test_weeks_begin_with_the_first_record() -> None:
    """A week has all that its days have, by its Monday; weeks before the first record were not recorded."""
    went = [ended(-8 * 1440, A, lead_seconds=60.0), ended(-1440, B, lead_seconds=600.0), ended(0, C, "restored")]
    found = figures(reversed(went), environment=None, days=90, today=date(2030, 1, 10), first=date(2030, 1, 2))
    assert found.weeks == [
        {"day": "2029-12-31", "deployments": 1, "failures": 0}
        | {"lead_time_seconds": 60.0, "time_to_restore_seconds": None},
        {"day": "2030-01-07", "deployments": 2, "failures": 1}
        | {"lead_time_seconds": 600.0, "time_to_restore_seconds": 4.0},
    ]


def test_frequency_and_lead_time() -> None:
    """Deployments are counted by the day they ended on; lead time is the median of those that have one."""
    found = measured(
        ended(-1440, A, lead_seconds=60.0),
        ended(0, B, lead_seconds=600.0),
        ended(1, C, lead_seconds=7200.0),
        ended(2, A),
    )
    assert (found.deployment_frequency_per_day, found.lead_time_seconds) == (2.0, 600.0)
    assert found.series == [
        {
            "day": "2030-01-09",
            "deployments": 1,
            "failures": 0,
            "lead_time_seconds": 60.0,
            "time_to_restore_seconds": None,
        },
        {
            "day": "2030-01-10",
            "deployments": 3,
            "failures": 0,
            "lead_time_seconds": 3900.0,
            "time_to_restore_seconds": None,
        },
    ]


def test_a_restored_deployment_failed_and_was_restored_within_its_activation() -> None:
    """The users saw it from the switch until the way back was done."""
    found = measured(ended(0, A), ended(1, B, "restored", activation_seconds=9.5))
    assert rates(found) == (2, 1, 0.5, 9.5)
    assert [day["time_to_restore_seconds"] for day in found.series] == [None, 9.5]


@pytest.mark.parametrize("state", ["broken", "failed"])
def test_a_deployment_that_stayed_broken_is_restored_by_the_next_that_is_live(state: str) -> None:
    """Another failure in between restores nothing, and neither does another environment."""
    found = measured(
        ended(0, A, state),
        ended(3, B, "live", environment="staging"),
        ended(5, B, "restored", activation_seconds=600.0),
        ended(10, C),
    )
    assert rates(found) == (4, 2, 0.5, 600.0)


def test_a_rollback_makes_the_deployment_it_left_a_failure() -> None:
    """A rollback is no deployment; the one whose release it left had failed, until the rollback was live."""
    back = ended(30, A, kind="rollback", previous=B)
    assert rates(measured(ended(-9, A), ended(0, B), back)) == (2, 1, 0.5, 1800.0)


@pytest.mark.parametrize(
    "back",
    [
        ended(30, A, "restored", kind="rollback", previous=B),
        ended(30, A, kind="rollback", previous=C),
        ended(30, A, kind="rollback", previous=B, environment="staging"),
        ended(30, A, kind="rollback", previous=None),
    ],
    ids=["that failed", "from another release", "of another environment", "from nothing"],
)
def test_a_rollback_blames_no_other_deployment(back: Ended) -> None:
    """Only a rollback that went live, from that release, in that environment."""
    assert rates(measured(ended(0, B), back)) == (1, 0, 0.0, None)


def test_a_failure_that_is_not_over_has_no_time_to_restore() -> None:
    """It counts as a failure, and waits for its end."""
    assert rates(measured(ended(0, A, "broken"))) == (1, 1, 1.0, None)


def test_the_newest_deployment_of_a_release_is_the_one_that_was_rolled_back() -> None:
    """A release deployed twice failed once: the second time."""
    back = ended(12, A, kind="rollback", previous=B)
    found = measured(ended(-1440, B), ended(0, A), ended(10, B), back)
    assert rates(found) == (3, 1, 1 / 3, 120.0)
    assert [day["failures"] for day in found.series] == [0, 1]


def test_a_deployment_that_is_rolled_back_twice_failed_once() -> None:
    """Going forward to it again by a rollback, and back again, changes nothing about its first failure."""
    back, forth = {"kind": "rollback", "previous": B}, {"kind": "rollback", "previous": A}
    assert rates(measured(ended(0, B), ended(10, A, **back), ended(20, B, **forth), ended(30, A, **back))) == (
        1,
        1,
        1.0,
        600.0,
    )


def test_days_before_the_first_record_are_no_days_without_deployments() -> None:
    """The frequency is over the days that were recorded, the first and today included, and never over none."""
    today = date(2030, 1, 10)
    nine = [ended(minute, A) for minute in range(9)]
    frequencies = [
        figures(nine, environment=None, days=90, today=today, first=first).deployment_frequency_per_day
        for first in (today, today - timedelta(days=2), today - timedelta(days=89), date(1990, 1, 1), date(2990, 1, 1))
    ]
    assert frequencies == [9.0, 3.0, 0.1, 0.1, 9.0]


def test_of_many_attempts_little_is_held() -> None:
    """They are counted as they come, for each environment: memory holds the numbers of deployments, no attempts."""
    many = (ended(-number, f"{number:040}", kind="env") for number in range(10_000))
    tracemalloc.start()
    try:
        found = figures_of_each(many, (None, "prod"), days=2, today=date(2030, 1, 10), first={})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (peak < 1_000_000, found["prod"].deployments) == (True, 0)
