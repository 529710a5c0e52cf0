"""What the commands of a build can reach."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from oroboros_deploy.host import process
from oroboros_deploy.host.building import view
from tests.support import mounted

pytestmark = pytest.mark.slow  # thousands of examples, or whole builds

LOGINS = [
    pytest.param(0, marks=pytest.mark.skipif(os.getuid() != 0, reason="needs root")),
    pytest.param(os.getuid() or 65534, id="without root"),
]
# One command in a view of a root, by a process of its own: what is allowed is asked of a login that just began.
ENTER = """
import sys, time
from pathlib import Path
from oroboros_deploy.host import process
from oroboros_deploy.host.building.view import View
root, line = Path(sys.argv[1]), sys.argv[2]
release, ours = root / "releases/new", root / ".deploy"
shown = (ours / "tmp/mine", ours / "tools")
view = View((release, shown[0], Path("/tmp")), (root,), ours, shown)
with view.entered(lambda why: print("cannot:", why)) as entering:
    options = {"cwd": release, "deadline": time.monotonic() + 60, "bound": True, "entering": entering}
    ended = process.run(process.SHELL, line=line, **options)
print(ended.tail)
"""


@pytest.fixture(params=LOGINS)
def login(request: pytest.FixtureRequest) -> int:
    """Whose build it is."""
    return int(request.param)


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


def entered(login: int, root: Path, line: str, **instead: Path) -> list[str]:
    """What a command of the login's build says, on a host with directories of the test's ``instead`` of its own."""
    become = [] if login == os.getuid() else ["setpriv", f"--reuid={login}", f"--regid={login}", "--clear-groups"]
    python = [sys.executable if login == os.getuid() else "/usr/bin/python3", "-c", ENTER, str(root), line]
    package = {"PYTHONPATH": str(Path(process.__file__).parents[2])}
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


def test_a_build_cannot_open_its_view(login: int, root: Path) -> None:
    """What it may not write to stays so, whatever it mounts; nor does the way over our own process lead out."""
    line = f"mount -o remount,bind,rw {root} 2>&-; umount {root}/.deploy 2>&-; touch ../old/made 2>&-"
    ours = "" if login == 0 else f"; cat /proc/$PPID/root{root}/.deploy/key 2>&-"
    assert entered(login, root, f"{line}{ours}; echo end") == ["end"]


def test_the_caches_of_tools_are_kept(tmp_path: Path) -> None:
    """Those of every home, and those that a variable names; never the home itself."""
    (tmp_path / ".cache").mkdir()
    told = {"HOME": str(tmp_path), "UV_CACHE_DIR": "/var/cache/uv", "CARGO_HOME": str(tmp_path), "GOCACHE": "off"}
    found = view.kept_by_tools(told)
    assert {tmp_path / ".cache", tmp_path / ".npm", Path("/var/cache/uv"), Path("/tmp")} <= set(found)
    assert (tmp_path in found, (tmp_path / ".npm").is_dir(), (tmp_path / ".gradle").exists()) == (False, True, False)


def test_a_host_without_the_means_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command runs all the same, as it did before."""
    monkeypatch.setattr(process, "find", lambda name: None)
    said: list[str] = []
    with view.View((), (), tmp_path, ()).entered(said.append) as entering:
        assert (entering, said) == ([], ["nsenter is not installed"])


def test_what_the_kernel_refuses_is_named(tmp_path: Path) -> None:
    """A directory that is not there stands for all that can go wrong."""
    said: list[str] = []
    with view.View((), (), tmp_path / "no" / "such", ()).entered(said.append) as entering:
        assert entering == []
    assert len(said) == 1 and ": " in said[0]
