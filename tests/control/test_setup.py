"""Hosts made ready: looked at, shown, done side by side, looked at again; hosts that play their part here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.config import Config
from oroboros_deploy.control.setup import Plans
from oroboros_deploy.deployment import Answers, Deployment
from oroboros_deploy.errors import BuildFailed, DeployError, HostUnreachable, Interrupted, InvalidInput, LinkLost
from oroboros_deploy.events import Event

BARE = ("login deploy", "caller root", "system Debian", "systemd yes", "apt yes", "missing git")
READY = (
    *("login deploy", "caller root", "system Debian", "systemd yes", "python 3.11", "key yes", "sudo yes"),
    "account deploy:deploy:x:1000:1000::/home/deploy:/bin/bash",
    "place deploy:deploy:755:dir:used:/srv/shop",
)
DONE = ["oroboros-step 0", "Reading package lists...", "oroboros-step 1"]


class Shell:
    """Root's shell of one host, by the words that cross the line; what is written is kept."""

    ended, stderr = False, b""

    def __init__(self, host: Played) -> None:
        self.host = host

    def lines(self) -> Iterator[bytes]:
        while self.host.words:
            word = self.host.words.pop(0)
            if isinstance(word, BaseException):
                raise word
            yield word.encode()

    def write(self, data: bytes) -> None:
        self.host.written.append(data)

    def extend(self, deadline: float) -> None:
        self.host.patience.append(deadline)

    def kill(self) -> None:
        self.host.written.append(b"killed")


class Played:
    """A host: a shell of root, which says these things."""

    def __init__(self, *words: str | BaseException) -> None:
        self.words = [*words]
        self.written: list[bytes] = []
        self.asked: list[str] = []
        self.patience: list[float] = []
        self.authorized_key = "ssh-ed25519 AAAA"

    def command(self, script: str, *, deadline: float, silence: float | None = None) -> Shell:
        self.asked.append(script)
        return Shell(self)

    def close(self) -> None:
        """Nothing is open."""


def told(facts: Sequence[str], status: int = 0) -> list[str]:
    return [*(f"oroboros-fact {each}" for each in facts), f"oroboros-end {status}"]


class Fleet:
    """Hosts that are played, what was shown of them, and for which the password was asked."""

    def __init__(self, state: Path, **hosts: Played) -> None:
        self.hosts = hosts
        self.shown: list[Plans] = []
        self.asked: list[Sequence[str]] = []
        self.events: list[Event] = []
        settings: dict[str, Any] = {
            "root": "/srv/shop",
            "healthcheck": {"command": None},
            "build": {"frontend": None, "venvs": {}},
        }
        connect: Any = hosts.__getitem__
        config = Config.from_mapping(settings)
        self.deployment = Deployment(config, connect=connect, listener=self.events.append, state=state)

    def setup(self, **options: Any) -> Answers[Any]:
        options = {"login": "deploy", "agree": self.shown.append, "password": self.password, **options}
        return self.deployment.setup([*self.hosts], **options)

    def password(self, hosts: Sequence[str]) -> str:
        self.asked.append(hosts)
        return "the password"


def bare(*then: str | BaseException, before: Sequence[str] = ("oroboros-root",)) -> Played:
    return Played(*before, *told(BARE), *then)


def ready(*, before: Sequence[str] = ("oroboros-root",)) -> Played:
    return Played(*before, *told(READY))


def test_two_hosts(tmp_path: Path) -> None:
    """What lacks is shown, done and looked at again: three scripts of one command; a ready host is only looked at."""
    fleet = Fleet(tmp_path, web1=bare(*DONE, "oroboros-end 0", *told(READY)), web2=ready())
    answers = fleet.setup()
    assert [*fleet.shown[0]] == ["web1"]
    reasons = [each["reason"] for each in fleet.shown[0]["web1"]["actions"]]
    assert reasons[0] == "packages that are not there: git"
    assert answers == {
        "web1": {**fleet.shown[0]["web1"], "ready": True},
        "web2": {"login": "deploy", "system": "Debian", "actions": [], "notes": [], "ready": True},
    }
    assert {name: (len(host.asked), len(host.written)) for name, host in fleet.hosts.items()} == {
        "web1": (1, 2),
        "web2": (1, 0),
    }
    assert fleet.hosts["web1"].patience == [3600, 1800, 60]  # for somebody to think, for the work, for the last look
    steps = [event.message for event in fleet.events if event.name == "setup.step"]
    assert steps == reasons[:2]


def test_dry(tmp_path: Path) -> None:
    """Without anybody who agrees nothing is sent to a host but the look."""
    fleet = Fleet(tmp_path, web1=bare())
    answer = fleet.setup(agree=None)["web1"]
    assert (answer["ready"], len(answer["actions"]), fleet.hosts["web1"].written) == (False, 5, [])


