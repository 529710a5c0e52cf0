"""Another user: whom a host knows, how a command of theirs ends, and who reads and owns what."""

from __future__ import annotations

import json
import os
import pwd
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import another_user, configuration, environment, gate, process, shared
from oroboros_deploy.host.masking import Mask
from oroboros_deploy.host.refusal import Refusal
from tests.support.local_agent import LocalAgent

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that systemd would run as another user; they are run as this one."""
    commands: list[list[str]] = []
    made = another_user.command_of

    def command(user: pwd.struct_passwd, options: list[str], *argv: str, bound: bool = True) -> list[str]:
        commands.append(made(user, options, *argv, bound=bound))
        return [*argv]

    monkeypatch.setattr(another_user, "command_of", command)
    return commands


def run(line: str, seconds: float = 20, **options: Any) -> process.Ended:
    env = {"USER": "shop", "PATH": environment.SYSTEM, **options.pop("env", {})}
    given = {"cwd": Path("/"), "deadline": time.monotonic() + seconds, "env": env, **options}
    return another_user.shell(line, NOBODY, "a1", **given)


def test_a_command_is_what_it_would_be_for_the_login(asked: list[list[str]], tmp_path: Path) -> None:
    """It has its environment and nothing else, its directory, no input, and its output apart; no argument tells any."""
    env = {"PASSWORD": "hunter-two\nand 'three'", "HOME": "/var/lib/shop"}
    tell = "import json, os; print(json.dumps([dict(os.environ), os.getcwd()]))"
    line = f'python3 -c "{tell}"; cat; echo $PASSWORD >&2'
    ended = run(line, env=env, cwd=tmp_path, errors=tmp_path / "errors", mask=Mask(["hunter-two"]))
    found, cwd = json.loads(ended.tail)
    own = {"PATH": environment.SYSTEM, "USER": "shop", "HOME": "/var/lib/shop", "PASSWORD": "***\nand 'three'"}
    assert ({name: found.get(name) for name in own}, cwd, ended.status) == (own, str(tmp_path), 0)
    assert found.keys() - own.keys() <= {"PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"}
    assert (tmp_path / "errors").read_text() == "hunter-two and 'three'\n"
    assert [word for word in asked[0] if "hunter" in word or "PASSWORD" in word] == []


@pytest.mark.parametrize(
    ("line", "status"),
    [("exit 0", 0), ("exit 78", 78), ("no-such-command", 127), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
)
def test_how_it_ends(asked: list[list[str]], line: str, status: int) -> None:
    """The exit status is bash's; a signal is a failure, which for systemd a polite one is not."""
    assert run(line).status == status


def test_a_directory_that_is_closed_to_the_user(asked: list[list[str]], tmp_path: Path) -> None:
    """It is told with the user's name, and no later try changes it."""
    ended = run("true", cwd=tmp_path / "missing")
    assert (ended.status, ended.tail) == (126, f"shop: {tmp_path}/missing: No such file or directory")


