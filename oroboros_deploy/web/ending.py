"""How attempts ended, in a word and in a sentence: "failed" alone is six different things."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..outcome import State, rank, worst_of
from ..records.record import AttemptState
from ..words import name_of
from .display import short, terse

HELD = "held"
_OK = frozenset(state for state in State if state.ok)
SOME = "live on some"

_CALLED = {"env": "configuration push"}

_GOING = {"deploy": "deploying", "rollback": "rolling back", "env": "configuring", "restart": "restarting"}
REPLACED = "replaced"
DRIFTED = "drifted"  # no host that is to serve it did when it was asked
_GATE = "the gate was not passed"

# What stands between "the last deploy" and the hosts where it went worst.
_SAID = {
    AttemptState.RESTORED: "was undone on",
    AttemptState.BROKEN: "ended broken on",
    HELD: "was refused by a hold on",
    "busy": "was refused by another activation on",
    "refused": "was refused on",
    "unreachable": "did not reach",
    "not switched": "failed before the switch on",
    "interrupted": "was interrupted on",
    "skipped": "was interrupted on",
}

# What serves after that, on every host.
_SERVES = {
    AttemptState.RESTORED: "What served before serves again.",
    "not switched": "What served before still serves.",
}

Row = Mapping[str, Any]


def called(kind: str) -> str:
    """A kind of attempt, as a noun."""
    return _CALLED.get(kind, kind)


def does(kind: str) -> str:
    """A kind of attempt, as it stands before its release."""
    return f"{called(kind)} {'of' if kind in ('deploy', 'restart') else 'to'}"


def going(kind: str) -> str:
    """What an attempt of a kind does while it goes on."""
    return _GOING.get(kind, "at work")


def stands(attempt: Row, became: str) -> str:
    """What an attempt came to, in a word; of one that went live what ``became`` of it since, empty for nothing."""
    word = came_to(attempt)
    return became if became and word == "live" else word


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
    """What an attempt came to, as it stands between "the last deploy" and the hosts where it went worst, if any."""
    return _SAID.get(came_to(attempt), "failed on") if failing(attempt) else "failed"


def serves_then(attempt: Row) -> str:
    """What serves after an attempt that went wrong, as a sentence; empty where that is not one thing."""
    if came_to(attempt) == SOME:
        return f"The {called(attempt['kind'])} {spread(attempt)}."
    return _SERVES.get(came_to(attempt), "")


def spread(attempt: Row) -> str:
    """On how many hosts an attempt is live, and how many it did not touch; empty where neither is so."""
    live = sum(part["state"] in _OK for part in attempt["hosts"])
    left = sum(part["state"] == State.SKIPPED for part in attempt["hosts"])
    told = [f"is live on {_hosts(live)}"] * bool(live) + [f"did not touch {_hosts(left)}"] * bool(left)
    return " and ".join(told)


def _hosts(count: int) -> str:
    return "1 host" if count == 1 else f"{count} hosts"


def why(attempt: Row) -> str:
    """The first line of what its worst host said; empty where it is live, or nothing was said."""
    return terse(next((part["message"] for part in failing(attempt)), "").partition("\n")[0])


def cause(attempt: Row) -> str:
    """Why it failed: of what its worst host said, that which is no release and no state."""
    told = why(attempt)
    first = (told.partition(f"{short(attempt['release_id'])} failed: ")[2] or told).partition(
        "; and the restore failed"
    )[0]
    return first.partition(f"{_GATE}: ")[2] or first.replace(_GATE, "the health gate was not passed")


def lost_by(parts: Sequence[Row]) -> str:
    """Why nobody knows how these hosts ended, where all say the same; empty otherwise."""
    told = {part["message"].partition("\n")[0].partition(";")[0] for part in parts}
    return terse(told.pop()) if len(told) == 1 else ""


def failing(attempt: Row) -> list[Row]:
    """The parts of an attempt on the hosts where it went worst; none where it is live."""
    states = {state for state in _states(attempt) if not state.ok}
    return [part for part in attempt["hosts"] if states and part["state"] == worst_of(states)]


def came_of(parts: Sequence[Row]) -> tuple[str, str | None]:
    """What came of these hosts, as it follows their names, and the release that it ends with; empty where not known."""
    state, many = parts[0]["state"], len(parts) > 1
    live, before = ({part[name] for part in parts} for name in ("live", "previous"))
    if state == State.RESTORED and len(live) == 1 and None not in live:
        return f"which {'were' if many else 'was'} put back to", live.pop()
    if state == State.NOT_SWITCHED and len(before) == 1 and None not in before:
        return f"which {'still serve' if many else 'still serves'}", before.pop()
    return "", None


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
