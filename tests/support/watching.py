"""What tests look at from outside: trees, processes, and conditions that come true after a while."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from oroboros_deploy.host.wire import REQUEST


def tree(root: Path) -> dict[str, tuple[str, str]]:
    """Everything below a directory: its mode, and its content or the link's target; ours in ``.deploy`` left out."""
    found: dict[str, tuple[str, str]] = {}
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if name != ".deploy"]
        for name in names + files:
            path = Path(directory, name)
            found[str(path.relative_to(root))] = (stat.filemode(path.lstat().st_mode), _content(path))
    return found


def inodes(root: Path) -> dict[str, tuple[int, ...]]:
    """What is known of everything below a directory without reading it: the inode, its mode, owner, size and times.

    Another name of a file, as our cache gives it, changes the file's ctime: that is compared where there is one name.
    """
    found: dict[str, tuple[int, ...]] = {}
    for directory, names, files in os.walk(root):
        for name in names + files:
            path = Path(directory, name)
            status = path.lstat()
            alone = stat.S_ISDIR(status.st_mode) or status.st_nlink == 1
            changed = status.st_ctime_ns if alone else 0
            owner = (status.st_uid, status.st_gid)
            of_file = (status.st_dev, status.st_ino, status.st_mode, *owner, status.st_size, status.st_mtime_ns)
            found[str(path.relative_to(root))] = (*of_file, changed)
    return found


def processes(token: str) -> list[int]:
    """The living processes that have the token in their command line, but not as part of a call's request."""
    lines = {int(entry): _command_line(entry) for entry in os.listdir("/proc") if entry.isdigit()}
    return [number for number, line in lines.items() if token in line and REQUEST not in line]


def kill_left(token: str) -> None:
    """Kill these processes; one that was killed a moment before may be among them, and be gone now."""
    for number in processes(token):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def eventually(condition: Callable[[], object], within: float = 30.0) -> bool:
    """Whether the condition comes true in time (seconds)."""
    until = time.monotonic() + within
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def _content(path: Path) -> str:
    if path.is_symlink():
        return os.readlink(path)
    return path.read_bytes().decode("latin-1") if path.is_file() else ""


def _command_line(process: str) -> str:
    try:
        return Path("/proc", process, "cmdline").read_bytes().decode("latin-1")
    except OSError:
        return ""
