"""The figures as bars."""

from __future__ import annotations

from oroboros_deploy.web import plots


def test_plots_scale_to_round_numbers() -> None:
    """The top of a plot is a round number, days without a value have no bar, and words tell the same."""
    nothing = {"lead_time_seconds": None, "time_to_restore_seconds": None}
    series = [
        {"day": "2030-01-01", "deployments": 0, "failures": 0, **nothing},
        {"day": "2030-01-02", "deployments": 4, "failures": 1, **nothing, "lead_time_seconds": 1500.0},
    ]
    drawn = plots.plots(series)
    bar = plots.Bar("2 Jan 2030", "4", 80.0, 20.0, 1)
    summary = "Deployments by day, 1 Jan 2030 to 2 Jan 2030: on 1 day, at most 4, on 2 Jan 2030"
    assert drawn["deployments"] == plots.Plot({1: bar}, 2, "1 Jan 2030", "2 Jan 2030", "5", summary)
    assert (drawn["lead_time"].top, drawn["lead_time"].bars[1].height) == ("30 min", 83.33)
    assert drawn["restore_time"].bars == {}
