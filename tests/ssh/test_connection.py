"""Opening and closing connections, directly and through others."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from oroboros_deploy.errors import ConfigError, HostNotTrusted, HostUnreachable
from oroboros_deploy.ssh import HostConnection, SshOptions, connect, dial, resolve
from tests.support.clock import within
from tests.support.sshd import Sshd


def options(sshd: Sshd, *lines: str) -> SshOptions:
    return SshOptions(config_path=sshd.write_config(*lines))


def says_hello(host: HostConnection) -> bool:
    with host.command("echo hello", deadline=10) as command:
        return list(command.lines()) == [b"hello"] and command.wait() == 0


def unreachable(host: str, options: SshOptions) -> HostUnreachable:
    with pytest.raises(HostUnreachable) as caught:
        connect(host, options)
    return caught.value


def test_an_alias(sshd: Sshd) -> None:
    """An alias is looked up in the given ssh_config: name, port, user, key."""
    with connect("box", options(sshd)) as host:
        assert says_hello(host)
        assert (host.original_host, host.host, host.port, host.user) == ("box", "127.0.0.1", sshd.port, sshd.user)


def test_an_included_file(sshd: Sshd, tmp_path: Path) -> None:
    """A file that only includes others works."""
    path = tmp_path / "main"
    path.write_text(f"Include {options(sshd).config_path}\n")
    with connect("box", SshOptions(config_path=str(path))) as host:
        assert says_hello(host)


def test_without_any_ssh_config(sshd: Sshd, tmp_path: Path) -> None:
    """user@host:port, a key given by name and ~/.ssh/known_hosts are enough."""
    shutil.copy(sshd.known_hosts, Path.home() / ".ssh" / "known_hosts")
    empty = tmp_path / "empty"
    empty.touch()
    place = f"{sshd.user}@127.0.0.1:{sshd.port}"
    with connect(place, SshOptions(config_path=str(empty), identities=(str(sshd.identity),))) as host:
        assert says_hello(host)


def test_fabric_still_works(sshd: Sshd, tmp_path: Path) -> None:
    """It is a Fabric connection: run and put work on it."""
    with connect("box", options(sshd)) as host:
        assert host.run("echo $((40 + 2))", hide=True, in_stream=False).stdout == "42\n"
        host.put(__file__, str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_text() == Path(__file__).read_text()


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


def test_opening_is_done_once(sshd: Sshd) -> None:
    """Five threads that open one connection share one login."""
    before = sshd.log().count("Accepted publickey")
    with HostConnection(resolve("box", options(sshd))) as host:
        threads = [threading.Thread(target=host.open) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert says_hello(host)
    assert sshd.log().count("Accepted publickey") == before + 1


def test_close_and_open_again(sshd: Sshd) -> None:
    """Closing may be repeated, and a closed connection can be opened by hand."""
    host = connect("box", options(sshd))
    host.close()
    host.close()
    assert not host.is_connected
    with host:
        host.open()
        assert says_hello(host)


def test_no_descriptor_is_left(sshd: Sshd) -> None:
    """Open, failed and closed connections leave no file descriptor."""

    def round_trip() -> None:
        connect("box", options(sshd)).close()
        unreachable("box", options(sshd, "PubkeyAuthentication no"))

    round_trip()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        round_trip()
    assert len(os.listdir("/proc/self/fd")) == before


def test_algorithms(sshd: Sshd) -> None:
    """Lists in ssh_config restrict what is offered, and weak ciphers are offered only when named."""
    with connect(
        "box", options(sshd, "Ciphers aes256-ctr,unknown", "MACs hmac-sha2-512", "HostKeyAlgorithms rsa-*")
    ) as host:
        transport = host.transport
        assert (transport.remote_cipher, transport.remote_mac) == ("aes256-ctr", "hmac-sha2-512")
        assert transport.host_key_type == "rsa-sha2-512"
    with connect(
        "box", options(sshd, "Ciphers ^3des-cbc", "MACs -hmac-sha2-256", "KexAlgorithms curve25519-sha256")
    ) as host:
        security = host.transport.get_security_options()
        assert [name for name in security.ciphers if name.endswith("cbc")] == ["3des-cbc"]
        assert "hmac-sha2-256" not in security.digests
        assert security.kex == ("curve25519-sha256@libssh.org",)
    with pytest.raises(ConfigError, match="Ciphers none-such: none of these algorithms is available"):
        connect("box", options(sshd, "Ciphers none-such"))


def test_no_common_algorithm(tmp_path: Path) -> None:
    """A server that speaks other algorithms is a named error."""
    with Sshd(tmp_path / "old", settings="Ciphers aes128-cbc") as sshd:
        error = unreachable("box", SshOptions(config_path=sshd.config_path))
        assert "no acceptable ciphers" in error.message
        assert error.hint == "compare with: ssh -v box true"


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


@pytest.fixture
def nothing(tmp_path: Path) -> SshOptions:
    path = tmp_path / "nothing"
    path.touch()
    return SshOptions(config_path=str(path))


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
    with black_hole() as port, within(10):
        error = unreachable(f"127.0.0.1:{port}", SshOptions(nothing.config_path, connect_timeout=0.4))
    assert error.message == f"127.0.0.1 port {port} did not answer within 0.4 s"


def test_the_next_address_is_tried(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the first address of a name is refused or silent, the next one gets its share of the time."""
    real = socket.getaddrinfo("127.0.0.1", sshd.port, type=socket.SOCK_STREAM)
    with black_hole() as silent, socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]
        free.close()
        others = [(*real[0][:4], ("127.0.0.1", port)) for port in (silent, closed)]
        monkeypatch.setattr(dial, "_addresses", lambda target: [*others, *real])
        before = time.monotonic()
        with connect("box", SshOptions(options(sshd).config_path, connect_timeout=6)) as host:  # all of them together
            assert time.monotonic() - before > 1.6
            assert says_hello(host)


