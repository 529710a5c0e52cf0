"""The words for what an attempt does and what it comes to: those of terminal, page and registry.  Pure.

The words of an activation are the host's own (``host/words.py``).
"""

from __future__ import annotations

from collections.abc import Mapping

from .events import Event
from .host.words import PHASES, STEPS
from .outcome import State, end_of

# The way of a host through an attempt that goes well.
WAY = ("connect", "facts", "build", "switch", "restart", "gate", "commit")

# The phases of an attempt before the activation, by the event that begins each.
_BEGUN_BY = {"host.connected": "connect", "facts.read": "facts", "build.started": "build"}

# What the wall times of a host are called, in the order in which they pass.
TIMED: Mapping[str, str] = {
    **{phase: phase for phase in _BEGUN_BY.values()},
    **{f"activate.{step}": word for step, word in STEPS.items()},
}

# What a host serves after an attempt that ended badly; ``{live}`` is a release.
SERVES: Mapping[State, str] = {
    State.RESTORED: "serves {live} again",
    State.NOT_RESTORED: "NEEDS A PERSON: its services may be down",
    State.NOT_SWITCHED: "still serves {live}; nothing was switched",
    State.BUSY: "was left alone; somebody else holds it",
    State.UNKNOWN: "goes on by itself; how it ended is not known here",
    State.UNREACHABLE: "was not reached; nothing was changed there",
    State.REFUSED: "cannot do this; nothing was changed there",
    State.INTERRUPTED: "still serves {live}; stopped before the switch",
    State.SKIPPED: "was not touched",
}


def phase_of(event: Event) -> str | None:
    """The phase that a host is in from this event on; None when the event says nothing of that."""
    phase: str | None = event.data.get("phase") or _BEGUN_BY.get(event.name)
    return phase


def following(phase: str) -> str | None:
    """The step that follows when a phase of the activation is reached; None where none does."""
    return PHASES[phase].following if phase in PHASES else None


def doing(phase: str | None) -> str:
    """What a host does that was last heard of in this phase; the phase itself when nothing follows it."""
    name = phase or WAY[0]
    return following(name) or name


def name_of(state: State) -> str:
    """A state as people read it."""
    return state.value.replace("_", " ")


def came_to(phase: str) -> str:
    """A phase as people read it: of the last one the state in which it leaves the host."""
    end = end_of(phase)
    return name_of(end) if end else phase
