"""What files hold, as sha256: each is read once in a build, as long as nobody touches it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from .. import seal
from ..annotations import Dict, Optional, Tuple, Union

# Nanoseconds: a file that was changed less long before it was read may be changed again at what its times call the
# same moment, so that it is read again.  Some file systems (ext4 with inodes of 128 bytes) keep whole seconds alone:
# by its ctime, which nobody can choose, a file tells whether it may be on one.
MOMENT = 100_000_000
LONG_MOMENT = 2_000_000_000
_SECOND = 1_000_000_000

_Times = Tuple[int, int, int]  # size, mtime and ctime: who writes to a file changes one of them


class Contents:
    """The sha256 of the files that were read. One with the times that it had then is not read again.

    The kernel sets a ctime by itself: whoever sets an mtime back changes it. Our own links and modes change it too,
    which `follow` is told.
    """

    def __init__(self) -> None:
        self._known: Dict[seal.Inode, Tuple[_Times, str]] = {}

    def of(self, path: Union[str, Path], status: Optional[os.stat_result] = None) -> str:
        """The sha256 of a file, which has this ``status``."""
        status = status or os.lstat(path)
        return self.known(status) or self._read(path, status)

    def known(self, status: os.stat_result) -> Optional[str]:
        """The sha256 of the file with this status; None when it must be read."""
        times, digest = self._known.get(seal.inode(status), (None, None))
        return digest if times == _times(status) else None

    def follow(self, before: os.stat_result, after: os.stat_result) -> None:
        """Note that between these two we gave a file a name or a mode, and nothing else."""
        digest = self.known(before)
        if digest and _times(before)[:2] == _times(after)[:2] and seal.inode(before) == seal.inode(after):
            self._known[seal.inode(after)] = _times(after), digest

    def forget(self) -> None:
        """Read all files again: who had one open may have written to it by memory, which changes no time."""
        self._known.clear()

    def _read(self, path: Union[str, Path], status: os.stat_result) -> str:
        began = time.time_ns()
        digest = seal.content(path)
        if max(status.st_mtime_ns, status.st_ctime_ns) + _moment(status) < began:
            self._known[seal.inode(status)] = _times(status), digest
        return digest


def _moment(status: os.stat_result) -> int:
    return MOMENT if status.st_ctime_ns % _SECOND else LONG_MOMENT


def _times(status: os.stat_result) -> _Times:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
