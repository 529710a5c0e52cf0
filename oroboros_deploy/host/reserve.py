"""The reserve: space that is kept, so that an activation can write down how it ends on a full disk."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Any, Callable, TypeVar

FILES = 16  # an activation makes ten files and links; each file that is given up frees an inode
SIZE = 16 * 1024  # bytes of each
_FULL = (errno.ENOSPC, errno.EDQUOT)

Result = TypeVar("Result")


class Reserve:
    """Spare files in a directory, given up one by one when the filesystem has no space or no inode left."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def fill(self) -> None:
        """Make the spare files that are missing, as far as there is space."""
        with contextlib.suppress(OSError):
            self.directory.mkdir(mode=0o700, exist_ok=True)
            there = os.listdir(self.directory)
            for name in {f"{number:02}" for number in range(FILES)}.difference(there):
                _allocate(self.directory / name)

    def spend(self, act: Callable[..., Result], *arguments: Any) -> Result:
        """Do what needs space; as long as there is none, give up a spare file and do it again.

        ``act`` must leave nothing behind when it fails.  Raises what it raises once nothing is left to give.
        """
        while True:
            try:
                return act(*arguments)
            except OSError as error:
                if error.errno not in _FULL or not self._give_up_one():
                    raise

    def _give_up_one(self) -> bool:
        with contextlib.suppress(OSError):
            for name in os.listdir(self.directory):
                (self.directory / name).unlink()
                return True
        return False


def _allocate(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, SIZE)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(descriptor)
