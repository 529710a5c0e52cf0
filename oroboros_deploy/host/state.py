"""The phases of an activation, and the state that is kept of it: whoever adds a phase begins here.

    prepared ──► swapped ──► restarted ──► gated ──► committed
        │           │            │           │
        └───────────┴────────────┴───────────┴──► restoring ──► restored | restore_failed

Each phase is on the disk before the step that leaves it begins, so whoever finds the
file knows the most that can have happened.  ``restore_failed`` and the two other ends
are final; everything else is to be settled by whoever holds the lock.  `TRANSITIONS`
declares what may follow what; what a phase does is in ``activation.py``.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from . import durable, manager
from .annotations import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple, cast
from .constants import FINAL
from .layout import Layout
from .refusal import Refusal

if TYPE_CHECKING:
    from .contract import ActivateRequest, ActivationState, AttemptKind, Changes, Phase, Result

# What may follow what: the state machine goes nowhere else, and the fault table takes its rows from here.
# CONTRIBUTING.md ("Add a call, a step or a phase") lists every other place that has to know a new one.
TRANSITIONS: Dict[Phase, Tuple[Phase, ...]] = {
    "prepared": ("prepared", "swapped", "restoring"),  # itself, with the revision that the migration came to
    "swapped": ("restarted", "restoring"),
    "restarted": ("gated", "restoring"),
    "gated": ("committed", "restoring"),  # back only when `current` does not name the target any more
    "restoring": ("restoring", "restored", "restore_failed"),  # itself, when the restore was interrupted
    **dict.fromkeys(FINAL, ()),
}

KERNEL = Path("/proc/sys/kernel/random/boot_id")
FIRST = Path("/proc/1/stat")
MADE = Path("/run/systemd/inaccessible/reg")  # systemd makes it when it starts, and nobody writes it


def boot_id() -> str:
    """A name for this boot: it tells a process that died from a host that did.

    The kernel's name comes first, which is all that 0.1.0 noted.  A container may have that of its machine,
    and some boards have the same one at each boot; so when the first process began, and by the clock when
    systemd did, is part of it.  Neither changes when systemd executes itself again.  For services of the login's own
    manager its start is the boot.
    """
    began = FIRST.read_text().rpartition(")")[2].split()[19]
    made = MADE.stat().st_mtime_ns if os.path.exists(MADE) else 0
    return " ".join(filter(None, [KERNEL.read_text().strip(), began, str(made), manager.chosen().began()]))


class State(NamedTuple):
    """One activation at one moment; ``seconds`` holds how long each phase took, ``source`` what it left.

    ``ran`` has the services that ran before the switch, each with its invocation; ``foreign`` is where the link led
    that another program had at ``current``.  ``enabled`` are the services that the release's record will name as such.
    ``configuration`` is the revision in use with the target, ``configuration_before`` the one before the switch;
    ``units`` and ``units_before`` are the sets of units likewise (the same name: nothing of them changes);
    ``units_begun`` when ours may be in their place, so that what differs is not what somebody else did.
    """

    attempt: str
    kind: AttemptKind
    target: str
    source: Optional[str]
    phase: Phase
    boot: str
    started_at: float
    seconds: Dict[str, float]
    actor: str = ""
    reason: str = ""
    transcript: str = ""
    migration_marker: Optional[str] = None
    switched: bool = False
    sequence: int = 0
    ran: Optional[Dict[str, str]] = None
    foreign: Optional[str] = None
    enabled: Optional[List[str]] = None
    configuration: Optional[str] = None
    configuration_before: Optional[str] = None
    names: Optional[Changes] = None
    units: Optional[str] = None
    units_before: Optional[str] = None
    unit_changes: Optional[Changes] = None
    units_begun: bool = False

    @property
    def final(self) -> bool:
        return self.phase in FINAL

    @property
    def of_this_boot(self) -> bool:
        """Whether the host has been up since; 0.1.0 noted the kernel's name for the boot alone."""
        now = boot_id()
        return self.boot in (now, now.split()[0])

    @property
    def live(self) -> Optional[str]:
        """The release that this activation ended on."""
        return self.target if self.phase == "committed" else self.source

    def entering(self, phase: Phase, **changes: Any) -> State:
        """The state one step on.  Raises ValueError for a step that is not declared."""
        if phase not in TRANSITIONS[self.phase]:
            raise ValueError(f"an activation does not go from {self.phase} to {phase}")
        return self._replace(phase=phase, sequence=self.sequence + 1, **changes)

    def as_dict(self) -> ActivationState:
        return cast("ActivationState", self._asdict())


