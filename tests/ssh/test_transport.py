"""What the protocol layer sends, and when."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import paramiko
import pytest

from oroboros_deploy.errors import HostUnreachable
from oroboros_deploy.ssh import Command, SshOptions, connect
from oroboros_deploy.ssh.transport import Transport
from tests.support.clock import SLOW
from tests.support.logins import refusing
from tests.support.sshd import Sshd

LONG = 10_000  # characters of a command: what is sent with it is longer than any other message here
ENOUGH = 30.0 * SLOW  # seconds in which what is sent at once has been sent, on any machine
A_WHILE = 0.3  # seconds in which what waits for an answer is not sent


class Line(socket.socket):
    """The near end of a connection: counts what is sent, and can keep what is answered waiting."""

    sent = 0
    open = threading.Event()  # of all lines: a test has one at a time

    def send(self, data: bytes, *flags: int) -> int:  # type: ignore[override]
        """Send, and count."""
        number = super().send(data, *flags)
        self.sent += number
        return number

    def recv(self, size: int, *flags: int) -> bytes:
        """Receive, when answers may come."""
        data = super().recv(size, *flags)
        self.open.wait(ENOUGH)
        return data


@pytest.fixture(autouse=True)
def _open_lines() -> Iterator[None]:
    Line.open.set()
    yield
    Line.open.set()


@contextmanager
def logged_in(sshd: Sshd) -> Iterator[Transport]:
    """A connection to OpenSSH's server by a line."""
    with Line(fileno=socket.create_connection((sshd.host, sshd.port)).detach()) as line:
        transport = Transport(line)
        transport.start_client(timeout=ENOUGH)
        transport.auth_publickey(sshd.user, paramiko.Ed25519Key.from_private_key_file(str(sshd.identity)))
        yield transport
        transport.close()


def run(transport: Transport) -> None:
    """Run a command that is as long as a message."""
    with suppress(HostUnreachable), Command(transport, f": {'x' * LONG}", host="box", deadline=ENOUGH) as command:
        command.wait()


def is_sent_unanswered(transport: Transport, patience: float) -> bool:
    """Whether a command is sent, this many seconds at most, before its channel was answered to be open."""
    line = transport.sock
    assert isinstance(line, Line)
    before, until = line.sent, time.monotonic() + patience
    line.open.clear()
    running = threading.Thread(target=run, args=(transport,))
    running.start()
    while running.is_alive() and line.sent - before < LONG and (line.sent == before or time.monotonic() < until):
        time.sleep(0.01)
    sent = line.sent - before
    line.open.set()
    running.join()
    return sent >= LONG


@pytest.mark.slow
def test_the_first_command_travels_with_its_channel(sshd: Sshd) -> None:
    """OpenSSH gets the channel and the command in one go, later commands and other servers one after the other."""
    with logged_in(sshd) as transport:
        assert is_sent_unanswered(transport, ENOUGH)
        assert not is_sent_unanswered(transport, A_WHILE)
    with refusing(Line) as transport:
        assert not is_sent_unanswered(transport, A_WHILE)


def test_a_channel_that_was_opened_before(sshd: Sshd) -> None:
    """The command goes to its own channel, not to the first one."""
    with (
        connect("box", SshOptions(config_path=sshd.config_path)) as host,
        host.transport.open_session() as other,
        host.command("echo mine", deadline=10) as command,
    ):
        assert (b"\n".join(command.lines()), other.recv_ready()) == (b"mine", False)
