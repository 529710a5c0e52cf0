"""How long an activation may take: the sum of its deadlines, for systemd and for whoever waits elsewhere.  Pure."""

from __future__ import annotations

from .annotations import TYPE_CHECKING, Iterable
from .constants import GATE_TIMEOUT, WAIT_FOR_OTHERS

if TYPE_CHECKING:
    from .contract import ActivateRequest, UnitFacts

BASELINE = 2.0  # seconds for the probes that are asked before the switch
ENDING = 4.0  # seconds that a health command gets to end after its time is over
LONGEST_STOP = 900.0  # seconds that a restore waits for a unit that may take for ever to stop
SLACK = 30.0  # seconds for what has no deadline of its own: verifying releases, waiting for the disk


def way_there(request: ActivateRequest) -> float:
    """Seconds for the migration, if there is one, the probes before the switch, the units, the restart and the gate."""
    migration = request["migrate_timeout"] if request.get("migrate") else 0.0
    return migration + _before(request) + _restart_and_gate(request)


def way_back(request: ActivateRequest) -> float:
    """Seconds for a restore, which waits for a stop that goes on."""
    return _restart_and_gate(request) + SLACK + request.get("stopping", 0.0)


def stopping(units: Iterable[UnitFacts], restart_timeout: float) -> float:
    """Seconds that a restore waits for a stop that systemd has begun; 0 where ``restart_timeout`` is enough."""
    allowed = [unit.get("stops_within", 0.0) for unit in units]
    longest = max((LONGEST_STOP if each is None else min(each, LONGEST_STOP) for each in allowed), default=0.0)
    return longest if longest > restart_timeout else 0.0


def whole(request: ActivateRequest) -> float:
    """Seconds after which the host is at rest, even when the activation was ended at its limit and then recovered."""
    return way_there(request) + 2 * way_back(request)


def turn(request: ActivateRequest) -> float:
    """Seconds before it begins: whoever activates there is waited for, once while facts are read and once after."""
    return 2 * request.get("wait", WAIT_FOR_OTHERS)


def _before(request: ActivateRequest) -> float:
    gate = request["healthcheck"]
    return BASELINE if gate and (gate.get("http") or gate.get("tcp")) else 0.0


def _restart_and_gate(request: ActivateRequest) -> float:
    gate = request["healthcheck"]
    units = request["restart_timeout"] if request.get("units") else 0.0  # some are stopped before they go
    return units + request["restart_timeout"] + (gate.get("timeout", GATE_TIMEOUT) if gate else GATE_TIMEOUT) + ENDING
