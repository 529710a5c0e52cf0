"""What installers print when the Python of an environment is none that packages want."""

from __future__ import annotations

import re

from ..annotations import Sequence

_REFUSED = re.compile(r"requires a different Python:|Python version \([^)\n]+\) does not satisfy Python")
_LEFT_OUT = re.compile(r"^ERROR: Ignored the following versions that require a different python version: (.*)", re.M)
_NO_MATCH = re.compile(r"^ERROR: No matching distribution found for [^\s=]+(?:==(\S+))?", re.M)
_LEFT = re.compile(r"(\S+) Requires-Python")


def is_told(printed: str) -> bool:
    """Whether pip or uv says so; of versions that pip left out, only one that is wanted is a reason."""
    left, wanted = _LEFT_OUT.search(printed), _NO_MATCH.search(printed)
    if left and wanted:
        return wanted[1] is None or wanted[1] in _LEFT.findall(left[1])
    return _REFUSED.search(printed) is not None


def said(python: str, version: Sequence[int]) -> str:
    """The Python of an environment, as the reason why a package cannot be installed into it."""
    needs = "a package that is wanted here needs another version of Python"
    return f": {python} is Python {version[0]}.{version[1]}, and {needs}"


HINT = "name the path of a fitting Python of this host in build.python, and deploy again"
