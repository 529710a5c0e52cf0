"""Which releases a process runs in, whoever's process it is."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

from . import process, units
from .annotations import Dict, List, NamedTuple
from .refusal import Refusal

# Working directory and program of every process, then what it has mapped and was started with.  What vanishes
# meanwhile, and what may not be read, is left out; the last line says that it came to its end.
_LOOK = r"""
find /proc/[0-9]*/cwd /proc/[0-9]*/exe -maxdepth 0 -printf '%p:%l\n' 2>/dev/null
grep -aoHE '/[^[:cntrl:]]*/[0-9a-f]{40,64}' /proc/[0-9]*/maps /proc/[0-9]*/cmdline 2>/dev/null
echo looked
"""


class Usage(NamedTuple):
    """One process for each release in use, and whether other users' processes could be looked into."""

    processes: Dict[str, int]
    complete: bool


def find(releases: Path) -> Usage:
    """Look at all processes, as root where this login may; of other users' only the command lines otherwise.

    What this cannot see: a process that neither works in the release, nor runs a program or maps a library of it,
    nor was started with its path, and still opens its files later.
    """
    with contextlib.suppress(Refusal):
        return Usage(_processes(look_as_root(_LOOK), releases), True)
    return Usage(_processes(_look(["/bin/sh", "-c", _LOOK]), releases), False)


def look_as_root(script: str) -> List[str]:
    """What a script prints before the ``echo looked`` that ends it; raises Refusal where this login may not be root."""
    look = ["/bin/sh", "-c", script]
    if os.getuid() == 0:
        return _look(look)
    if not units.present():
        raise Refusal("invalid", "what runs on this host can be looked at by this login alone")
    return _look(units.privileged("systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--", *look))


def _look(argv: List[str]) -> List[str]:
    """What was seen; raises Refusal when the look did not come to its end, for nothing may be concluded then."""
    output: List[bytes] = []
    ended = process.apart(argv, cwd=Path("/"), deadline=time.monotonic() + 30, sink=output.append)
    lines = b"".join(output).decode("utf-8", "replace").splitlines()
    if lines[-1:] != ["looked"]:
        why = " ".join([*ended.said.splitlines(), *lines][-3:]) or "no answer"
        raise Refusal("invalid", f"what runs on this host could not be looked at: {why}")
    return lines[:-1]


def _processes(lines: List[str], releases: Path) -> Dict[str, int]:
    places = "|".join(re.escape(str(place)) for place in {releases, releases.resolve()})
    used = re.compile(rf"/proc/(\d+)/\w+:.*?(?:{places})/([0-9a-f]{{64}}|[0-9a-f]{{40}})(?![0-9a-f])")
    found = filter(None, map(used.match, lines))
    return {match[2]: int(match[1]) for match in found}
