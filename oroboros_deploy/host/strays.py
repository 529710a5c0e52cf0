"""Strays: processes of the services that run from another release than the one that is live."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

from . import units
from .annotations import Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple
from .refusal import Refusal

# Where control groups are: the unified hierarchy, and systemd's own beside the older ones.
CGROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")
_SHA = r"([0-9a-f]{64}|[0-9a-f]{40})(?![0-9a-f])"
_LOOK = r"""
find /proc/{pid}/cwd /proc/{pid}/exe -maxdepth 0 -printf '%p:%l\n' 2>/dev/null
find /proc/{pid}/ns/mnt -maxdepth 0 -printf '%h:%l\n' 2>/dev/null
sed 's|^|/proc/{pid}/mountinfo:|' /proc/{pid}/mountinfo 2>/dev/null
"""
_HIDDEN = "hidden"  # what is known of a process that this login may not look into


class Stray(NamedTuple):
    """A process of ``unit``, and the release that it runs from.

    ``release`` is None for one that started before the switch and shows no release: a main process, or one that was
    started with `current`.
    """

    unit: str
    pid: int
    release: Optional[str]


def find(
    seen: Iterable[units.Unit], releases: Path, live: str, since: float, current: Optional[Path] = None
) -> List[Stray]:
    """The strays among all processes of the units' control groups; ``live`` was switched to ``since`` (Unix time).

    A process shows its release by its working directory, its program, what it was started with (such as the path of an
    archive that an interpreter runs) or a mount of its own (`BindPaths=`, the volume of a container).
    One that this login may not look into is believed when it started after the switch, and looked into as root else.
    """
    places = _places(releases)
    owners = {pid: unit for unit in seen for pid in _processes(unit)}
    shown = {pid: _shown(pid, places, live) for pid in owners}
    older = [pid for pid, release in shown.items() if release in (None, _HIDDEN) and _started(pid) < since]
    hidden = [pid for pid in older if shown[pid] == _HIDDEN]
    shown.update(_looked_up(hidden, releases, live) if hidden else {})
    silent = [pid for pid in older if shown[pid] is None and pid not in hidden]
    shown.update(_mounted(silent, [line for pid in silent for line in _look(pid)], releases, live))
    doubtful = {pid for pid in older if owners[pid].pid == str(pid) or (current and _has_argument(pid, current))}
    strays = (Stray(owners[pid].name, pid, release) for pid, release in shown.items() if release not in (live, _HIDDEN))
    return [stray for stray in strays if stray.release or stray.pid in doubtful]


def strangers(seen: Iterable[units.Unit], releases: Path, current: Path) -> List[str]:
    """The units that run and of which no process shows any release, nor was started with `current`.

    One that this login may not look into is believed.
    """
    places = _places(releases)
    return [unit.name for unit in seen if unit.group and _is_stranger(_processes(unit), places, releases, current)]


def _is_stranger(pids: List[int], places: re.Pattern[str], releases: Path, current: Path) -> bool:
    if not pids or any(_shown(pid, places, "") is not None or _names(pid, current) for pid in pids):
        return False
    return not _mounted(pids, [line for pid in pids for line in _look(pid)], releases, "")


def _names(pid: int, current: Path) -> bool:
    """Whether an argument or a variable of a process names `current`; one that ended may have."""
    try:
        return any(str(current) in word for name in ("cmdline", "environ") for word in _words(pid, name))
    except OSError:
        return True


def hanging(unit: units.Unit) -> List[int]:
    """The processes of a unit that hang in the kernel (uninterruptible sleep): no signal reaches one until it wakes."""
    return [pid for pid in _processes(unit) if _field(pid, 0) == "D"]


def switched_at(current: Path) -> float:
    """When the link was put in its place (Unix time): a rename is a change of the link itself."""
    return current.lstat().st_ctime


def _processes(unit: units.Unit) -> List[int]:
    """All processes of a unit's control group and of the groups below it; the main one where no group can be read."""
    groups = (Path(f"{place}{unit.group}") for place in CGROUPS if unit.group)
    group = next((group for group in groups if (group / "cgroup.procs").exists()), None)
    if group is None:
        return [int(unit.pid)] if unit.pid.isdigit() and unit.pid != "0" else []
    return [pid for directory, _, _ in os.walk(group) for pid in _members(Path(directory))]


def _members(group: Path) -> Iterator[int]:
    with contextlib.suppress(OSError):  # it is gone by now, or has threads alone
        yield from map(int, (group / "cgroup.procs").read_text().split())


