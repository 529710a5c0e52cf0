"""Fabric's own settings about logging in, as Fabric reads them from a `fabric.yaml`, against a real sshd."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fabric
import pytest
from invoke import Context

from oroboros_deploy import ConfigError, HostUnreachable
from oroboros_deploy.control.ssh_settings import ssh_options_of
from oroboros_deploy.ssh import SshOptions, connect, resolve
from tests.support.logins import listener, says_hello
from tests.support.sshd import Sshd, keygen


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No agent, and a directory without an ssh_config and a fabric.yaml."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One server for all of these tests."""
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def context(overrides: Any = None, **written: Any) -> Context:
    """Fabric's context, where a `fabric.yaml` says this."""
    Path("fabric.yaml").write_text(json.dumps(written))
    read = fabric.Config(lazy=True, overrides=overrides or {})
    read.set_project_location(".")
    read.load_project()
    return Context(config=read)


def options(server: Sshd, overrides: Any = None, **written: Any) -> SshOptions:
    """What a `fabric.yaml` says, beside an ssh_config that says nothing but who the server is."""
    Path("ssh").write_text(f"UserKnownHostsFile {server.known_hosts}\nGlobalKnownHostsFile none\n")
    return ssh_options_of(context(overrides, **{"ssh_config_path": "ssh", **login(server), **written}))


def login(server: Sshd, **keywords: Any) -> dict[str, Any]:
    """The settings that log in at the server."""
    return {
        "user": server.user,
        "port": server.port,
        "connect_kwargs": {"key_filename": str(server.identity), **keywords},
    }


def test_what_fab_was_told_about_logging_in() -> None:
    """Keys, passwords, passphrases, the time to wait and another ssh_config arrive where SSH looks for them."""
    assert ssh_options_of(context()).identities == ()
    Path("other").touch()
    told = {
        "ssh_config_path": "other",
        "authentication": {"identities": [Path("/keys/one")]},
        "connect_kwargs": {"password": "open", "passphrase": "sesame", "timeout": 3},
    }
    found = ssh_options_of(context(told))
    assert (found.config_path, found.identities, found.connect_timeout) == ("other", ("/keys/one",), 3)
    assert (found.password, found.passphrase) == ("open", "sesame")


def test_user_port_and_key_file_log_in(server: Sshd) -> None:
    """What fabric.yaml says to Fabric itself about logging in holds for our tasks."""
    with connect("127.0.0.1", options(server)) as host:
        assert says_hello(host)


def test_ssh_config_comes_before_fabrics_settings(server: Sshd) -> None:
    """And what was typed before both."""
    wrong = options(server, port=1, user="nobody", gateway="false", timeouts={"connect": 7})
    Path("ssh").write_text(
        Path("ssh").read_text() + f"Host box\n  HostName 127.0.0.1\n  Port {server.port}\n  User somebody\n"
        "  ConnectTimeout 9\n  ProxyCommand nc %h %p\n"
    )
    found = resolve("box", wrong)
    assert (found.port, found.user, found.connect_timeout) == (server.port, "somebody", 9)
    assert found.proxy_command == f"nc 127.0.0.1 {server.port}"
    assert (resolve("you@box:2", wrong).port, resolve("you@box:2", wrong).user) == (2, "you")
    other = resolve("127.0.0.1", wrong)
    assert (other.port, other.user, other.connect_timeout, other.proxy_command) == (1, "nobody", 7, "false")


def test_the_time_to_connect_that_was_typed_comes_first(server: Sshd) -> None:
    """`-t` before ssh_config, which comes before both of Fabric's settings for it."""
    told = options(server, {"connect_kwargs": {"timeout": 3}}, timeouts={"connect": 7})
    with Path("ssh").open("a") as file:
        file.write("Host box\n  ConnectTimeout 9\n")
    assert resolve("box", told).connect_timeout == 3
    assert resolve("box", options(server, connect_kwargs={"timeout": 5})).connect_timeout == 5


def test_a_gateway_is_a_proxy_command(server: Sshd) -> None:
    """As it is for Fabric, with its tokens."""
    before = server.log().count("Accepted publickey")
    through = f"ssh -F {server.config_path} -W %h:%p {server.alias}"
    with connect("127.0.0.1", options(server, gateway=through)) as host:
        assert says_hello(host)
    assert server.log().count("Accepted publickey") == before + 2


@pytest.mark.slow
def test_a_passphrase_opens_the_key_file(server: Sshd, tmp_path: Path) -> None:
    """The one of connect_kwargs."""
    key = keygen(tmp_path / "closed", passphrase="sesame")
    with (server.directory / "authorized_keys").open("a") as file:
        file.write(Path(f"{key}.pub").read_text())
    with connect("127.0.0.1", options(server, connect_kwargs={"key_filename": [str(key)], "passphrase": "sesame"})):
        pass
    with pytest.raises(HostUnreachable, match="passphrase is wrong"):
        connect("127.0.0.1", options(server, connect_kwargs={"key_filename": [str(key)], "passphrase": "simsim"}))


