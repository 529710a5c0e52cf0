"""One agent answers all calls on a connection, over a real sshd."""

from __future__ import annotations

import gc
import math
import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from oroboros_deploy.config import load
from oroboros_deploy.errors import (
    BuildFailed,
    DeployError,
    ExitCode,
    HostUnreachable,
    InvalidInput,
    LinkLost,
    UnknownCommit,
)
from oroboros_deploy.events import Event
from oroboros_deploy.host import wire
from oroboros_deploy.remote import host as host_module
from oroboros_deploy.remote import session
from oroboros_deploy.remote.host import Host
from oroboros_deploy.source import Source
from oroboros_deploy.ssh import SshOptions, connect
from tests.support.clock import within
from tests.support.local_agent import LocalAgent
from tests.support.repository import Repository
from tests.support.sshd import Sshd, requires_sshd
from tests.support.watching import eventually

pytestmark = [requires_sshd, pytest.mark.slow]  # whole builds and activations
FACTS: dict[str, Any] = {"sha": None, "services": [], "restart": False}


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "sshd") as sshd:
        yield sshd


@contextmanager
def opened(sshd: Sshd, directory: Path) -> Iterator[Host]:
    """A host whose deploy root is in the directory, over that server."""
    config = load([("fabric.yaml", {"root": str(directory / "srv")})], {})
    host = Host("box", config, lambda: connect("box", SshOptions(config_path=sshd.config_path)), _ignore)
    try:
        yield host
    finally:
        host.close()


@pytest.fixture
def host(sshd: Sshd, tmp_path: Path) -> Iterator[Host]:
    with opened(sshd, tmp_path) as host:
        host.facts(FACTS)
        yield host


def _ignore(_: Event) -> None:
    pass