def _places(releases: Path) -> re.Pattern[str]:
    either = "|".join(re.escape(str(place)) for place in {releases, releases.resolve()})
    return re.compile(rf"(?:{either})/{_SHA}")


def _shown(pid: int, places: re.Pattern[str], live: str) -> Optional[str]:
    """The release that a process shows, ``live`` when it ended meanwhile."""
    try:
        links = (os.readlink(f"/proc/{pid}/{name}") for name in ("cwd", "exe"))
        found = next(filter(None, (_named(link, places) for link in links)), None)
        return found or _started_with(pid, ("cmdline", "environ"), places, live)
    except PermissionError:
        return _hidden(pid, places, live)
    except OSError:
        return live


def _hidden(pid: int, places: re.Pattern[str], live: str) -> str:
    """The release that a process of another user shows by its command line, which most systems let everybody read."""
    try:
        return _started_with(pid, ("cmdline",), places, live) or _HIDDEN
    except PermissionError:
        return _HIDDEN
    except OSError:
        return live


def _named(link: str, places: re.Pattern[str]) -> Optional[str]:
    found = places.match(link)
    return found[1] if found else None


def _started_with(pid: int, what: Tuple[str, ...], places: re.Pattern[str], live: str) -> Optional[str]:
    """The release in its arguments or variables; OLDPWD names where somebody was before."""
    words = [word for name in what for word in _words(pid, name) if not word.startswith("OLDPWD=")]
    named = [found[1] for word in words for found in places.finditer(word)]
    return live if live in named else named[0] if named else None


def _has_argument(pid: int, path: Path) -> bool:
    """Whether a process was started with a path, or one below it."""
    with contextlib.suppress(OSError):  # it ended
        return any(f"{word}/".startswith(f"{path}/") for word in _words(pid, "cmdline"))
    return False


def _words(pid: int, name: str) -> List[str]:
    return Path(f"/proc/{pid}/{name}").read_bytes().decode("utf-8", "replace").split("\0")


def _started(pid: int) -> float:
    """When a process started (Unix time); now, when it ended meanwhile."""
    now, ticks = time.time(), _field(pid, 19)
    if ticks is None:
        return now
    return now - time.clock_gettime(time.CLOCK_BOOTTIME) + int(ticks) / os.sysconf("SC_CLK_TCK")


def _field(pid: int, number: int) -> Optional[str]:
    """What the kernel tells of a process after its name, counted from its state; None when it ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[number].decode()
    except OSError:
        return None


def _looked_up(pids: List[int], releases: Path, live: str) -> Dict[int, Optional[str]]:
    """What root sees of processes; nothing where this login may not become root.  One that ended is ``live``."""
    from . import in_use

    look = "".join(_LOOK.format(pid=pid) for pid in pids)
    try:
        lines = in_use.look_at(pids, f"{look}echo looked")
    except Refusal:
        return dict.fromkeys(pids)
    places = _places(releases)
    seen: Dict[int, Optional[str]] = {pid: live if not os.path.exists(f"/proc/{pid}") else None for pid in pids}
    for path, _, told in (line.partition(":") for line in lines):
        pid = int(path.split("/")[2])
        seen[pid] = seen[pid] or _named(told, places)
    return {**seen, **_mounted([pid for pid in pids if seen[pid] is None], lines, releases, live)}


def _look(pid: int) -> Iterator[str]:
    """What a login sees of the mounts of its own processes, in the lines that `_LOOK` prints."""
    with contextlib.suppress(OSError):  # it ended
        yield f"/proc/{pid}/cwd:{os.readlink(f'/proc/{pid}/cwd')}"
        yield f"/proc/{pid}/ns:{os.readlink(f'/proc/{pid}/ns/mnt')}"
        yield from _mounts(str(pid))


def _mounts(pid: str) -> List[str]:
    lines = Path(f"/proc/{pid}/mountinfo").read_text("utf-8", "replace").splitlines()
    return [f"/proc/{pid}/mountinfo:{line}" for line in lines]


def _mounted(pids: List[int], lines: List[str], releases: Path, live: str) -> Dict[int, str]:
    """The release that a mount shows to a process, where we do not have that mount ourselves."""
    if not pids:
        return {}
    from . import in_use

    ours = _mounts("self")
    known = {tuple(line.split(" ")[2:5]) for line in ours}  # device, root and point
    found: Dict[int, str] = {}
    for pid in pids:
        own = [line for line in lines if line.startswith(f"/proc/{pid}/") and tuple(line.split(" ")[2:5]) not in known]
        seen = in_use.behind_mounts([*ours, *own], releases.resolve())
        found.update({pid: live if live in seen else min(seen)} if seen else {})
    return found
