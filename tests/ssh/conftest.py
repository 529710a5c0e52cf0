"""Real servers for the SSH tests, and a guard against threads that outlive their test."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oroboros_deploy.ssh import HostConnection, SshOptions, connect
from tests.support.sshd import Sshd


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One server for all tests that change nothing about it."""
    with Sshd(tmp_path_factory.mktemp("sshd"), host_keys=("ed25519", "ecdsa", "rsa")) as server:
        yield server


@pytest.fixture
def sshd(server: Sshd) -> Iterator[Sshd]:
    """The server, with its client files as they were at the start."""
    server.write_config()
    server.known_hosts.write_text(server.known_hosts_line + "\n")
    yield server
    end = time.monotonic() + 30
    while (left := server.sessions()) and time.monotonic() < end:
        time.sleep(0.01)
    assert left == []


@pytest.fixture
def host(sshd: Sshd) -> Iterator[HostConnection]:
    with connect(sshd.alias, SshOptions(config_path=sshd.config_path)) as host:
        yield host


@pytest.fixture
def nothing(tmp_path: Path) -> SshOptions:
    """Options that name an empty ssh_config."""
    path = tmp_path / "nothing"
    path.touch()
    return SshOptions(config_path=str(path))


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads the keys, the agent or the known_hosts of whoever runs it."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(mode=0o700, parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    end = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < end:
        time.sleep(0.01)
    assert set(threading.enumerate()) - before == set()
