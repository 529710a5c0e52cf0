"""Tunnels through a real server to a port on its side."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oroboros_deploy.errors import HostUnreachable, LinkLost
from oroboros_deploy.ssh import HostConnection, SshOptions, connect
from tests.support.sshd import Sshd


class _Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while data := self.connection.recv(65536):
            self.connection.sendall(data)


@pytest.fixture
def echo() -> Iterator[int]:
    """A port that sends back what it gets."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(10)


def through(directory: str, port: int) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(f"{directory}/.s.PGSQL.{port}")
    return client


def test_echo(host: HostConnection, echo: int) -> None:
    """Megabytes pass both ways at once, on several connections, up to the end of the stream."""
    data = bytes(range(256)) * 12000
    with host.forward("127.0.0.1", echo) as directory:
        assert Path(directory).stat().st_mode & 0o777 == 0o700
        for _ in range(2):
            with through(directory, echo) as first, through(directory, echo) as second:
                second.sendall(b"hello")
                assert second.recv(10) == b"hello"
                sender = threading.Thread(target=lambda: (first.sendall(data), first.shutdown(socket.SHUT_WR)))
                sender.start()
                received = b""
                while piece := first.recv(65536):
                    received += piece
                sender.join()
                assert received == data
    assert not Path(directory).exists()


def test_a_port(host: HostConnection, echo: int) -> None:
    """It listens on the loopback alone, leads to the same place, and is closed afterwards."""
    with host.forward_port("127.0.0.1", echo) as port:
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(b"hello")
                assert client.recv(10) == b"hello"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=10)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)


def test_finished_connections_are_let_go(host: HostConnection, echo: int) -> None:
    """A long tunnel keeps nothing of connections that have ended."""
    with host.forward("127.0.0.1", echo) as directory:
        through(directory, echo).close()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            with through(directory, echo) as client:
                client.sendall(b"x")
                assert client.recv(1) == b"x"
        end = time.monotonic() + 30
        while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < end:
            time.sleep(0.01)
        assert len(os.listdir("/proc/self/fd")) <= before


def test_unused(host: HostConnection, echo: int) -> None:
    """A tunnel nobody used closes like any other."""
    with host.forward("127.0.0.1", echo) as directory:
        pass
    assert not Path(directory).exists()


def test_closing_ends_open_connections(host: HostConnection, echo: int) -> None:
    """Clients that are still connected see the end of their stream."""
    with host.forward("127.0.0.1", echo) as directory:
        client = through(directory, echo)
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    with client:
        assert client.recv(1) == b""


def test_a_closed_port(host: HostConnection, echo: int) -> None:
    """A port where nothing listens is an error on entering, with the reason."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(HostUnreachable) as caught, host.forward("127.0.0.1", port):
        pass
    assert caught.value.message == f"127.0.0.1 port {port} cannot be reached from box: Connect failed"


def test_forwarding_not_allowed(tmp_path: Path, echo: int) -> None:
    """A server that forbids forwarding is named, with the setting to look at."""
    with (
        Sshd(tmp_path / "no", settings="AllowTcpForwarding no") as sshd,
        connect("box", SshOptions(config_path=sshd.config_path)) as host,
        pytest.raises(HostUnreachable) as caught,
        host.forward("127.0.0.1", echo),
    ):
        pass
    assert "AllowTcpForwarding" in (caught.value.hint or "")


def test_after_close(sshd: Sshd, echo: int) -> None:
    """A closed connection opens no tunnel and is not opened again."""
    host = connect("box", SshOptions(config_path=sshd.config_path))
    host.close()
    with pytest.raises(LinkLost):
        host.forward("127.0.0.1", echo)
