"""Where figures stand among those of other teams."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from oroboros_deploy.records.figures import figures
from oroboros_deploy.web.bands import bands

NONE = figures([], environment=None, days=1, today=date(2030, 1, 31))
DAY = 86400.0


def told(often: float, lead: float, rate: float, restore: float) -> list[str]:
    found = replace(
        NONE,
        deployment_frequency_per_day=often,
        lead_time_seconds=lead,
        change_failure_rate=rate,
        time_to_restore_seconds=restore,
    )
    return [*bands(found).values()]


def test_each_band_has_its_bounds() -> None:
    """Each measure is in the band of the report whose bound it keeps, and in none where there is no figure."""
    assert bands(NONE) == {}
    assert told(3, 3600, 0.04, 60) == ["elite"] * 4
    assert told(1 / 7, 7 * DAY, 0.1, DAY) == ["high"] * 4
    assert told(1 / 29, 29 * DAY, 0.15, 6 * DAY) == ["medium"] * 4
    assert told(1 / 31, 31 * DAY, 0.16, 8 * DAY) == ["low"] * 4
