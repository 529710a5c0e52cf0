"""Directories of any depth: walked, copied and removed, and nothing that a link leads to is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oroboros_deploy.host import trees

_NESTED = "import os, sys; [(os.mkdir('d'), os.chdir('d')) for _ in range(int(sys.argv[1]))]; open('file', 'w')"


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A directory that pytest, which recurses, need not remove."""
    yield tmp_path
    subprocess.run(["rm", "-rf", *tmp_path.iterdir()], check=True)


def nested(top: Path, depth: int) -> Path:
    """A directory with so many others in each other, and a file in the last."""
    top.mkdir()
    subprocess.run([sys.executable, "-c", _NESTED, str(depth)], cwd=top, check=True)
    return top


@pytest.mark.slow
def test_a_walk_goes_to_the_end(tmp_path: Path) -> None:
    """Deeper than Python may recurse, and in each directory before what is in it."""
    found = list(trees.walk(nested(tmp_path / "top", 1200)))
    assert (len(found), found[0], found[-1].name) == (1201, tmp_path / "top/d", "file")


def test_a_walk_follows_no_link(tmp_path: Path) -> None:
    """A link to a directory is an entry, and what is behind it is none."""
    (tmp_path / "top/sub").mkdir(parents=True)
    (tmp_path / "top/link").symlink_to("sub")
    (tmp_path / "top/sub/file").touch()
    found = sorted(str(path.relative_to(tmp_path / "top")) for path in trees.walk(tmp_path / "top"))
    assert found == ["link", "sub", "sub/file"]


@pytest.mark.parametrize("depth", [1200, 5000])
@pytest.mark.slow
def test_what_is_deep_is_removed(tmp_path: Path, depth: int) -> None:
    """Also where the whole path is longer than the kernel takes one."""
    trees.remove(nested(tmp_path / "top", depth))
    assert list(tmp_path.iterdir()) == []


def test_what_is_closed_or_elsewhere(tmp_path: Path) -> None:
    """Directories without any mode are removed, and links without what they lead to."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o750)
    (outside / "file").write_text("precious")
    for name in ("a", "b"):
        (tmp_path / "top" / name).mkdir(parents=True)
        (tmp_path / "top" / name / "file").touch()
        (tmp_path / "top" / name / "out").symlink_to(outside)
        (tmp_path / "top" / name).chmod(0)
    trees.remove(tmp_path / "top")
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert ((outside / "file").read_text(), outside.stat().st_mode & 0o777) == ("precious", 0o750)


def test_nothing_needs_what_is_discarded(tmp_path: Path) -> None:
    """What is not there, or is no directory, is no error."""
    (tmp_path / "file").touch()
    trees.discard(tmp_path / "nowhere")
    trees.discard(tmp_path / "file")


@pytest.mark.slow
def test_a_copy_has_all_of_it(tmp_path: Path) -> None:
    """Files with modes and times, links as they are, empty directories, at any depth."""
    source = nested(tmp_path / "source", 1100)
    (source / "empty").mkdir()
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o755)
    os.utime(source / "run", (1, 1))
    (source / "link").symlink_to("nowhere")
    trees.copy(source, tmp_path / "a/copy")
    names = [sorted(str(path.relative_to(top)) for path in trees.walk(top)) for top in (source, tmp_path / "a/copy")]
    assert names[0] == names[1]
    copied = tmp_path / "a/copy"
    assert (os.readlink(copied / "link"), (copied / "run").stat().st_mtime) == ("nowhere", 1)
    assert (copied / "run").stat().st_mode & 0o111
