"""How attempts ended, in a word and in a sentence: "failed" alone is six different things."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..outcome import State, rank, worst_of
from ..records.record import AttemptState
from ..words import name_of
from .display import terse

HELD = "held"
_OK = frozenset(state for state in State if state.ok)
SOME = "live on some"

_CALLED = {"env": "configuration push"}

# What follows "The last deploy in prod".
_SAID = {
    AttemptState.RESTORED: "was undone: what served before serves again",
    AttemptState.BROKEN: "ended broken",
    SOME: "is live on some hosts only",
    HELD: "was refused, for somebody holds it",
    "busy": "was refused, for another activation ran",
    "refused": "was refused",
    "unreachable": "did not reach every host",
    "not switched": "failed before the switch, and changed nothing that serves",
    "interrupted": "was interrupted",
    "skipped": "was interrupted",
}

Row = Mapping[str, Any]


def called(kind: str) -> str:
    """A kind of attempt, as a noun."""
    return _CALLED.get(kind, kind)


def does(kind: str) -> str:
    """A kind of attempt, as it stands before its release."""
    return f"{called(kind)} {'of' if kind in ('deploy', 'restart') else 'to'}"


def came_to(attempt: Row) -> str:
    """What an attempt came to, in a word."""
    states = _states(attempt)
    if attempt["state"] == AttemptState.LIVE:
        return "already live" if states == {State.ALREADY_LIVE} else "live"
    if attempt["state"] != AttemptState.FAILED or not states:
        return str(attempt["state"])
    if any(state.ok for state in states):
        return SOME
    return HELD if _hold(attempt) else name_of(worst_of(states))


def said(attempt: Row) -> str:
    """What an attempt came to, as it follows "the last deploy"."""
    return _SAID.get(came_to(attempt), "failed")


def why(attempt: Row) -> str:
    """The first line of what its worst host said; empty where it is live, or nothing was said."""
    states = {state for state in _states(attempt) if not state.ok}
    if not states:
        return ""
    worst = worst_of(states)
    return terse(next((part["message"] for part in attempt["hosts"] if part["state"] == worst), "").partition("\n")[0])


def worst_first(parts: Iterable[Row]) -> list[Row]:
    """The parts of an attempt: first those that a person has to look at, then those at work, last what went well."""
    return sorted(parts, key=_place)


def _place(part: Row) -> tuple[bool, int]:
    state = part["state"]
    return (state in _OK, rank(State(state)) if state in set(State) else len(State))


def _states(attempt: Row) -> set[State]:
    return {State(part["state"]) for part in attempt["hosts"] if part["state"] in set(State)}


def _hold(attempt: Row) -> bool:
    """Whether a person holds the host that refused it."""
    return any(part["state"] == State.BUSY and "held by " in part["message"] for part in attempt["hosts"])
