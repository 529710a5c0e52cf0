"""The control node: its registry, its hosts, and what it keeps between commands."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect

from oroboros_deploy.config import load
from oroboros_deploy.control.node import ControlNode
from oroboros_deploy.control.state_directory import state_directory
from oroboros_deploy.errors import HostUnreachable, InvalidInput, RegistryUnavailable
from oroboros_deploy.events import Event
from oroboros_deploy.ssh import SshOptions, connect
from oroboros_deploy.testing import LocalConnection, unreachable
from tests.support.repository import Repository
from tests.support.samples import A, host, record
from tests.support.sshd import Sshd, requires_sshd
from tests.support.watching import eventually

ROOT = "/srv/app"


def node(tmp_path: Path, settings: dict[str, Any] | None = None, **options: Any) -> ControlNode:
    """A control node with a state directory of its own; nothing answers unless ``connect`` says so."""
    config = load([("fabric.yaml", {"root": ROOT, **(settings or {})})], {})
    given = {"source": tmp_path, "connect": unreachable, "listener": lambda event: None, "state": tmp_path / "own"}
    return ControlNode(config, **{**given, **options})


def test_without_settings_the_registry_is_a_file_of_its_own(tmp_path: Path) -> None:
    """It lies in the state directory, and is made when it is first written to; a configured URL goes first."""
    mine = node(tmp_path)
    assert (mine.registry_url, mine.registry_via) == (f"sqlite:///{tmp_path}/own/registry.db", None)
    with mine.registry() as registry:
        registry.upsert(A, A, "deployed")
    assert (tmp_path / "own/registry.db").is_file()
    url = "postgresql://deploy@db/releases?via=web1"
    configured = node(tmp_path, {"registry_url": url})
    assert (configured.registry_url, configured.registry_via) == (url, "web1")


def test_an_application_has_the_name_of_its_root(tmp_path: Path) -> None:
    """Unless the settings give it another."""
    names = [node(tmp_path, settings).application for settings in ({"root": "/srv/blog"}, {"application": "shop"})]
    assert names == ["blog", "shop"]


def test_releases_is_left_to_an_application_that_migrates(tmp_path: Path) -> None:
    """A migration may make the table: the settings say otherwise where it does not."""
    made = []
    for number, settings in enumerate([{}, {"migrate": "true"}, {"migrate": "true", "registry": {"releases": "ours"}}]):
        mine = node(tmp_path, settings, state=tmp_path / str(number))
        with mine.registry() as registry:
            made.append(registry.database.read(lambda db: inspect(db).has_table("releases")))
    assert made == [True, False, True]


def test_what_it_keeps_lies_in_the_state_directory(tmp_path: Path) -> None:
    """That of the user, unless another is named."""
    assert node(tmp_path, state=None).state == state_directory()
    mine = node(tmp_path)
    mine.spool.put(record(A), "key")
    mine.journal_heads.note("web1", ROOT, {"seq": 1, "hash": "a"})
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["journals", "spool"]


def test_the_registry_is_written_what_waited_for_it(tmp_path: Path) -> None:
    """Whoever opens it to read leaves waiting records alone; the next one who writes writes them first."""
    mine = node(tmp_path)
    with mine.registry() as registry:
        mine.spool.put(record(A, host("web1", "live")), registry.key)
    with mine.registry(write=False) as registry:
        assert (registry.serving(), len(mine.spool.pending())) == ({}, 1)
    with mine.registry() as registry:
        assert (registry.serving(), mine.spool.pending()) == ({"web1": A}, [])


def test_a_registry_that_does_not_answer(tmp_path: Path) -> None:
    """Is said to be unavailable, without its password."""
    mine = node(tmp_path, {"registry_url": "postgresql://nobody:secret@127.0.0.1:1/none"})
    with pytest.raises(RegistryUnavailable) as caught, mine.registry():
        pass
    assert "secret" not in str(caught.value)


def test_a_registry_behind_any_host_needs_a_host(tmp_path: Path) -> None:
    """``via=ssh`` takes the first host in use, else the first of the settings; without any it says what to add."""
    settings = {"registry_url": "postgresql://deploy@db/releases?via=ssh"}
    with pytest.raises(InvalidInput, match="no host was named"), node(tmp_path, settings).registry():
        pass
    asked: list[str] = []

    def connect(name: str) -> LocalConnection:
        asked.append(name)
        return unreachable(name)

    mine = node(tmp_path, settings, connect=connect)
    with pytest.raises(HostUnreachable), mine.registry([mine.host("web1"), mine.host("web2")]):
        pass
    named = mine.with_config(replace(mine.config, hosts=("web3", "web4")))
    with pytest.raises(HostUnreachable), named.registry():
        pass
    assert asked == ["web1", "web3"]


@requires_sshd
def test_a_registry_behind_a_host_where_nothing_listens(tmp_path: Path) -> None:
    """The message says that the registry is meant, which port cannot be reached and from which host."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"registry_url": f"postgresql://deploy@127.0.0.1:{port}/releases?via=box"}
    with Sshd(tmp_path / "sshd") as sshd, pytest.raises(RegistryUnavailable) as caught:
        ssh = SshOptions(config_path=sshd.config_path)
        with node(tmp_path, settings, connect=lambda name: connect(name, ssh)).registry():
            pass
    said = (caught.value.host, caught.value.message, caught.value.hint)
    assert said == (
        "box",
        f"the registry cannot be reached: 127.0.0.1 port {port} cannot be reached from box: Connect failed",
        "check that a server listens on that port, and that sshd on box allows the tunnel (AllowTcpForwarding)",
    )


