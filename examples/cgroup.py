"""The control groups of a disposable host: what systemd in there manages, and how all its processes are found.

``directory`` is the host's own directory; which cgroups are its is written down there, so that they can be cleaned up
after their owner died.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

# Where the hierarchies that systemd manages may be mounted, by their name in /proc/PID/cgroup.
_MOUNTS = {"": ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"), "name=systemd": ("/sys/fs/cgroup/systemd",)}


def refused() -> str:
    """Why no cgroup can be made below the ones we are in, found out by making one; empty when one can."""
    try:
        for group in _own():
            (trial := group / f"oroboros-trial-{os.getpid()}").mkdir()
            trial.rmdir()
    except OSError as error:
        return str(error)
    return "" if _own() else "the groups we are in are not mounted here"


def unheard() -> str:
    """What is missing so that a host's systemd hears that the last process of a service ended; empty where it hears.

    Without cgroup2 it waits for each stop until the time for that is over, as in a container on the older hierarchy.
    """
    mounted = any(Path(mount, "cgroup.controllers").exists() for mount in _MOUNTS[""])
    return (
        "" if mounted else "cgroup2 (mkdir /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified)"
    )


def make(directory: Path) -> list[Path]:
    """Make a cgroup for the host below ours, in each hierarchy that systemd manages."""
    groups = [group / directory.name for group in _own()]
    (directory / "cgroups").write_text("".join(f"{group}\n" for group in groups))
    for group in groups:
        group.mkdir(exist_ok=True)
    return groups


def kill(directory: Path) -> None:
    """Kill all processes of the host: first what is inside, so that nspawn can tidy up, then whatever is left.

    Raises TimeoutError when some survive for ten seconds.
    """
    started = time.monotonic()
    while pids := processes(directory):
        patience = time.monotonic() - started
        if patience > 10:
            raise TimeoutError(f"processes {pids} of {directory.name} survive SIGKILL")
        for pid in pids:
            if patience > 5 or _is_inside(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def processes(directory: Path) -> list[int]:
    """The process ids, as this machine counts them, of all that runs for the host."""
    return [pid for group in _recorded(directory) for pid in _pids(group)]


def remove(directory: Path) -> None:
    """Remove the host's cgroups, which must be empty of processes."""
    for group in _recorded(directory):
        for path in sorted((path for path in (group, *group.rglob("*")) if path.is_dir()), reverse=True):
            path.rmdir()


def _own() -> list[Path]:
    places = [line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines()]
    candidates = [Path(f"{mount}{path}") for kind, path in places for mount in _MOUNTS.get(kind, ())]
    return [group for group in candidates if (group / "cgroup.procs").exists()]


def _recorded(directory: Path) -> list[Path]:
    record = directory / "cgroups"
    return [Path(line) for line in record.read_text().splitlines()] if record.exists() else []


def _pids(group: Path) -> list[int]:
    pids: list[int] = []
    for place, _, _ in os.walk(group):
        with suppress(OSError):  # cgroups go away while we look
            pids.extend(int(pid) for pid in Path(place, "cgroup.procs").read_text().split())
    return pids


def _is_inside(pid: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
    except OSError:
        return False
