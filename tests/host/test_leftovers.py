"""What others wrote into a release: root is asked to remove it, from one directory alone, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import time
from math import inf
from pathlib import Path

import pytest

from oroboros_deploy.host import leftovers, manager, process, units
from oroboros_deploy.host.contract import Scope

NAME = f".{'ab' * 20}.7-1f"
LOGIN = 65534


@pytest.fixture
def aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that was set aside by a login that is not root, on a host whose systemd runs."""
    releases = tmp_path / 'a "b'
    path = releases / NAME
    path.mkdir(parents=True)
    releases.chmod(0o755)
    if os.getuid() == 0:
        os.chown(releases, LOGIN, LOGIN)
    monkeypatch.setattr(os, "getuid", lambda: LOGIN if os.geteuid() == 0 else os.geteuid())
    monkeypatch.setattr(manager.Manager, "present", True)
    monkeypatch.setattr(units, "refused", lambda **_: [])
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What systemd is asked for; this process does it."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> process.Ended:
        commands.append(command)
        subprocess.run(["rm", "-rf", "--", *Path(command[-1]).iterdir()], check=True)
        return process.Ended(0, "", 0.0)

    monkeypatch.setattr(process, "run", run)
    return commands


def closed(aside: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with something in it that the login cannot remove."""
    (aside / "out").mkdir()

    def refused(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(leftovers.seal, "remove", refused)
    return aside


def test_what_root_is_asked_for(aside: Path, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """To remove what is in the one directory, where nothing else can be written; the directory is the login's."""
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    leftovers.remove(closed(aside, monkeypatch), 300.0)
    quoted = str(aside).replace('"', '\\"')
    assert asked == [
        [
            *("sudo", "-n", "systemd-run", "--quiet", "--pipe", "--wait", "--collect"),
            "--property=ProtectSystem=strict",
            "--property=PrivateDevices=yes",
            "--property=ProtectKernelTunables=yes",
            "--property=ProtectControlGroups=yes",
            "--property=TemporaryFileSystem=/var/cache:ro",
            "--property=NoNewPrivileges=yes",
            "--property=CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_FOWNER",
            "--property=RuntimeMaxSec=300.000",
            f'--property=ReadWritePaths="{quoted}"',
            *("--", "/bin/rm", "-rf", "--one-file-system", "--", str(aside)),
        ]
    ]
    assert not aside.exists()


@pytest.mark.parametrize("case", ["scope user", "root", "sudo refuses", "no systemd", "a group's", "a link", "theirs"])
def test_when_root_is_not_asked(
    aside: Path, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch, case: str, tmp_path: Path
) -> None:
    """The first error stands then, and nothing more was removed."""
    closed(aside, monkeypatch)
    scope: Scope = "user" if case == "scope user" else "system"
    if case == "root":
        monkeypatch.setattr(os, "getuid", lambda: 0)
    if case == "sudo refuses":
        monkeypatch.setattr(units, "refused", lambda **_: ["systemd-run"])
    if case == "no systemd":
        monkeypatch.setattr(manager.Manager, "present", False)
    if case == "a group's":
        aside.parent.chmod(0o775)
    if case == "a link":
        aside = aside.rename(tmp_path / "elsewhere")
        (aside.parent / 'a "b' / NAME).symlink_to(aside)
        aside = aside.parent / 'a "b' / NAME
    if case == "theirs":
        monkeypatch.setattr(os, "getuid", lambda: 1)
    with manager.serving(scope), pytest.raises(PermissionError, match="Operation not permitted"):
        leftovers.remove(aside, inf)
    assert (asked, (aside / "out").is_dir()) == ([], True)


def test_what_was_left_before_is_tried_again(
    aside: Path, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of it, also behind one that root cannot remove; releases and other names are none of it."""
    closed(aside, monkeypatch)
    for name in (NAME.replace("1f", "2f"), "ab" * 20, ".theirs"):
        (aside.parent / name / "out").mkdir(parents=True)
    leftovers.remove_all(aside.parent, time.monotonic() + 300)
    assert sorted(path.name for path in aside.parent.iterdir()) == [".theirs", "ab" * 20]
    assert len(asked) == 2
    leftovers.remove_all(aside.parent, time.monotonic() + 300)
    assert len(asked) == 2


def test_root_has_one_limit_for_all(aside: Path, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first directories take is not there for the last; when it has passed, nobody is asked."""
    closed(aside, monkeypatch)
    (aside.parent / NAME.replace("1f", "2f") / "out").mkdir(parents=True)
    moments = iter([0.0, 290.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments, 301.0))
    leftovers.remove_all(aside.parent, 300.0)
    with pytest.raises(PermissionError):
        leftovers.remove(aside, 300.0)
    limits = [word for command in asked for word in command if "RuntimeMaxSec" in word]
    assert limits == ["--property=RuntimeMaxSec=300.000", "--property=RuntimeMaxSec=10.000"]


def test_what_can_be_typed(aside: Path) -> None:
    """Why it is there, where, and the line that removes it."""
    said = leftovers.told(Path("/srv/a b/.x"), PermissionError(1, "Operation not permitted"))
    assert said == (
        "the rest is in /srv/a b/.x: Operation not permitted"
        " (on the host, as root: rm -rf --one-file-system -- '/srv/a b/.x')"
    )
