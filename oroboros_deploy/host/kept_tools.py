"""The tools that builds keep for later builds, and which of them nobody needs any more.

    tools/pip, tools/pip-<interpreter>    a pip of our own, for an interpreter that has none
    tools/build/<key>                     what projects are built with; beside it what their backends answered
    tools/locks/<key>                     what reads lock files

A build marks those that it made a part with by their time.  One that no build marked since the oldest release that
stays was built, nor for 30 days, is taken for one that nobody needs; a later build that needs it again makes it again.
"""

from __future__ import annotations

import calendar
import contextlib
import os
import time
from math import inf
from pathlib import Path

from . import seal
from .annotations import Iterable, Iterator, List, Optional

LEAST = 30 * 86_400.0  # seconds for which a tool stays anyway: a part that is taken from the cache marks none
_ANSWER = "."  # in the name of what a backend answered, after the name of the tool


def mark(tool: Path) -> None:
    """Say that a build of this moment needs a tool, if it is there."""
    with contextlib.suppress(OSError):
        os.utime(tool)


def remove_unused(tools: Path, staying: Iterable[Path]) -> List[str]:
    """Remove what none of the releases that stay needs; returns the names of what was removed."""
    since = min(_oldest(staying), time.time() - LEAST)
    unused = [tool for tool in _kept(tools) if tool.lstat().st_mtime < since]
    removed = []
    for tool in unused:
        with contextlib.suppress(OSError):  # tried again by the next pruning
            seal.remove(tool)
            removed.append(str(tool.relative_to(tools)))
    _remove_answers(tools / "build")
    return removed


def _kept(tools: Path) -> Iterator[Path]:
    for pattern in ("pip*", "build/*", "locks/*"):
        yield from (path for path in sorted(tools.glob(pattern)) if path.is_dir())


def _remove_answers(directory: Path) -> None:
    for answer in directory.glob(f"*{_ANSWER}*"):
        if not (directory / answer.name.partition(_ANSWER)[0]).is_dir():
            answer.unlink()


def _oldest(releases: Iterable[Path]) -> float:
    """When the first of them was built; before all time where one does not say it."""
    told = [_built(release) for release in releases]
    known = [moment for moment in told if moment is not None]
    return min(known) if known and len(known) == len(told) else -inf


def _built(release: Path) -> Optional[float]:
    with contextlib.suppress(ValueError):
        said = seal.read_meta(release).get("built_at_utc", "")
        return float(calendar.timegm(time.strptime(said, "%Y-%m-%dT%H:%M:%SZ")))
    return None
