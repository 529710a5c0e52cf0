"""One agent answers all calls on a connection, over a real sshd."""

from __future__ import annotations

import gc
import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from oroboros_deploy.config import load
from oroboros_deploy.errors import BuildFailed, DeployError, HostUnreachable, LinkLost, UnknownCommit
from oroboros_deploy.events import Event
from oroboros_deploy.host import wire
from oroboros_deploy.remote import host as host_module
from oroboros_deploy.remote import session
from oroboros_deploy.remote.host import Host
from oroboros_deploy.source import Source
from oroboros_deploy.ssh import SshOptions, connect
from tests.support.clock import within
from tests.support.repository import Repository
from tests.support.sshd import Sshd, requires_sshd
from tests.support.watching import eventually

pytestmark = requires_sshd
FACTS: dict[str, Any] = {"sha": None, "services": [], "restart": False}


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "sshd") as sshd:
        yield sshd


@pytest.fixture
def host(sshd: Sshd, tmp_path: Path) -> Iterator[Host]:
    config = load([("fabric.yaml", {"root": str(tmp_path / "srv")})], {})
    host = Host("box", config, lambda: connect("box", SshOptions(config_path=sshd.config_path)), _ignore)
    host.facts(FACTS)
    yield host
    host.close()


def _ignore(_: Event) -> None:
    pass


def agents(sshd: Sshd) -> list[int]:
    """The agents that run for the server's sessions."""
    return [pid for pid in sshd.processes() if b".pyz" in command_line(pid)]


def command_line(pid: int) -> bytes:
    """Empty for a process that has just ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def gone(sshd: Sshd) -> bool:
    """Whether no agent is left within some seconds."""
    return eventually(lambda: not agents(sshd), within=10)


def commands(sshd: Sshd) -> int:
    return sshd.log().count("Starting session: command")


def build(sha: str, kind: str) -> dict[str, Any]:
    recipe = {"frontend": None, "venvs": {}, "steps": [], "inputs": [], "installer": "auto", "timeout": 60}
    return {
        "attempt": f"attempt-{sha}",
        "sha": sha,
        "source": {"kind": kind, "url": None},
        "recipe": {**recipe, "cache": 0, "anew": False},
        "version": "test",
    }


def test_calls_share_one_agent(host: Host, sshd: Sshd, repository: Repository) -> None:
    """Reading, building from a bundle, reading again: one process answers, and ends with the connection."""
    sha = repository.commit("first", file="1")
    (before,) = agents(sshd)
    host.build(build(sha, "bundle"), Source(repository.path).bundle(sha, []))
    facts = host.facts({**FACTS, "sha": sha})
    assert (facts["target"]["state"], agents(sshd), commands(sshd)) == ("sealed", [before], 1)
    host.close()
    assert gone(sshd)


@pytest.mark.parametrize("blocks", [None, [b'{"call": "facts"}\n' * 10_000] * 10])
def test_a_call_after_a_refusal(
    host: Host, sshd: Sshd, blocks: list[bytes] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that refuses ends at once: what it did not read of a stream is not taken for the next call."""
    monkeypatch.setattr(session, "ENDING", 60.0)
    with within(20), pytest.raises(UnknownCommit):
        host.build(build("0" * 40, "mirror"), blocks)
    assert agents(sshd) == []
    assert (host.facts(FACTS)["live"], commands(sshd)) == (None, 2)


def test_an_agent_that_dies_between_two_calls(host: Host, sshd: Sshd) -> None:
    """The next call starts another."""
    (pid,) = agents(sshd)
    os.kill(pid, signal.SIGKILL)
    assert gone(sshd)
    (ended,) = (each for each in gc.get_objects() if isinstance(each, session.Session))
    assert eventually(lambda: not ended.open)
    assert (host.facts(FACTS)["live"], commands(sshd)) == (None, 2)


@pytest.mark.parametrize(("call", "error"), [("facts", HostUnreachable), ("build", BuildFailed)])
def test_an_agent_that_dies_during_a_call(host: Host, sshd: Sshd, call: str, error: type[DeployError]) -> None:
    """Nothing was switched, which is told, and the call after that starts another."""
    (pid,) = agents(sshd)
    os.kill(pid, signal.SIGSTOP)
    Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
    words = r"nothing was switched: the agent ended without an answer \(exit 137\)"
    with pytest.raises(error, match=words) as caught:
        host.facts(FACTS) if call == "facts" else host.build(build("0" * 40, "mirror"), None)
    assert (type(caught.value), caught.value.host, host.facts(FACTS)["live"]) == (error, "box", None)


def test_an_agent_that_lost_its_bytes(host: Host, sshd: Sshd, tmp_path: Path) -> None:
    """An empty file where the agent should be is replaced."""
    host.close()
    (stored,) = (tmp_path / "srv/.deploy/agent").glob("*.pyz")
    size = stored.stat().st_size
    stored.write_bytes(b"")
    assert (host.facts(FACTS)["live"], stored.stat().st_size) == (None, size)


def test_time_between_two_calls_is_nobodys(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline of a call is over with its answer, and a later call has its own."""
    clock, pause = time.monotonic, 10 * host_module.PATIENCE
    monkeypatch.setattr(session, "IDLE", math.inf)
    host.facts(FACTS)
    monkeypatch.setattr(time, "monotonic", lambda: clock() + pause)
    assert host.facts(FACTS)["live"] is None


def test_a_call_after_a_long_pause(host: Host, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that may have given up waiting is not asked; another one is started, and the first is gone."""
    (before,) = agents(sshd)
    monkeypatch.setattr(session, "IDLE", 0.0)
    assert (host.facts(FACTS)["live"], commands(sshd), before in agents(sshd)) == (None, 2, False)


@pytest.mark.slow
def test_nobody_asks_any_more(host: Host, sshd: Sshd) -> None:
    """An agent that hears nothing ends by itself, even when its connection stays; the next call finds another."""
    assert eventually(lambda: not agents(sshd), within=wire.IDLE + 10)
    assert (agents(sshd), host.facts(FACTS)["live"], commands(sshd)) == ([], None, 2)


def test_the_deadline_of_a_later_call(host: Host, sshd: Sshd) -> None:
    """A call that takes longer than it may is given up, and the agent is killed."""
    (pid,) = agents(sshd)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(HostUnreachable, match=r"still running after 0\.5 s") as caught:
        host.ask("facts", FACTS, 0.5)
    assert (type(caught.value.__cause__), gone(sshd)) == (LinkLost, True)
