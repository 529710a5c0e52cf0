"""The control node of a benchmark: a process in a network of its own that runs commands and tells what they cost.

It is small on purpose: what it runs inherits its peak memory as the least that can be told.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

PATIENCE = 300.0  # seconds for one command


@dataclass(frozen=True)
class Cost:
    """What one command cost, children included: wall and processor seconds, peak resident MB of the largest process."""

    seconds: float
    cpu: float
    memory: float


class CommandFailed(Exception):
    """A command failed: what it cost is no figure."""


class ControlNode:
    """Runs one command at a time, ``environ`` on top of ours, in a network of its own or, not ``alone``, in ours."""

    def __init__(self, directory: Path, environ: Mapping[str, str], *, alone: bool = True) -> None:
        self.directory = directory
        self.environ = {**os.environ, **environ}
        self.said = directory / "said.txt"
        self._process = subprocess.Popen(
            [*(["unshare", "--net"] if alone else []), sys.executable, "-I", "-S", "-c", _LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=directory,
            start_new_session=True,
        )
        self._answer(10.0)

    def __enter__(self) -> ControlNode:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    @property
    def pid(self) -> int:
        """The process whose network it is."""
        return self._process.pid

    def run(self, argv: Sequence[str], cwd: Path, codes: Sequence[int] = (0,)) -> Cost:
        """Run a command to its end, its output in ``said``; raises CommandFailed when it fails or takes too long."""
        request = {"argv": list(argv), "cwd": str(cwd), "env": self.environ, "said": str(self.said)}
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        ended = self._answer(PATIENCE)
        if ended.pop("code") not in codes:
            raise CommandFailed(f"{' '.join(argv)[:400]}\n{self.said.read_text(errors='replace')[-4000:]}")
        return Cost(**ended)

    def _answer(self, seconds: float) -> dict[str, Any]:
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            raise CommandFailed(f"no end within {seconds:g} s\n{self.said.read_text(errors='replace')[-4000:]}")
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or '{"code": 1}')
        return answer


_LOOP = """\
import json, os, sys, time
print("{}", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    os.chdir(request["cwd"])
    streams = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, request["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    began = time.monotonic()
    pid = os.posix_spawnp(request["argv"][0], request["argv"], request["env"], file_actions=streams)
    _, status, usage = os.wait4(pid, 0)
    ended = time.monotonic()
    answer = {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": ended - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss / 1024,
    }
    print(json.dumps(answer), flush=True)
"""
