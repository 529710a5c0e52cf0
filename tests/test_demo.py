"""The demo on this machine itself: it tells the whole story, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import needs
import pytest

from tests.support.rights import require_another_user

DEMO = Path(__file__).parents[1] / "examples/demo.py"
SHELL = DEMO.with_suffix(".sh")
SYSTEM = "/usr/bin/python3"

pytestmark = pytest.mark.slow
requires_here = pytest.mark.skipif(bool(needs.for_here().lacks), reason=f"needs {', '.join(needs.for_here().lacks)}")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for temporary files whose path is short enough for sockets."""
    place = Path(tempfile.mkdtemp(prefix="demo"))
    yield place
    shutil.rmtree(place)


def left(place: Path) -> list[str]:
    """What a demo left in its place, and the processes that name it."""
    named = subprocess.run(["pgrep", "--full", "--list-full", f"{place}/"], capture_output=True, text=True).stdout
    return [*os.listdir(place), *named.splitlines()]


@requires_here
def test_the_whole_story(place: Path) -> None:
    """Without root's rights and systemd: deploys, two failures that are taken back, a rollback, and nothing is left."""
    cache = place / "cache"
    environment = {**os.environ, "TMPDIR": str(place), "OROBOROS_CACHE": str(cache), "PYTHON": sys.executable}
    told = subprocess.run(["sh", SHELL, "--here"], env=environment, capture_output=True, text=True, timeout=600)
    assert (told.returncode, told.stdout.splitlines()[-1].partition(",")[0]) == (0, "all as promised"), told
    assert "broken on purpose" in told.stdout  # the reason of the failure
    assert "UPLOAD_LIMIT is not a number of bytes" in told.stdout  # and of the configuration's
    assert "Left out are the services" in told.stdout.partition("v1:")[0]
    assert told.stdout.count("\nIt is still here.\n") == 5  # the upload, after each step
    shutil.rmtree(cache)
    assert left(place) == []


@requires_here
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_demo_that_is_stopped(place: Path, name: str) -> None:
    """A signal in the middle of a build ends the demo, its host and all that it started."""
    demo = begun(place)
    demo.send_signal(signal.Signals[name])
    demo.communicate(timeout=60)
    assert demo.returncode == {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}[name]
    assert left(place) == []


@requires_here
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_while_the_environment_is_made(place: Path, name: str) -> None:
    """Whether it comes from a terminal, to all that runs there, or to the demo alone: all ends, with no traceback."""
    environment = {**os.environ, "TMPDIR": str(place), "OROBOROS_CACHE": str(place / "cache"), "PYTHON": sys.executable}
    command = ["sh", str(SHELL), "--here"]
    pipe = subprocess.PIPE
    demo = subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True, process_group=0)
    assert demo.stdout is not None
    assert any("installing oroboros_deploy" in line for line in demo.stdout)
    time.sleep(0.3)
    (os.kill if name == "SIGTERM" else os.killpg)(demo.pid, signal.Signals[name])
    said = demo.communicate(timeout=60)[0]
    assert (demo.returncode, said) == ({"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}[name], "")
    assert [path.suffix for path in (place / "cache").iterdir()] == [".lock"]
    shutil.rmtree(place / "cache")
    assert left(place) == []


@requires_here
def test_what_a_killed_demo_left(place: Path) -> None:
    """What a demo could not end and remove goes when the next one begins."""
    demo = begun(place)
    (killed,) = place.iterdir()
    demo.kill()
    demo.wait(60)
    assert demo.stdout is not None
    demo.stdout.close()  # its fab may still write there
    following = begun(place)
    assert not killed.exists()
    following.send_signal(signal.SIGINT)
    following.communicate(timeout=60)
    assert left(place) == []


def begun(place: Path) -> subprocess.Popen[str]:
    """A demo whose first deploy is under way."""
    environment = {**os.environ, "TMPDIR": str(place)}
    command = [sys.executable, str(DEMO), "--here"]
    demo = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert demo.stdout is not None
    end = time.monotonic() + 60
    for line in demo.stdout:
        if "source" in line:
            return demo
        assert time.monotonic() < end
    raise AssertionError("the demo ended before it deployed")


@pytest.mark.parametrize(
    ("way", "rights", "lacks"),
    [
        ("--booted", ["--reuid=65534"], "  - root (you are uid 65534)\n"),
        (
            "--booted",
            ["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"],
            "  - namespaces and overlay mounts (unshare: ",
        ),
        ("--here", ["--reuid=4242"], "  - a user who can log in (uid 4242 has no name on this machine)\n"),
    ],
)
def test_a_machine_that_cannot(place: Path, way: str, rights: list[str], lacks: str) -> None:
    """What the machine cannot do is found out by trying, and told before anything is installed or built."""
    require_another_user()
    done = asked_for(place, way, "setpriv", *rights)
    assert (done.returncode, lacks in done.stdout, "installing" in done.stdout) == (2, True, False), done


@pytest.mark.skipif(not Path(SYSTEM).exists(), reason=f"needs {SYSTEM}")
@requires_here
def test_a_python_that_is_too_old(place: Path) -> None:
    """It is named with the one that is needed and the way to give another, before anything is installed."""
    done = asked_for(place, "--here", least="9.9")
    said = f"The demo lacks\n  - Python 9.9 or later ({SYSTEM} is "
    assert (done.returncode, done.stderr.startswith(said), "installing" in done.stdout) == (2, True, False), done
    assert ": PYTHON=/path/to/python sh examples/demo.sh\n" in done.stderr


def asked_for(place: Path, way: str, *before: str, least: str = "") -> subprocess.CompletedProcess[str]:
    """What comes of a copy that others can read, with the system's Python; `least` is the one that it needs."""
    shutil.copytree(DEMO.parent, place / "examples")
    settings = (DEMO.parents[1] / "setup.cfg").read_text()
    if least:
        settings = re.sub(r"(python_requires = >=)[\d.]+", rf"\g<1>{least}", settings)
    (place / "setup.cfg").write_text(settings)
    place.chmod(0o755)
    command = [*before, "sh", str(place / "examples/demo.sh"), way]
    environment = {**os.environ, "PYTHON": SYSTEM}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
