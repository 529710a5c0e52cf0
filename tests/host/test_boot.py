"""The boot unit: what it says, how it comes to a host, and what it settles."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import boot, environment, launch, lock, manager, records, state, unit_sets, units
from oroboros_deploy.host.layout import Layout
from oroboros_deploy.remote import agent
from tests.host.test_activation import DEATHS, HEALTH, ONCE, die_in, health, journaled, staged
from tests.support.faults import World
from tests.support.local_agent import LocalAgent
from tests.support.rights import require_giving_away
from tests.support.watching import tree

pytestmark = pytest.mark.slow  # whole builds and activations

TEXT = """\
[Unit]
Description=Settle an activation in {root} that a power cut interrupted
ConditionPathExists={root}/.deploy/unfinished
RequiresMountsFor="{root}" "{root}/releases" "/mnt/our \\"100%%\\" disk"
Before=api.service cron.timer in.service look.service web@main.service

[Service]
Type=oneshot
User={user}
UMask=0022
ExecStartPre=/bin/sh -c '[ -z "$$(find -H {root}/.deploy {root}/.deploy/boot {agent} -maxdepth 0 \
! -user {user} -o -perm /022)" ] && echo "{digest}  {agent}" | sha256sum --check --status || \
{{ echo "at this boot, no interrupted activation is settled: {agent} is not the file that a deploy put there, or other \
users can write there; look at the host: fab -H HOST status ; the next deploy settles \
what was interrupted" >&2; exit 1; }}'
ExecStart={python} -IS {agent} boot
TimeoutStartSec=30

[Install]
WantedBy=multi-user.target
"""


class Systemd:
    """``systemd-run`` and ``sudo`` that run what they are given, and a directory of units."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.units = tmp_path / "units"
        self.units.mkdir()
        self.log = tmp_path / "runs"
        self.log.touch()
        self.tools = tmp_path / "tools"
        self.tools.mkdir()
        self.tool("sudo", 'shift; exec "$@"')
        self.tool("systemd-run", f'echo run >>{self.log}; while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
        monkeypatch.setattr(manager, "UNITS", self.units)
        monkeypatch.setattr(environment, "SYSTEM", f"{self.tools}:{environment.SYSTEM}")

    def tool(self, name: str, script: str) -> None:
        (self.tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.tools / name).chmod(0o755)

    @property
    def runs(self) -> int:
        return len(self.log.read_text().splitlines())

    @property
    def installed(self) -> list[Path]:
        return list(self.units.glob("*.service"))

    @property
    def enabled(self) -> list[Path]:
        return [link.resolve() for link in self.units.glob("multi-user.target.wants/*")]


@pytest.fixture
def systemd(host: LocalAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    host.paths.create()
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "agent.pyz")])
    (tmp_path / "agent.pyz").write_text("the agent")
    return Systemd(tmp_path, monkeypatch)


@pytest.fixture
def old(host: LocalAgent) -> str:
    sha = host.sealed("old", health="exit 0")
    host.activate_here(sha, healthcheck=HEALTH)
    return sha


def install(host: LocalAgent, *services: str) -> list[tuple[str, str]]:
    """Install the unit for these services; returns what was said."""
    said: list[tuple[str, str]] = []

    def say(event: str, message: str = "", **data: Any) -> None:
        said.append((event, message))

    boot.install(host.paths, host.request("new", services=[*services]), say)
    return said


def died_with_the_host(host: LocalAgent, request: dict[str, Any], kind: str, name: str) -> None:
    """Run an activation until the power fails there."""
    die_in(host, request, kind, name)
    found = json.loads(host.paths.state.read_text())
    host.paths.state.write_text(json.dumps({**found, "boot": "an-earlier-one"}))


def boot_again(host: LocalAgent) -> None:
    """What the boot unit does, in this process."""
    launch.after_boot(host.paths, json.loads((host.paths.unfinished / "request.json").read_text()))


def test_the_unit(host: LocalAgent, systemd: Systemd) -> None:
    """It runs as this login, before the services, once the mounts are there, while an attempt is unfinished."""
    host.layout["current"] = '/mnt/our "100%" disk/current'
    install(host, "api", "web@main.service", "cron.timer", "in.socket", "look.path", "line@.socket")
    [unit] = systemd.installed
    digest = hashlib.sha256(b"the agent").hexdigest()
    kept = host.paths.boot / f"{digest[:32]}.pyz"
    wanted = TEXT.format(root=host.root, user=os.getuid(), python=sys.executable, digest=digest, agent=kept)
    assert (unit.read_text(), unit.stat().st_mode & 0o777) == (wanted, 0o644)


