"""Where a figure stands among those of other teams, by the bands of DORA's report of 2023."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..records.figures import Figures

SOURCE = "Accelerate State of DevOps Report 2023 (DORA)"
_NAMES = ("elite", "high", "medium", "low")
_HOUR, _DAY = 3600.0, 86400.0
# What a figure has to stay below to be elite, high or medium; how often is told as the days between two deployments.
_BOUNDS: Mapping[str, tuple[float, float, float]] = {
    "deployments": (1.0, 7.0, 30.0),
    "lead_time": (_DAY, 7 * _DAY, 30 * _DAY),
    "failure_rate": (0.05, 0.10, 0.15),
    "restore_time": (_HOUR, _DAY, 7 * _DAY),
}
_OF: Mapping[str, Callable[[Figures], float | None]] = {
    "deployments": lambda found: 1 / often if (often := found.deployment_frequency_per_day) else None,
    "lead_time": lambda found: found.lead_time_seconds,
    "failure_rate": lambda found: found.change_failure_rate,
    "restore_time": lambda found: found.time_to_restore_seconds,
}


def bands(figures: Figures) -> dict[str, str]:
    """The band of each measure that there is a figure for, by the names that plots have."""
    values = {name: value(figures) for name, value in _OF.items()}
    return {name: _band(name, value) for name, value in values.items() if value is not None}


def _band(name: str, value: float) -> str:
    return next((band for band, most in zip(_NAMES, _BOUNDS[name], strict=False) if value <= most), _NAMES[-1])
