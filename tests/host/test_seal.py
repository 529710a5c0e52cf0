"""The seal: any change to a finished release is noticed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from oroboros_deploy.host import durable, seal
from tests.support.local_agent import LocalAgent


@pytest.fixture
def release(host: LocalAgent) -> Path:
    sealed = host.paths.release(host.sealed("a", file="content", tool="#!"))
    sealed.chmod(0o755)
    return sealed


def edit(path: Path) -> None:
    before = path.stat()
    path.chmod(0o644)
    path.write_text("CONTENT")
    path.chmod(0o444)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def truncate(path: Path) -> None:
    before = path.stat()
    path.chmod(0o644)
    os.truncate(path, 0)
    path.chmod(0o444)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("file", edit, "'file' changed since the seal"),
        ("file", truncate, "'file' changed since the seal"),
        ("file", Path.unlink, "'file' changed since the seal"),
        ("file", lambda path: path.chmod(0o544), "'file' changed since the seal"),
        ("file", replace_by_link, "'file' changed since the seal"),
        ("extra", Path.touch, "'extra' changed since the seal"),
        ("extra", Path.mkdir, "'extra' changed since the seal"),
        (seal.MANIFEST, edit, ".deploy-manifest was changed"),
        (seal.MANIFEST, truncate, ".deploy-manifest was changed"),
        (seal.MANIFEST, Path.unlink, ".deploy-manifest or .deploy-seal cannot be read"),
        (seal.SEAL, truncate, ".deploy-manifest or .deploy-seal cannot be read"),
    ],
)
def test_every_change_is_noticed(release: Path, name: str, change: Callable[[Path], object], words: str) -> None:
    """Edits, losses, additions, modes and types; and changes to the seal's own files."""
    assert seal.verify(release) is None
    change(release / name)
    assert (seal.state_of(release), seal.verify(release)) == ("sealed", words)


def test_many_changes_are_counted(release: Path) -> None:
    """The first is named, the others are numbered."""
    for name in "bca":
        (release / name).touch()
    assert seal.verify(release) == "'a' and 2 more changed since the seal"


def test_the_seal_comes_last(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the marker is written the whole tree is on the disk, and without it the tree is not sealed."""
    seen: list[tuple[str, str]] = []
    again = release.with_name("b" * 40)
    again.mkdir()
    monkeypatch.setattr(durable, "sync_filesystem", lambda path: seen.append(("flushed", seal.state_of(path))))
    seal.seal(again, seal.meta_now(again.name, "test"))
    assert (seen, seal.state_of(again)) == ([("flushed", "unsealed")], "sealed")


@pytest.mark.parametrize("make", [lambda path: None, Path.touch, lambda path: path.symlink_to("/tmp")])
def test_what_is_no_directory_is_no_release(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """Absent, a file, or a link: none of them can be activated."""
    make(tmp_path / "x")
    assert seal.state_of(tmp_path / "x") == "missing"


def test_a_tree_that_shuts_its_owner_out_can_be_removed(tmp_path: Path) -> None:
    """Directories without any permission are opened before they are entered."""
    for path in (tmp_path / "r", tmp_path / "r" / "a", tmp_path / "r" / "a" / "b"):
        path.mkdir()
    (tmp_path / "r" / "a").chmod(0)
    (tmp_path / "r").chmod(0o555)
    seal.remove(tmp_path / "r")
    assert list(tmp_path.iterdir()) == []
