"""A local Unix socket, or a port of the loopback, whose connections come out at a port that only the host can reach."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import paramiko

from ..errors import HostUnreachable

_OPEN_SECONDS = 10.0
_JOIN_SECONDS = 2.0
_CHUNK = 64 * 1024


class _Tunnel:
    """Its connections travel as ``direct-tcpip`` channels to ``host``:``port`` as seen from the remote side.

    Leaving the block closes them all and ends the threads.  Entering raises HostUnreachable when the port
    cannot be reached.
    """

    def __init__(self, transport: paramiko.Transport, host: str, port: int, *, via: str) -> None:
        self._transport = transport
        self._place = (host, port)
        self._via = via
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._ends: set[socket.socket | paramiko.Channel] = set()

    def _open(self, listen: Callable[[], socket.socket]) -> None:
        # The first connection is opened now, so that a closed port is an error here and not in a database driver.
        self._spare: paramiko.Channel | None = self._open_channel()
        self._listener = listen()
        self._start(self._accept)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        with suppress(OSError), socket.socket(self._listener.family) as waker:
            waker.connect(self._listener.getsockname())
        for end in [*self._ends, *filter(None, [self._spare])]:
            _close(end)
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            connection, _ = self._listener.accept()
            try:
                if self._closing.is_set():
                    raise HostUnreachable("the tunnel is closing")
                channel = self._channel()
            except HostUnreachable:
                connection.close()
            else:
                self._start(self._join, connection, channel)

    def _join(self, connection: socket.socket, channel: paramiko.Channel) -> None:
        ends = (connection, channel)
        self._ends.update(ends)
        back = self._start(_pump, channel, connection)
        _pump(connection, channel)
        back.join()
        self._ends.difference_update(ends)
        for end in ends:
            _close(end)

    def _start(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, name="ssh-tunnel", daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _channel(self) -> paramiko.Channel:
        spare, self._spare = self._spare, None
        return spare if spare and not (spare.closed or spare.eof_received) else self._open_channel()

    def _open_channel(self) -> paramiko.Channel:
        try:
            return self._transport.open_channel("direct-tcpip", self._place, ("127.0.0.1", 0), timeout=_OPEN_SECONDS)
        except (paramiko.SSHException, OSError, EOFError) as error:
            reason = error.text if isinstance(error, paramiko.ChannelException) else str(error) or "the link is gone"
            raise HostUnreachable(
                f"{self._place[0]} port {self._place[1]} cannot be reached from {self._via}: {reason}",
                hint=f"check that a server listens on that port, and that sshd on {self._via} allows the tunnel "
                "(AllowTcpForwarding)",
                host=self._via,
            ) from None


class Tunnel(_Tunnel):
    """``with tunnel as directory``: the socket in there is named as PostgreSQL clients expect it."""

    def __enter__(self) -> str:
        self._open(self._listen)
        return self._directory

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _listen(self) -> socket.socket:
        # /tmp, because a socket's path may have only about 100 bytes and TMPDIR may be longer.
        self._directory = tempfile.mkdtemp(prefix="oroboros-", dir="/tmp")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(Path(self._directory, f".s.PGSQL.{self._place[1]}")))
        listener.listen()
        return listener


class PortTunnel(_Tunnel):
    """``with tunnel as port``: a port of 127.0.0.1, for a client that encrypts nothing on a Unix socket."""

    def __enter__(self) -> int:
        self._open(lambda: socket.create_server(("127.0.0.1", 0)))
        return int(self._listener.getsockname()[1])


def _pump(source: socket.socket | paramiko.Channel, sink: socket.socket | paramiko.Channel) -> None:
    with suppress(OSError, EOFError, paramiko.SSHException):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with suppress(OSError, EOFError):
        sink.shutdown(socket.SHUT_WR)


def _close(end: socket.socket | paramiko.Channel) -> None:
    with suppress(OSError, EOFError, paramiko.SSHException):
        # Only this wakes a thread that is reading from a socket.
        end.shutdown(socket.SHUT_RDWR)
    with suppress(OSError, EOFError, paramiko.SSHException):
        end.close()
