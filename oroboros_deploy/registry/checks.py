"""What may be written to a `releases` row; InvalidInput says what may not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from ..errors import InvalidInput
from ..records.status import Status

_RELEASE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
_COMMIT_SHA = re.compile(r"[0-9a-f]{7,64}")
_LIMIT = 500


def check_release(release_id: str, commit_sha: str) -> None:
    """Refuse an id that is no name of a directory, and a commit that is not lower-case hexadecimal."""
    if not _RELEASE_ID.fullmatch(release_id):
        raise InvalidInput(
            f"{release_id!r} is no release id: 1 to 64 letters, digits, dots, dashes and underscores, the first a "
            "letter or a digit",
            hint="a release id is the full commit sha",
        )
    if not _COMMIT_SHA.fullmatch(commit_sha):
        raise InvalidInput(
            f"{commit_sha!r} is no commit sha: 7 to 64 lower-case hexadecimal digits", hint="git rev-parse HEAD"
        )


def check_status(status: str) -> None:
    """Refuse a status that no row of `releases` may have."""
    check_one_of(status, "status of a release", Status)


def check_one_of(value: str, what: str, values: Iterable[str]) -> str:
    """The value; refuses one that is not among those that exist."""
    known = [str(each) for each in values]
    if value not in known:
        raise InvalidInput(f"{value!r} is no {what}", hint=f"one of: {', '.join(known)}")
    return value


def check_marker(marker: str | None) -> None:
    """Refuse a migration marker that does not fit its column."""
    if marker is not None and not (1 <= len(marker) <= 128 and marker.isprintable()):
        raise InvalidInput(f"{marker!r} is no migration marker: 1 to 128 printable characters")


def check_limit(limit: int) -> None:
    """Refuse a number of rows below 1 or above 500."""
    if not 1 <= limit <= _LIMIT:
        raise InvalidInput(f"{limit} is no number of rows to list: 1 to {_LIMIT}")


def parse_time(text: str) -> datetime:
    """The moment an ISO 8601 time with an offset names, in UTC."""
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            raise ValueError(text)
        return time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        hint = "such as 2030-01-31T12:00:00+00:00, or with a Z"
        raise InvalidInput(f"{text!r} is no time in ISO 8601 with an offset", hint=hint) from error
