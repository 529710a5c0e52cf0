"""How long an activation may take: the sum of its deadlines, for systemd and for whoever waits elsewhere.  Pure."""

from __future__ import annotations

from .annotations import TYPE_CHECKING
from .constants import GATE_TIMEOUT

if TYPE_CHECKING:
    from .contract import ActivateRequest

ENDING = 4.0  # seconds that a health command gets to end after its time is over
SLACK = 30.0  # seconds for what has no deadline of its own: verifying releases, waiting for the disk


def way_there(request: ActivateRequest) -> float:
    """Seconds for the migration, if there is one, the restart and the gate."""
    return (request["migrate_timeout"] if request.get("migrate") else 0.0) + _restart_and_gate(request)


def way_back(request: ActivateRequest) -> float:
    """Seconds for a restore."""
    return _restart_and_gate(request) + SLACK


def whole(request: ActivateRequest) -> float:
    """Seconds after which the host is at rest, even when the activation was ended at its limit and then recovered."""
    return way_there(request) + 2 * way_back(request)


def _restart_and_gate(request: ActivateRequest) -> float:
    gate = request["healthcheck"]
    return request["restart_timeout"] + (gate.get("timeout", GATE_TIMEOUT) if gate else GATE_TIMEOUT) + ENDING
