"""The reserve: space that is kept, so that an activation can write down how it ends on a full disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from .annotations import Any, Callable, Set, TypeVar

FILES = 32
ENOUGH = 16  # for one activation, which makes a dozen files and links; each that is given up frees an inode
SIZE = 16 * 1024  # bytes of each
_FULL = (errno.ENOSPC, errno.EDQUOT)

Result = TypeVar("Result")


class Reserve:
    """Spare files in a directory, given up one by one when the filesystem has no space or no inode left."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def fill(self) -> None:
        """Make the spare files that are missing.

        Raises OSError when there is no space for them and those that are left are not
        enough for an activation; one that begins can write down how it ends.
        """
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            for name in sorted({f"{number:02}" for number in range(FILES)} - self._left()):
                _allocate(self.directory / name)
        except OSError as error:
            if error.errno in _FULL and len(self._left()) < ENOUGH:
                raise

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
        for name in self._left():
            (self.directory / name).unlink()
            return True
        return False

    def _left(self) -> Set[str]:
        return set(os.listdir(self.directory)) if self.directory.is_dir() else set()


def _allocate(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, SIZE)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(descriptor)