def load(path: Path) -> Optional[State]:
    """The last persisted state, None when there never was one or it cannot be read."""
    try:
        read = State(**cast("ActivationState", json.loads(path.read_text())))
    except (FileNotFoundError, PermissionError, ValueError, TypeError, RecursionError):
        return None
    return read if _is_one(read) else None


def _is_one(read: State) -> bool:
    """Whether a state that was read has values of the types that it should have."""
    texts = (read.attempt, read.kind, read.target, read.phase, read.boot, read.actor, read.reason, read.transcript)
    sets = (read.configuration, read.configuration_before, read.units, read.units_before)
    perhaps = (read.source, read.migration_marker, read.foreign, *sets)
    return (
        all(isinstance(text, str) for text in texts)
        and all(text is None or isinstance(text, str) for text in perhaps)
        and read.phase in TRANSITIONS
        and isinstance(read.started_at, (int, float))
        and isinstance(read.seconds, dict)
        and all(isinstance(seconds, (int, float)) for seconds in read.seconds.values())
        and isinstance(read.sequence, int)
        and isinstance(read.ran, (dict, type(None)))
        and isinstance(read.enabled, (list, type(None)))
        and isinstance(read.names, (dict, type(None)))
        and isinstance(read.unit_changes, (dict, type(None)))
        and isinstance(read.units_begun, bool)
    )


def save(path: Path, state: State) -> None:
    """Persist; returns only when the state would survive a power cut."""
    durable.write_json(path, state.as_dict())


def save_in_place(path: Path, state: State) -> None:
    """Write over the file, where nothing new can be made: needs neither space nor the right to write beside it.

    A cut tears it, and what is torn is known by its ``traces``; so this is for the way back alone.
    """
    brief = state._replace(reason=state.reason[:1000], transcript="")
    durable.write_over(path, json.dumps(brief.as_dict(), sort_keys=True).encode() + b"\n")


def traces(layout: Layout) -> Optional[State]:
    """What an unfinished activation left besides its state, None where it left nothing.

    Its links say how far it came: the one for the switch, and then the one for the way back, are renamed away.
    Those of a restart stay, so its services may have been touched.
    """
    try:
        attempt, live = Path(os.readlink(layout.unfinished)).name, layout.live()
    except (OSError, Refusal):
        return None
    request = read_request(layout, attempt)
    if request is None:
        return None
    back = layout.staged("restore")
    source = Path(os.readlink(back)).name if back.is_symlink() else live if live != request["sha"] else None
    switched = not layout.staged("switch").is_symlink()
    begun = switched or request["kind"] == "restart"
    return begin(request, source)._replace(phase="swapped" if begun else "prepared", switched=switched)


def known(layout: Layout, attempt: str) -> bool:
    """Whether this attempt was asked for before; yes where that cannot be seen any more: then it may have acted."""
    try:
        (layout.attempt(attempt) / "request.json").stat()  # `Path.exists` says no of that from Python 3.14 on
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def read_request(layout: Layout, attempt: str) -> Optional[ActivateRequest]:
    """What an attempt was asked to do, None when that cannot be read any more."""
    return cast("Optional[ActivateRequest]", _read(layout.attempt(attempt) / "request.json"))


def has_end(layout: Layout, attempt: str) -> bool:
    """Whether an attempt's result says how it ended; a refusal says that it never began."""
    result = cast("Optional[Result]", _read(layout.attempt(attempt) / "result.json"))
    return result is not None and "state" in result


def _read(path: Path) -> Optional[object]:
    """The object in a file, None when there is none."""
    try:
        read = json.loads(path.read_text())
    except (FileNotFoundError, PermissionError, ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def begin(
    request: ActivateRequest,
    source: Optional[str],
    ran: Optional[Dict[str, str]] = None,
    foreign: Optional[str] = None,
) -> State:
    """The state before anything was changed."""
    return State(
        attempt=request["attempt"],
        kind=request["kind"],
        target=request["sha"],
        source=source,
        phase="prepared",
        boot=boot_id(),
        started_at=time.time(),
        seconds={},
        actor=request["actor"],
        ran=ran,
        foreign=foreign,
    )
