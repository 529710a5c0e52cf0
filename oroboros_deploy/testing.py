"""For tests of a project that is deployed with this: hosts that are directories, and a registry in a file.

    def test_the_project_can_be_deployed(tmp_path):
        hosts = LocalHosts(load_config(), tmp_path)
        outcome = hosts.deployment().deploy(["web1"], sha="HEAD")
        assert outcome.ok and hosts.live("web1") == outcome.release_id

Builds, the switch, the gate and the way back are the real ones: the agent that travels to a host is
run here, by /bin/sh, as this user.  No SSH is involved, and no service is restarted.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from .config import Config
from .deployment import Deployment
from .errors import HostUnreachable, LinkLost
from .events import Event
from .remote.session import START

if TYPE_CHECKING:
    from .ssh import HostConnection


class LocalHosts:
    """Hosts that are directories below ``directory``; the configuration's root is another directory on each.

    Registry and state directory are below it too, whatever the configuration says, so nothing is left
    when the directory is removed.  ``events`` are those of all deployments, ``connections`` those
    of each host.
    """

    def __init__(self, config: Config, directory: str | Path, *, source: str | Path = ".") -> None:
        self.directory = Path(directory).absolute()
        self.source = source
        self.events: list[Event] = []
        self.connections: dict[str, list[LocalConnection]] = {}
        self._config = replace(
            config,
            skip_restart=True,
            registry_url=None,
            releases_dir=f"{config.root}/releases",
            current_link=f"{config.root}/current",
            repo_root=f"{config.root}/repo",
        )

    def deployment(self, **options: Any) -> Deployment:
        """A deployment to these hosts; ``options`` are those of `Deployment`."""
        own = {
            "source": self.source,
            "listener": self.events.append,
            "connect": self._open,
            "state": self.directory / "state",
        }
        return Deployment(self._config, **{**own, **options})

    def connect(self, name: str) -> LocalConnection:
        """A new connection to a host."""
        connection = LocalConnection((self._config.root, str(self.root(name))))
        self.connections.setdefault(name, []).append(connection)
        return connection

    def root(self, host: str) -> Path:
        """The deploy root of a host, as it is on this machine."""
        return self.directory / "hosts" / host

    def live(self, host: str) -> str | None:
        """The release that a host serves, None when it serves none."""
        current = self.root(host) / "current"
        return current.readlink().name if current.is_symlink() else None

    def _open(self, name: str) -> HostConnection:
        return cast("HostConnection", self.connect(name))


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
        while (line := self._line()) and not self._cut:
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
        assert self._process.stdin
        with suppress(OSError):
            self._process.stdin.close()  # sshd does no more to a command without a terminal
        with suppress(subprocess.TimeoutExpired):  # a visit puts its own directory away
            self._process.wait(0.5)
        self._signal(signal.SIGKILL)
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
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _line(self) -> bytes:
        assert self._process.stdout
        with self._reading:
            return b"" if self._process.stdout.closed else self._process.stdout.readline()


class LocalConnection:
    """Counts its calls; ``cut_after`` makes the link die after so many lines of the named call.

    ``places`` is a pair of paths: the deploy root on the host, and the directory that stands for it on this machine.
    The connection replaces the first path by the second in every script and call.  So hosts with the same deploy
    root can share this machine.
    """

    def __init__(self, places: tuple[str, str] = ("", "")) -> None:
        self.places = places
        self.commands: list[str] = []
        self.running: list[LocalCommand] = []
        self.cut_after: dict[str, int] = {}
        self.closed = False

    def command(self, script: str, *, deadline: float, silence: float | None = None) -> LocalCommand:  # noqa: ARG002
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