def test_what_it_leaves_is_ended(asked: list[list[str]], tmp_path: Path) -> None:
    """A child of its process group goes with it, and does not keep us waiting."""
    run(f"sleep 1000 & echo $! >{tmp_path}/pid")
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_systemd_is_asked_for(asked: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who it is, no new privileges, and an end at the deadline, of which nothing is left 2 s later."""
    somebody = next(user.pw_uid for user in pwd.getpwall() if user.pw_uid not in (0, NOBODY.pw_uid))
    monkeypatch.setattr(another_user.manager.os, "getuid", lambda: somebody)
    run("true", seconds=50)
    command = asked[0]
    assert command[:4] == ["sudo", "-n", "systemd-run", "--quiet"]
    assert {f"--uid={NOBODY.pw_uid}", "--property=NoNewPrivileges=yes", "--property=TimeoutStopSec=2"} < {*command}
    [longest] = [float(word.partition("RuntimeMaxSec=")[2]) for word in command if "RuntimeMaxSec" in word]
    assert 40 < longest <= 50
    assert command[command.index("--unit") + 1].startswith("oroboros-command-a1-")


def test_what_may_become_root(asked: list[list[str]]) -> None:
    """A command that is not bound is asked for without the one property, and with all others."""
    run("true", bound=True)
    run("true", bound=False)
    bound, free = ([word for word in each if word.startswith("--property=")] for each in asked)
    assert [word for word in bound if word not in free and "RuntimeMaxSec" not in word] == [
        "--property=NoNewPrivileges=yes"
    ]
    assert len(free) == len(bound) - 1


def test_what_ends_after_the_deadline_did_not_end_in_time(asked: list[list[str]]) -> None:
    """systemd ends it then; that its last word was a success counts for nothing."""
    ended = run("sleep 0.3", seconds=0.05)
    assert (ended.status, ended.reason.startswith("did not end within")) == (None, True)


def test_who_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who is missing, and one whose uid is root's, are named by their setting."""
    toor = pwd.struct_passwd(("toor", "x", 0, 0, "", "/root", "/bin/sh"))
    known = {"toor": toor, "nobody": NOBODY}
    monkeypatch.setattr(another_user.pwd, "getpwnam", lambda name: known[name])
    users = {"owner": "nobody", "migrate": "somebody", "gate": "toor"}
    assert [each["message"] for each in another_user.problems(users)] == [
        "run_as.gate: toor is root on this host (uid 0), and nothing of a repository may run as root",
        "run_as.migrate: there is no user somebody on this host",
    ]


def test_the_login_is_nobody_else() -> None:
    """A name that is the login's own asks systemd for nothing."""
    login = pwd.getpwuid(os.getuid()).pw_name
    assert (another_user.of(login), another_user.of(None), another_user.of("nobody")) == (None, None, NOBODY)


def test_the_environment_is_the_users(tmp_path: Path) -> None:
    """HOME, USER, LOGNAME and SHELL are of whoever the command runs as."""
    told = environment.of_release(tmp_path, "nobody")
    own = {name: told[name] for name in ("HOME", "USER", "LOGNAME", "SHELL")}
    assert own == {"HOME": NOBODY.pw_dir, "USER": "nobody", "LOGNAME": "nobody", "SHELL": NOBODY.pw_shell}


@pytest.mark.usefixtures("giving_away")
def test_the_group_of_the_owner_reads_a_configuration(host: LocalAgent) -> None:
    """Of `.deploy` it reads the configuration alone: what lay open in it is closed before anybody may pass."""
    host.paths.create()
    host.paths.config.mkdir()
    place = host.paths.config / ("0" * 16)
    place.write_text("A=1\n")
    place.chmod(0o600)
    (host.paths.ours / "tools").mkdir(mode=0o755)
    (host.paths.ours / "old").touch(mode=0o644)
    configuration.give(host.paths, place.name, "nobody")
    assert (mode(place), place.stat().st_gid) == (0o640, NOBODY.pw_gid)
    closed = {path.name: mode(path) & 0o077 for path in host.paths.ours.iterdir() if path != host.paths.config}
    assert (mode(host.paths.ours), mode(host.paths.config), {*closed.values()}) == (0o711, 0o711, {0})

    other = next(user for user in pwd.getpwall() if user.pw_uid and user.pw_gid not in (0, NOBODY.pw_gid))
    configuration.give(host.paths, place.name, other.pw_name)
    assert (mode(place), place.stat().st_gid) == (0o640, other.pw_gid)
    configuration.give(host.paths, place.name, None)
    assert mode(place) == 0o600


@pytest.mark.usefixtures("giving_away")
def test_shared_directories_belong_to_the_owner(host: LocalAgent, asked: list[list[str]]) -> None:
    """What is made is the owner's; root gives away nothing that lies where the owner could put a link."""
    host.paths.create()
    (host.paths.shared / "kept").mkdir(parents=True)
    shared.create(host.paths, {"media/a/b": "dir", "kept": "dir", "conf/local.yml": "file"}, "nobody")
    whose = {name: (host.paths.shared / name).stat().st_uid for name in (".", "kept", "media", "conf")}
    assert whose == {".": 0, "kept": 0, "media": NOBODY.pw_uid, "conf": NOBODY.pw_uid}
    assert [command[-4:] for command in asked] == [
        ["/bin/mkdir", "--parents", "--", str(host.paths.shared / "media/a/b")]
    ]
    assert f"--uid={NOBODY.pw_uid}" in asked[0]
    assert (host.paths.shared / "media/a/b").is_dir()


@pytest.mark.usefixtures("giving_away")
def test_what_lies_in_a_directory_of_the_owner_is_made_by_the_owner(host: LocalAgent, asked: list[list[str]]) -> None:
    """Root makes nothing where somebody else could put a link in its place."""
    host.paths.create()
    (host.paths.shared / "theirs").mkdir(parents=True)
    os.chown(host.paths.shared / "theirs", NOBODY.pw_uid, NOBODY.pw_gid)
    shared.create(host.paths, {"theirs/new": "dir"}, "nobody")
    assert [command[-2:] for command in asked] == [["--", str(host.paths.shared / "theirs/new")]]


def test_the_gate_is_its_users() -> None:
    """Who the health command runs as is part of the gate, and so of the record that a way back is held to."""
    held = gate.of({"command": "true", "user": "shop"}, [])
    assert held and held.user == "shop"


def test_nothing_is_switched_for_a_user_who_is_missing(host: LocalAgent) -> None:
    """Neither the gate nor the migration begins."""
    for changes in ({"healthcheck": {"command": "true", "user": "not-here"}}, {"migrate_as": "not-here"}):
        refused = host.activate_here(host.sealed(str(changes)), **changes).refusal
        assert refused and refused["message"] == "nothing was switched: there is no user not-here on this host"
        assert host.live is None


def test_an_owner_who_is_missing(host: LocalAgent) -> None:
    """Neither a shared directory nor a configuration is given to nobody: a refusal, and nothing else."""
    host.paths.create()
    with pytest.raises(Refusal, match=r"nothing was switched: run_as\.owner: there is no user not-here on this host"):
        shared.create(host.paths, {"media": "dir"}, "not-here")
    assert not (host.paths.shared / "media").exists()


def test_what_a_killed_process_left_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All units of the attempt's commands, and no other's."""
    stopped: list[list[str]] = []
    for name in ("oroboros-command-a1-7-1.service", "oroboros-command-a2-7-1.service"):
        (tmp_path / "transient").mkdir(exist_ok=True)
        (tmp_path / "transient" / name).touch()
    chosen = another_user.manager.chosen()._replace(runtime=tmp_path, acts=())
    monkeypatch.setattr(another_user.manager, "chosen", lambda: chosen)
    monkeypatch.setattr(another_user.process, "run", lambda argv, **_: stopped.append(argv))
    another_user.stop("a1")
    another_user.stop("a3")
    assert stopped == [["systemctl", "stop", "oroboros-command-a1-7-1.service"]]


def test_what_nobody_waits_for_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Units of that kind whose process is gone, and none that somebody still listens to."""
    stopped: list[list[str]] = []
    gone = subprocess.Popen(["true"])
    gone.wait()
    (tmp_path / "transient").mkdir()
    for kind, pid in (("run", gone.pid), ("run", os.getpid()), ("run", "x"), ("logs", gone.pid)):
        (tmp_path / "transient" / f"oroboros-command-{kind}-{pid}-{pid}-1.service").touch()
    chosen = another_user.manager.chosen()._replace(runtime=tmp_path, acts=())
    monkeypatch.setattr(another_user.manager, "chosen", lambda: chosen)
    monkeypatch.setattr(another_user.process, "run", lambda argv, **_: stopped.append(argv))
    another_user.sweep("run")
    assert stopped == [["systemctl", "stop", f"oroboros-command-run-{gone.pid}-{gone.pid}-1.service"]]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
