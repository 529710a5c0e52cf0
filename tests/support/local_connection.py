"""A connection to a host that is this machine: the same scripts, run by /bin/sh instead of over SSH.

For speed beside the real thing: ``tests/ssh`` has a real sshd, ``tests/hosts`` a real host.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from threading import Lock

from oroboros_deploy.errors import HostUnreachable, LinkLost
from oroboros_deploy.remote.session import START


class LocalCommand:
    """One running script of a connection, with the interface of an SSH command."""

    def __init__(self, connection: LocalConnection, script: str) -> None:
        pipe = subprocess.PIPE
        self._connection = connection
        self._left = connection.called(script.rsplit(maxsplit=1)[-1])
        argv = ["/bin/sh", "-c", connection.placed(script)]
        self._process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        self._reading = Lock()
        self._cut = False

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def extend(self, deadline: float) -> None:
        """Wait as long as it takes: the tests have a limit of their own."""

    def write(self, data: bytes) -> None:
        if data.startswith(b'{"call"'):
            self._left = self._connection.called(json.loads(data)["call"])
            data = self._connection.placed(data.decode()).encode()
        assert self._process.stdin
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def close_stdin(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()

    def lines(self) -> Iterator[bytes]:
        while line := self._line():
            if self._left == 0:
                raise LinkLost("the test cut the link")
            if line.strip() not in (b"", START):
                self._left = self._left and self._left - 1
            yield line.rstrip(b"\n")
        if self._cut:
            raise LinkLost("the connection was closed")

    def cut(self) -> None:
        """What the end of its connection does to it and to whoever listens."""
        self._cut = self._process.poll() is None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with self._reading:
            self.kill()

    def wait(self) -> int:
        return self._process.wait()

    @property
    def stderr(self) -> bytes:
        assert self._process.stderr
        return self._process.stderr.read()

    def kill(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream
            with suppress(BrokenPipeError):
                stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _line(self) -> bytes:
        assert self._process.stdout
        with self._reading:
            return b"" if self._process.stdout.closed else self._process.stdout.readline()


class LocalConnection:
    """Counts its calls; ``cut_after`` makes the link die after so many lines of the named call.

    With ``places`` a path of the scripts is another here, so that hosts with the same paths share a machine.
    """

    def __init__(self, places: tuple[str, str] = ("", "")) -> None:
        self.places = places
        self.commands: list[str] = []
        self.running: list[LocalCommand] = []
        self.cut_after: dict[str, int] = {}
        self.closed = False

    def command(self, script: str, *, deadline: float, silence: float | None = None) -> LocalCommand:
        self.running.append(LocalCommand(self, script))
        return self.running[-1]

    def placed(self, text: str) -> str:
        """A script or a call, with its paths as they are here."""
        return text.replace(*self.places) if self.places[0] else text

    def called(self, name: str) -> int | None:
        """Take note of a call; returns how many lines of it arrive, None for all."""
        self.commands.append(name)
        return self.cut_after.pop(name, None)

    def close(self) -> None:
        self.closed = True
        for command in self.running:
            command.cut()


def unreachable(name: str) -> LocalConnection:
    """A connect that never works."""
    raise HostUnreachable("connection refused", hint="is sshd running?", host=name)
