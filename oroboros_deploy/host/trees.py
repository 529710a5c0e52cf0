"""Directories of any depth: without recursion, which Python bounds at 1,000 levels."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from .annotations import Iterator, List, Tuple

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def walk(top: Path) -> Iterator[Path]:
    """Every entry below a directory, links not followed; a directory is yielded before it is read."""
    left = [str(top)]
    while left:
        with os.scandir(left.pop()) as entries:
            listed = list(entries)
        for entry in listed:
            yield Path(entry.path)
        left += [entry.path for entry in listed if entry.is_dir(follow_symlinks=False)]


def remove(top: Path) -> None:
    """Delete a directory with all below it, closed directories too, by names that are never longer than one."""
    above: List[Tuple[str, List[str]]] = []
    here = os.open(top, _DIRECTORY)
    try:
        left = _emptied(here)
        while left or above:
            if left:
                name = left.pop()
                os.chmod(name, 0o700, dir_fd=here)
                here = _gone_to(name, here)
                above.append((name, left))
                left = _emptied(here)
            else:
                name, left = above.pop()
                here = _gone_to("..", here)
                os.rmdir(name, dir_fd=here)
    finally:
        os.close(here)
    os.rmdir(top)


def discard(top: Path) -> None:
    """Delete a directory as far as that is possible; nothing depends on it."""
    with contextlib.suppress(OSError):
        remove(top)


def copy(source: Path, target: Path) -> None:
    """Make ``target`` a copy of a directory, with its links as they are."""
    import shutil

    target.mkdir(parents=True)
    for path in walk(source):
        beside = target / path.relative_to(source)
        if path.is_symlink():
            beside.symlink_to(os.readlink(path))
        elif path.is_dir():
            beside.mkdir()
        else:
            shutil.copy2(path, beside)


def _emptied(directory: int) -> List[str]:
    """Delete all that is in a directory but directories, whose names are returned."""
    with os.scandir(directory) as entries:
        kinds = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name in (name for name, is_directory in kinds if not is_directory):
        os.unlink(name, dir_fd=directory)
    return [name for name, is_directory in kinds if is_directory]


def _gone_to(name: str, here: int) -> int:
    there = os.open(name, _DIRECTORY, dir_fd=here)
    os.close(here)
    return there
