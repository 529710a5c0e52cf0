"""Opening and closing connections, directly and through others."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from oroboros_deploy.errors import HostNotTrusted
from oroboros_deploy.ssh import HostConnection, SshOptions, connect, resolve
from tests.support.logins import listener, options, says_hello, unreachable
from tests.support.sshd import Sshd


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
    """user@host:port, a key given by name and known host keys are enough."""
    almost_empty = tmp_path / "almost empty"
    almost_empty.write_text(f"UserKnownHostsFile {sshd.known_hosts}\n")
    place = f"{sshd.user}@127.0.0.1:{sshd.port}"
    with connect(place, SshOptions(config_path=str(almost_empty), identities=(str(sshd.identity),))) as host:
        assert says_hello(host)


def test_fabric_still_works(sshd: Sshd, tmp_path: Path) -> None:
    """It is a Fabric connection: run and put work on it."""
    with connect("box", options(sshd)) as host:
        assert host.run("echo $((40 + 2))", hide=True, in_stream=False).stdout == "42\n"
        host.put(__file__, str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_text() == Path(__file__).read_text()


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


@pytest.mark.slow
def test_turned_away(nothing: SshOptions) -> None:
    """A server that hangs up at once, as a busy sshd does, is tried three times."""
    times: list[float] = []
    with listener(lambda connection: times.append(time.monotonic())) as port:
        error = unreachable(f"127.0.0.1:{port}", nothing)
        assert len(times) == 3
    assert error.message.startswith(f"127.0.0.1 port {port} does not talk SSH with us")


@pytest.mark.slow
def test_a_busy_server_is_named(tmp_path: Path) -> None:
    """When sshd takes no more logins the message says which of its limits do that."""
    with (
        Sshd(tmp_path / "busy", settings="MaxStartups 1:100:1") as sshd,
        socket.create_connection((sshd.host, sshd.port)) as other,
    ):
        assert other.recv(4) == b"SSH-"
        error = unreachable("box", SshOptions(config_path=sshd.config_path))
    assert error.message.endswith("does not talk SSH with us: the connection was closed during the handshake")
    assert "MaxStartups" in (error.hint or "") and "PerSourcePenalties" in (error.hint or "")


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


@pytest.mark.slow
@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-stalled\r\n"])
def test_silent_after_connecting(greeting: bytes, nothing: SshOptions) -> None:
    """A server that accepts and then says nothing more is given up, once."""
    release, came = threading.Event(), []

    def stall(connection: socket.socket) -> None:
        came.append(connection)
        connection.sendall(greeting)
        release.wait(60)

    with listener(stall) as port:
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
    assert error.message.endswith(
        "tried nothing: there is no identity file, no key in an agent and no password that may be used"
    )


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


@pytest.mark.skipif(not shutil.which("ssh"), reason="needs OpenSSH's client as the ProxyCommand")
def test_a_proxy_command_in_the_users_shell(sshd: Sshd, bastion: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ProxyCommand is a line for the user's own shell, as it is for ssh."""
    monkeypatch.setenv("SHELL", shutil.which("bash") or "")
    command = f"ProxyCommand ssh -F {bastion.config_path} -W %h:%p bastion 2> >(cat >/dev/null)"
    with connect("box", options(sshd, command)) as host:
        assert says_hello(host)


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
