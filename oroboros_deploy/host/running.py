"""Who activates on this host at this moment, and the words for somebody who has to wait."""

from __future__ import annotations

import contextlib

from . import lock, manager, state, units, words
from .annotations import TYPE_CHECKING, Optional
from .layout import Layout
from .refusal import Refusal

if TYPE_CHECKING:
    from .contract import Running


UNIT = "oroboros-activate.service"
SECOND = "oroboros-activate-2.service"  # for as long as systemd cannot put the first away


def running(layout: Layout) -> Optional[Running]:
    """The activation that holds the host, None when nothing does; empty when it has not said yet what it is."""
    if held(layout):
        return _known(layout)
    holds = _known(layout)  # only an attempt that did not end can have lost its lock file
    return holds if holds and unit_runs() else None


def held(layout: Layout) -> bool:
    """Whether anybody holds the lock; where it cannot be looked at, whether systemd runs an activation."""
    try:
        return lock.is_held(layout.lock)
    except OSError:
        return unit_runs()


def unit_runs() -> bool:
    """Whether systemd runs an activation, also one whose lock file somebody removed; yes when systemd does not say.

    One that only ends is not meant: its recovery may never come, and whoever asks settles the attempt.
    """
    try:
        shown = units.show([UNIT, SECOND]) if units.present() else {}
        return any(unit.active in ("active", "activating") for unit in shown.values())
    except units.Silent:
        return True


def second_runs() -> bool:
    """Whether an activation has the second name; systemd is asked only when there is such a unit."""
    known = (manager.chosen().transient / SECOND).exists()
    return known and units.show([SECOND])[SECOND].active not in ("inactive", "failed")


def busy(layout: Layout) -> Refusal:
    """What to tell somebody who would activate now."""
    holds = _known(layout)
    if not holds:
        return Refusal("busy", elsewhere() or words.busy(holds), hint=words.WAIT)
    return Refusal("busy", words.busy(holds), hint=f"{words.WAIT}; watch it with: fab -H HOST status", running=holds)


def elsewhere() -> Optional[str]:
    """What systemd calls the activation that has the name; None when there is none any more."""
    with contextlib.suppress(units.Silent):
        said = [units.description(unit) for unit in (UNIT, SECOND) if (manager.chosen().transient / unit).exists()]
        return f"{said[0]} holds this host" if said and said[0] else None
    return None


def _known(layout: Layout) -> Running:
    found = state.load(layout.state)
    if found is None or found.final:
        return {}
    return {
        "attempt": found.attempt,
        "kind": found.kind,
        "target": found.target,
        "actor": found.actor,
        "since": found.started_at,
        "phase": found.phase,
    }