@pytest.mark.parametrize("count", [1, 2])
def test_a_registry_behind_the_one_environment(tmp_path: Path, count: int) -> None:
    """Without a host ``via=ssh`` goes through the one environment that there is; of several nobody is guessed."""
    environments = {f"env{number}": {"hosts": [f"web{number}", "other"]} for number in range(count)}
    settings = {"registry_url": "postgresql://deploy@db/releases?via=ssh", "environments": environments}
    asked: list[str] = []

    def connect(name: str) -> LocalConnection:
        asked.append(name)
        return unreachable(name)

    kind = HostUnreachable if count == 1 else InvalidInput
    with pytest.raises(kind), node(tmp_path, settings, connect=connect).registry():
        pass
    assert asked == (["web0"] if count == 1 else [])


def test_a_host_that_is_no_environment(tmp_path: Path) -> None:
    """A name that has no address may be meant for an environment, so these are named; a host of one is meant itself."""

    def connect(name: str) -> LocalConnection:
        raise HostUnreachable(f"the name {name} has no address: Name or service not known", hint="check the spelling")

    mine = node(tmp_path, {"environments": {"prod": {"hosts": ["web1"]}, "lab": {"hosts": ["web2"]}}}, connect=connect)
    hints = {}
    for name in ("production", "web1"):
        with pytest.raises(HostUnreachable) as caught:
            mine.host(name).open()
        hints[name] = caught.value.hint
    told = "check the spelling; the settings have the environments prod, lab"
    assert hints == {"production": told, "web1": "check the spelling"}


def test_a_host_that_is_nearly_an_environment(tmp_path: Path) -> None:
    """When nothing answers under a name, the environment that it resembles is offered."""
    mine = node(tmp_path, {"environments": {"staging": {"hosts": ["web1"]}}})
    with pytest.raises(HostUnreachable) as caught:
        mine.host("stagin").open()
    assert caught.value.hint == "if staging was meant: fab -H staging; otherwise is sshd running?"


def test_other_settings_leave_the_first_as_they_were(tmp_path: Path) -> None:
    """A control node with another configuration is another one, with everything else alike."""
    mine = node(tmp_path, actor="ada@desk")
    other = mine.with_config(replace(mine.config, keep=9))
    assert (mine.config.keep, other.config.keep, other.actor, other.state) == (5, 9, "ada@desk", mine.state)


def test_dialing_begins_before_it_is_asked_for_a_host(tmp_path: Path) -> None:
    """The connection that was made ahead is the one that the host gets; one that nobody asked for is closed."""
    made: list[LocalConnection] = []

    def connect(name: str) -> LocalConnection:
        made.append(LocalConnection())
        return made[-1]

    with node(tmp_path, connect=connect).dialing(["web1"]) as dialing:
        assert dialing.host("web1").open() is made[0]
    with node(tmp_path, connect=connect).dialing(["web1"]):
        assert eventually(lambda: len(made) == 2)
    assert eventually(lambda: made[1].closed)
    assert not made[0].closed


def test_journal_heads_are_noted_when_facts_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the command was that read them, for the target that answered; another one under the name is told."""
    told: list[Event] = []
    mine = node(tmp_path, listener=told.append)
    web1 = mine.host("web1")
    for web1.target, seq in (("one", 3), ("one", 4), ("two", 1)):
        said = {"live": None, "head": {"seq": seq, "hash": "c"}, "clock": 0.0}
        monkeypatch.setattr(web1, "call", lambda *_, said=said: said)
        web1.facts({"sha": None})
    assert [(mine.journal_heads.seen("web1", ROOT, target) or {})["seq"] for target in ("one", "two")] == [4, 1]
    assert [event.message for event in told if event.name == "warning"] == [
        f"the deploy root {ROOT} on web1 has another id than when this machine saw it last: "
        "its journal is not compared with the one from before; "
        "this is expected when the host was set up anew, or after a claim; otherwise see fab -H web1 audit"
    ]


def test_a_listener_that_fails_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Telling goes on: its failure is not that of the command."""

    def listener(event: Event) -> None:
        raise RuntimeError("of the listener")

    node(tmp_path, listener=listener).tell("commit", "a message")
    assert "of the listener" in caplog.text


def test_the_source_is_the_repository_it_was_given(tmp_path: Path, repository: Repository) -> None:
    """A directory that is no repository is found out when it is asked for."""
    sha = repository.commit("first", file="1")
    assert node(tmp_path, source=repository.path).source().resolve(sha).subject == "first"
    with pytest.raises(InvalidInput, match="not a readable git repository"):
        node(tmp_path, source=tmp_path).source()


def test_git_is_asked_once_a_command_what_the_repository_is(tmp_path: Path, repository: Repository) -> None:
    """A command has one source; the next one of the same control node looks again."""
    mine = node(tmp_path, source=repository.path)
    with mine.dialing([]) as first, mine.dialing([]) as second:
        assert first.source() is first.source()
        assert first.source() is not second.source()
    assert mine.source() is not mine.source()
