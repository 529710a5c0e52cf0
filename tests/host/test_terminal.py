"""A program at a terminal of its own on the host: what is typed, what is shown, and how it ends."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable

import pytest

from oroboros_deploy.host import configuration
from oroboros_deploy.host.constants import SIZED, TYPED
from tests.support.local_agent import LocalAgent

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
    mark = f"{time.time():.6f}".replace(".", "")
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


def test_it_ends_with_whoever_typed(host: LocalAgent, live: str) -> None:
    """When the control node is gone, the program is ended, one that ignores the end of its terminal too."""
    mark = f"{time.time():.6f}".replace(".", "")
    typist = Typist(host, line=f"trap '' HUP TERM; echo begun; exec sleep {mark}")
    typist.sees("begun")
    assert running(mark)
    typist.leave()
    assert not running(mark)


def test_no_new_privileges(host: LocalAgent, live: str) -> None:
    """Nothing at the terminal becomes root by sudo, and no key of a session is there."""
    typist = Typist(host, line="grep NoNewPrivs /proc/self/status; env | grep -c SSH_; ls /proc/self/fd | wc -l")
    answer = typist.ended()
    typist.leave()
    assert (answer["status"], "NoNewPrivs:\t1" in typist.seen) == (0, True), typist.seen


def running(mark: str) -> bool:
    return subprocess.run(["pgrep", "--full", f"sleep {mark}$"], capture_output=True, check=False).returncode == 0