def test_a_no(tmp_path: Path) -> None:
    """Who does not agree stops it before anything is done."""

    def no(_: Plans) -> None:
        raise Interrupted("nothing was changed: the answer was no")

    fleet = Fleet(tmp_path, web1=bare())
    with pytest.raises(Interrupted):
        fleet.setup(agree=no)
    assert fleet.hosts["web1"].written == []


def test_one_that_refuses_stops_all(tmp_path: Path) -> None:
    """All that is in its way is told, and nothing is done on the others, nor asked."""
    refusing = Played("oroboros-root", *told(["login root", "caller root"]))
    fleet = Fleet(tmp_path, web1=bare(), web2=refusing)
    answers = fleet.setup(login=None)
    refused = answers["web2"]
    assert isinstance(refused, InvalidInput)
    assert refused.message == (
        "nothing was changed:\n  the login of the deploys must not be root, and root is\n    → add --login=deploy"
        "\n  systemd does not run there\n    → deploys need a host whose first process is systemd"
    )
    assert (answers["web1"]["ready"], fleet.shown, fleet.hosts["web1"].written) == (False, [], [])


def test_the_password_is_asked_once(tmp_path: Path) -> None:
    """For all hosts that want it, and it is given to them alone; one that cannot be reached comes before."""
    asks, lost = ("a lecture", "oroboros-password"), HostUnreachable("no route", host="web4")
    hosts = {name: ready(before=(*asks, "oroboros-root")) for name in ("web1", "web2")}
    fleet = Fleet(tmp_path, **hosts, web3=ready())
    assert all(answer["ready"] for answer in fleet.setup().values())
    assert fleet.asked == [["web1", "web2"]]
    assert [host.written for host in fleet.hosts.values()] == [[b"the password\n"], [b"the password\n"], []]
    assert fleet.hosts["web1"].patience == [3600, 60, 3600]

    fleet = Fleet(tmp_path, web1=ready(before=asks), web4=Played(lost))
    answers = fleet.setup()
    assert (fleet.asked, answers["web4"], answers["web1"]["ready"]) == ([], lost, False)


def test_an_action_that_fails(tmp_path: Path) -> None:
    """How far it came, what failed, its last words, and the command that goes on."""
    failed = bare(*DONE[:2], "oroboros-step x", "oroboros-step 99", "E: Unable to locate package git", "oroboros-end 1")
    answer = Fleet(tmp_path, web1=failed).setup()["web1"]
    assert isinstance(answer, BuildFailed)
    first, *said = answer.message.splitlines()
    assert first.startswith("0 of 5 actions are done there, and this one failed: (n=0; until said=$(apt-get update ")
    assert said == ["  │ Reading package lists...", "  │ E: Unable to locate package git"]
    assert answer.hint == "mend it and go on: fab -H web1 setup --login=deploy"


def test_a_host_that_is_not_ready_afterwards(tmp_path: Path) -> None:
    """It is looked at, not believed."""
    still = told([*READY, "apt yes", "missing git"])
    answer = Fleet(tmp_path, web1=bare(*DONE, "oroboros-end 0", *still)).setup()["web1"]
    assert isinstance(answer, BuildFailed)
    assert answer.message.endswith("still not ready: packages that are not there: git")


def test_a_link_that_is_lost(tmp_path: Path) -> None:
    """Nobody says that nothing was changed; the same command goes on."""
    answer = Fleet(tmp_path, web1=bare(DONE[0], LinkLost("the cable"))).setup()["web1"]
    assert isinstance(answer, LinkLost)
    assert answer.message == "what was begun there goes on, and how it ends is not known here: the cable"
    assert answer.hint == "fab -H web1 setup --login=deploy  shows what is left, and does it"


def test_an_interrupt(tmp_path: Path) -> None:
    """Hosts that have begun go on, and that is told."""
    with pytest.raises(Interrupted) as interrupted:
        Fleet(tmp_path, web1=bare(DONE[0], KeyboardInterrupt())).setup()
    assert interrupted.value.message == "interrupted: the hosts go on with what was begun there"
    assert interrupted.value.hint == "fab -H web1 setup --login=deploy  shows what is left, when they have ended"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("oroboros-root", "hello", "oroboros-end 0"), "what the host told of itself cannot be read"),
        (("oroboros-root", LinkLost("the cable")), "the cable"),
        ((LinkLost("the cable"),), "the cable"),
        (("oroboros-root", "killed"), "the shell of root ended before its work did: killed"),
    ],
)
def test_who_cannot_be_looked_at(tmp_path: Path, words: tuple[str | DeployError, ...], why: str) -> None:
    """It is told, and that nothing was done."""
    answer = Fleet(tmp_path, web1=Played(*words)).setup()["web1"]
    assert isinstance(answer, HostUnreachable)
    assert answer.message.startswith(f"nothing was changed: {why}")
