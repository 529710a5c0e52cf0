"""What the commands of a build can reach."""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from oroboros_deploy.host import process
from oroboros_deploy.host.building import view
from tests.support import mounted
from tests.support.rights import require_another_user, require_giving_away, require_mount

pytestmark = pytest.mark.slow  # thousands of examples, or whole builds

LOGINS = [
    pytest.param(0),
    pytest.param(os.getuid() or 65534, id="without root"),
]
# One command in a view of a root, by a process of its own: what is allowed is asked of a login that just began.
ENTER = """
import os, socket, subprocess, sys, time
from functools import cache
from pathlib import Path
from oroboros_deploy.host import process
from oroboros_deploy.host.building.view import View, own_places
root, line, listening = Path(sys.argv[1]), sys.argv[2], [socket.socket(socket.AF_UNIX) for _ in sys.argv[3:]]
for each, path in zip(listening, sys.argv[3:]):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    each.bind(path)
    each.listen()
release, ours = root / "releases/new", root / ".deploy"
shown = (ours / "tmp/mine", ours / "tools")
own = own_places(shown[0] / "own", [root])
view = View((release, shown[0], Path("/tmp"), Path(os.environ.get("CACHE", "/none"))), (root,), ours, shown, own)
subprocess.run(os.environ.get("BEFORE", ""), shell=True, check=True)
with view.entered(lambda why: print("cannot:", why)) as entering:
    subprocess.run(os.environ.get("LATER", ""), shell=True, check=True)
    options = {"cwd": release, "deadline": time.monotonic() + 60, "bound": True, "entering": entering}
    ended = process.run(process.SHELL, line=line, **options)
print(ended.tail)
"""


@pytest.fixture(params=LOGINS)
def login(request: pytest.FixtureRequest) -> int:
    """Whose build it is."""
    if (login := int(request.param)) != os.getuid():
        require_another_user()
        require_giving_away()
    return login


@pytest.fixture
def root(login: int) -> Iterator[Path]:
    """A deploy root of that login, below a directory that everybody may write to."""
    with tempfile.TemporaryDirectory(prefix="o", dir="/tmp") as directory:
        root = Path(directory)
        for path in ("releases/new", "releases/old", ".deploy/tmp/mine", ".deploy/tmp/other", ".deploy/tools"):
            (root / path).mkdir(parents=True)
        (root / ".deploy/key").write_text("secret")
        (root / "current").symlink_to("releases/old")
        subprocess.run(["chown", "-R", str(login), directory], check=True)
        yield root


@cache
def open_to_all() -> str:
    """A directory with the package, open to every user: a checkout may lie in a closed home, root's for example."""
    directory = tempfile.mkdtemp(prefix="o", dir="/tmp")
    atexit.register(shutil.rmtree, directory)
    Path(directory).chmod(0o755)
    shutil.copytree(Path(process.__file__).parents[1], Path(directory, "oroboros_deploy"))
    return directory


def entered(login: int, root: Path, line: str, listening: Sequence[str] = (), **instead: Path) -> list[str]:
    """What a command of the login's build says, on a host with directories of the test's ``instead`` of its own.

    A program of the login's listens at the paths ``listening``.
    """
    become = [] if login == os.getuid() else ["setpriv", f"--reuid={login}", f"--regid={login}", "--clear-groups"]
    python = [sys.executable if login == os.getuid() else "/usr/bin/python3", "-c", ENTER, str(root), line, *listening]
    package = {"PYTHONPATH": open_to_all()}
    package |= {name: os.environ[name] for name in ("BEFORE", "LATER", "CACHE") if name in os.environ}
    argv = [*become, *python]
    if instead:
        argv = mounted.command(argv, {f"/{name}": path for name, path in instead.items()})
    ran = subprocess.run(argv, capture_output=True, text=True, env=package, cwd="/", timeout=60)
    assert ran.stderr == ""
    if ran.stdout.startswith("cannot:"):
        pytest.skip(f"this kernel gives no view: {ran.stdout}")
    return ran.stdout.splitlines()


