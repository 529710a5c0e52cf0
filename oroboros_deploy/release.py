"""Release ids: the full sha of the commit a release was built from."""

from __future__ import annotations

import re

from .errors import InvalidInput

_FULL = re.compile(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")


def parse_release_id(text: str) -> str:
    """The release id in its one spelling, lower case.

    Raises InvalidInput for anything but 40 or 64 hexadecimal digits.
    """
    if not _FULL.fullmatch(text):
        raise InvalidInput(
            f"nothing was changed: {text[:80]!a} is not a release id (a full commit sha, 40 or 64 hexadecimal digits)",
            hint="fab registry.list shows the release ids",
        )
    return text.lower()
