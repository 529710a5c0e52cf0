"""Commands end, with all their children, at their deadline; and their output is told as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import process
from tests.support.clock import within
from tests.support.rights import require
from tests.support.small_filesystem import frozen, small_filesystem
from tests.support.watching import eventually, kill_left, processes

HERE = Path("/")


def soon(seconds: float) -> float:
    return time.monotonic() + seconds


def shell(line: str, seconds: float = 5.0, **options: object) -> process.Ended:
    return process.shell(line, cwd=HERE, deadline=soon(seconds), **options)


@pytest.mark.parametrize(
    ("line", "status", "reason", "tail"),
    [
        ("echo fine", 0, "exited 0", "fine"),
        ("echo out; echo err >&2; exit 7", 7, "exited 7", "out\nerr"),
        ("kill -TERM $$", -15, "was killed by signal 15", ""),
        ("exec >&- 2>&-; sleep 0.1; exit 3", 3, "exited 3", ""),
    ],
)
def test_an_end_is_told_in_full(line: str, status: int, reason: str, tail: str) -> None:
    """Status, reason and last output are those of the command, its two streams in one."""
    ended = shell(line)
    assert (ended.status, ended.reason, ended.tail, ended.ok) == (status, reason, tail, status == 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "end"),
    [("one\ntwo\n", "one\ntwo\n"), ("npm ERR! code\nnpm ERR! more\n", "npm ERR! more\n"), ("x" * 30, "x" * 20)],
)
def test_a_cut_leaves_whole_lines(text: str, end: str) -> None:
    """No first word is lost; a single line that is too long has its end."""
    assert process.whole_lines(text, 20) == end


def test_a_deadline_ends_the_whole_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that ignores TERM is killed with the children it started, soon after the deadline."""
    monkeypatch.setattr(process, "GRACE", 0.2)
    mark = f"987.{os.getpid()}"
    with within(10):
        ended = shell(f"trap '' TERM; sleep {mark} & sleep {mark}; sleep {mark}", seconds=0.3)
    assert (ended.status, ended.ok) == (None, False)
    assert ended.reason.endswith("was killed")
    assert ended.seconds >= 0.3
    assert eventually(lambda: not processes(mark))


def test_a_command_that_obeys_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """TERM is enough for a command that heeds it."""
    monkeypatch.setattr(process, "GRACE", 50.0)
    with within(10):
        shell("sleep 60", seconds=0.2)


def test_whoever_loses_patience_ends_it() -> None:
    """A set stop ends the command long before its deadline."""
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with within(10):
        assert shell("sleep 60", seconds=60, stop=stop).status is None


@pytest.mark.parametrize(
    "child", ["sleep MARK &", "yes MARK &", "setsid sleep MARK &", "(trap '' HUP TERM; sleep MARK) & disown"]
)
def test_a_child_left_behind_does_not_hold_us(child: str) -> None:
    """The command's own end counts, whether a child keeps its output open or goes on writing to it."""
    mark = f"654.{os.getpid()}"
    line = f"{child.replace('MARK', mark)} echo done >&2; exit 4"
    with within(10):
        assert shell(line, seconds=60, sink=lambda data: time.sleep(0.01)).status == 4
    kill_left(mark)  # those with a session of their own are not ours to end


def test_children_in_the_group_end_with_the_command() -> None:
    """What a command leaves in the background does not live on after it."""
    mark = f"876.{os.getpid()}"
    assert shell(f"sleep {mark} & exit 0").ok
    assert eventually(lambda: not processes(mark))


def test_all_output_reaches_the_sink_and_little_is_kept() -> None:
    """Five megabytes of every byte there is arrive unchanged, while the report holds only the end."""
    received: list[bytes] = []
    script = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 20000 + b'the end')"
    ended = process.run(["python3", "-c", script], cwd=HERE, deadline=soon(20), sink=received.append)
    assert b"".join(received) == bytes(range(256)) * 20000 + b"the end"
    assert (ended.ok, ended.tail.endswith("the end"), len(ended.tail) <= process.KEPT) == (True, True, True)


