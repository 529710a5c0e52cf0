"""What rows hold, made into what a column is for: another program or a damaged file may have put anything there.  Pure.

What cannot be read is a time before all others, no number, an empty object: it stops no list in which it stands.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from math import isfinite
from typing import Any

NEVER = datetime(1970, 1, 1, tzinfo=UTC)  # before every attempt; a list that is sorted by time has it last
_MOST = 1e9  # seconds, some thirty years: nothing lasts longer, and no date is reached by adding it that there is not


def text(value: object) -> str | None:
    """Text, whatever was put in its place."""
    if value is None or isinstance(value, str):
        return value
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def time(value: object) -> datetime | None:
    """A time in UTC: of text, or of a driver's time; in UTC where no offset is told."""
    if value is None:
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return NEVER


def told_time(value: object) -> str | None:
    """A time as it was told, in ISO 8601 with an offset; None when it is no such time."""
    try:
        told = str(value)
        return told if datetime.fromisoformat(told).astimezone(UTC) and datetime.fromisoformat(told).tzinfo else None
    except (ValueError, OverflowError):
        return None


def whole(value: object) -> int | None:
    """A whole number, None when it is none."""
    return value if isinstance(value, int) else None


def seconds(value: object) -> float | None:
    """So many seconds, None when it is no number of them that can be reckoned with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < _MOST and isfinite(value) else None


def an_object(value: object) -> dict[str, Any]:
    """An object of JSON, as text or decoded; empty when it is something else."""
    found = decoded(value) if isinstance(value, str) else value
    return found if isinstance(found, dict) else {}


def times(value: object) -> dict[str, float]:
    """An object of seconds, without what is no number of them."""
    found = {name: seconds(each) for name, each in an_object(value).items()}
    return {name: each for name, each in found.items() if each is not None}


def changes(value: object) -> dict[str, list[str]] | None:
    """The names in which two configurations differ, None when that is not what the object tells."""
    found = an_object(value)
    lists = {key: found.get(key) for key in ("added", "changed", "removed")}
    told = {key: [str(name) for name in names] for key, names in lists.items() if isinstance(names, list)}
    return told if len(told) == len(lists) else None


def hold(value: object) -> dict[str, str] | None:
    """Who holds a host, since when and why; None when that is not what the object tells."""
    found = an_object(value)
    told = {key: found.get(key) for key in ("actor", "at", "reason")}
    texts = {key: each for key, each in told.items() if isinstance(each, str)}
    return texts if len(texts) == len(told) and time(texts["at"]) else None


def decoded(value: object) -> Any:
    """The value that JSON tells, None when it tells none; a number that there is none of is None too."""
    try:
        return _JSON.raw_decode(value)[0]  # type: ignore[arg-type]
    except (ValueError, TypeError, RecursionError):
        return None


def _number(digits: str) -> float | None:
    number = float(digits)
    return number if isfinite(number) else None


# `raw_decode` does not look for white space: lists of rows have many small values.
_JSON = json.JSONDecoder(parse_float=_number, parse_constant=lambda _: None)
