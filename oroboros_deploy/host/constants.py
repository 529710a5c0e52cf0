"""The plain values that the control node and the agent both know when they run; their types are in ``contract.py``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Tuple

    from .contract import Phase, Switchable

# The number of the contract and of what lies in `.deploy`.  Format N came with oroboros_deploy 0.N.0;
# 0.1.0 wrote no number.
FORMAT = 2

# What may follow what: the state machine goes nowhere else, and the fault table takes its rows from here.
# A new phase also needs what follows; then look for the names of the phases beside it, for tests hold whole sequences:
#   grep -rnE 'prepared|swapped|restarted|gated|restor' oroboros_deploy tests docs README.md
#   always: `Phase` (contract.py); its step, and what `resume` makes of it (activation.py); `PHASES` (words.py here) and
#     `WAY` (the package's words.py); docs/json.md; the pictures in state.py and docs/architecture.md; a row of `DEATHS`
#     (tests/host/test_activation.py), `WORK` (tests/support/faults.py), rows of tests/host/test_fault_table.py, and
#     tests/support/choice.py.  FORMAT goes up when its number was released: older agents and control nodes
#     do not know the phase.
#   with a time of its own: `STEPS` (words.py here), web/templates/parts.html and
#     web/static/page.css, which name and colour it.
#   with work that may take long: its deadline (time_limits.py); with a setting for it, config/settings.py,
#     `ActivateRequest` (contract.py) and control/plan.py.
#   as an end: `FinalPhase` and `EntryOutcome` (contract.py), `SERVES` below, `_PHASES` and, with a new outcome,
#     `State` and `_ENDS` (the package's outcome.py), records/record.py.
#   as an end or on the way back: what `enter` (activation.py) does when it cannot be written, and
#     tests/support/invariants.py and `WRITING_IS_ALL` (tests/support/faults.py), which list these.
#   on the way back: cli/steps.py, and records/history.py, which tells by the phase whether a host switched.
TRANSITIONS: Dict[Phase, Tuple[Phase, ...]] = {
    "prepared": ("prepared", "swapped", "restoring"),  # itself, with the revision that the migration came to
    "swapped": ("restarted", "restoring"),
    "restarted": ("gated", "restoring"),
    "gated": ("committed", "restoring"),  # back only when `current` does not name the target any more
    "restoring": ("restoring", "restored", "restore_failed"),  # itself, when the restore was interrupted
    "committed": (),
    "restored": (),
    "restore_failed": (),
}
FINAL = tuple(phase for phase, following in TRANSITIONS.items() if not following)
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
