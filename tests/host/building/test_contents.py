"""What a build has read of files is so for as long as they are as they were, and no longer."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

from oroboros_deploy.host import seal
from oroboros_deploy.host.building.contents import Contents

LONG_AGO = 1_000_000_000


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that was written long before it is read."""
    monkeypatch.setattr("oroboros_deploy.host.building.contents.MOMENT", -(1 << 62))
    path = tmp_path / "file"
    path.write_bytes(b"as it was")
    return path


def edit(path: Path) -> None:
    """Another text of the same length, with the time of the first."""
    times = path.stat()
    while path.stat().st_ctime_ns == times.st_ctime_ns:
        path.chmod(0o644)  # the clock of the file system goes by steps
    path.write_bytes(b"as it is!")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def replace(path: Path) -> None:
    path.with_name("other").write_bytes(b"as it is!")
    path.with_name("other").replace(path)


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are opened, as they are."""
    opened, names = seal.opened, list[str]()

    def noted(path: str | Path) -> contextlib.AbstractContextManager[IO[bytes]]:
        names.append(Path(path).name)
        return opened(path)

    monkeypatch.setattr(seal, "opened", noted)
    return names


def test_a_file_is_read_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second question is answered from the first, also by another name of the file and with another mode."""
    names, contents = reads(monkeypatch), Contents()
    digest = contents.of(file)
    before = file.lstat()
    os.link(file, file.with_name("link"))
    file.chmod(0o444)
    contents.follow(before, file.lstat())
    assert [digest, contents.of(file), contents.of(file.with_name("link"))] == [sha256(b"as it was").hexdigest()] * 3
    assert names == ["file"]


@pytest.mark.parametrize("touch", [edit, replace])
def test_a_file_that_was_touched_is_read_again(file: Path, touch: Callable[[Path], None]) -> None:
    """Another text of the same length is found out, whatever time it was given."""
    contents = Contents()
    contents.of(file)
    touch(file)
    contents.follow(file.lstat(), file.lstat())
    assert contents.of(file, file.lstat()) == sha256(b"as it is!").hexdigest()


def test_a_file_that_was_written_a_moment_ago_is_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its times may not tell the next change from the last one."""
    monkeypatch.setattr("oroboros_deploy.host.building.contents.MOMENT", 1 << 62)
    names, contents = reads(monkeypatch), Contents()
    assert contents.of(file) == contents.of(file)
    assert names == ["file", "file"]


@pytest.mark.parametrize(
    ("fraction", "age", "once"),
    [(0, 1.9, False), (0, 2.1, True), (1, 0.05, False), (1, 0.2, True)],
)
def test_a_file_system_that_keeps_whole_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fraction: int, age: float, once: bool
) -> None:
    """A ctime without a fraction tells two changes of one second apart no sooner than two seconds later."""
    path = tmp_path / "file"
    path.write_bytes(b"as it was")
    ctime = 1_700_000_000 * 1_000_000_000 + fraction
    os.utime(path, ns=(0, 0))
    status: Any = SimpleNamespace(
        **{name: getattr(path.lstat(), name) for name in ("st_dev", "st_ino", "st_size", "st_mtime_ns")},
        st_ctime_ns=ctime,
    )
    monkeypatch.setattr(time, "time_ns", lambda: ctime + int(age * 1_000_000_000))
    contents = Contents()
    contents.of(path, status)
    assert (contents.known(status) is not None) == once


def test_what_was_forgotten_is_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its times say nothing where somebody could write by memory that was mapped before."""
    names, contents = reads(monkeypatch), Contents()
    contents.of(file)
    contents.forget()
    contents.of(file)
    assert names == ["file", "file"]
