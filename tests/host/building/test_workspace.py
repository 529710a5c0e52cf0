"""The directory of a build: its own while it lives, swept with all it had started when it was killed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oroboros_deploy.host.building import workspace
from oroboros_deploy.host.refusal import Refusal
from tests.support.local_agent import LocalAgent
from tests.support.watching import processes

COMMAND = ["sh", "-c", "cd /; setsid sleep 60; true"]


@pytest.fixture
def dead(host: LocalAgent) -> Path:
    """What a killed build left: nobody holds its lock."""
    host.paths.create()
    left = host.paths.tmp / "build-dead-1"
    left.mkdir()
    (left / "source.bundle").write_text("half of it")
    return left


@pytest.fixture
def orphan(dead: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command of the killed build, with a child in another session and directory."""
    with subprocess.Popen(COMMAND, env={**os.environ, workspace.MARK: str(dead)}) as process:
        while not Path(f"/proc/{process.pid}/environ").read_bytes():  # Popen returns before the kernel tells it
            time.sleep(0.001)
        yield process
        process.kill()


def swept(host: LocalAgent) -> list[str]:
    said: list[str] = []
    workspace.sweep(host.paths, lambda event, message="", **_: said.append(message))
    return said


def test_what_a_killed_build_left_is_ended_and_removed(
    host: LocalAgent, dead: Path, orphan: subprocess.Popen[bytes]
) -> None:
    """Nothing of it runs or lies about afterwards, and that is told."""
    assert swept(host) == [f"removed what a killed build left in {dead}"]
    assert (orphan.wait(5), list(host.paths.tmp.iterdir())) == (-9, [])


def test_a_build_that_lives_is_left_alone(host: LocalAgent, dead: Path) -> None:
    """One that waits for its turn keeps its directory and its processes, whoever sweeps meanwhile."""
    with workspace.make(host.paths, "living") as tmp, subprocess.Popen(["sleep", "60"]) as child:
        assert (len(swept(host)), list(host.paths.tmp.iterdir()), child.poll()) == (1, [tmp], None)
        child.kill()
    assert (list(host.paths.tmp.iterdir()), workspace.MARK in os.environ) == ([], False)


def test_what_cannot_be_ended_stops_the_build(
    host: LocalAgent, orphan: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that would write into the next release and does not die is told by its number."""
    monkeypatch.setattr(workspace, "PATIENCE", -1.0)  # they are told before any is killed
    with pytest.raises(Refusal, match=rf"^processes of a killed build do not end: .*\b{orphan.pid}\b") as refused:
        swept(host)
    assert re.search(rf"^on the host: ps -o pid,user,stat,args -p .*\b{orphan.pid}\b.* ;", refused.value.hint or "")
    monkeypatch.undo()
    swept(host)


ENDS = """
import subprocess, sys
from oroboros_deploy.host.building import workspace
deaf = f"trap '' TERM HUP; sleep {sys.argv[1]} & sleep {sys.argv[1]}"
with workspace.all_ended(lambda: print("outlived")):
    subprocess.run(["sh", "-c", 'env -i setsid sh -c "$0" & exit 0', deaf], check=True)
print("over")
"""


def test_nothing_outlives_a_build() -> None:
    """Not even a daemon with a session and an environment of its own, nor its children; that there was one is told."""
    seconds = f"3210.{os.getpid()}"  # of this test alone
    ran = subprocess.run([sys.executable, "-c", ENDS, seconds], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr, processes(seconds)) == ("outlived\nover\n", "", [])


SPARES = """
import subprocess
from oroboros_deploy.host.building import workspace
with subprocess.Popen(["sleep", "3211.5"]) as before:
    with workspace.all_ended(lambda: print("outlived")):
        subprocess.Popen(["sleep", "3212.5"])
    with workspace.all_ended(lambda: print("nobody did")):
        pass
    print(before.poll())
    before.kill()
"""


def test_what_was_there_before_a_build_outlives_it() -> None:
    """A child that a login shell left behind, when it became the agent, is no part of the build."""
    ran = subprocess.run([sys.executable, "-c", SPARES], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, processes("3212.5")) == ("outlived\nNone\n", [])
