"""Who activates on this host at this moment, and the words for somebody who has to wait."""

from __future__ import annotations

from . import lock, state, words
from .annotations import TYPE_CHECKING, Optional
from .layout import Layout
from .refusal import Refusal

if TYPE_CHECKING:
    from .contract import Running


def running(layout: Layout) -> Optional[Running]:
    """The activation that holds the host, None when nothing does; empty when it has not said yet what it is."""
    return _known(layout) if layout.lock.exists() and lock.is_held(layout.lock) else None


def busy(layout: Layout) -> Refusal:
    """What to tell somebody who would activate now."""
    holds = _known(layout)
    hint = "wait for it, or watch it with: fab -H HOST status"
    if not holds:
        return Refusal("busy", words.busy(holds), hint=hint)
    return Refusal("busy", words.busy(holds), hint=hint, running=holds)


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
