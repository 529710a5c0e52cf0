"""File locks: the kernel holds one for a living process, so a lock needs no unlocking and cannot go stale.

``launch.py`` takes the lock of a deploy root (``<root>/.deploy/lock``) for an activation, ``claim.py`` while it gives
the root a new id; pruning, and the moment in which a damaged release makes room for a new build of it, take it shared.
This lock is one half of what lets one activation run on a host; the fixed names of the activation's unit
(``running.py``) are the other.  Builds, pins, the journal and pruning lock files of their own with this module.
The hold of `fab lock` is no lock of this kind: it is in `hold.py`.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path

from .annotations import Iterator


class Held(Exception):
    """Somebody else holds the lock."""


@contextmanager
def take(path: Path, wait: float = 0.0, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Take the lock file, exclusively by default; wait up to ``wait`` seconds, then raise Held.

    A directory that is there can be taken as well.
    The file is never deleted: a second holder could lock its successor.  Children do
    not inherit the descriptor, so a daemon left behind does not keep the lock.
    """
    flags = os.O_RDONLY if os.path.isdir(path) else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, flags, 0o600)
    try:
        _acquire(descriptor, kind, time.monotonic() + wait)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, kind: int, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Held from None
        time.sleep(0.02)


def is_held(path: Path) -> bool:
    """Whether anybody holds the lock exclusively at this moment; askers do not take each other for a holder."""
    try:
        descriptor = os.open(path, os.O_RDONLY)  # to look needs no right to write
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