def test_a_build_writes_to_its_own_places_alone(login: int, root: Path) -> None:
    """Not to other releases, `current`, tools, or what is ours, also below a place that is open to all."""
    tried = (
        "made",
        "../old/made",
        "../made",
        "../../current",
        "../../.deploy/made",
        "../../.deploy/tools/made",
        "../../.deploy/tmp/mine/made",
        "/tmp/made-by-a-build",
        "/etc/made",
    )
    line = "; ".join(f"touch {path} 2>&- && echo {path}" for path in tried)
    line += "; ln -sfn releases/new ../../current 2>&-; rm -f /tmp/made-by-a-build"
    line += "; ln ../../.deploy/tmp/mine/made again 2>&- && echo linked"
    assert entered(login, root, line) == ["made", "../../.deploy/tmp/mine/made", "/tmp/made-by-a-build"]
    assert (os.readlink(root / "current"), sorted(os.listdir(root / "releases/new"))) == ("releases/old", ["made"])


def test_a_build_sees_nothing_of_ours_but_its_own(login: int, root: Path) -> None:
    """No key, no other build's directory; and it is back where it was told to run."""
    line = f"cat {root}/.deploy/key 2>&-; ls {root}/.deploy {root}/.deploy/tmp; pwd; echo x >/dev/null && echo devices"
    found = entered(login, root, line)
    listed = [f"{root}/.deploy:", "tmp", "tools", "", f"{root}/.deploy/tmp:", "mine"]
    assert found == [*listed, f"{root}/releases/new", "devices"]


def test_the_logins_own_systemd_is_out_of_a_builds_reach(login: int, root: Path) -> None:
    """It would start, in no view and not bound, what a build asks it to by a socket in the login's directory."""
    directory = root / "run/user" / str(login)
    directory.mkdir(parents=True)
    (directory / "bus").touch()
    line = f"ls -d /run/user/{login}; ls /run/user/{login}"
    assert entered(login, root, line, run=root / "run") == [f"/run/user/{login}"]


CONNECT = """\
import socket, sys
mine = socket.socket(socket.AF_UNIX)
mine.bind(sys.argv[1])
mine.listen()
for path in sys.argv[1:]:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        print(path)
    except OSError:
        pass
"""


def test_a_build_finds_nobody_to_run_a_command_outside(login: int, root: Path) -> None:
    """Not a multiplexer of terminals or an agent of keys, wherever it listens, nor systemd by its bus."""
    everybodys = [f"{place}/tmux-of-{root.name}/default" for place in ("/tmp", "/var/tmp", "/dev/shm")]
    known = ["/run/dbus/system_bus_socket", "/run/screen/S-me/1.tty", f"/run/user/{login}/bus"]
    own = ["/srv/.gnupg/S.gpg-agent", "/srv/with a space"] if login else []  # root's are the system's own
    (root / "run").mkdir()
    os.chown(root / "run", login, login)
    (root / "connect.py").write_text(CONNECT)
    line = shlex.join(["/usr/bin/python3", "/srv/connect.py", "/tmp/mine", *everybodys, *known, *own])
    try:
        said = entered(login, Path("/srv"), line, [*everybodys, *known, *own], srv=root, run=root / "run")
    finally:
        for path in everybodys:
            shutil.rmtree(Path(path).parent, ignore_errors=True)
    assert said == ["/tmp/mine"]


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_a_tmux_of_the_login_runs_nothing_for_a_build(login: int, root: Path) -> None:
    """Its server is outside of the view and could write to another release; a build starts one of its own at most."""
    ask = ["tmux", "-f", "/dev/null", "-L", root.name]
    outside = {"user": login, "group": login, "env": {"SHELL": "/bin/sh", "PATH": os.environ["PATH"]}, "check": True}
    subprocess.run([*ask, "new-session", "-d", "sleep 60"], **outside)
    try:
        subprocess.run([*ask, "run-shell", f"touch {root}/.deploy/control"], **outside)
        line = f"export SHELL=/bin/sh; {shlex.join(ask)} new-session -d 'sleep 60'; {shlex.join(ask)} run-shell"
        line = (
            f"{line} 'touch {root}/releases/old/made {root}/releases/new/made'; {shlex.join(ask)} kill-server; echo end"
        )
        assert entered(login, Path("/srv"), line, srv=root)[-1] == "end"
    finally:
        subprocess.run([*ask, "kill-server"], **{**outside, "check": False})
    assert (root / ".deploy/control").exists()
    assert not (root / "releases/old/made").exists()


