"""Small real filesystems, and how to fill one to its last byte and its last inode."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.watching import eventually

KINDS = ("tmpfs", "ext4")


@contextlib.contextmanager
def small_filesystem(path: Path, kind: str = "tmpfs", inodes: int = 400, image: Path | None = None) -> Iterator[Path]:
    """Mount one of a few megabytes at ``path``; skips the test where that is not allowed.

    An ``image`` is made beside it unless another place is named: its filesystem stays busy for a moment after.
    """
    path.mkdir(exist_ok=True)
    if kind == "tmpfs":
        source, options = "tmpfs", f"size=3m,nr_inodes={inodes},mode=755"
    else:
        source, options = str(image or path.with_suffix(".img")), "loop,errors=remount-ro"
        Path(source).touch()
        os.truncate(source, 6 << 20)
        subprocess.run([_mkfs(), "-q", "-m", "0", "-N", str(inodes), "-O", "^resize_inode", source], check=True)
    mount = subprocess.run(["mount", "-t", kind, "-o", options, source, str(path)], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"needs the right to mount a {kind}: {mount.stderr.strip()}")
    try:
        yield path
    finally:
        _umount(path)


def _mkfs() -> str:
    """Debian keeps it where only root looks for programs."""
    found = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    return found or pytest.skip("needs mkfs.ext4: apt-get install e2fsprogs")


def _umount(path: Path) -> None:
    """What a process that just ended has open keeps it busy for a moment; then it goes when that is closed."""
    if not eventually(lambda: not subprocess.run(["umount", str(path)], capture_output=True).returncode, 10):
        subprocess.run(["umount", "--lazy", str(path)], check=True)


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


@contextlib.contextmanager
def frozen(root: Path) -> Iterator[None]:
    """Whoever writes there hangs in the kernel, where no signal reaches it; after a minute it is let go in any case."""

    def thaw() -> None:
        subprocess.run(["fsfreeze", "--unfreeze", str(root)], capture_output=True)

    late = threading.Timer(60, thaw)
    ran = subprocess.run(["fsfreeze", "--freeze", str(root)], capture_output=True, text=True)
    if ran.returncode:
        pytest.skip(f"needs the right to freeze a filesystem: {ran.stderr.strip()}")
    late.start()
    try:
        yield
    finally:
        late.cancel()
        thaw()


def trigger(root: Path) -> Path:
    """Whoever writes there makes the kernel find the ext4 at ``root`` broken: it is read-only at once."""
    device = os.stat(root).st_dev
    name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
    return Path(f"/sys/fs/ext4/{name}/trigger_fs_error")


def remount(root: Path, how: str) -> None:
    """Make it read-only (``ro``) or not (``rw``) as an administrator does."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(root)], check=True)


def mend(root: Path, image: Path) -> None:
    """Look through a broken ext4 and mount it again.

    On a loop device of its own: a mount namespace that somebody made meanwhile, as a host that boots does, keeps the
    broken one, and the same device would be the same broken filesystem.
    """
    _umount(root)
    subprocess.run(["e2fsck", "-fy", str(image)], capture_output=True)
    found = subprocess.run(["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True)
    device = found.stdout.strip()
    subprocess.run(["mount", device, str(root)], check=True)
    subprocess.run(["losetup", "--detach", device], check=True)  # as soon as nobody has it mounted
