"""OpenSSH's pattern lists: ``*`` and ``?`` match, a leading ``!`` denies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


def matches(patterns: Iterable[str], name: str) -> bool:
    """True when a pattern matches the whole name and no denying pattern does."""
    denials = [pattern.startswith("!") for pattern in patterns if _compiled(pattern.removeprefix("!")).fullmatch(name)]
    return bool(denials) and not any(denials)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Unlike fnmatch, square brackets are ordinary characters here: "[host]:2222" is a name.
    wild = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(wild, re.DOTALL)
