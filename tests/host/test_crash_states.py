"""Lost writes: whatever a power cut leaves of the last seconds' writes, the host comes to rest as it should."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from oroboros_deploy.host import configuration, gate, launch, manager, process, seal, state, unit_sets, units
from oroboros_deploy.host.layout import Layout
from oroboros_deploy.host.reserve import Reserve
from tests.support.clock import Hasty
from tests.support.crash_states import Disk, PowerCuts
from tests.support.invariants import broken
from tests.support.local_agent import LocalAgent
from tests.support.watching import tree

if TYPE_CHECKING:
    from oroboros_deploy.host.contract import Sources

pytestmark = pytest.mark.slow

HEALTH = {"command": "sh ./health", "timeout": 10, "interval": 20, "stable_for": 0}
INFRA = {"directory": "infra", "application": "shop", "adopt": False}
Cuts = Callable[..., PowerCuts]


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "start_detached", lambda *_: None)
    monkeypatch.setattr(gate, "time", Hasty())
    monkeypatch.setattr(Reserve, "fill", lambda self: None)  # nothing depends on its lasting


@pytest.fixture
def cuts(host: LocalAgent) -> Iterator[Cuts]:
    """Records while the ``with`` block of the patch lasts; closes what it held open."""
    made: list[PowerCuts] = []

    def record(patch: pytest.MonkeyPatch, ignoring: str = "") -> PowerCuts:
        made.append(PowerCuts(host.root, patch, ignoring))
        return made[-1]

    yield record
    for each in made:
        each.close()


class Root:
    """Puts units in their places by the commands that root is given, one by one; before each the power may fail."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cut: Callable[[], None] = lambda: None
        self.move(directory, monkeypatch)
        monkeypatch.setattr(unit_sets, "verify", lambda *_: None)
        monkeypatch.setattr(unit_sets, "as_root", self.do)
        monkeypatch.setattr(units, "show", shown)

    def move(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on the units are in this directory."""
        monkeypatch.setattr(manager, "UNITS", directory)

    @property
    def units(self) -> set[str]:
        """The names that are there."""
        return set(os.listdir(manager.UNITS))

    def do(self, script: str, attempt: str, deadline: float) -> process.Ended:
        for command in commands(script):
            self.cut()
            name, *arguments = shlex.split(command)
            if name == "sync":
                for each in arguments:
                    synced(Path(manager.UNITS, each))
            elif "systemctl" not in (name, *arguments):
                subprocess.run(["sh", "-ec", command], cwd=manager.UNITS, check=True)
        return process.Ended(0, "", 0.0)


def commands(script: str) -> Iterator[str]:
    """The commands in the function that a script is; the text of a unit has several lines."""
    found = ""
    for line in script.splitlines(keepends=True)[2:-2]:
        found += line
        if found.count("'") % 2 == 0:
            yield found
            found = ""


def synced(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def shown(names: Sequence[str]) -> dict[str, units.Unit]:
    """Units that systemd knows and does not run."""
    rest = ("loaded", "inactive", "dead", "exec", "success", "", "", "0", False, "0")
    return {name: units.Unit(name, *rest) for name in names}


def history(host: LocalAgent, *names: str, env: bool = False) -> list[str]:
    shas = [host.sealed(name, health="exit 0") for name in names]
    for sha in shas:
        host.activate_here(sha, healthcheck=HEALTH, **({"configuration": configured(host, sha)} if env else {}))
    return shas


def with_units(host: LocalAgent, name: str) -> str:
    """A release that brings a unit with a text of its own, and one that no other has."""
    text = f"[Service]\nExecStart=/bin/true {name}\n"
    brought = {f"infra__{unit}.service": text for unit in ("crash", f"crash-{name}")}
    return host.sealed(name, health="exit 0", **brought)


def configured(host: LocalAgent, sha: str) -> str:
    """The revision of a configuration that no other release has."""
    sources: Sources = {"file": None, "values": {"RELEASE": sha}, "secrets": {}, "build": []}
    return configuration.configure(host.paths, {"sha": sha, "env": sources})["revision"]


def results(host: LocalAgent) -> frozenset[tuple[str, str, str | None]]:
    """What a control node may have been told of each attempt: its end, and what is live."""

    def told(path: Path) -> tuple[str, str, str | None]:
        result = json.loads(path.read_text())
        return path.parent.name, result.get("state", {}).get("phase", "refused"), result.get("live")

    return frozenset(map(told, (host.paths.ours / "attempts").glob("*/result.json")))


def booted(disk: Disk, place: Path, releases: Path, monkeypatch: pytest.MonkeyPatch) -> LocalAgent:
    """The host that boots with this disk: its boot unit settles, then somebody asks after every attempt."""
    place.mkdir()
    disk.write(place)
    (place / "releases").symlink_to(releases)
    host = LocalAgent(place)
    monkeypatch.setattr(state, "boot_id", lambda: "the next one")
    unfinished = host.paths.unfinished
    if (unfinished / "request.json").exists():
        launch.after_boot(host.paths, moved(unfinished / "request.json", host.paths))
    if host.paths.ours.exists():
        for kept in (host.paths.ours / "attempts").glob("*/request.json"):
            if not (kept.parent / "result.json").exists():
                launch.recover(host.paths, moved(kept, host.paths))
    return host


def moved(request: Path, layout: Layout) -> dict[str, Any]:
    return {**json.loads(request.read_text()), "layout": layout.as_dict()}


def activate(host: LocalAgent, request: dict[str, Any]) -> None:
    launch.start(host.paths, request, lambda *_, **__: None)
    launch.run(host.paths, request)


@pytest.mark.parametrize("journey", ["first deploy", "bad first deploy", "deploy", "rollback", "restore", "refusal"])
def test_an_activation(
    host: LocalAgent, cuts: Cuts, journey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old or new, and recorded as what it is; what was told before the cut stays true; the next deploy works."""
    shas = [] if "first" in journey else history(host, "older", "old")
    new = host.sealed("new", health="exit 1" if journey in ("bad first deploy", "restore") else "exit 0")
    target = {"rollback": shas[:1], "refusal": ["a" * 40]}.get(journey, [new])[0]
    request = host.request(target, healthcheck=HEALTH)
    with pytest.MonkeyPatch.context() as patch:
        recorded = cuts(patch, "releases")
        recorded.seen = lambda: results(host)
        activate(host, request)
        recorded.cut()
    before, after = (shas or [None])[-1], host.live
    assert (recorded.moments > 10, len(recorded.disks) > 4) == (True, True)
    for number, (key, disk) in enumerate(recorded.disks.items()):
        again = booted(disk, tmp_path / f"disk{number}", host.paths.releases, monkeypatch)
        assert again.live in (before, after)
        assert broken(again.root) == []
        for told in recorded.witnessed[key]:  # a control node may have read any of these before the cut
            assert told <= results(again)
        assert again.activate_here(new, healthcheck=None).refusal is None
        assert (again.live, broken(again.root)) == (new, [])


@pytest.mark.parametrize("journey", ["first", "deploy", "the configuration alone", "restore"])
def test_an_activation_with_a_configuration(
    host: LocalAgent, cuts: Cuts, journey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Release and configuration are old or new together, whichever of the writes are lost."""
    [old] = history(host, "old", env=journey != "first")
    target = old if journey == "the configuration alone" else host.sealed("new", health=_health(journey))
    before = (old, configuration.in_use(host.paths))
    revision = configured(host, target) if target != old else configured(host, host.sealed("other"))
    request = host.request(target, healthcheck=HEALTH, configuration=revision)
    with pytest.MonkeyPatch.context() as patch:
        recorded = cuts(patch, "releases")
        activate(host, request)
        recorded.cut()
    after = before if journey == "restore" else (target, revision)
    assert (recorded.moments > 10, (host.live, configuration.in_use(host.paths))) == (True, after)
    for number, disk in enumerate(recorded.disks.values()):
        again = booted(disk, tmp_path / f"disk{number}", host.paths.releases, monkeypatch)
        assert (again.live, configuration.in_use(again.paths)) in (before, after)
        assert broken(again.root) == []


def test_an_activation_with_units(
    host: LocalAgent, cuts: Cuts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The units are those of the release that is live, old or new, whichever of the writes are lost."""
    (host.root / "units").mkdir(parents=True)
    root = Root(host.root / "units", monkeypatch)
    old, new = with_units(host, "old"), with_units(host, "new")
    usual: dict[str, Any] = {"healthcheck": HEALTH, "units": INFRA}
    host.activate_here(old, configuration=configured(host, old), **usual)
    ends = {old: {"crash.service", "crash-old.service"}, new: {"crash.service", "crash-new.service"}}
    assert (host.live, root.units) == (old, ends[old])
    request = host.request(new, configuration=configured(host, new), **usual)
    with pytest.MonkeyPatch.context() as patch:
        recorded = cuts(patch, "releases")
        root.cut = recorded.cut
        activate(host, request)
        recorded.cut()
    root.cut = lambda: None
    assert (recorded.moments > 10, host.live, root.units) == (True, new, ends[new])
    lives = set()
    for number, disk in enumerate(recorded.disks.values()):
        place = tmp_path / f"disk{number}"
        root.move(place / "units", monkeypatch)
        again = booted(disk, place, host.paths.releases, monkeypatch)
        lives.add(again.live)
        assert root.units == ends[str(again.live)]
        assert broken(again.root, units=place / "units") == []
    assert lives == {old, new}


def _health(journey: str) -> str:
    return "exit 1" if journey == "restore" else "exit 0"


def test_a_settling_that_is_cut(host: LocalAgent, cuts: Cuts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The power fails again while the boot unit settles: the boot after that one does."""
    _, old = history(host, "older", "old")
    request = host.request(host.sealed("new", health="exit 0"), healthcheck=HEALTH)
    launch.start(host.paths, request, lambda *_, **__: None)

    class Cut(Exception):
        pass

    def save(path: Path, entered: state.State) -> None:
        saved(path, entered)
        if entered.phase == "restarted":
            raise Cut

    saved = state.save
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Cut):
        patch.setattr(state, "save", save)
        launch.run(host.paths, request)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "boot_id", lambda: "the one between")
        recorded = cuts(patch, "releases")
        launch.after_boot(host.paths, request)
        recorded.cut()
    for number, disk in enumerate(recorded.disks.values()):
        again = booted(disk, tmp_path / f"disk{number}", host.paths.releases, monkeypatch)
        assert (again.live, broken(again.root)) == (old, [])


def test_a_seal(host: LocalAgent, cuts: Cuts, tmp_path: Path) -> None:
    """A release that says it is sealed has every byte that was built; one that does not is never used."""
    host.paths.create()
    release = host.paths.release("c" * 40)
    with pytest.MonkeyPatch.context() as patch:
        recorded = cuts(patch)
        release.mkdir()
        (release / "sub").mkdir()
        for name in ("file", "sub/another"):
            (release / name).write_text(f"the content of {name}")
        (release / "link").symlink_to("file")
        seal.seal(release, seal.meta_now(release.name, "test"))
        recorded.cut()
    whole, states = {name: found for name, (_, found) in tree(release).items()}, set()
    for number, disk in enumerate(recorded.disks.values()):
        place = tmp_path / f"disk{number}"
        place.mkdir()
        disk.write(place)
        kept = place / "releases" / release.name
        states.add(seal.state_of(kept))
        if seal.state_of(kept) == "sealed":
            assert {name: found for name, (_, found) in tree(kept).items()} == whole
            assert seal.verify(kept) is None
    assert {"sealed", "unsealed"} <= states <= {"sealed", "unsealed", "missing"}
