"""How long an activation may take: the sum of its deadlines, for systemd and for whoever waits elsewhere.  Pure."""

from __future__ import annotations

from .annotations import Any, Mapping

ENDING = 4.0  # seconds that a health command gets to end after its time is over
SLACK = 30.0  # seconds for what has no deadline of its own: verifying releases, waiting for the disk


def way_there(request: Mapping[str, Any]) -> float:
    """Seconds for the migration, if there is one, the restart and the gate."""
    return float(request["migrate_timeout"] if request["migrate"] else 0.0) + _restart_and_gate(request)


def way_back(request: Mapping[str, Any]) -> float:
    """Seconds for a restore."""
    return _restart_and_gate(request) + SLACK


def whole(request: Mapping[str, Any]) -> float:
    """Seconds after which the host is at rest, even when the activation was ended at its limit and then recovered."""
    return way_there(request) + 2 * way_back(request)


def _restart_and_gate(request: Mapping[str, Any]) -> float:
    gate = (request["healthcheck"] or {}).get("timeout", 60.0) + ENDING
    return float(request["restart_timeout"] + gate)
