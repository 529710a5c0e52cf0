"""Durable writes: whole or not at all, and nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oroboros_deploy.host import durable


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were made to last, in order."""
    paths: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: paths.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    return paths


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither half a file nor a temporary one: on a full disk that would be one too many."""
    path = tmp_path / "file"
    durable.write(path, b"before")
    for name in ("write", "fsync", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.raises(OSError, match="No space left"):
                durable.write(path, b"after")
        assert (path.read_bytes(), os.listdir(tmp_path)) == (b"before", ["file"])


@pytest.mark.parametrize("name", ["write", "fsync"])
def test_an_append_that_fails_takes_its_line_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A disk may say at the fsync only that it is full; done again, the line must not be there twice."""
    path = tmp_path / "file"
    durable.append(path, b"before\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, name, lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            durable.append(path, b"line\n")
    assert path.read_bytes() == b"before\n"


def test_short_writes_are_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write may take less than it was given."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    durable.write(tmp_path / "file", b"0123456789")
    durable.append(tmp_path / "file", b"abcdefg\n")
    assert (tmp_path / "file").read_bytes() == b"abcdefg\n"  # what was no line has gone


def test_a_directory_lasts_with_its_parents(tmp_path: Path, synced: list[str]) -> None:
    """Each entry that was made is synced in the directory that holds it; what is there costs nothing."""
    durable.make_directory(tmp_path / "a" / "b", 0o700)
    assert synced == [str(tmp_path), str(tmp_path / "a")]
    durable.make_directory(tmp_path / "a" / "b", 0o755)
    assert (len(synced), (tmp_path / "a" / "b").stat().st_mode & 0o777) == (2, 0o700)


@pytest.mark.parametrize(("lasting", "times"), [(True, 1), (False, 0)])
def test_an_append_lasts_when_asked_to(tmp_path: Path, synced: list[str], lasting: bool, times: int) -> None:
    """The journal waits for the disk, a log does not."""
    durable.append(tmp_path / "file", b"line\n", lasting)
    assert synced == [str(tmp_path / "file")] * times
