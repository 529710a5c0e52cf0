"""Times of PostgreSQL that Python has no number for, such as one of the year 10000: they are `NEVER`."""

from __future__ import annotations

from typing import Any

from psycopg2.extensions import PYDATETIMETZ, new_type, register_type  # type: ignore[import-untyped]

from .values import NEVER


def read_any_time(connection: Any) -> None:
    """Let this connection read every time that its server has; the driver raises ValueError for some."""
    register_type(_TIMES, connection)


def _time(value: str | None, cursor: Any) -> Any:
    try:
        return PYDATETIMETZ(value, cursor)
    except ValueError:
        return NEVER


_TIMES = new_type(PYDATETIMETZ.values, "ANY_TIME", _time)
