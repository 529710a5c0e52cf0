"""Which releases a process runs in, whoever's process it is."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

from . import manager, process, units
from .annotations import Dict, List, NamedTuple, Optional, Tuple
from .layout import RELEASE_ID
from .refusal import Refusal

# The mounts of every mount namespace, by one process in it that lives on while they are read, and ours; then working
# directory and program of every process, and what it has mapped and was started with: its command line, and its
# variables but for those that a shell leaves of where it was.  What vanishes meanwhile, and what may not be read, is
# left out; the last line says that it came to its end.
_LOOK = r"""
sed 's|^|/proc/self/mountinfo:|' /proc/self/mountinfo
find /proc/[0-9]*/ns/mnt -maxdepth 0 -printf '%l %h\n' 2>/dev/null | sort | {
  known=
  while read -r space of; do
    [ "$space" = "$known" ] || { sed "s|^|${of%/ns}/mountinfo:|" "${of%/ns}/mountinfo" 2>/dev/null && known=$space; }
  done
}
find /proc/[0-9]*/ns/mnt -maxdepth 0 -printf '%h:%l\n' 2>/dev/null
find /proc/[0-9]*/cwd /proc/[0-9]*/root /proc/[0-9]*/exe -maxdepth 0 -printf '%p:%l\n' 2>/dev/null
grep -aoHE '/[^[:cntrl:]]*/[0-9a-f]{40,64}' /proc/[0-9]*/maps /proc/[0-9]*/cmdline 2>/dev/null
grep -azHvE '^(OLD)?PWD=' /proc/[0-9]*/environ 2>/dev/null | tr '\n\0' '?\n' | grep -aE '/[0-9a-f]{40,64}'
echo looked
"""


_LINE = re.compile(r"/proc/(\d+|self)/(\w+):(.*)")


class Mount(NamedTuple):
    """What of a device is shown where: ``root`` is the place on the device, ``point`` the one where it is seen."""

    device: str
    root: str
    point: str


class Usage(NamedTuple):
    """One process for each release in use, and whether other users' processes could be looked into."""

    processes: Dict[str, int]
    complete: bool


def find(releases: Path) -> Usage:
    """Look at all processes, as root where this login may; of other users' only the command lines otherwise.

    What this cannot see: a process that neither works in the release, nor runs a program or maps a library of it,
    nor was started with its path as an argument or in a variable, and still opens its files later.
    """
    with contextlib.suppress(Refusal):
        return Usage(_processes(look_at([], _LOOK), releases), True)
    return Usage(_processes(_look(["/bin/sh", "-c", _LOOK]), releases), False)


def look_as_root(script: str) -> List[str]:
    """What a script prints before the ``echo looked`` that ends it; raises Refusal where this login may not be root."""
    look = ["/bin/sh", "-c", script]
    if os.getuid() == 0:
        return _look(look)
    as_root = manager.chosen().as_root(*look) if units.present() else None
    if as_root is None:
        what = "this login sees only its own processes on this host, and may not ask root for the others"
        raise Refusal("invalid", what, hint="fab -H HOST doctor  checks what this login may do as root")
    return _look(as_root)


def look_at(pids: List[int], script: str) -> List[str]:
    """What root, or its helper, sees of these processes, or of all; raises Refusal where neither is to be had.

    The script is for root; the helper has its own.
    """
    helper = manager.chosen().helper_watches(pids)
    return _look(helper) if helper else look_as_root(script)


def _look(argv: List[str]) -> List[str]:
    """What was seen; raises Refusal when the look did not come to its end, for nothing may be concluded then."""
    output: List[bytes] = []
    ended = process.apart(argv, cwd=Path("/"), deadline=time.monotonic() + 30, sink=output.append)
    lines = b"".join(output).decode("utf-8", "replace").splitlines()
    if lines[-1:] != ["looked"]:
        why = " ".join([*ended.said.splitlines(), *lines][-3:]) or "no answer"
        what = f"no release was removed or switched: which releases the processes of this host use is not known: {why}"
        hint = "the look at /proc took 30 s, or was cut short; see the load of the host: uptime ; then try once more"
        raise Refusal("invalid", what, hint=hint)
    return lines[:-1]


def _processes(lines: List[str], releases: Path) -> Dict[str, int]:
    """One process for each release: by the text of its paths, and by where they lie on their filesystem."""
    places = "|".join(re.escape(str(place)) for place in {releases, releases.resolve()})
    used = re.compile(rf"(?:{places})/({RELEASE_ID.pattern})(?![0-9a-f])")
    known = [line for line in map(_LINE.match, lines) if line and line[1] != "self"]
    named = {match[1]: int(line[1]) for line in known for match in used.finditer(line[3])}
    return {**behind_mounts(lines, releases.resolve()), **named}


def behind_mounts(lines: List[str], releases: Path) -> Dict[str, int]:
    """What a mount shows of releases under another name, such as ``BindPaths=`` or the volume of a container.

    A mount of a release, or of a part of one, keeps it.  Behind a mount of a directory above, a path of a process
    is translated: it lies where its mount's root lies, and what is behind that.
    """
    mounts, spaces, paths = _parsed(lines)
    ours = _placed(str(releases), mounts.get("self", []))
    if ours is None:
        return {}
    device, below = ours
    inside = re.compile(rf"{re.escape(below.rstrip('/'))}/({RELEASE_ID.pattern})(?=/|$)")
    used: Dict[str, int] = {}
    for pid, each in mounts.items():
        for mount in each if pid != "self" else ():
            match = inside.match(mount.root) if mount.device == device else None
            if match:
                used[match[1]] = int(pid)
    readers = {spaces.get(pid): each for pid, each in mounts.items()}
    for pid, path in paths:
        placed = _placed(path, readers.get(spaces.get(pid), [])) if pid in spaces else None
        match = inside.match(placed[1]) if placed and placed[0] == device else None
        if match:
            used[match[1]] = int(pid)
    return used


def _parsed(lines: List[str]) -> Tuple[Dict[str, List[Mount]], Dict[str, str], List[Tuple[str, str]]]:
    """The mounts by the process that has them, the mount namespace of each process, and its paths."""
    mounts: Dict[str, List[Mount]] = {}
    spaces: Dict[str, str] = {}
    paths: List[Tuple[str, str]] = []
    for match in filter(None, map(_LINE.match, lines)):
        pid, what, told = match.groups()
        if what == "mountinfo":
            _, _, device, root, point = told.split(" ")[:5]
            mounts.setdefault(pid, []).append(Mount(device, _plain(root), _plain(point)))
        elif what == "ns":
            spaces[pid] = told
        elif told.startswith("/"):
            paths.append((pid, told))
    return mounts, spaces, paths


def _placed(path: str, mounts: List[Mount]) -> Optional[Tuple[str, str]]:
    """The device of a path and where it lies there, by the last of the mounts that are nearest above it."""
    above = [mount for mount in mounts if f"{path}/".startswith(f"{mount.point.rstrip('/')}/")]
    if not above:
        return None
    nearest = max(reversed(above), key=lambda mount: len(mount.point))
    return nearest.device, f"{nearest.root.rstrip('/')}{path[len(nearest.point.rstrip('/')) :]}"


def _plain(field: str) -> str:
    """A path of mountinfo without its escapes, such as ``\\040`` for a blank."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)
