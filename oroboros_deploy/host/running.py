"""Who activates on this host at this moment, and the words for somebody who has to wait."""

from __future__ import annotations

import time

from . import lock, state
from .annotations import TYPE_CHECKING, Optional
from .layout import Layout
from .refusal import Refusal

if TYPE_CHECKING:
    from .contract import Running

UNKNOWN = "another activation holds this host (just begun, or of another deploy root)"


def running(layout: Layout) -> Optional[Running]:
    """The activation that holds the host, None when nothing does; empty when it has not said yet what it is."""
    return _known(layout) if layout.lock.exists() and lock.is_held(layout.lock) else None


def busy(layout: Layout) -> Refusal:
    """What to tell somebody who would activate now."""
    holds = _known(layout)
    hint = "wait for it, or watch it with: fab -H HOST status"
    if not holds:
        return Refusal("busy", UNKNOWN, hint=hint)
    since = time.strftime("%H:%M:%S UTC", time.gmtime(holds["since"]))
    who = f"{holds['kind']} of {holds['target']} by {holds['actor']}"
    return Refusal("busy", f"{who} holds this host since {since} ({holds['phase']})", hint=hint, running=holds)


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
