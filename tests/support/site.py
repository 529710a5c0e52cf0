"""Hosts that are directories of this machine, a repository of three commits, and a registry in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.config import load
from oroboros_deploy.deployment import Deployment
from oroboros_deploy.events import Event, Listener
from oroboros_deploy.outcome import Outcome, State
from oroboros_deploy.testing import LocalCommand, LocalConnection
from tests.support import compiled
from tests.support.repository import Repository

Connect = Callable[[str], LocalConnection]
GATE = 'test -f ok && test "$(cat ok)" = yes || exit 78'  # final: nobody waits for what does not pass


class Connection(LocalConnection):
    """A connection to a host that has the agent."""

    def command(self, script: str, *, deadline: float, silence: float | None = None) -> LocalCommand:
        """Run it where the agent was before; a link that is cut is cut in the call that takes the agent along."""
        root = Path(self.places[1])
        if not self.cut_after and compiled.is_asked_in(self.placed(script), root):
            compiled.bring(root)
        return super().command(script, deadline=deadline, silence=silence)


class Site:
    """Some hosts that are directories, a repository, and a registry."""

    def __init__(self, tmp_path: Path, repository: Repository) -> None:
        self.tmp = tmp_path
        self.repository = repository
        self.connections: dict[str, list[LocalConnection]] = {}
        self.events: list[Event] = []
        self.good = repository.commit("good", ok="yes")
        self.better = repository.commit("better", more="1")
        self.bad = repository.commit("bad", ok="no")

    def root(self, host: str = "web1") -> Path:
        return self.tmp / "hosts" / host

    def deployment(
        self,
        host: str = "web1",
        *,
        connect: Connect | None = None,
        listener: Listener | None = None,
        source: Path | None = None,
        actor: str = "tester@desk",
        **settings: object,
    ) -> Deployment:
        """Each host has a root of its own, so several can share this machine."""
        defaults = {"build": {"frontend": None, "venvs": {}}, "healthcheck": {"timeout": 60, "interval": 0.1}}
        own = {"root": str(self.root(host)), "application": "shop"}  # one application, wherever its hosts' roots are
        layers = [("fabric.yaml", {**defaults, **own, **settings})]
        flags = {"healthcheck.command": GATE, "skip_restart": True}
        environ = {"DEPLOY_REGISTRY_URL": f"sqlite:///{self.tmp}/registry.db"}
        return Deployment(
            load(layers, environ, flags=flags),
            source=source or self.repository.path,
            listener=listener or self.events.append,
            actor=actor,
            connect=connect or self.connect,  # type: ignore[arg-type]
        )

    def fleet(self, gate: str = "true", **settings: Any) -> Deployment:
        """Hosts that share their settings."""
        fleet = self.deployment("HOST", **settings)
        object.__setattr__(fleet.config.healthcheck, "command", gate)
        return fleet

    def connect(self, name: str) -> LocalConnection:
        places = str(self.root("HOST")), str(self.root(name))
        self.connections.setdefault(name, []).append(Connection(places))
        return self.connections[name][-1]

    def commands(self, host: str = "web1") -> list[str]:
        """What was sent to a host since the last look."""
        return [command for connection in self.connections.pop(host, []) for command in connection.commands]

    def live(self, host: str = "web1") -> str | None:
        current = self.root(host) / "current"
        return current.readlink().name if current.is_symlink() else None

    def statuses(self) -> dict[str, str]:
        with self.deployment().registry() as registry:
            return {row["release_id"]: row["status"] for row in registry.list()}


@pytest.fixture
def site(tmp_path: Path, repository: Repository) -> Site:
    return Site(tmp_path, repository)


def states(outcome: Outcome) -> dict[str, State]:
    return {host.host: host.state for host in outcome.hosts}
