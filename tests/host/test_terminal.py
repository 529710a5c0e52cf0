"""A program at a terminal of its own on the host: what is typed, what is shown, and how it ends."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import subprocess
import threading
import time
import tty
from collections.abc import Callable, Iterator

import pytest

from oroboros_deploy.host import configuration, terminal
from oroboros_deploy.host.constants import SIZED, TYPED
from oroboros_deploy.host.masking import Mask
from tests.support.local_agent import PLAIN, LocalAgent

pytestmark = pytest.mark.slow  # whole calls

SECRET = "hunter-two-and-three"
SIZE = {"rows": 24, "columns": 80, "kind": "xterm"}
ASKED = {"actor": "ada@desk", "service": None, "line": "exec bash --norc -i", "terminal": SIZE}


class Typist:
    """Whoever sits at the terminal: types, and waits for what is to be seen."""

    def __init__(self, host: LocalAgent, **asked: object) -> None:
        self.agent = host.start("run_line", {**ASKED, **asked})
        self.seen, self.answer = "", {}
        self.await_true(lambda: self._hears("console.began"))

    def type(self, text: str, kind: bytes = TYPED) -> None:
        block = kind + text.encode()
        assert self.agent.stdin
        self.agent.stdin.write(b"%d\n" % len(block) + block)
        self.agent.stdin.flush()

    def sees(self, words: str) -> None:
        self.await_true(lambda: words in self.seen or (self._hears("console.output") and words in self.seen))

    def ended(self) -> dict[str, object]:
        self.await_true(lambda: bool(self.answer) or self._hears("") or bool(self.answer))
        return self.answer

    def _hears(self, event: str) -> bool:
        assert self.agent.stdout
        said = json.loads(self.agent.stdout.readline())
        self.answer = said.get("result", self.answer)
        self.seen += base64.b64decode(said.get("data", {}).get("shown", "")).decode()
        return bool(said.get("event") == event)

    @staticmethod
    def await_true(condition: Callable[[], bool], seconds: float = 60) -> None:
        give_up = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < give_up, "it never came to that"
            time.sleep(0.01)

    def hears_no_more(self) -> bool:
        """Whether the agent waits for somebody to read: its pipe is full."""
        assert self.agent.stdout
        other_end = os.open(f"/proc/self/fd/{self.agent.stdout.fileno()}", os.O_WRONLY | os.O_NONBLOCK)
        room = select.select([], [other_end], [], 0)[1]
        os.close(other_end)
        return not room

    def leave(self) -> None:
        for stream in (self.agent.stdin, self.agent.stdout, self.agent.stderr):
            assert stream
            stream.close()
        self.agent.wait(60)


@pytest.fixture
def live(host: LocalAgent) -> str:
    """A host with a live release and a configuration with a secret; the release."""
    sha = host.sealed("one")
    sources = {"file": None, "values": {"PORT": "8000"}, "secrets": {"PASSWORD": SECRET}, "build": []}
    revision = configuration.configure(host.paths, {"sha": sha, "env": sources})["revision"]  # type: ignore[typeddict-item]
    host.activate_here(sha, configuration=revision)
    host.facts()  # the agent is there from now on
    return sha


def test_a_shell(host: LocalAgent, live: str) -> None:
    """In `current`, with the configuration, at a real terminal of the size told; Ctrl-C and the exit status arrive."""
    typist = Typist(host)
    typist.type("tty; pwd -P; cat name; echo :$DEPLOY_RELEASE:$PORT:$TERM:$PASSWORD:$(stty size):\n")
    typist.sees(f":{live}:8000:xterm:***:24 80:")
    typist.type("50 132", SIZED)
    typist.type("echo =$(stty size)=\n")
    typist.sees("=50 132=")
    mark = f"300.{time.time_ns()}"
    typist.type(f"sleep {mark}; echo cut\n")
    Typist.await_true(lambda: running(mark))
    typist.type("\x03")
    typist.type("echo goes on=$?=\n")
    typist.sees("goes on=130=")
    typist.type("exit 9\n")
    answer = typist.ended()
    typist.leave()
    assert (answer["status"], answer["release"], SECRET in typist.seen) == (9, live, False)
    assert f"\r\n{host.root}/releases/{live}\r\none" in typist.seen and "/dev/pts/" in typist.seen
    entry = host.journal[-1]
    assert (entry["kind"], entry["actor"], entry["reason"]) == ("run", "ada@desk", "exec bash --norc -i")


@pytest.mark.parametrize("line", ["exec sleep {}", "sleep {} & exec yes"])
def test_it_ends_with_whoever_typed(host: LocalAgent, live: str, line: str) -> None:
    """When the control node is gone, a program that ignores the end of its terminal is ended, while it prints too."""
    mark = f"300.{time.time_ns()}"
    typist = Typist(host, line=f"trap '' HUP TERM; echo begun; {line.format(mark)}")
    typist.sees("begun")
    Typist.await_true(lambda: running(mark))
    if "yes" in line:
        Typist.await_true(typist.hears_no_more)
    typist.leave()
    assert not running(mark)


def test_jobs_of_a_shell_end_with_whoever_typed(host: LocalAgent, live: str) -> None:
    """A shell gives each job a group of its own; one that ignores the end of the terminal is ended too."""
    mark = f"300.{time.time_ns()}"
    typist = Typist(host)
    typist.type(f"(trap '' HUP TERM; exec sleep {mark})\n")
    Typist.await_true(lambda: running(mark))
    typist.leave()
    assert not running(mark)


def test_what_the_program_gets(host: LocalAgent, live: str) -> None:
    """No new privileges, no key of a session and nothing that the agent has open."""
    host.options = {"env": {**PLAIN, "SSH_AUTH_SOCK": "/run/keys"}}
    typist = Typist(host, line="grep NoNewPrivs /proc/self/status; env; ls -l /proc/self/fd")
    answer = typist.ended()
    typist.leave()
    assert (answer["status"], "NoNewPrivs:\t1" in typist.seen) == (0, True), typist.seen
    found = [word for word in ("SSH_", "ptmx", "memfd") if word in typist.seen]
    assert ("DEPLOY_RELEASE=" in typist.seen, typist.seen.count("-> /dev/pts/"), found) == (True, 3, []), typist.seen


def test_a_key_between_two_halves_of_a_secret() -> None:
    """What is typed uncovers no secret that is on its way."""
    near, far = os.openpty()
    tty.setraw(far)
    os.set_blocking(near, False)
    told: list[str] = []
    with typed_input() as keys:
        program = Steps((far, b"hunter-two"), (keys, b"2\ntx"), (far, b"-and-three"))
        relay = terminal.Relay(near, Mask([SECRET]), lambda _, shown: told.append(shown))
        assert relay.carry(program, threading.Event())
    os.close(near)
    os.close(far)
    assert base64.b64decode("".join(told)) == b"***"


class Steps:
    """A program that does one thing each time somebody looks whether it has ended."""

    def __init__(self, *writes: tuple[int, bytes]) -> None:
        self.writes = [*writes]

    def poll(self) -> int | None:
        if not self.writes:
            return 0
        os.write(*self.writes.pop(0))
        return None


@contextlib.contextmanager
def typed_input() -> Iterator[int]:
    """A pipe in the place of this process's input; what is written there is typed."""
    before, (reads, writes) = os.dup(0), os.pipe()
    os.dup2(reads, 0)
    try:
        yield writes
    finally:
        os.dup2(before, 0)
        for each in (before, reads, writes):
            os.close(each)


def running(mark: str) -> bool:
    return subprocess.run(["pgrep", "--full", f"sleep {mark}$"], capture_output=True, check=False).returncode == 0
