"""The figures as bars."""

from __future__ import annotations

from typing import Any

from oroboros_deploy.records.figures import Figures
from oroboros_deploy.web import plots


def measured(series: list[dict[str, Any]], weeks: list[dict[str, Any]] | None = None) -> Figures:
    """Figures whose median lead time is a quarter of an hour."""
    return Figures(None, len(series), 2.0, 900.0, 0.25, None, 4, 1, series, weeks or [])


def test_plots_scale_to_round_numbers() -> None:
    """The top of a plot is a round number, days without a value have no bar, and words tell the same."""
    nothing = {"lead_time_seconds": None, "time_to_restore_seconds": None}
    series = [
        {"day": "2030-01-01", "deployments": 0, "failures": 0, **nothing},
        {"day": "2030-01-02", "deployments": 4, "failures": 1, **nothing, "lead_time_seconds": 1500.0},
    ]
    drawn = plots.plots(measured(series))
    bar = plots.Bar("2 Jan 2030", "4", 100.0, 25.0, 1, "2030-01-02", "2030-01-02")
    summary = "Deployments by day, 1 Jan 2030 to 2 Jan 2030: on 1 day, at most 4, on 2 Jan 2030"
    assert drawn["deployments"] == plots.Plot({1: bar}, 2, "1 Jan 2030", "2 Jan 2030", "4", "2", None, summary)
    assert (drawn["lead_time"].top, drawn["lead_time"].bars[1].height) == ("30 min", 97.57)
    assert (drawn["lead_time"].line, drawn["lead_time"].middle) == (90.76, "41 s")
    assert drawn["restore_time"].bars == {}


def test_a_year_is_drawn_by_weeks() -> None:
    """Their bars are named by their Mondays, and a minute is seen beside a day: the axis of times is logarithmic."""
    times = {"deployments": 1, "failures": 0, "time_to_restore_seconds": None}
    weeks = [times | {"day": f"2030-01-{day:02}", "lead_time_seconds": lead} for day, lead in ((7, 66.0), (14, 1e5))]
    drawn = plots.plots(measured([], weeks), weekly=True)["lead_time"]
    assert [(bar.day, bar.height) for bar in drawn.bars.values()] == [("7 Jan 2030", 34.87), ("14 Jan 2030", 95.46)]
    assert drawn.summary == (
        "Lead time by week, 7 Jan 2030 to 14 Jan 2030: in 2 weeks, at most 1 d 3 h, in the week of 14 Jan 2030"
    )


def test_a_bar_knows_its_days() -> None:
    """A week is seven days from its Monday on, a day is one: whoever follows the bar finds their attempts."""
    times = {"deployments": 1, "failures": 0, "lead_time_seconds": None, "time_to_restore_seconds": None}
    entry = [times | {"day": "2030-01-07"}]
    (week,) = plots.plots(measured([], entry), weekly=True)["deployments"].bars.values()
    (day,) = plots.plots(measured(entry))["deployments"].bars.values()
    assert (week.since, week.until) == ("2030-01-07", "2030-01-13")
    assert (day.since, day.until) == ("2030-01-07", "2030-01-07")
