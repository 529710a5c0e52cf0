"""How values read on a page: times, durations, phases, and text that came from elsewhere."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from .. import text, words

_KEPT = "\n\t\N{ZERO WIDTH JOINER}"  # the joiner holds emoji together
_NUMBER = re.compile(r"(\d{1,9})")
_OFTEN = ((1, "a day"), (7, "a week"), (30, "a month"))
_BEFORE = 600  # seconds of what services said before they stopped, that people look at, too
_ONE_AFTER_THE_OTHER = "activate."  # hosts are switched in turn; everything before they do side by side

_LOOKS = {
    "already_live": "already",
    "already live": "already",
    "live on some": "split",
    "drifted": "drift",
    "not_restored": "broken",
    "not_switched": "failed",
    "not switched": "failed",
    "refused": "stopped",
    "unreachable": "stopped",
    "busy": "held",
    "interrupted": "stopped",
    "skipped": "unknown",
}


def readable(value: Any) -> Any:
    """Text without terminal colours, and with every invisible or direction-changing character made visible.

    Jinja2 calls it on every expression of every template, before it escapes.
    """
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "".join("\N{REPLACEMENT CHARACTER}" if _hidden(each) else each for each in text.without_escapes(value))


def _hidden(character: str) -> bool:
    return character not in _KEPT and unicodedata.category(character) in ("Cc", "Cf", "Cs")


def short(sha: str | None) -> str:
    """The first digits of a sha, enough to type back."""
    return text.short(sha) or "nothing"


def stretch(names: Sequence[str]) -> tuple[str, str] | None:
    """The first and the last of names that differ in one number alone, with none left out between; None otherwise."""
    rows = [_NUMBER.split(name) for name in names]
    varying = [at for at, column in enumerate(zip(*rows, strict=False)) if len(set(column)) > 1]
    if len({len(row) for row in rows}) != 1 or len(varying) != 1 or not varying[0] % 2:
        return None
    numbers = {int(row[varying[0]]): name for row, name in zip(rows, names, strict=True)}
    first, last = min(numbers), max(numbers)
    return (numbers[first], numbers[last]) if last - first + 1 == len(names) == len(numbers) else None


def terse(message: str) -> str:
    """A message with its full shas cut to what people read."""
    return text.terse(message)


def frequency(per_day: float) -> tuple[str, str]:
    """How often, with the unit in which the number is not tiny."""
    days, unit = next((each for each in _OFTEN if per_day * each[0] >= 1), _OFTEN[-1])
    return f"{per_day * days:.1f}", unit


def duration(seconds: float | None) -> str:
    """Seconds as on the command line, and a dash for none."""
    return "–" if seconds is None else text.duration(seconds)


def ago(time: str | None) -> str:
    """How long ago an ISO 8601 time was, to the nearest unit; of one by another clock, how far that is ahead."""
    if time is None:
        return "never"
    seconds = (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()
    about = _about(abs(seconds))
    return f"{about} {'ago' if seconds > 0 else 'ahead of the clock'}" if about else "just now"


def _about(seconds: float) -> str:
    """Seconds in their largest unit, the nearest number of it; empty below a minute."""
    units = pairwise(text.UNITS)
    fitting = (each for each, (smaller, _) in units if seconds + smaller / 2 >= each[0])
    size, unit = next(fitting, (0, ""))
    return f"{int(seconds / size + 0.5)} {unit}" if size else ""


def elapsed(time: str) -> str:
    """How long something goes on that began at an ISO 8601 time, in whole seconds."""
    seconds = int(max((datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds(), 0))
    return f"{seconds} s" if seconds < 60 else text.duration(seconds)


def reaching(time: str) -> str:
    """How `logs --since` is told to begin a little before an ISO 8601 time, in whole hours."""
    seconds = max((datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds(), 0)
    return f"-{int(seconds + _BEFORE) // 3600 + 1}h"


def moment(time: str | None, form: str = "%-d %b %Y, %H:%M:%S") -> str:
    """An ISO 8601 time in UTC, as people write it."""
    return datetime.fromisoformat(time).astimezone(UTC).strftime(form) if time else "–"


def when(time: str) -> str:
    """An ISO 8601 time in UTC by the minute, with its year where that is not this one."""
    this = datetime.fromisoformat(time).astimezone(UTC).year == datetime.now(UTC).year
    return moment(time, "%-d %b, %H:%M" if this else "%-d %b %Y, %H:%M")


def looks(state: str) -> str:
    """Which of the page's marks and colours a state wears."""
    return _LOOKS.get(state, state)


@dataclass(frozen=True)
class Span:
    """One phase in a bar: when it began and how long it took, in seconds from the start of the bar."""

    name: str
    start: float
    seconds: float


def spans(hosts: Sequence[Mapping[str, Any]]) -> list[Span]:
    """The phases of an attempt on these hosts, one after the other, as they passed for whoever waited."""
    found: list[Span] = []
    start = 0.0
    for key, name in words.TIMED.items():
        times = [host["seconds"][key] for host in hosts if key in host["seconds"]]
        if times:
            seconds = sum(times) if key.startswith(_ONE_AFTER_THE_OTHER) else max(times)
            found.append(Span(name, start, seconds))
            start += seconds
    return found


def doing(host: Mapping[str, Any]) -> str:
    """What a host at work does now, as far as its last phase tells."""
    return words.doing(host["phase"])


def at_work(attempt: Mapping[str, Any]) -> list[tuple[str, int]]:
    """What the hosts at work do, and how many of them."""
    return list(Counter(doing(part) for part in attempt["hosts"] if part["state"] == "running").items())


def steps(host: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The way of a host at work, each step with where it stands: done, now or ahead."""
    now = doing(host)
    if now not in words.WAY:
        return [(now, "now")]
    at = words.WAY.index(now)
    return [(step, "done" if index < at else "now" if index == at else "ahead") for index, step in enumerate(words.WAY)]
