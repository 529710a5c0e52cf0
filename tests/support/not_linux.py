"""Run `fab` with what only Linux has taken away: on another control node, such as a Mac, none of it is there.

    python not_linux.py LIST ARGUMENTS...

``LIST`` is a file that gets the programs which were started, one a line.
"""

from __future__ import annotations

import errno
import fcntl
import importlib
import os
import select
import signal
import socket
import sys
import sysconfig
from typing import Any

MISSING = {
    socket: (
        "TCP_KEEPIDLE",
        "TCP_USER_TIMEOUT",
        "TCP_QUICKACK",
        "MSG_NOSIGNAL",
        "SO_PEERCRED",
        "SOCK_CLOEXEC",
        "SOCK_NONBLOCK",
    ),
    os: (
        *("sched_getaffinity", "memfd_create", "posix_fadvise", "pidfd_open", "getrandom", "splice", "copy_file_range"),
        *("eventfd", "setresuid", "setresgid", "O_TMPFILE", "O_PATH", "O_DIRECT", "sync_file_range", "fdatasync"),
    ),
    fcntl: ("F_OFD_SETLK", "F_SETPIPE_SZ", "F_GETPIPE_SZ"),
    select: ("epoll",),
    signal: ("sigtimedwait", "sigwaitinfo", "SIGRTMIN", "SIGRTMAX", "SIGPOLL", "SIGSTKFLT"),
}
PLACES = ("/proc", "/sys", "/dev/shm", "/run")


def take_away(started: str) -> None:
    """Remove the names and the places of Linux from this process, and note the programs that it starts."""
    for module, names in MISSING.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    importlib.import_module("urllib.request")  # these two ask Python's own build, which is Linux's
    sysconfig.get_config_vars()
    sys.addaudithook(lambda event, arguments: _watch(event, arguments, started))
    sys.platform = "darwin"


def _watch(event: str, arguments: tuple[Any, ...], started: str) -> None:
    if event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith(PLACES):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), arguments[0])
    if event == "subprocess.Popen":
        with open(started, "a") as file:
            file.write(f"{arguments[0]}\n")


if __name__ == "__main__":
    take_away(sys.argv.pop(1))
    from fabric.main import program

    program.run()