def test_a_session_that_begins_during_a_build_is_out_of_its_reach(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is mounted on the host later comes into a view as well, but not there."""
    require_mount()
    (root / "run/user").mkdir(parents=True)
    monkeypatch.setenv("BEFORE", "mount --make-rshared / && mount --bind /run /run && mount --make-shared /run")
    session = "mkdir -p /run/user/7 && mount -t tmpfs session /run/user/7 && touch /run/user/7/bus"
    monkeypatch.setenv("LATER", f"{session}; mkdir /run/seen && mount -t tmpfs seen /run/seen && touch /run/seen/it")
    assert entered(0, Path("/srv"), "ls /run/user /run/seen", srv=root, run=root / "run") == [
        "/run/seen:",
        "it",
        "",
        "/run/user:",
    ]


def test_what_is_open_to_everybody_is_a_builds_own(login: int, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees nothing that others put there, and leaves nothing there but in a cache that a variable names."""
    with tempfile.TemporaryDirectory(prefix="cache", dir="/tmp") as cache:
        os.chown(cache, login, login)
        monkeypatch.setenv("CACHE", cache)
        line = f"ls -A /tmp /var/tmp; touch {cache}/kept /tmp/made-by-{root.name}; stat -c %a /tmp"
        said = entered(login, Path("/srv"), line, srv=root)
        assert said == ["/tmp:", Path(cache).name, "", "/var/tmp:", "1777"]
        assert (os.listdir(cache), Path(f"/tmp/made-by-{root.name}").exists()) == (["kept"], False)


def test_a_root_that_lies_in_such_a_place_keeps_it_as_it_is(tmp_path: Path) -> None:
    """What a build needs there would be gone; the other places are its own."""
    assert set(view.own_places(tmp_path, [Path("/tmp/root/releases")])) == {Path("/var/tmp"), Path("/dev/shm")}
    assert set(view.own_places(tmp_path, [Path("/var/tmp"), Path("/home/me")])) == {Path("/tmp"), Path("/dev/shm")}


def test_a_build_cannot_open_its_view(login: int, root: Path) -> None:
    """What it may not write to stays so, whatever it mounts; nor does the way over our own process lead out."""
    line = f"mount -o remount,bind,rw {root} 2>&-; umount {root}/.deploy 2>&-; touch ../old/made 2>&-"
    ours = "" if login == 0 else f"; cat /proc/$PPID/root{root}/.deploy/key 2>&-"
    assert entered(login, root, f"{line}{ours}; echo end") == ["end"]


def test_the_caches_of_tools_are_kept(tmp_path: Path) -> None:
    """Those of every home, and those that a variable names; never the home itself."""
    (tmp_path / ".cache").mkdir()
    told = {
        "HOME": str(tmp_path),
        "PATH": str(tmp_path / "bin"),
        "UV_CACHE_DIR": "/var/cache/uv",
        "CARGO_HOME": str(tmp_path),
        "GOCACHE": "off",
    }
    found = view.kept_by_tools(told)
    assert {tmp_path / ".cache", tmp_path / ".npm", Path("/var/cache/uv"), Path("/tmp")} <= set(found)
    assert (tmp_path in found, (tmp_path / ".npm").is_dir(), (tmp_path / ".gradle").exists()) == (False, True, False)


def test_the_cache_of_a_program_in_path_is_there_before_a_build(tmp_path: Path) -> None:
    """A build can make nothing in the home: pnpm and Go would end with an error when a login uses them first."""
    home, programs = tmp_path / "home", tmp_path / "bin"
    for directory in (home, programs):
        directory.mkdir()
    for name in ("pnpm", "go"):
        (programs / name).symlink_to("/bin/true")
    view.kept_by_tools({"HOME": str(home), "PATH": str(programs)})
    made = sorted(str(each.relative_to(home)) for each in home.rglob("*"))
    assert made == [".cache", ".local", ".local/share", ".local/share/pnpm", ".npm", "go", "go/pkg"]
    assert {each.stat().st_mode & 0o777 for each in home.rglob("*")} == {0o700}


def test_a_host_without_the_means_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command runs all the same, as it did before."""
    monkeypatch.setattr(process, "find", lambda name: None)
    said: list[str] = []
    with view.View((), (), tmp_path, (), {}).entered(said.append) as entering:
        assert (entering, said) == ([], ["nsenter is not installed"])


def test_what_the_kernel_refuses_is_named(tmp_path: Path) -> None:
    """A directory that is not there stands for all that can go wrong."""
    said: list[str] = []
    with view.View((), (), tmp_path / "no" / "such", (), {}).entered(said.append) as entering:
        assert entering == []
    assert len(said) == 1 and ": " in said[0]