def test_an_agent_of_a_later_version(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer is not read; what to install is said, and the host is as it was."""
    monkeypatch.setattr(host_module, "FORMAT", 1)
    with pytest.raises(InvalidInput, match="nothing was changed: the agent on this host is of a later") as caught:
        host.facts(FACTS)
    hint = "install oroboros_deploy 0.2.0 or later on this control node"
    assert (caught.value.exit_code, caught.value.hint, caught.value.host) == (ExitCode.INVALID, hint, "box")


def test_what_an_agent_of_a_later_version_activated_is_not_known(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It was asked to switch, so that nothing was changed would be untrue."""
    monkeypatch.setattr(host_module, "FORMAT", 1)
    request = LocalAgent(tmp_path / "srv").request("a" * 40)
    with pytest.raises(DeployError, match="the outcome is not known") as caught:
        host.activate(request)  # type: ignore[arg-type]
    assert not isinstance(caught.value, InvalidInput)


@pytest.mark.parametrize("greeting", ["Welcome", "{ Welcome }", '{"motd": "Welcome"}'])
def test_what_a_login_shell_says(greeting: str, tmp_path: Path) -> None:
    """A line that is no event and no answer is passed over, whatever it begins with."""
    shell = tmp_path / "shell"
    shell.write_text(f"#!/bin/sh\necho '{greeting}'\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"\n")
    shell.chmod(0o755)
    config = load([("fabric.yaml", {"root": str(tmp_path / "srv")})], {})
    with Sshd(tmp_path / "sshd", settings=f"ForceCommand {shell}") as sshd:
        host = Host("box", config, lambda: connect("box", SshOptions(config_path=sshd.config_path)), _ignore)
        assert host.facts(FACTS)["live"] is None
        host.close()


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
        "recipe": {**recipe, "cache": 0, "anew": False, "digest": ""},
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
    gc.collect()
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


@pytest.mark.slow
def test_the_deadline_of_a_later_call(host: Host, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that takes longer than it may is given up, and the agent is killed."""
    (pid,) = agents(sshd)
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr("oroboros_deploy.remote.host.PATIENCE", 0.5)
    with pytest.raises(HostUnreachable, match=r"still running after 0\.5 s") as caught:
        host.facts(FACTS)
    assert (type(caught.value.__cause__), gone(sshd)) == (LinkLost, True)


GREETINGS = {
    "no newline": r"printf '\033]0;user@prod\007'",
    "a brace": "echo '{prod}'",
    "like an answer": """echo '{"format": 2, "result": {}}'; echo wanted""",
    "much, and no newline": "seq 50000; printf x",
    "what writes it down": "exec > >(tee /dev/null)",
}


@pytest.mark.parametrize("greeting", GREETINGS.values(), ids=GREETINGS)
def test_what_a_login_shell_prints(greeting: str, tmp_path: Path, repository: Repository) -> None:
    """Whatever comes before the agent is no answer, on a fresh root and later."""
    force = tmp_path / "force"
    force.write_text(f'#!/bin/bash\n{greeting}\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n')
    force.chmod(0o755)
    sha = repository.commit("first", file="1")
    with Sshd(tmp_path / "sshd", settings=f"ForceCommand {force}") as sshd, opened(sshd, tmp_path) as host:
        host.facts(FACTS)
        host.build(build(sha, "bundle"), Source(repository.path).bundle(sha, []))
        assert host.facts({**FACTS, "sha": sha})["target"]["state"] == "sealed"


def test_what_was_printed_is_kept(tmp_path: Path) -> None:
    """Its first lines, each cut where it is long; the agent's own first line is none of them."""
    force = tmp_path / "force"
    more = "seq -s x 500; for number in $(seq 30); do echo $number; done"
    force.write_text(f'#!/bin/bash\necho welcome; echo; {more}\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n')
    force.chmod(0o755)
    with Sshd(tmp_path / "sshd", settings=f"ForceCommand {force}") as sshd, opened(sshd, tmp_path) as host:
        host.facts(FACTS)
    assert (len(host.printed), host.printed[0], len(host.printed[1]), host.printed[2]) == (20, "welcome", 200, "1")


def test_what_changes_each_line_is_named(tmp_path: Path) -> None:
    """A login shell that puts the time before each line: nobody waits for an agent that can be heard and not read."""
    force = tmp_path / "force"
    force.write_text("#!/bin/bash\nexec > >(sed -u 's/^/12:00 /')\nexec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"\n")
    force.chmod(0o755)
    with (
        Sshd(tmp_path / "sshd", settings=f"ForceCommand {force}") as sshd,
        opened(sshd, tmp_path) as host,
        pytest.raises(HostUnreachable) as told,
    ):
        host.facts(FACTS)
    assert "changes what the agent says: '12:00 oroboros-agent'" in told.value.message
    assert told.value.message.startswith("nothing was switched: ")
    assert "start-up files" in (told.value.hint or "")


@contextmanager
def behind(start: str, tmp_path: Path) -> Iterator[Host]:
    """A host whose login shell begins with these lines; its agent was stored before they were there."""
    force = tmp_path / "force"
    force.write_text(f'#!/bin/bash\n{start}\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n')
    force.chmod(0o755)
    with Sshd(tmp_path / "plain") as plain, opened(plain, tmp_path) as host:
        host.facts(FACTS)
    with Sshd(tmp_path / "sshd", settings=f"ForceCommand {force}") as sshd, opened(sshd, tmp_path) as host:
        yield host


ENDLESS = {
    "one line of 4 MiB": "head -c 4194305 /dev/zero | tr '\\0' x; echo",
    "a line without an end": "yes | tr -d '\\n'",
    "NULs without an end": "cat /dev/zero",
    "lines without an end": "yes",
    "empty lines without an end": "yes ''",
}


@pytest.mark.parametrize("start", ENDLESS.values(), ids=ENDLESS)
def test_a_login_shell_that_prints_without_an_end_is_named(start: str, tmp_path: Path) -> None:
    """More than 4 MiB before the agent begins is not waited for, nor kept in memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with behind(start, tmp_path) as host, within(30), pytest.raises(HostUnreachable) as told:
        host.facts(FACTS)
    assert told.value.message.startswith("nothing was switched: this login's shell prints more than 4194304 bytes")
    assert "start-up files" in (told.value.hint or "")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


@pytest.mark.parametrize("start", ["printf 'a\\0b\\n\\0'", "head -c 4000000 /dev/zero", "exec 2>&1", "exec < <(cat)"])
def test_a_login_shell_that_prints_less(start: str, tmp_path: Path) -> None:
    """NULs before the agent are passed over; streams that lead through other programs, or together, do no harm."""
    with behind(start, tmp_path) as host:
        assert [host.facts(FACTS)["live"] for _ in range(2)] == [None, None]


@pytest.mark.parametrize("start", ["exec </dev/null", "exec <&-", "exec </etc/passwd"])
def test_an_input_that_is_not_ours_is_named(start: str, tmp_path: Path, repository: Repository) -> None:
    """What is read only works; what has to be sent is refused before it is sent, and no agent is stored."""
    sha = repository.commit("first", file="1")
    with behind(start, tmp_path) as host:
        assert host.facts(FACTS)["live"] is None
        with pytest.raises(HostUnreachable, match="nothing was switched: the agent's input is not what is sent"):
            host.build(build(sha, "bundle"), Source(repository.path).bundle(sha, []))
        with pytest.raises(HostUnreachable, match="nothing was switched: the agent's input") as first:
            host.build(build(sha, "bundle"), Source(repository.path).bundle(sha, []))
        shutil.rmtree(tmp_path / "srv/.deploy/agent")
        with within(20), pytest.raises(InvalidInput, match="nothing was changed: the agent's input is not") as fresh:
            host.facts(FACTS)
    assert ["start-up files" in (told.value.hint or "") for told in (first, fresh)] == [True, True]


@pytest.mark.parametrize("start", ["exec >&-", "exec >/dev/null", "exec >&- 2>&-", "exec >&2"])
def test_an_output_that_leads_to_nobody_is_named(start: str, tmp_path: Path) -> None:
    """Nobody waits until the host is taken for lost."""
    with behind(start, tmp_path) as host, within(25), pytest.raises(HostUnreachable) as told:
        host.facts(FACTS)
    assert told.value.message.startswith("nothing was switched: what the agent says does not come back")
    assert "start-up files" in (told.value.hint or "")


@pytest.mark.skipif(not shutil.which("script"), reason="needs the program script")
@pytest.mark.slow
def test_a_terminal_between_is_named(tmp_path: Path, repository: Repository) -> None:
    """A session recorder's terminal sends back what the agent is told: that is noticed, and nothing is done."""
    recorder = tmp_path / "recorder"
    recorder.write_text('#!/bin/sh\nexec script -q -e -f -c "$SSH_ORIGINAL_COMMAND" /dev/null\n')
    recorder.chmod(0o755)
    sha = repository.commit("first", file="1")
    with Sshd(tmp_path / "sshd", settings=f"ForceCommand {recorder}") as recorded:
        with opened(recorded, tmp_path) as host, pytest.raises(InvalidInput, match="a terminal stands between"):
            host.facts(FACTS)
        with Sshd(tmp_path / "plain") as plain, opened(plain, tmp_path) as host:
            host.facts(FACTS)
        with opened(recorded, tmp_path) as host:
            assert host.facts(FACTS)["live"] is None
            with pytest.raises(HostUnreachable, match="nothing was switched: a terminal stands between") as caught:
                host.build(build(sha, "bundle"), Source(repository.path).bundle(sha, []))
    assert "SSH_ORIGINAL_COMMAND" in (caught.value.hint or "")
