"""Tests of the agent do not wait for the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from oroboros_deploy.host import durable, launch, manager, records
from oroboros_deploy.host.contract import Scope
from tests.support.faults import Services, World, bring_back, interpreter, keep_history
from tests.support.invariants import broken
from tests.support.local_agent import LocalAgent
from tests.support.repository import Repository
from tests.support.rights import MOUNT, above, refused, require_another_user, require_giving_away
from tests.support.small_filesystem import small_filesystem


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here cuts the power, so nobody in this process waits for the disk; the agent's own processes do."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(durable, "sync_filesystem", lambda path: None)


@pytest.fixture(scope="module")
def scope() -> Scope:
    """Whose service manager runs what the world deploys; a file may ask for both."""
    return "system"


@pytest.fixture(scope="module")
def place(scope: Scope, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk that can be filled; without the right to mount one, a directory, and no row fills it."""
    path = tmp_path_factory.mktemp("disk") / "srv"
    if refused(*MOUNT):
        path.mkdir()
        yield path
    else:
        with small_filesystem(path, inodes=300):
            yield path


@pytest.fixture(scope="module")
def history(place: Path, scope: Scope, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every row starts from: three releases were live, the last one is; others wait."""
    with pytest.MonkeyPatch.context() as patch, manager.serving(scope):
        patch.setattr(os, "fsync", lambda descriptor: None)
        host = LocalAgent(place, scope)
        host.paths.create()
        world = World(host, Services(host, tmp_path_factory.mktemp("first") / "services", patch))
        good = {"health": "good", "migration": "good"}

        def units_of(name: str) -> dict[str, str]:
            """One unit that every release has its own text of, and one that only this release has."""
            return {"infra__api.service": f"# {name}\n", f"infra__{name}.service": "#\n"}

        for name in ("older", "spoilt", "old"):
            launch.run(host.paths, world.request(host.sealed(name, **good, **units_of(name))))
        interpreter(host.root).touch()
        host.sealed("new", interpreter(host.root), **good, **units_of("new"))
        host.sealed("bad", health="bad", migration="good", **units_of("bad"))
        host.sealed("stuck", health="good", migration="bad", **units_of("stuck"))
        assert (len(host.journal), broken(place, serving=world.services.running)) == (3, [])
    kept = tmp_path_factory.mktemp("history") / "srv"
    keep_history(place, kept)
    return kept


@pytest.fixture
def world(place: Path, history: Path, scope: Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    bring_back(place, history)
    host = LocalAgent(place, scope)
    with manager.serving(scope):
        services = Services(host, tmp_path / "services", monkeypatch)
        installed = str(records.units_of(host.paths, host.live))
        services.put_units(host.paths, installed, installed)
        yield World(host, services)


@pytest.fixture
def a_login(tmp_path: Path, repository: Repository) -> LocalAgent:
    """A host whose login is not root, with the repository's commits; this process is root and writes as services do."""
    require_another_user()
    require_giving_away()
    for path in (tmp_path, *above(tmp_path)):
        path.chmod(path.stat().st_mode | 0o011)
    root = tmp_path / "srv"
    root.mkdir()
    os.chown(root, 65534, 65534)
    host = LocalAgent(root, user=65534, group=65534, extra_groups=[], umask=0o022, env={"PATH": os.environ["PATH"]})
    host.facts()
    return host
