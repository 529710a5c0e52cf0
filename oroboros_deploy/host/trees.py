"""Directories of any depth: without recursion, which Python bounds at 1,000 levels."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from .annotations import Callable, Iterator, List, Optional, Tuple

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
    """Delete a directory with all below it, closed directories too, by names that are never longer than one.

    What cannot be deleted is stepped over; raises its first error when the rest is gone.
    """
    above: List[Tuple[str, List[str]]] = []
    errors: List[OSError] = []
    here = os.open(top, _DIRECTORY)
    try:
        left = _emptied(here, errors)
        while left or above:
            if left:
                name = left.pop()
                inside = _entered(name, here, errors)
                if inside is not None:
                    os.close(here)
                    here = inside
                    above.append((name, left))
                    left = _emptied(here, errors)
            else:
                name, left = above.pop()
                here = _gone_up(here)
                _attempt(errors, os.rmdir, name, here)
    finally:
        os.close(here)
    if errors:
        raise errors[0]
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


def _emptied(directory: int, errors: List[OSError]) -> List[str]:
    """Delete all that is in a directory but directories, whose names are returned."""
    with os.scandir(directory) as entries:
        kinds = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name in (name for name, is_directory in kinds if not is_directory):
        _attempt(errors, os.unlink, name, directory)
    return [name for name, is_directory in kinds if is_directory]


def _entered(name: str, here: int, errors: List[OSError]) -> Optional[int]:
    """A directory, opened for its owner; None when it is somebody else's and closed to us."""
    with contextlib.suppress(PermissionError):
        os.chmod(name, 0o700, dir_fd=here)
    try:
        return os.open(name, _DIRECTORY, dir_fd=here)
    except PermissionError as error:
        errors.append(error)
        return None


def _gone_up(here: int) -> int:
    above = os.open("..", _DIRECTORY, dir_fd=here)
    os.close(here)
    return above


def _attempt(errors: List[OSError], delete: Callable[..., None], name: str, directory: int) -> None:
    try:
        delete(name, dir_fd=directory)
    except OSError as error:
        errors.append(error)
