"""What an agent says, line by line, made into events and answers of the contract once, or refused.

Another program may speak in its place, and a damaged host may have it say anything.  Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, cast, get_args

from ..events import Level
from ..host.constants import FORMAT

if TYPE_CHECKING:
    from ..host.contract import Refusal, SentAnswer, SentEvent

_LEVELS = get_args(Level)
_OURS = ("attempt.", "host.", "switch.", "facts.read", "link.")  # how names of events begin that no host tells
_TARGET = re.compile(r"[0-9a-f]{32}")
_NUMBERS = ("seconds", "bytes", "tries")  # of an event's data: what is reckoned with here


def event(line: bytes) -> SentEvent:
    """The event on a line; data that cannot be reckoned with is left out.

    Raises ValueError when it is none, or one that only a control node tells.
    """
    said = _object(line)
    data = said.get("data", {})
    name = said["event"]
    if not isinstance(name, str) or name.startswith(_OURS) or not isinstance(data, dict):
        raise ValueError("no event")
    told: SentEvent = {
        "event": name,
        "message": str(said.get("message") or ""),
        "level": cast("Level", said["level"]) if said.get("level") in _LEVELS else "info",
        "data": {key: value for key, value in data.items() if key not in _NUMBERS or _number(value)},
    }
    if _number(said.get("at")):
        told["at"] = cast("float", said["at"])
    return told


def answer(line: bytes) -> SentAnswer:
    """The answer on a line, with a result or a refusal.  Raises ValueError when it is none."""
    said = _object(line)
    number = said.get("format", 0)
    if type(number) is not int:
        raise ValueError("no number of a format")
    if "refusal" in said:
        return {"format": number, "refusal": _refusal(said["refusal"])}
    if number <= FORMAT and not isinstance(said["result"], dict):
        raise ValueError("no result")
    target = said.pop("target", None)
    known = {"target": target} if isinstance(target, str) and _TARGET.fullmatch(target) else {}
    return cast("SentAnswer", {**said, "format": number, **known})


def _refusal(said: object) -> Refusal:
    if not isinstance(said, Mapping) or not isinstance(said.get("kind"), str):
        raise ValueError("no refusal")
    told = {name: said[name] for name in ("hint", "log") if isinstance(said.get(name), str)}
    found = {"hint": None, **told, "kind": said["kind"], "message": str(said.get("message") or "")}
    found |= {name: said[name] for name in ("running", "hold") if isinstance(said.get(name), dict)}
    return cast("Refusal", found)


def _object(line: bytes) -> dict[str, object]:
    try:
        said = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(said, dict):
        raise ValueError("no object")
    return _Checked(said)


class _Checked(dict[str, object]):
    """An object, of which a key that is missing is as wrong as a wrong value."""

    def __missing__(self, key: str) -> object:
        raise ValueError(f"no {key}")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15 and isfinite(value)
