"""Writes that are either there whole after a power cut or not there at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

from .annotations import Any


def write(path: Path, data: bytes, mode: int = 0o600, lasting: bool = True) -> None:
    """Replace ``path`` by ``data``: temporary file, fsync, rename, fsync of the directory.

    Without the last one, unless it is ``lasting``, a power cut may leave what was there before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _fill(temporary, data, mode)
        os.rename(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)  # on a full disk even an empty file is one too many
        raise
    if lasting:
        sync_directory(path.parent)


def write_json(path: Path, value: Any, lasting: bool = True) -> None:
    """Replace ``path`` by one line of JSON."""
    write(path, json.dumps(value, sort_keys=True).encode() + b"\n", lasting=lasting)


def write_over(path: Path, data: bytes) -> None:
    """Put ``data`` in the place of what a file holds, with no file made beside it; a cut may tear it."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        _write_all(descriptor, data)
        os.ftruncate(descriptor, len(data))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append(path: Path, line: bytes, lasting: bool = True) -> None:
    """Add a line at the end of ``path``, all of it or nothing; when ``lasting``, wait until it is on the disk.

    Half a line that a power cut left there goes first, or the two would be one.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        end = _end_of_lines(descriptor)
        try:
            _write_all(descriptor, line)
            if lasting:
                os.fsync(descriptor)  # here some disks say that they are full
        except OSError:
            os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)


def replace(source: Path, target: Path) -> None:
    """Rename ``source`` over ``target`` and make the rename last."""
    os.rename(source, target)
    sync_directory(target.parent)


def make_directory(path: Path, mode: int) -> None:
    """Make a directory that lasts, and the parents it lacks; one that is there stays as it is."""
    if not path.is_dir():
        make_directory(path.parent, 0o755)
        path.mkdir(mode=mode, exist_ok=True)
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the entries of ``directory`` last (a rename is an entry, not file content)."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(path: Path) -> None:
    """Flush all that was written to the filesystem of ``path``: cheaper than an fsync for each of 30,000 files."""
    import ctypes  # a millisecond that only a build needs to spend

    descriptor = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed", str(path))
    finally:
        os.close(descriptor)


def _fill(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        _write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _end_of_lines(descriptor: int) -> int:
    """Cut off half a line; returns the size that is left."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        size = os.pread(descriptor, size, 0).rfind(b"\n") + 1
        os.ftruncate(descriptor, size)
    return size


def _write_all(descriptor: int, data: bytes) -> None:
    """A write may be short without saying so."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
