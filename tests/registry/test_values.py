"""Values of rows: what they are read as, whatever was put in their place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from oroboros_deploy.registry import values
from oroboros_deploy.registry.values import NEVER

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        (None, None),
        ("2030-01-01 12:00:00.000000", NOON),
        ("2030-01-01T12:00:00Z", NOON),
        ("2030-01-01 14:00:00+02:00", NOON),
        (NOON.astimezone(timezone(timedelta(hours=-3))), NOON),
        (datetime(2030, 1, 1, 12), NOON),
        ("9999-12-31 23:59:59-12:00", NEVER),
        ("12026-01-01 00:00:00", NEVER),
        (1_893_499_200, NEVER),
        (b"\xff", NEVER),
    ],
)
def test_a_time_is_in_utc(stored: object, read: datetime | None) -> None:
    """With its own offset, else as UTC; what is no time is one before all attempts."""
    assert values.time(stored) == read
    assert read is None or values.time(stored).tzinfo is UTC  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("stored", "read"),
    [("2030-01-01T12:00:00+02:00", "2030-01-01T12:00:00+02:00"), ("2030-01-01T12:00:00", None), ("x", None)],
)
def test_a_told_time_keeps_its_offset(stored: object, read: str | None) -> None:
    """A time without one, and what is no time, is not told."""
    assert values.told_time(stored) == read
    assert values.told_time(None) is None


@pytest.mark.parametrize(
    ("stored", "read"), [(None, None), ("a", "a"), (b"a\xff", "a\N{REPLACEMENT CHARACTER}"), (7, "7"), (1.5, "1.5")]
)
def test_text_is_text(stored: object, read: str | None) -> None:
    """Also where SQLite holds bytes or a number."""
    assert values.text(stored) == read


@pytest.mark.parametrize(
    ("stored", "read"),
    [(None, None), (3, 3), (0.5, 0.5), (True, None), ("3", None), (1e300, None), (float("inf"), None)],
)
def test_seconds_can_be_reckoned_with(stored: object, read: float | None) -> None:
    """No infinity, and nothing that would lead beyond the calendar."""
    assert values.seconds(stored) == read


@pytest.mark.parametrize(("stored", "read"), [(None, None), (10, 10), ("x", None), (b"", None)])
def test_a_whole_number_is_one(stored: object, read: int | None) -> None:
    """Or none."""
    assert values.whole(stored) == read


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ('{"a": [1, 2.5]}', {"a": [1, 2.5]}),
        ({"a": 1}, {"a": 1}),
        ('{"a": NaN, "b": 1e400}', {"a": None, "b": None}),
        ("{", {}),
        ("[]", {}),
        ("[" * 100_000, {}),
        (3, {}),
        (None, {}),
    ],
)
def test_an_object_is_one(stored: object, read: dict[str, Any]) -> None:
    """Of what JSON itself has; else it is empty."""
    assert values.an_object(stored) == read


def test_times_are_numbers_of_seconds() -> None:
    """What is none is left out."""
    assert values.times('{"build": 3, "gate": 0.5, "facts": "x", "connect": null, "x": 1e30}') == {
        "build": 3,
        "gate": 0.5,
    }
