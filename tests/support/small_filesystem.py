"""Small real filesystems, and how to fill one to its last byte and its last inode."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

KINDS = ("tmpfs", "ext4")


@contextlib.contextmanager
def small_filesystem(path: Path, kind: str = "tmpfs", inodes: int = 400, image: Path | None = None) -> Iterator[Path]:
    """Mount one of a few megabytes at ``path``; skips the test where that is not allowed.

    An ``image`` is made beside it unless another place is named: its filesystem stays busy for a moment after.
    """
    path.mkdir(exist_ok=True)
    if kind == "tmpfs":
        source, options = "tmpfs", f"size=2m,nr_inodes={inodes}"
    else:
        source, options = str(image or path.with_suffix(".img")), "loop"
        Path(source).touch()
        os.truncate(source, 4 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-N", str(inodes), "-O", "^resize_inode", source], check=True)
    mount = subprocess.run(["mount", "-t", kind, "-o", options, source, str(path)], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"needs the right to mount a {kind}: {mount.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def fill(root: Path, *, inodes: bool = True, blocks: bool = True) -> None:
    """Leave nothing: first no inode, then no byte."""
    filler = root / "filler"
    filler.mkdir(exist_ok=True)
    with contextlib.suppress(OSError):
        (filler / "blocks").touch()
        for number in range(os.statvfs(root).f_favail if inodes else 0):
            (filler / str(number)).touch()
    if blocks:
        with contextlib.suppress(OSError), (filler / "blocks").open("ab", buffering=0) as file:
            while file.write(bytes(4096)):
                pass


def free(root: Path) -> None:
    """Take the filling away again."""
    for path in (root / "filler").iterdir():
        path.unlink()
    (root / "filler").rmdir()
