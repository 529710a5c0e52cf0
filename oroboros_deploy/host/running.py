"""Who activates on this host at this moment, and the words for somebody who has to wait."""

from __future__ import annotations

from . import lock, state, words
from .annotations import Any, Dict, Optional
from .layout import Layout
from .refusal import Refusal


def running(layout: Layout) -> Optional[Dict[str, Any]]:
    """The activation that holds the host, None when nothing does; empty when it has not said yet what it is."""
    return _known(layout) if layout.lock.exists() and lock.is_held(layout.lock) else None


def busy(layout: Layout) -> Refusal:
    """What to tell somebody who would activate now."""
    holds = _known(layout)
    hint = "wait for it, or watch it with: fab -H HOST status"
    return Refusal("busy", words.busy(holds), hint=hint, **({"holder": holds} if holds else {}))


def _known(layout: Layout) -> Dict[str, Any]:
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
