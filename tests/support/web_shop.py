"""A small company's two machines and repository: real deploys, by the real agent, into a real registry.

Run as a program it deploys one commit and may be killed: ``python -m tests.web.shop DIRECTORY HOST SHA``.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from oroboros_deploy.config import load
from oroboros_deploy.deployment import Deployment
from oroboros_deploy.events import Event
from oroboros_deploy.outcome import Outcome
from oroboros_deploy.testing import LocalConnection
from tests.support.history import HARM
from tests.support.repository import Repository


class Shop:
    """Hosts that are directories of this machine; their gate passes when the release says so and ``hold`` is gone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.hold = directory / "hold"
        self.url = f"sqlite:///{directory}/registry.db"
        self.events: list[Event] = []

    def root(self, host: str) -> Path:
        return self.directory / "hosts" / host

    def deployment(self, host: str, environment: str = "prod") -> Deployment:
        gate = f'echo "GET /health: $(cat ok)"; test "$(cat ok)" = yes || exit 78; test ! -e {self.hold}'
        settings = {
            "root": str(self.root(host)),
            "build": {"frontend": None, "venvs": {}},
            "healthcheck": {"command": gate, "timeout": 60, "interval": 0.1, "stable_for": 0.3},
            "environments": {environment: {"hosts": [host]}},
        }
        return Deployment(
            load(
                [("fabric.yaml", settings)],
                {"DEPLOY_REGISTRY_URL": self.url},
                environment=environment,
                flags={"skip_restart": True},
            ),
            source=self.directory / "source",
            listener=self.events.append,
            actor="ada@desk",
            connect=lambda _: LocalConnection(),  # type: ignore[arg-type, return-value]
        )

    def deploy(self, host: str, sha: str, environment: str = "prod") -> Outcome:
        return self.deployment(host, environment).deploy([host], sha=sha)

    def open(self) -> dict[str, str]:
        """Some days of work in a second: deploys, a failure, a rollback, and a switch by hand that nobody recorded."""
        repository = Repository(self.directory / "source")
        shas = {"first": repository.commit("Sell tea", ok="yes")}
        repository.commit("Weigh the tea before it is packed", scale="1")
        shas["second"] = repository.commit("Print the price on the bag", price="3")
        shas["harm"] = repository.commit(HARM.replace("\0", ""), harm=HARM)
        shas["bad"] = repository.commit("Sell coffee instead", ok="no")
        shas["next"] = repository.commit("Sell tea again, and biscuits", ok="yes", biscuits="12")
        for host, environment in (("web1", "prod"), ("web2", "prod"), ("stage1", "staging")):
            self.deploy(host, shas["first"], environment)
            self.deploy(host, shas["second"], environment)
        self.deploy("web1", shas["bad"])
        self.deploy("stage1", shas["harm"], "staging")
        self.deployment("stage1", "staging").rollback(["stage1"], release=shas["first"])
        self._switch_by_hand("web2", shas["first"])
        self.deployment("web2").status()
        return shas

    def reached(self, phase: str, within: float = 15.0) -> float:
        """When the running attempt reached a phase, as soon as it has."""
        until = time.monotonic() + within
        while time.monotonic() < until:
            for event in self.events:
                if event.data.get("phase") == phase:
                    return event.at
            time.sleep(0.01)
        raise TimeoutError(phase)

    def _switch_by_hand(self, host: str, sha: str) -> None:
        link = self.root(host) / "current"
        link.unlink()
        link.symlink_to(os.path.join("releases", sha))


if __name__ == "__main__":
    directory, host, sha = sys.argv[1:]
    Shop(Path(directory)).deploy(host, sha)
