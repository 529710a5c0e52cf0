"""The plain values that the control node and the agent both know when they run; their types are in ``contract.py``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Tuple

    from .contract import FinalPhase, Switchable

# The number of the contract and of what lies in `.deploy`.  Format N came with oroboros_deploy 0.N.0;
# 0.1.0 wrote no number.
FORMAT = 2

# The last phases of an activation; `TRANSITIONS` in state.py has all of them.
FINAL: Tuple[FinalPhase, ...] = ("committed", "restored", "restore_failed")
SERVES = ("committed", "restored")  # the final phases after which a release is known to serve

SWITCHABLE: Tuple[Switchable, ...] = ("sealed", "adopted")  # the states of a release that `current` may name
ATTEMPTS = ("deploy", "rollback", "env", "restart")  # the kinds of journal entries that are attempts
BY_RECORD = ("rollback", "env", "restart")  # those that are held to the record of the release that they go to
IN_PLACE = ("env", "restart")  # those that stay with the release that is live

TYPED, SIZED = b"t", b"s"  # how the blocks for a terminal begin: what is typed there; its new rows and columns

WAIT_FOR_OTHERS = 60.0  # seconds for the activation of another deploy root, where nothing else is said

# The gate, where the settings say nothing else; seconds.
FRONTEND_COMMAND = "npm ci && npm run build"  # the only command that a host without npm leaves out
GATE_TIMEOUT = 60.0
GATE_INTERVAL = 1.0
GATE_STABLE_FOR = 2.0
GATE_STABLE_FOR_PROVEN = 0.5  # of a release that served here for PROVEN seconds with the same record
PROVEN = 600.0
PROBE_TIMEOUT = 5.0
PROBE_STATUS = 200