def test_the_unit_of_the_login_itself(host: LocalAgent, systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own manager runs it as the login anyway; it is written without root, and enabled for the manager's start."""
    monkeypatch.setattr(manager, "USER_UNITS", systemd.units / "own")
    with manager.serving("user"):
        install(host, "api")
    [unit] = (systemd.units / "own").glob("*.service")
    shown = unit.read_text()
    assert ("User=" in shown, shown.splitlines()[-1], systemd.runs) == (False, "WantedBy=default.target", 0)
    assert (systemd.units / "own/default.target.wants" / unit.name).resolve() == unit


@pytest.mark.parametrize(
    ("root", "name"),
    [
        ("/srv/oroboros", "oroboros-boot-srv-oroboros.service"),
        ("/srv/our/app", "oroboros-boot-srv-our-app.service"),
        ("/srv/our-app", r"oroboros-boot-srv-our\x2dapp.service"),
        ("/srv/a@b.c", r"oroboros-boot-srv-a\x40b.c.service"),
        ("/srv/ü", r"oroboros-boot-srv-\xc3\xbc.service"),
    ],
)
def test_each_root_has_its_own(root: str, name: str) -> None:
    """Named by its path, as systemd escapes paths."""
    assert boot.unit_name(Path(root)) == name


def test_installed_once(host: LocalAgent, systemd: Systemd) -> None:
    """The first time it is enabled for the next boot; after that looking at one file is all."""
    name = boot.unit_name(host.root)
    assert install(host, "api") == [
        ("boot.installed", f"at a boot, {name} settles an activation that a power cut interrupted")
    ]
    assert systemd.installed == systemd.enabled == [systemd.units / name]
    assert (install(host, "api"), systemd.runs) == ([], 1)


def test_other_services(host: LocalAgent, systemd: Systemd) -> None:
    """The unit follows the settings; when an administrator disabled it, it stays so."""
    install(host, "api")
    [link] = systemd.units.glob("multi-user.target.wants/*")
    link.unlink()
    install(host, "api", "worker")
    [unit] = systemd.installed
    assert ("Before=api.service worker.service\n" in unit.read_text(), systemd.enabled) == (True, [])


def test_services_of_the_way_back(host: LocalAgent, systemd: Systemd, old: str) -> None:
    """Those of the release that is live wait for it as well, whatever the attempt has instead of them."""
    records.write(host.paths, host.request(old, services=["api", "mailer"], restart=True), None)
    install(host, "api", "post")
    [unit] = systemd.installed
    assert "Before=api.service mailer.service post.service\n" in unit.read_text()


def test_masked(host: LocalAgent, systemd: Systemd) -> None:
    """A unit that an administrator masked is left alone."""
    (systemd.units / boot.unit_name(host.root)).symlink_to("/dev/null")
    assert (install(host, "api"), systemd.runs) == ([], 0)


@pytest.mark.parametrize("tool", ["systemd-run", "install", "ln", "mv"])
def test_a_host_that_cannot_take_it(host: LocalAgent, systemd: Systemd, tool: str) -> None:
    """That is a warning with its cause, and no failure; the next activation tries again."""
    systemd.tool(tool, "echo read-only; exit 1")
    name = boot.unit_name(host.root)
    without = "after a power cut, an interrupted activation may be settled only when the next command reaches this host"
    message = f"the boot unit {name} is not installed: exited 1: read-only; {without}"
    assert install(host, "api") == install(host, "api") == [("warning", message)]


def test_a_full_disk(host: LocalAgent, systemd: Systemd) -> None:
    """Not even the copy of the agent fits: a warning as well."""
    host.paths.boot.rmdir()
    host.paths.boot.write_text("no directory")
    [(event, message)] = install(host, "api")
    assert (event, "is not installed: [Errno " in message, systemd.runs) == ("warning", True, 0)


def test_the_agent_it_runs_is_the_last_one(host: LocalAgent, systemd: Systemd, tmp_path: Path) -> None:
    """It has a copy of its own, of the agent that writes the state, in a place that stays; older copies go."""
    (host.paths.boot / "agent.pyz").write_text("of an earlier version")
    for text in ("the agent", "a newer agent"):
        (tmp_path / "agent.pyz").write_text(text)
        install(host, "api")
    (tmp_path / "agent.pyz").unlink()
    [kept] = host.paths.boot.glob("*.pyz")
    assert (kept.read_text(), f"ExecStart={sys.executable} -IS {kept} boot" in systemd.installed[0].read_text()) == (
        "a newer agent",
        True,
    )


def test_a_unit_that_stays_as_it_was_keeps_its_agent(host: LocalAgent, systemd: Systemd, tmp_path: Path) -> None:
    """The power may fail, or root refuse, before the unit names the newer agent."""
    install(host, "api")
    (tmp_path / "agent.pyz").write_text("a newer agent")
    systemd.tool("mv", "exit 1")
    install(host, "api")
    assert sorted(kept.read_text() for kept in host.paths.boot.glob("*.pyz")) == ["a newer agent", "the agent"]
    assert checked(systemd).returncode == 0


def checked(systemd: Systemd) -> subprocess.CompletedProcess[str]:
    """What the unit runs before the agent, run as systemd would."""
    line = next(line for line in systemd.installed[0].read_text().replace("\\\n", "").splitlines() if "Pre=" in line)
    argv = shlex.split(line.partition("=")[2].replace("$$", "$").replace("%%", "%"))
    return subprocess.run(argv, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("what", ["another", "gone", "open", "open directory", "ours is open", "somebody's"])
def test_the_unit_runs_nothing_that_others_put_there(host: LocalAgent, systemd: Systemd, what: str) -> None:
    """The agent's hash, owner and modes, and those of the directories it lies in, are looked at before it runs."""
    install(host, "api")
    [kept] = host.paths.boot.glob("*.pyz")
    assert (checked(systemd).returncode, checked(systemd).stderr) == (0, "")
    if what == "somebody's":
        require_giving_away()
    act: dict[str, Callable[[], object]] = {
        "another": lambda: kept.write_text("another"),
        "gone": kept.unlink,
        "open": lambda: kept.chmod(0o620),
        "open directory": lambda: host.paths.boot.chmod(0o777),
        "ours is open": lambda: host.paths.ours.chmod(0o770),
        "somebody's": lambda: os.chown(kept, 65534, -1),
    }
    act[what]()
    said = checked(systemd)
    assert (said.returncode, said.stderr.splitlines()[-1]) == (
        1,
        f"at this boot, no interrupted activation is settled: {kept} is not the file that a deploy put there, or other "
        "users can write there; look at the host: fab -H HOST status ; the next deploy settles what was interrupted",
    )


def test_unfinished_means_unfinished(host: LocalAgent, old: str, tmp_path: Path) -> None:
    """The link the unit depends on is there exactly as long as an attempt is not at its end."""
    link, seen = host.paths.unfinished, tmp_path / "seen"
    request = host.request(host.sealed("new", health=f"readlink {link} >{seen}"), healthcheck=HEALTH)
    assert not link.is_symlink()
    host.keep(request)
    launch.run(host.paths, request)
    assert (seen.read_text(), link.is_symlink()) == (f"attempts/{request['attempt']}\n", False)


@pytest.mark.parametrize(("kind", "name", "status", "outcome", "live"), DEATHS)
def test_a_power_cut_in_any_phase(
    host: LocalAgent, old: str, kind: str, name: str, status: int, outcome: str, live: str, tmp_path: Path
) -> None:
    """The next boot ends the attempt, once: the right link, one entry, its result; no gate, for nothing serves yet."""
    gates = tmp_path / "gates"
    new = host.sealed("new", health=f"exit {status}")
    gate = {**ONCE, "command": f"echo >>{gates}; sh ./health"}
    request = host.request(new, healthcheck=gate, migrate="true")
    died_with_the_host(host, request, kind, name)
    gates.unlink(missing_ok=True)
    boot_again(host)
    expected = {"old": old, "new": new}[live]
    assert (journaled(host)[1:], host.live, gates.exists()) == ([(new, outcome, expected)], expected, False)
    answer = host.answer(request["attempt"])
    assert ((answer.result or {})["state"]["phase"], (answer.result or {})["live"]) == (outcome, expected)
    assert (staged(host), host.paths.unfinished.is_symlink()) == ([], False)


def test_the_agent_settles(host: LocalAgent, old: str) -> None:
    """What the unit starts finds the attempt, and its layout, by where it lies."""
    died_with_the_host(host, host.request(host.sealed("new", health="exit 0"), healthcheck=HEALTH), "phase", "swapped")
    kept = host.paths.boot / "agent.pyz"
    kept.write_bytes(agent.packed().data)
    subprocess.run([sys.executable, "-IS", kept, "boot"], check=True, timeout=20, cwd="/", env={})
    assert (host.live, len(host.journal)) == (old, 2)


def test_the_reason_is_told(host: LocalAgent, old: str) -> None:
    """An interrupted attempt says that the host went down, and when; one that failed by itself keeps its reason."""
    for status, phase in ((0, "restarted"), (1, "restoring")):
        new = host.sealed(phase, health=f"exit {status}")
        died_with_the_host(host, host.request(new, healthcheck=ONCE), "phase", phase)
        boot_again(host)
    assert [entry["reason"] for entry in host.journal[1:]] == [
        "the host went down after 'restarted'",
        "the gate was not passed: the health command exited 1 (gave up after 10 s)",
    ]


def test_a_result_that_was_written_already(host: LocalAgent, old: str) -> None:
    """When only the link was left over, it goes, and the journal stays as it is."""
    request = host.request(host.sealed("new", health="exit 0"), healthcheck=HEALTH)
    died_with_the_host(host, request, "phase", "committed")
    launch.recover(host.paths, request)
    host.paths.unfinished.symlink_to(f"attempts/{request['attempt']}")
    before = tree(host.root), host.paths.journal.read_bytes()
    boot_again(host)
    assert ((tree(host.root), host.paths.journal.read_bytes()), host.paths.unfinished.is_symlink()) == (before, False)


def test_a_host_that_goes_down(host: LocalAgent, old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recovery that runs into a shutdown puts the link back and asks nothing of services that cannot start."""
    new = host.sealed("new", health="exit 0")
    request = host.request(new, healthcheck=health(command="exit 1", timeout=0.1))
    die_in(host, request, "phase", "swapped")
    monkeypatch.setattr(units, "going_down", lambda: True)
    launch.recover(host.paths, request)
    assert (journaled(host)[1:], host.live) == ([(new, "restored", old)], old)


@pytest.mark.parametrize("phase", ["prepared", "swapped", "restarted", "gated", "committed"])
def test_an_attempt_of_this_boot_is_left_alone(host: LocalAgent, old: str, phase: str) -> None:
    """Even when its process is dead: its recovery ends it, services included; the unit would only move the link."""
    request = host.request(host.sealed("new", health="exit 0"), healthcheck=HEALTH)
    die_in(host, request, "phase", phase)
    before = tree(host.root), state.load(host.paths.state), host.journal
    boot_again(host)
    assert (tree(host.root), state.load(host.paths.state), host.journal) == before


@pytest.mark.slow
def test_somebody_settles_it_already(host: LocalAgent, old: str) -> None:
    """Whoever holds the lock is not disturbed, and the boot goes on."""
    died_with_the_host(host, host.request(host.sealed("new", health="exit 0"), healthcheck=HEALTH), "phase", "swapped")
    before = tree(host.root), state.load(host.paths.state), host.journal
    with lock.take(host.paths.lock):
        boot_again(host)
    assert (tree(host.root), state.load(host.paths.state), host.journal) == before


def test_a_state_that_cannot_be_read(host: LocalAgent, old: str) -> None:
    """It is left for the next activation, which says so to a person."""
    died_with_the_host(host, host.request(host.sealed("new", health="exit 0"), healthcheck=HEALTH), "phase", "swapped")
    host.paths.state.write_text("torn")
    before = tree(host.root)
    boot_again(host)
    assert (tree(host.root), host.paths.state.read_text(), len(host.journal)) == (before, "torn", 1)


def test_another_place_for_current(host: LocalAgent, old: str, tmp_path: Path) -> None:
    """The layout is that of the attempt, overrides included."""
    host.layout["current"] = str(tmp_path / "live" / "app")
    host.paths.create()
    link = Layout.of(host.layout).current
    host.activate_here(old, healthcheck=HEALTH)
    died_with_the_host(host, host.request(host.sealed("new", health="exit 0"), healthcheck=HEALTH), "phase", "swapped")
    boot_again(host)
    assert link.resolve().name == old


def test_a_text_that_a_cut_left_half_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit that did not get its name yet is on the way back as well: it is nobody's otherwise."""
    [new] = [path.name for path in world.host.paths.releases.iterdir() if (path / "name").read_text() == "new"]
    request, seen = world.request(new), []
    world.die_in(request, "prepared")
    found = json.loads(world.host.paths.state.read_text())
    world.host.paths.state.write_text(json.dumps({**found, "units_begun": True}))
    (world.services.units / ".api.service.new").write_text("half")
    monkeypatch.setattr(unit_sets, "put", lambda _, before, after, *__: seen.append((before, after)))
    launch.recover(world.host.paths, request)
    assert seen == [(found["units"], found["units_before"])]


def test_units_that_come_back_at_a_boot(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What their return starts runs from the release that comes back: `current` names it before."""
    before, seen = world.host.live, []
    [new] = [path.name for path in world.host.paths.releases.iterdir() if (path / "name").read_text() == "new"]
    request = world.request(new)
    world.die_in(request, "restarted")
    world.lose_power(monkeypatch)
    monkeypatch.setattr(unit_sets, "put", lambda *_: seen.append(world.host.live))
    launch.after_boot(world.host.paths, request)
    assert (seen, world.host.live) == ([before], before)