def test_the_agent_is_left_alone_on_request(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`allow_agent: false`: the key that only the agent has does not log in."""
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL) as agent:
        try:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            while not socket.exists():
                assert agent.poll() is None
            subprocess.run(["ssh-add", "-q", str(server.identity)], check=True, env=dict(os.environ), timeout=30)
            with connect("127.0.0.1", options(server, connect_kwargs={})) as host:
                assert says_hello(host)
            with pytest.raises(HostUnreachable, match="refused the login"):
                connect("127.0.0.1", options(server, connect_kwargs={"allow_agent": False, "look_for_keys": False}))
        finally:
            agent.terminate()


def test_a_key_file_that_nobody_named_is_not_looked_for(server: Sshd) -> None:
    """`look_for_keys: false`."""
    assert resolve("127.0.0.1", options(server, connect_kwargs={"look_for_keys": False})).default_identities == ()


def test_compression_and_algorithms_are_paramikos(server: Sshd) -> None:
    """What is asked for is what the connection has."""
    disabled = {"ciphers": ["aes128-ctr", "aes128-gcm@openssh.com"], "macs": ["hmac-sha2-256"]}
    keywords = login(server, compress=True, disabled_algorithms=disabled, channel_timeout=40)["connect_kwargs"]
    with connect("127.0.0.1", options(server, connect_kwargs=keywords)) as host:
        assert says_hello(host)
        transport = host.transport
        assert (transport.remote_compression, transport.channel_timeout) == ("zlib@openssh.com", 40)
        assert (transport.remote_cipher in disabled["ciphers"], transport.remote_mac in disabled["macs"]) == (
            False,
            False,
        )


def test_limits_for_the_handshake_and_the_login(server: Sshd) -> None:
    """A server that says nothing is given up after `banner_timeout`; `auth_timeout` arrives, too."""
    with listener(lambda connection: connection.recv(1000) and connection.recv(1000)) as port:
        told = options(server, port=port, connect_kwargs={"banner_timeout": 0.3, "auth_timeout": 4})
        with pytest.raises(HostUnreachable, match=r"no SSH handshake within 0\.3 s"):
            connect("127.0.0.1", told)
    assert resolve("127.0.0.1", told).auth_timeout == 4


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"run": {"env": {"A": "b"}}}, "run.env is not followed"),
        ({"run": {"dry": True}}, "these tasks have no --dry (run.dry): they would do all their work in spite of it"),
        ({"run": {"shell": "/bin/zsh"}}, "run.shell is not followed"),
        ({"run": {"user": "shop"}}, "run.user is not followed"),
        ({"run": {"password": "open"}}, "run.password is not followed"),
        ({"sudo": {"env": {"A": "b"}}}, "sudo.env is not followed"),
        ({"sudo": {"shell": "/bin/zsh"}}, "sudo.shell is not followed"),
        ({"sudo": {"user": "shop"}}, "sudo.user is not followed"),
        ({"sudo": {"password": "hunter2"}}, "sudo.password is not followed"),
        (
            {"connect_kwargs": {"banner_timeou": 3}},
            "connect_kwargs.banner_timeou is not followed\n  → did you mean banner",
        ),
        ({"connect_kwargs": {"username": "shop"}}, "connect_kwargs.username is not followed"),
        ({"connect_kwargs": {"gss_auth": True}}, "connect_kwargs.gss_auth cannot be followed"),
        ({"connect_kwargs": {"timeout": "3"}}, "connect_kwargs.timeout must be a number of seconds"),
        ({"connect_kwargs": {"allow_agent": "no"}}, "connect_kwargs.allow_agent must be true or false"),
        ({"connect_kwargs": {"key_filename": {"a": 1}}}, "connect_kwargs.key_filename must name one file"),
        ({"connect_kwargs": {"disabled_algorithms": {"cipher": []}}}, "must hold a list for one or more of ciphers"),
        ({"connect_kwargs": {"password": ["hunter2"]}}, "connect_kwargs.password must be text"),
        ({"timeouts": {"connect": -1}}, "timeouts.connect must be a number of seconds"),
        ({"gateway": ["jump"]}, "gateway must be text"),
        ({"user": ["shop"]}, "user must be text"),
        ({"port": "ssh"}, "port is not a port (it is 'ssh')"),
    ],
)
def test_what_is_not_followed_is_refused_by_name(written: dict[str, Any], words: str) -> None:
    """Nothing of Fabric's settings about logging in is passed over; no password is shown."""
    with pytest.raises(ConfigError) as refused:
        ssh_options_of(context(**written))
    assert (words in str(refused.value), "hunter2" in str(refused.value)) == (True, False), refused.value


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("FABRIC_RUN_SHELL", "run.shell is not followed"),
        ("FABRIC_TIMEOUTS_CONNECT", "timeouts.connect must be a number"),
    ],
)
def test_what_a_variable_of_fabrics_says_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, words: str
) -> None:
    """Fabric reads its settings from variables too, each as text; nobody looks for it in a file."""
    monkeypatch.setenv(variable, "/bin/zsh")
    read = context()
    read.config.load_shell_env()
    with pytest.raises(ConfigError, match=f"nothing was changed: {variable}: {words}"):
        ssh_options_of(read)


def test_a_variable_that_does_not_hold_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was given to the command goes before a variable: whoever changed the variable would change nothing."""
    monkeypatch.setenv("FABRIC_CONNECT_KWARGS_TIMEOUT", "5")
    read = context({"connect_kwargs": {"timeout": 99_999}}, connect_kwargs={"timeout": 7})
    read.config.load_shell_env()
    with pytest.raises(ConfigError) as refused:
        ssh_options_of(read)
    assert ("FABRIC_" in refused.value.message, "(it is 99999)" in refused.value.message) == (False, True)


def test_the_rest_is_for_other_tasks() -> None:
    """What says how the commands of other tasks are shown and run stays theirs; GSSAPI may be off."""
    written = {
        "run": {"echo": True, "env": {}, "shell": "/bin/bash"},
        "sudo": {"prompt": "? "},
        "tasks": {"dedupe": False},
    }
    assert ssh_options_of(context(**written, connect_kwargs={"gss_auth": False})) == ssh_options_of(context())
