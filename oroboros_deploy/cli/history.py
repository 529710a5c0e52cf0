"""The attempts of an application, a line each, as the registry has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..text import clean, columns, duration, short

if TYPE_CHECKING:
    from invoke import Context

    from ..config import Config
    from ..registry.reading import Reader

Row = Mapping[str, Any]
_HEADINGS = ("WHEN (UTC)", "WHO", "ENVIRONMENT", "WHAT", "OUTCOME", "TIME", "COMMIT")
_CALLED = {"env": "env.push"}  # kinds of attempt that are typed otherwise
_ENDED = {"broken": "not restored"}  # states of the registry that the other commands call otherwise
_PAGE = 500  # attempts that the registry is asked for at a time


def newest(
    reader: Reader, application: str, limit: int, *, host: str | None = None, environment: str | None = None
) -> list[dict[str, Any]]:
    """The newest attempts of an application; others may share the registry, and the oldest rows name none."""
    found: list[dict[str, Any]] = []
    page = reader.attempts(limit, host=host, environment=environment)
    while True:
        found += [each for each in page.items if each["application"] in (application, None)]
        if page.next is None or len(found) >= limit:
            return found[:limit]
        page = reader.attempts(_PAGE, page.next, host=host, environment=environment)


def named(context: Context, config: Config) -> tuple[str, ...]:
    """The hosts that -H names; none where it names an environment, for hosts come and go there."""
    from ..control.context import hosts_of

    typed = hosts_of(context)
    return () if {*typed} <= {config.environment} else config.hosts


def newest_on(
    reader: Reader, application: str, limit: int, hosts: Sequence[str], environment: str | None
) -> list[dict[str, Any]]:
    """The newest attempts on any of these hosts; without hosts, on all."""
    places: Sequence[str | None] = hosts or [None]
    found = [newest(reader, application, limit, host=each, environment=environment) for each in places]
    attempts = {each["attempt"]: each for some in found for each in some}
    return sorted(attempts.values(), key=lambda each: _moment(each["started_at"]), reverse=True)[:limit]


def table(attempts: Sequence[Row]) -> str:
    """When, who, where, what, how it ended, how long it took, and the commit's subject."""
    return columns([_HEADINGS, *map(_row, attempts)]) if attempts else "no attempts are recorded"


def as_json(attempts: Sequence[Row]) -> str:
    """All that is known of each attempt, with its hosts."""
    return json.dumps(attempts, indent=2)


def _row(attempt: Row) -> tuple[str, ...]:
    from ..web.ending import came_to

    end = came_to(attempt)
    what = f"{_CALLED.get(attempt['kind'], attempt['kind'])} {short(attempt['release_id'])}"
    return (
        _moment(attempt["started_at"]).strftime("%Y-%m-%d %H:%M"),
        attempt["actor"],
        attempt["environment"] or "-",
        what,
        _ENDED.get(end, end),
        _took(attempt),
        clean(attempt["subject"] or "-"),
    )


def _took(attempt: Row) -> str:
    if attempt["finished_at"] is None:
        return "-"
    took = _moment(attempt["finished_at"]) - _moment(attempt["started_at"])
    return duration(max(took.total_seconds(), 0.0))


def _moment(time: str) -> datetime:
    return datetime.fromisoformat(time).astimezone(UTC)
