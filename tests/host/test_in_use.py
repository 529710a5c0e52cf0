"""In use: the releases that a process, anybody's, runs in."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oroboros_deploy.host import in_use, process, units
from oroboros_deploy.host.process import Ended
from oroboros_deploy.host.refusal import Refusal
from tests.support.local_agent import LocalAgent
from tests.support.rights import require_mount

SLEEP = shutil.which("sleep") or "/bin/sleep"


@pytest.fixture
def running() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for each in started:
        each.kill()
        each.communicate()


def release(host: LocalAgent, name: str = "a") -> Path:
    return host.paths.release(host.sealed(name, program="#!/bin/sh\nexec sleep 60\n"))


def test_nothing_runs_there(host: LocalAgent) -> None:
    """A release that is only on the disk is not in use."""
    release(host)
    assert in_use.find(host.paths.releases).processes == {}


def test_where_a_shell_was_is_no_use(host: LocalAgent, running: list[subprocess.Popen[bytes]]) -> None:
    """A release that only the variables of a shell's places name may go; one that another variable names stays."""
    left, used = release(host, "a"), release(host, "b")
    was = {"PWD": str(left), "OLDPWD": str(left)}
    running.append(subprocess.Popen([SLEEP, "60"], cwd="/", env={**was, "LIBRARIES": f"/a\nb/{'c' * 40}:{used}/lib"}))
    assert in_use.find(host.paths.releases).processes == {used.name: running[0].pid}


@pytest.mark.parametrize("how", ["directory", "program", "argument"])
def test_a_process_is_found(host: LocalAgent, running: list[subprocess.Popen[bytes]], how: str) -> None:
    """By where it works, by what it runs, and by what it was started with."""
    used, _ = release(host, "a"), release(host, "b")
    if how == "directory":
        running.append(subprocess.Popen([SLEEP, "60"], cwd=used))
    elif how == "program":
        used.chmod(0o755)
        shutil.copy(SLEEP, used / "sleeper")
        running.append(subprocess.Popen([used / "sleeper", "60"], cwd="/"))
    else:
        running.append(subprocess.Popen(["sh", "-c", "sleep 60; :", used / "program"], cwd="/"))
    assert in_use.find(host.paths.releases).processes == {used.name: running[0].pid}


def test_a_mapped_library_is_found(host: LocalAgent) -> None:
    """Mapped by this very process, and deleted since or not."""
    used = release(host)
    with (used / "program").open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
        assert in_use.find(host.paths.releases).processes == {used.name: os.getpid()}


def test_through_a_link(host: LocalAgent, tmp_path: Path, running: list[subprocess.Popen[bytes]]) -> None:
    """The kernel tells the real path, whatever the settings call it."""
    used = release(host)
    (tmp_path / "called").symlink_to(host.paths.releases)
    running.append(subprocess.Popen([SLEEP, "60"], cwd=used))
    assert in_use.find(tmp_path / "called").processes == {used.name: running[0].pid}


@pytest.mark.parametrize("what", ["release", "part", "above", "current"])
def test_behind_a_mount(host: LocalAgent, tmp_path: Path, running: list[subprocess.Popen[bytes]], what: str) -> None:
    """A namespace shows the release under another name: the process there keeps it, and no other is kept."""
    require_mount()
    used, _ = release(host, "a"), release(host, "b")
    used.chmod(0o755)
    (used / "part").mkdir()
    (host.root / "current").symlink_to(used)
    shown = {"release": used, "part": used / "part", "above": host.root, "current": host.root / "current"}[what]
    app = tmp_path / "an app"
    app.mkdir()
    into = app / used.relative_to(host.root) / "part" if what == "above" else app
    # What it was started with names the release no more, once it is another program.
    script = 'mount --bind "$1" "$2"; cd "$3"; echo there; exec sleep 60'
    command = ["unshare", "--mount", "sh", "-ec", script, "sh", shown, app, into]
    running.append(subprocess.Popen(command, stdout=subprocess.PIPE))
    assert running[0].stdout and running[0].stdout.readline() == b"there\n"
    assert in_use.find(host.paths.releases).processes == {used.name: running[0].pid}


def test_another_root_with_the_same_release(
    host: LocalAgent, tmp_path: Path, running: list[subprocess.Popen[bytes]]
) -> None:
    """Is another release."""
    used = release(host)
    other = LocalAgent(tmp_path / "other")
    release(other)
    running.append(subprocess.Popen([SLEEP, "60"], cwd=used))
    assert in_use.find(other.paths.releases).processes == {}


def test_a_look_that_did_not_come_to_its_end(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """From half a look nobody concludes that a release is free."""
    said = process.Ended(1, "", 0.0, "sudo: a password is required")
    monkeypatch.setattr(process, "apart", lambda *_, **options: said)
    with pytest.raises(Refusal, match="is not known: sudo: a password is required"):
        in_use.find(host.paths.releases)


@pytest.mark.parametrize(
    ("systemd", "sudo", "complete", "looks"),
    [
        (True, True, True, [["sudo", "-n"]]),
        (True, False, False, [["sudo", "-n"], ["/bin/sh", "-c"]]),
        (False, False, False, [["/bin/sh", "-c"]]),
    ],
)
def test_other_users_processes(
    host: LocalAgent, monkeypatch: pytest.MonkeyPatch, systemd: bool, sudo: bool, complete: bool, looks: list[list[str]]
) -> None:
    """A login looks as root where it may; where it may not, it looks as itself and says so."""
    argvs: list[list[str]] = []

    def run(argv: list[str], *, sink: Callable[[bytes], None], **_: object) -> Ended:
        argvs.append(argv[:2])
        sink(b"no\n" if argv[0] == "sudo" and not sudo else b"looked\n")
        return Ended(0, "", 0.0)

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr(os, "getuid", lambda: 65534)  # nobody: there is one everywhere
    monkeypatch.setattr(units, "present", lambda: systemd)
    assert (in_use.find(host.paths.releases).complete, argvs) == (complete, looks)
