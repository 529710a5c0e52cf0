"""What tests of connections share: who logs in where, and servers that are not sshd."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import paramiko
import pytest

from oroboros_deploy.errors import HostUnreachable
from oroboros_deploy.ssh import HostConnection, SshOptions, connect
from oroboros_deploy.ssh.transport import Transport
from tests.support.sshd import Sshd


def options(sshd: Sshd, *lines: str) -> SshOptions:
    """Options for the server's alias with more lines in ssh_config."""
    return SshOptions(config_path=sshd.write_config(*lines))


def says_hello(host: HostConnection) -> bool:
    """Whether a command runs on the host."""
    with host.command("echo hello", deadline=10) as command:
        return list(command.lines()) == [b"hello"] and command.wait() == 0


def unreachable(host: str, options: SshOptions) -> HostUnreachable:
    """The error of a connection that cannot be made."""
    with pytest.raises(HostUnreachable) as caught:
        connect(host, options)
    return caught.value


@contextmanager
def listener(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where every connection is handed to ``talk`` and closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                connection, _ = server.accept()
                with connection:
                    talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        port: int = server.getsockname()[1]
        try:
            yield port
        finally:
            done.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join(10)


class Refusing(paramiko.ServerInterface):
    """Lets anybody in, and runs nothing."""

    def check_auth_none(self, username: str) -> int:
        """Whoever asks is in."""
        return paramiko.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        """Nothing is asked for."""
        return "none"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """A channel may be opened; what is to run on it is refused."""
        return paramiko.OPEN_SUCCEEDED


@contextmanager
def refusing(near: type[socket.socket] = socket.socket) -> Iterator[Transport]:
    """A connection to a server that is not OpenSSH's, and runs nothing; ``near`` is what its near end is."""
    pair = socket.socketpair()
    with near(fileno=pair[0].detach()) as ours, pair[1] as theirs:
        server, client = paramiko.Transport(theirs), Transport(ours)
        server.add_server_key(paramiko.ECDSAKey.generate())
        server.start_server(threading.Event(), Refusing())
        client.start_client(timeout=10)
        client.auth_none("anybody")
        yield client
        client.close()
        server.close()