def test_errors_can_be_kept_apart(tmp_path: Path) -> None:
    """With a file for the errors, the output is the standard output alone."""
    errors = tmp_path / "errors"
    ended = shell("echo noise >&2; echo revision", errors=errors)
    assert (ended.tail, errors.read_text()) == ("revision", "noise\n")


def test_a_command_cannot_wait_for_an_answer() -> None:
    """Nothing can be typed: a question finds the end of its input at once, though ours is open."""
    (reading, writing), ours = os.pipe(), os.dup(0)
    try:
        os.dup2(reading, 0)
        assert shell("read -r answer || echo nobody there", seconds=20).tail == "nobody there"
    finally:
        os.dup2(ours, 0)
        for descriptor in (reading, writing, ours):
            os.close(descriptor)


def test_an_answer_is_told_apart_from_what_is_said_beside_it() -> None:
    """What a command says on standard error is no part of its answer, and is not lost."""
    ended = process.apart(["/bin/sh", "-c", "echo noise >&2; echo stopping; exit 1"], cwd=HERE, deadline=soon(20))
    assert (ended.status, ended.tail, ended.said) == (1, "stopping", "noise")


AS_NOBODY = 'test "$(setpriv --reuid=65534 --regid=65534 --clear-groups "$0" -u)" = 0'


@pytest.fixture
def becoming_root() -> Iterator[str]:
    """A program that is root's whoever starts it, as sudo is."""
    with tempfile.TemporaryDirectory(prefix="o", dir="/tmp") as directory:
        program = Path(directory) / "id"
        shutil.copy("/usr/bin/id", program)
        Path(directory).chmod(0o755)
        program.chmod(0o4755)
        require("a program that is root's whoever starts it", "sh", "-c", AS_NOBODY, str(program))
        yield str(program)


@pytest.mark.parametrize(("bound", "user"), [(True, "65534"), (False, "0")])
def test_a_bound_command_cannot_become_root(becoming_root: str, bound: bool, user: str) -> None:
    """A set-uid program, as sudo is one, gives it nothing; what is ours is not bound, also after that."""
    line = f"""
import os, time; from pathlib import Path; from oroboros_deploy.host import process
os.setgid(65534); os.setuid(65534)
for bound in (True, {bound}):
    ended = process.run([{becoming_root!r}, "-u"], cwd=Path("/"), deadline=time.monotonic() + 20, bound=bound)
print(ended.tail)
"""
    package = Path(process.__file__).parents[2]
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 30, "env": {"PYTHONPATH": str(package)}}
    ran = subprocess.run([sys.executable, "-c", line], check=False, **options)
    assert ran.stdout == f"{user}\n", ran.stderr


def test_a_line_of_the_repository_is_bound() -> None:
    """Every migration and health command is."""
    assert shell("grep NoNewPrivs /proc/self/status").tail.split() == ["NoNewPrivs:", "1"]


def test_a_line_is_in_no_arguments() -> None:
    """Every user of the host can read those of all processes; nor does the line's descriptor reach what it runs."""
    ended = shell("TOKEN=se''cret; cat /proc/$$/cmdline /proc/$PPID/cmdline | tr '\\0' ' '; ls -l /proc/self/fd")
    assert (ended.status, "cret" in ended.tail, "memfd" in ended.tail) == (0, False, False)
    assert shell("cd /; echo \"$0\" 'a  b' # end\nexit 3").tail == "/bin/bash a  b"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_command_that_cannot_be_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs in the kernel is given up soon after its deadline, and told as what it is."""
    monkeypatch.setattr(process, "GRACE", 0.2)
    with small_filesystem(tmp_path / "disk", "ext4") as disk, frozen(disk):
        with within(15):
            ended = shell(f"echo >{disk}/file", seconds=0.3)
        assert (ended.status, ended.stays, ended.tail) == (None, True, "")
        assert ended.reason.endswith(" s and cannot be killed")
