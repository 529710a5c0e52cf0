"""TCP connections: which address, how long, and that a dead one is noticed."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from oroboros_deploy.ssh import SshOptions, connect
from tests.support.logins import options, says_hello, unreachable
from tests.support.sshd import Sshd


def test_socket_options(sshd: Sshd) -> None:
    """The socket sends at once and notices a dead link, at ServerAliveInterval's pace if there is one."""
    names = ("TCP_NODELAY", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    for lines, expected in (
        ((), [1, 15, 5, 3, 30_000]),
        (("ServerAliveInterval 7", "ServerAliveCountMax 2"), [1, 7, 7, 2, 14_000]),
    ):
        with connect("box", options(sshd, *lines)) as host:
            sock = host.transport.sock
            assert [sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names] == expected
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


def test_refused(nothing: SshOptions) -> None:
    """A closed port is named, at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = unreachable(f"127.0.0.1:{port}", nothing)
    assert error.message == f"127.0.0.1 port {port} refused the connection"


def test_no_such_name(nothing: SshOptions) -> None:
    """A name without an address is named."""
    assert unreachable("no-such-host.invalid", nothing).message.startswith(
        "the name no-such-host.invalid has no address"
    )


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that does not answer: its queue is full."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port: int = server.getsockname()[1]
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for client in clients:
                client.close()


def test_no_answer(nothing: SshOptions) -> None:
    """A silent address is given up at the connect timeout."""
    with black_hole() as port:
        error = unreachable(f"127.0.0.1:{port}", SshOptions(nothing.config_path, connect_timeout=0.4))
    assert error.message == f"127.0.0.1 port {port} did not answer within 0.4 s"


@pytest.mark.slow
def test_the_next_address_is_tried(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the first address of a name is refused or silent, the next one gets its share of the time."""
    real = socket.getaddrinfo("127.0.0.1", sshd.port, type=socket.SOCK_STREAM)
    with black_hole() as silent, socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]
        free.close()
        others = [(*real[0][:4], ("127.0.0.1", port)) for port in (silent, *[closed] * 20)]  # a small share for each
        monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments: [*others, *real])
        before = time.monotonic()
        with connect("box", SshOptions(options(sshd).config_path, connect_timeout=10)) as host:
            assert time.monotonic() - before > 0.4
            assert says_hello(host)
