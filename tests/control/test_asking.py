"""A question to several hosts: an answer each, whatever happens on one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from oroboros_deploy.config import load
from oroboros_deploy.control import asking
from oroboros_deploy.control.asking import ask, asked_now, remember
from oroboros_deploy.control.node import ControlNode
from oroboros_deploy.errors import Busy, DeployError
from oroboros_deploy.remote.host import Host
from oroboros_deploy.testing import LocalConnection
from tests.support.samples import A, B, host, record

NAMES = ["web1", "web2", "web3"]


class Desk:
    """A control node, and the connections that it made."""

    def __init__(self, tmp_path: Path) -> None:
        self.made: list[LocalConnection] = []
        config = load([("fabric.yaml", {})], {})
        connect = self.connect
        self.node = ControlNode(config, source=tmp_path, connect=connect, listener=print, state=tmp_path / "own")  # type: ignore[arg-type]

    def connect(self, name: str) -> LocalConnection:
        self.made.append(LocalConnection())
        return self.made[-1]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_each_host_has_its_answer(desk: Desk) -> None:
    """In the order asked; an error is the answer of its host, and all connections are closed afterwards."""

    def work(host: Host) -> str:
        host.open()
        if host.name == "web2":
            raise Busy("somebody is there", host=host.name)
        return f"hello from {host.name}"

    answers = ask(desk.node, NAMES, work)
    assert list(answers) == NAMES
    assert [str(answer) for answer in answers.values()] == [
        "hello from web1",
        "web2: somebody is there",
        "hello from web3",
    ]
    assert [connection.closed for connection in desk.made] == [True, True, True]


def test_what_comes_then_has_the_connections_still(desk: Desk) -> None:
    """It gets the hosts and all answers, before anything is closed."""
    seen = []

    def then(hosts: list[Host], answers: dict[str, str | DeployError]) -> None:
        seen.append(([host.name for host in hosts], answers, [connection.closed for connection in desk.made]))

    answers = ask(desk.node, ["web1"], lambda host: f"{host.open()}"[:0], then)
    assert seen == [(["web1"], answers, [False])]


def test_an_interrupt_leaves_all_hosts(desk: Desk) -> None:
    """Ctrl-C is not an answer: it goes on to whoever asked, and nothing stays open."""

    def work(host: Host) -> str:
        host.open()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(desk.node, ["web1"], work)
    assert [connection.closed for connection in desk.made] == [True]


def test_what_hosts_serve_is_remembered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry learns it from the answers; a host that did not answer is left as it was known."""
    monkeypatch.setattr(asking, "REMEMBERING", 60.0)  # a busy machine may take its time
    with desk.node.registry() as registry:
        registry.finish(record(A, host("web1", "live"), host("web2", "live")))
    remember(desk.node, asked_now(desk.node), [], {"web1": {"live": B}, "web2": Busy("somebody is there")})  # type: ignore[dict-item]
    with desk.node.registry() as registry:
        seen = {each["host"]: each["observed_release"] for each in registry.reader.hosts().items}
    assert seen == {"web1": B, "web2": None}


def test_a_registry_that_cannot_remember_is_no_news(desk: Desk) -> None:
    """It raises nothing: whoever asked the hosts has the answers all the same."""
    object.__setattr__(desk.node.config, "registry_url", "postgresql://nobody@127.0.0.1:1/none")
    remember(desk.node, asked_now(desk.node), [], {"web1": {"live": A}})  # type: ignore[dict-item]
