"""A line that an operator has run: where, with what, noted in the journal, and ended with whoever asked."""

from __future__ import annotations

import subprocess
import time

import pytest

from oroboros_deploy.host import configuration, manager, process, user_commands
from oroboros_deploy.host.refusal import Refusal
from tests.support.local_agent import LocalAgent
from tests.support.watching import eventually

pytestmark = pytest.mark.slow  # whole calls

SECRET = "hunter-two-and-three"
ASKED = {"actor": "ada@desk", "service": None}


@pytest.fixture
def configured(host: LocalAgent) -> str:
    """A host with a live release and a configuration with a secret; the release."""
    sha = host.sealed("one")
    sources = {"file": None, "values": {}, "secrets": {"PASSWORD": SECRET}, "build": []}
    revision = configuration.configure(host.paths, {"sha": sha, "env": sources})["revision"]  # type: ignore[typeddict-item]
    host.activate(sha, configuration=revision)
    return sha


def test_a_line(host: LocalAgent, configured: str) -> None:
    """In `current`, with the release's name and the configuration; secrets are masked in output and journal."""
    line = f"cat name; echo; echo $DEPLOY_RELEASE; echo is it {SECRET}; echo $PASSWORD >&2; exit 3"
    answer = host.call("run_line", {**ASKED, "line": line})
    assert answer.result and answer.result["status"] == 3, (answer.result, answer.stderr, answer.events)
    said = "\n".join(answer.said("run.output"))
    assert said == f"one\n{configured}\nis it ***\n***"
    assert answer.result == {"status": 3, "user": host_user(), "release": configured}
    entry = host.journal[-1]
    assert (entry["kind"], entry["outcome"], entry["actor"]) == ("run", "ran", "ada@desk")
    assert entry["reason"] == line.replace(SECRET, "***")


def test_it_needs_a_release(host: LocalAgent) -> None:
    """On a host that serves nothing, nothing is run and nothing noted."""
    refusal = host.call("run_line", {**ASKED, "line": "touch /tmp/never"}).refusal or {}
    assert (refusal["message"], host.journal) == ("nothing was run: no release is live on this host", [])


def test_it_ends_with_whoever_asked(host: LocalAgent, configured: str) -> None:
    """When the control node is gone, what it runs is ended, a line that is silent too."""
    mark = f"{time.time():.6f}".replace(".", "")
    process = host.start("run_line", {**ASKED, "line": f"echo begun; exec sleep {mark}"})
    assert process.stdout
    while b"begun" not in process.stdout.readline():
        pass
    assert eventually(lambda: running(mark))  # in the middle of `exec` its command line is empty
    for stream in (process.stdin, process.stdout, process.stderr):
        assert stream
        stream.close()
    process.wait(60)
    assert not running(mark)


def test_secrets_of_earlier_configurations_are_hidden_too(host: LocalAgent, configured: str) -> None:
    """What a line prints may be of one that is not in use any more."""
    sources = {"file": None, "values": {}, "secrets": {"PASSWORD": "another-one"}, "build": []}
    configuration.configure(host.paths, {"sha": configured, "env": sources})  # type: ignore[typeddict-item]
    assert user_commands.hidden(host.paths).text(f"{SECRET} another-one") == "*** ***"


def test_secrets_of_a_configuration_that_failed_are_hidden_too(host: LocalAgent, configured: str) -> None:
    """What its services wrote before the restore is what the `logs` shows that one types then."""
    sha = host.sealed("two")
    sources = {"file": None, "values": {}, "secrets": {"PASSWORD": "another-one"}, "build": []}
    revision = configuration.configure(host.paths, {"sha": sha, "env": sources})["revision"]  # type: ignore[typeddict-item]
    failing = {"command": "exit 78", "timeout": 5, "interval": 0.05, "stable_for": 0}
    answer = host.activate(sha, configuration=revision, healthcheck=failing)
    assert (answer.phases[-1], host.live) == ("restored", configured)
    assert user_commands.hidden(host.paths).text(f"{SECRET} another-one") == "*** ***"


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("*", "nothing was run: * is a pattern, and no unit's name"),
        ("api", "nothing was run: the unit runs as the user 3999999, whom this host does not know by a name"),
    ],
)
def test_a_unit_whose_user_is_not_found(monkeypatch: pytest.MonkeyPatch, service: str, message: str) -> None:
    """It is refused in words: a pattern that systemd would match, and a user without a name."""
    said = process.Ended(0, "LoadState=loaded\nUser=3999999\n", 0.0)
    monkeypatch.setattr(process, "apart", lambda *_, **__: said)
    monkeypatch.setattr(manager, "chosen", lambda: manager.of("system"))
    with pytest.raises(Refusal) as refused:
        user_commands.user_of(service)
    assert refused.value.message == message


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("LoadState=masked\nUser=\n", "unit api.service is masked on this host"),
        ("LoadState=not-found\n", "unit api.service is not-found on this host"),
        ("", "systemd did not say what unit api.service is"),
    ],
)
def test_a_unit_that_is_not_loaded(monkeypatch: pytest.MonkeyPatch, said: str, state: str) -> None:
    """It is named with what systemd calls it, so that nobody looks for a file that is there."""
    monkeypatch.setattr(process, "apart", lambda *_, **__: process.Ended(0, said, 0.0))
    monkeypatch.setattr(manager, "chosen", lambda: manager.of("system"))
    with pytest.raises(Refusal) as refused:
        user_commands.user_of("api")
    assert (refused.value.message, refused.value.hint) == (
        f"nothing was run: {state}, so no user is known to run it",
        "--service=NAME names another one; on the host: systemctl status api.service",
    )


def host_user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def running(mark: str) -> bool:
    return subprocess.run(["pgrep", "--full", f"sleep {mark}$"], capture_output=True, check=False).returncode == 0
