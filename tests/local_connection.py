"""A connection to a host that is this machine: the same scripts, run by /bin/sh instead of over SSH.

For speed beside the real thing: ``tests/ssh`` has a real sshd, ``tests/hosts`` a real host.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

from oroboros_deploy.errors import HostUnreachable, LinkLost


class LocalCommand:
    """One running script, with the interface of an SSH command."""

    def __init__(self, script: str) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", script], stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        self._cut = False

    def __enter__(self) -> LocalCommand:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    def write(self, data: bytes) -> None:
        assert self._process.stdin
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def close_stdin(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()

    def lines(self) -> Iterator[bytes]:
        assert self._process.stdout
        for line in self._process.stdout:
            yield line.rstrip(b"\n")
        if self._cut:
            raise LinkLost("the connection was closed")

    def cut(self) -> None:
        """What the end of its connection does to whoever listens."""
        if self._process.poll() is None:
            self._cut = True
            self._process.kill()

    def wait(self) -> int:
        return self._process.wait()

    @property
    def stderr(self) -> bytes:
        assert self._process.stderr
        return self._process.stderr.read()

    def kill(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream
            stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class LocalConnection:
    """Counts its commands; ``cut_after`` makes the link die after so many lines of the named call.

    With ``places`` a path of the scripts is another here, so that hosts with the same paths share a machine.
    """

    def __init__(self, places: tuple[str, str] = ("", "")) -> None:
        self.places = places
        self.commands: list[str] = []
        self.running: list[LocalCommand] = []
        self.cut_after: dict[str, int] = {}
        self.closed = False

    def command(self, script: str, *, deadline: float, silence: float | None = None) -> LocalCommand:
        script = script.replace(*self.places) if self.places[0] else script
        name = script.rsplit(maxsplit=1)[-1]
        self.commands.append(name)
        lines = self.cut_after.pop(name, None)
        self.running.append(LocalCommand(script) if lines is None else _CutCommand(script, lines))
        return self.running[-1]

    def close(self) -> None:
        self.closed = True
        for command in self.running:
            command.cut()


class _CutCommand(LocalCommand):
    def __init__(self, script: str, lines: int) -> None:
        super().__init__(script)
        self._left = lines

    def lines(self) -> Iterator[bytes]:
        for line in super().lines():
            if self._left == 0:
                raise LinkLost("the test cut the link")
            self._left -= 1
            yield line


def unreachable(name: str) -> LocalConnection:
    """A connect that never works."""
    raise HostUnreachable("connection refused", hint="is sshd running?", host=name)