def test_turned_away(nothing: SshOptions) -> None:
    """A server that hangs up at once, as a busy sshd does, is tried three times."""
    times: list[float] = []
    with listener(lambda connection: times.append(time.monotonic())) as port:
        error = unreachable(f"127.0.0.1:{port}", nothing)
        assert len(times) == 3
    assert error.message.startswith(f"127.0.0.1 port {port} does not talk SSH with us")


def test_turned_away_once(sshd: Sshd) -> None:
    """A server that lets us in at the second try is no error."""
    tries: list[int] = []

    def second_time(connection: socket.socket) -> None:
        tries.append(1)
        if len(tries) == 2:
            _relay(connection, sshd.port)

    with listener(second_time) as port:
        lines = (f"Port {port}", "HostKeyAlias real")
        sshd.known_hosts.write_text(f"real {sshd.host_key()}\n")
        with connect("box", options(sshd, *lines)) as host:
            assert says_hello(host)
        assert len(tries) == 2


def _relay(near: socket.socket, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as far:
        back = threading.Thread(target=_copy, args=(far, near))
        back.start()
        _copy(near, far)
        back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-stalled\r\n"])
def test_silent_after_connecting(greeting: bytes, nothing: SshOptions) -> None:
    """A server that accepts and then says nothing more is given up, once."""
    release, came = threading.Event(), []

    def stall(connection: socket.socket) -> None:
        came.append(connection)
        connection.sendall(greeting)
        release.wait(60)

    with listener(stall) as port:
        with within(10):
            error = unreachable(f"127.0.0.1:{port}", SshOptions(nothing.config_path, connect_timeout=0.5))
        release.set()
    assert len(came) == 1
    assert error.message.endswith("no SSH handshake within 0.5 s")


def test_nothing_on_stderr(nothing: SshOptions, capfd: pytest.CaptureFixture[str]) -> None:
    """A failed connection prints nothing by itself, whatever the logging setup."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        with listener(lambda connection: connection.sendall(b"SSH-1.5-old\r\n")) as port:
            unreachable(f"127.0.0.1:{port}", nothing)
    finally:
        root.handlers = handlers
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def bastion(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "bastion", alias="bastion") as bastion:
        yield bastion


def through(bastion: Sshd, sshd: Sshd, *lines: str) -> SshOptions:
    inner = Path(sshd.write_config(*lines)).read_text()
    path = bastion.directory / "both"
    path.write_text(inner + Path(bastion.config_path).read_text())
    return SshOptions(config_path=str(path))


def test_jump(sshd: Sshd, bastion: Sshd) -> None:
    """A host behind a jump host is reached through it, and closing closes both."""
    with connect("box", through(bastion, sshd, "ProxyJump bastion")) as host:
        assert says_hello(host)
        assert len(bastion.sessions()) > 0
    end = time.monotonic() + 30
    while (left := bastion.sessions()) and time.monotonic() < end:
        time.sleep(0.01)
    assert left == []


def test_two_jumps(sshd: Sshd, bastion: Sshd, tmp_path: Path) -> None:
    """A chain of two jump hosts is followed in its order."""
    with Sshd(tmp_path / "second", alias="second") as second:
        both = through(bastion, sshd, "ProxyJump bastion,second")
        assert both.config_path
        with Path(both.config_path).open("a") as file:
            file.write(Path(second.config_path).read_text())
        with connect("box", both) as host:
            assert says_hello(host)
            assert "direct-tcpip" not in sshd.log()
            assert len(second.sessions()) > 0


def test_every_hop_is_verified(sshd: Sshd, bastion: Sshd) -> None:
    """A jump host whose key is unknown is refused under its own name, before anything is sent through it."""
    bastion.known_hosts.write_text("")
    with pytest.raises(HostNotTrusted) as caught:
        connect("box", through(bastion, sshd, "ProxyJump bastion"))
    assert caught.value.host == "bastion"
    bastion.known_hosts.write_text(bastion.known_hosts_line)
    sshd.known_hosts.write_text("")
    with pytest.raises(HostNotTrusted) as caught:
        connect("box", through(bastion, sshd, "ProxyJump bastion"))
    assert caught.value.host == "box"
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("then ssh box")


def test_a_jump_host_gets_no_password(sshd: Sshd, bastion: Sshd) -> None:
    """The password is for the host itself and is not offered to the hosts before it."""
    bastion.write_config("PubkeyAuthentication no")
    error = unreachable("box", SshOptions(through(bastion, sshd, "ProxyJump bastion").config_path, password="hunter2"))
    assert error.host == "bastion"
    assert error.message.endswith("tried nothing: there is no identity file, no agent and no password")


def test_a_port_closed_behind_the_jump(sshd: Sshd, bastion: Sshd) -> None:
    """What the jump host cannot reach is told with the jump host's name."""
    error = unreachable("box", through(bastion, sshd, "ProxyJump bastion", "Port 1"))
    assert error.message == "127.0.0.1 port 1 cannot be reached from bastion: Connect failed"


@pytest.mark.skipif(not shutil.which("ssh"), reason="needs OpenSSH's client as the ProxyCommand")
def test_proxy_command(sshd: Sshd, bastion: Sshd) -> None:
    """A ProxyCommand carries the connection and ends with it."""
    command = f"ProxyCommand ssh -F {bastion.config_path} -W %h:%p bastion"
    with connect("box", options(sshd, command)) as host:
        assert says_hello(host)


def test_a_proxy_command_that_fails(sshd: Sshd) -> None:
    """The last words of a ProxyCommand that fails are in the error."""
    error = unreachable("box", options(sshd, "ProxyCommand echo no way >&2; exit 1"))
    assert error.message.endswith("ProxyCommand said: no way")


def test_a_proxy_command_that_hangs(sshd: Sshd) -> None:
    """A ProxyCommand that says nothing is given up and ended."""
    path = options(sshd, f"ProxyCommand {sys.executable} -c 'import time; time.sleep(60)'").config_path
    with within(10):
        error = unreachable("box", SshOptions(path, connect_timeout=0.5))
    assert error.message.endswith("no SSH handshake within 0.5 s")
