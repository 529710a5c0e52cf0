"""Faults, put into a real activation at any step of its state machine.

The agent runs in a forked process; a fault strikes there once, before, during or after
the work of one transition.  What systemd would do next is done here: recover a dead
agent, stop a hanging one, boot again.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from oroboros_deploy.host import (
    activation,
    another_user,
    configuration,
    journal,
    launch,
    layout,
    manager,
    process,
    seal,
    state,
    strays,
    unit_sets,
    units,
)
from oroboros_deploy.host.activation import Activation
from oroboros_deploy.host.state import FINAL, TRANSITIONS
from oroboros_deploy.host.units import Unit
from tests.support.local_agent import LocalAgent
from tests.support.small_filesystem import fill

if TYPE_CHECKING:
    from oroboros_deploy.host.contract import Sources

KINDS = ("error", "kill", "hang", "full")
MOMENTS = ("before", "during", "after")
BETWEEN = "between"  # the links: `env` was switched, and `current` not yet
UNITS = "units"  # they are those of the other release, and neither link is switched yet
SERVICES = ("api", "web")
GATE = {"command": "health", "timeout": 0.1, "interval": 0.1, "stable_for": 0}
ANOTHER = "nobody"  # who migrations and health commands run as, where `run_as` says so
START = END = ""  # before the first phase, and after the last: what leads to `prepared`, and the records of the end

Transition = tuple[str, str]

# Every transition that there is: those that are declared, the way in, and what follows each end.
ALL: tuple[Transition, ...] = (
    (START, "prepared"),
    *((phase, following) for phase, after in TRANSITIONS.items() for following in after),
    *((phase, END) for phase in FINAL),
)

# The step whose call begins the work of a transition, by the phase it leads to.
WORK: dict[str, Callable[..., object]] = {
    "prepared": Activation.migrate,
    "swapped": Activation.swap,
    "restarted": Activation.restart,
    "gated": Activation.pass_gate,
    "committed": Activation.commit,
    "restoring": Activation.restore,
    "restored": Activation.go_back,
    "restore_failed": Activation.enter,
}
WRITING_IS_ALL = ("committed", "restoring", "restore_failed")


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and when."""

    kind: str
    moment: str
    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.kind}-{self.moment}-{self.source or 'start'}-{self.target or 'end'}"


def rows(*transitions: Transition) -> list[Fault]:
    """Every fault in every moment of these transitions."""
    return [Fault(kind, moment, *each) for each in transitions for kind in KINDS for moment in MOMENTS]


def rows_between(*transitions: Transition) -> list[Fault]:
    """Every fault between units and links, and between the two links, that these transitions switch."""
    return [Fault(kind, moment, *each) for each in transitions for kind in KINDS for moment in (UNITS, BETWEEN)]


class Services:
    """What systemd would run: each service keeps the release it was started from, also when the agent dies."""

    def __init__(self, host: LocalAgent, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = host
        self.directory = directory
        self.units = directory / "units"
        self.units.mkdir(parents=True)
        for place in ("UNITS", "USER_UNITS"):
            monkeypatch.setattr(manager, place, self.units)
        monkeypatch.setattr(unit_sets, "put", self.put_units)
        monkeypatch.setattr(unit_sets, "verify", lambda *_: None)
        for name in ("show", "restart", "stop", "recent_log"):
            monkeypatch.setattr(units, name, getattr(self, name))
        monkeypatch.setattr(units, "going_down", lambda: False)
        monkeypatch.setattr(strays, "find", self.strays)
        monkeypatch.setattr(process, "shell", self.shell)
        monkeypatch.setattr(another_user, "shell", self.shell_as)
        self.start()

    @property
    def running(self) -> dict[str, str | None]:
        return {name: self._read(name)[0] or None for name in SERVICES}

    def start(self) -> None:
        for name in SERVICES:
            self.start_one(name)

    def start_one(self, name: str) -> None:
        (self.directory / name).write_text(f"{self.host.live or ''} {time.monotonic_ns()}")

    def lose_power(self) -> None:
        for name in SERVICES:
            (self.directory / name).write_text(" 0")

    def put_units(self, paths: layout.Layout, before: str, after: str, *_: object) -> None:
        """What root does for the agent."""
        for path, text in unit_sets.load(paths, after).files.items():
            (self.units / path).unlink(missing_ok=True)
            if text is not None:
                (self.units / path).write_text(text)

    def show(self, names: Sequence[str]) -> dict[str, Unit]:
        return {name: self._unit(name, *self._read(name)) for name in names}

    def restart(self, names: Sequence[str], deadline: float) -> process.Ended:
        for name in names:
            self.start_one(name)
        return process.Ended(0, "", 0.0)

    def stop(self, names: Sequence[str], deadline: float) -> process.Ended:
        self.lose_power()
        return process.Ended(0, "", 0.0)

    def strays(self, seen: Iterable[Unit], releases: Path, live: str, *_: object) -> list[strays.Stray]:
        """The services that run from another release."""
        ran = {unit.name: self._read(unit.name)[0] for unit in seen}
        return [strays.Stray(name, 1, release) for name, release in ran.items() if release not in ("", live)]

    def recent_log(self, name: str, since: float) -> str:
        return f"the log of {name}"

    def shell(self, line: str, *, cwd: Path, **_: Any) -> process.Ended:
        """The migration and the gate, by what the release says of itself and what the world makes of it."""
        spoilt = self.directory / "spoilt"  # a release that was good once
        healthy = (cwd / line).read_text() == "good" and not (self.directory / "broken").exists()
        healthy = healthy and not (spoilt.exists() and spoilt.read_text() == cwd.resolve().name)
        return process.Ended(0 if healthy else 1, line, 0.0)

    def shell_as(self, line: str, user: object, attempt: str, *, cwd: Path, **_: Any) -> process.Ended:
        """The same as another user of this machine."""
        return self.shell(line, cwd=cwd)

    def _read(self, name: str) -> list[str]:
        place = self.directory / name
        return place.read_text().split(" ") if place.is_file() else ["", "0"]  # a unit that only lies there

    def _unit(self, name: str, release: str, invocation: str) -> Unit:
        active = "active" if release else "inactive"
        return Unit(name, "loaded", active, "running", "exec", "success", invocation, invocation, "0", False, "0")


@dataclass
class World:
    """One deploy root with history, its services, and what happens to them."""

    host: LocalAgent
    services: Services
    boots: int = 0

    def request(self, sha: str, **changes: Any) -> dict[str, Any]:
        """A request with services, a migration, a gate and a configuration of the release's own.

        Deadlines are short, for some commands will hang.
        """
        usual = {"services": list(SERVICES), "restart": True, "healthcheck": GATE, "migrate": "migration"}
        restart = changes.get("kind") == "restart"
        if (self.host.paths.releases / sha / "infra").is_dir() and not restart:
            usual |= {"units": {"directory": "infra", "application": "shop", "adopt": False}}
        back = changes.get("kind") == "rollback"
        env = {"recorded": True} if back else {} if restart else {"configuration": self.configured(sha)}
        times = {"restart_timeout": 0.1, "migrate_timeout": 0.1}
        request = self.host.request(sha, **{**usual, **env, **times, **changes})
        self.host.keep(request)
        return request

    def configured(self, sha: str) -> str:
        """The revision of a configuration that no other release has."""
        sources: Sources = {"file": None, "values": {"RELEASE": sha}, "secrets": {}, "build": []}
        return configuration.configure(self.host.paths, {"sha": sha, "env": sources})["revision"]

    def suffer(self, act: Callable[..., object], request: dict[str, Any], fault: Fault) -> bool:
        """Run a part of the agent in a process of its own, with a fault; False when it did not end well.

        Fails when the fault did not strike: such a row would prove nothing.
        """
        told, tell = os.pipe()
        child = fork()
        if child == 0:
            act_in_child(act, self.host.paths, request, _Injection(self, request["attempt"], fault, tell).prepare)
        os.close(tell)
        said = b""
        while data := os.read(told, 16):
            said += data
            if data.endswith(b"hanging"):
                os.kill(child, signal.SIGTERM)  # as systemd does when RuntimeMaxSec is over
        os.close(told)
        status = os.waitpid(child, 0)[1]
        assert said.startswith(b"struck"), f"{fault} did not strike"
        return status == 0

    def die_in(self, request: dict[str, Any], phase: str) -> None:
        """Run an activation until it is killed, right after it entered a phase."""
        child = fork()
        if child == 0:
            act_in_child(launch.run, self.host.paths, request, lambda: _die_in(phase))
        assert os.waitpid(child, 0)[1] == signal.SIGKILL, f"it never came to {phase}"

    def lose_power(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The services are gone, and the kernel has another name for its next boot.

        Those of a login are gone with its manager already: it begins anew, and the host is up all the time.
        """
        self.boots += 1
        self.services.lose_power()
        if self.host.paths.scope == "user":
            monkeypatch.setattr(manager.Manager, "began", lambda _: f"start {self.boots}")
        else:
            monkeypatch.setattr(state, "boot_id", lambda: f"boot {self.boots}")


def interpreter(root: Path) -> Path:
    """What the release that is deployed runs by; it lies outside of all releases."""
    return root / "python3"


def fork() -> int:
    """A process like this one; 0 in it, its number here."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # pytest may have threads of its own
        return os.fork()


def act_in_child(
    act: Callable[..., object], paths: layout.Layout, request: dict[str, Any], prepare: Callable[[], None]
) -> NoReturn:
    """Run a part of the agent, and end this process: 0 when it ended well."""
    status = 1
    try:
        prepare()
        act(paths, request)
        status = 0
    finally:
        os._exit(status)


def _die_in(phase: str) -> None:
    save = state.save

    def saving(path: Path, entered: state.State) -> None:
        save(path, entered)
        if entered.phase == phase:
            os.kill(os.getpid(), signal.SIGKILL)

    state.save = saving


class _Injection:
    """The agent's own code in this process, rewired to suffer one fault once."""

    def __init__(self, world: World, attempt: str, fault: Fault, tell: int) -> None:
        self.world = world
        self.attempt = attempt
        self.fault = fault
        self.tell = tell
        self.inside = False  # the work of the transition has begun
        self.done = False

    def prepare(self) -> None:
        if self.fault.target == END:
            self._wrap(activation, "conclude", self._around_the_end)
        else:
            step = Activation.prepare if self.fault.source == START else WORK[self.fault.target]
            self._wrap(Activation, step.__name__, self._around_the_work)
        self._wrap(state, "save", self._around_save)
        self._wrap(os, "rename", self._around_rename)
        self._wrap(unit_sets, "put", self._around_units)
        self._wrap(layout.Layout, "stage", self._around("prepared"))
        self._wrap(journal.Journal, "append", self._around(END))
        for runs in (process, another_user):
            self._wrap(runs, "shell", self._around_command("prepared", "gated"))
        self._wrap(units, "restart", self._around_command("restarted"))

    def strike(self, moment: str) -> None:
        if self.done or not self.inside or moment != self.fault.moment:
            return
        self.done = True
        os.write(self.tell, b"struck")
        if self.fault.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault.kind == "hang":
            os.write(self.tell, b"hanging")
            time.sleep(60)
        if self.fault.kind == "error":
            raise OSError(errno.EIO, "the disk is broken")
        fill(self.world.host.root)

    @contextmanager
    def _around_the_work(self, this: Activation, *arguments: Any, **_: Any) -> Iterator[None]:
        begins = self.fault.source == START or this.state.phase == self.fault.source
        if self.fault.target == "restore_failed":
            begins = begins and arguments[0] == "restore_failed"
        self.inside = self.inside or begins
        self.strike("before")
        yield

    @contextmanager
    def _around_the_end(self, paths: layout.Layout, final: state.State, **_: Any) -> Iterator[None]:
        self.inside = (final.attempt, final.phase) == (self.attempt, self.fault.source)
        self.strike("before")
        yield
        self.strike("after")

    @contextmanager
    def _around_save(self, path: Path, entered: state.State) -> Iterator[None]:
        mine = entered.phase == self.fault.target
        if mine and self.fault.target not in WRITING_IS_ALL:
            self.strike("after")  # the work is done, and is not written down yet
        yield
        if mine and self.fault.target in WRITING_IS_ALL:
            self.strike("after")

    @contextmanager
    def _around_rename(self, source: Path, target: Path) -> Iterator[None]:
        paths = self.world.host.paths
        work = target == paths.current and self.fault.target in ("swapped", "restored")
        writing = target == paths.state and self.fault.target in WRITING_IS_ALL
        if writing or (work and self.fault.kind in ("error", "full")):
            self.strike("during")
        yield
        if work:
            self.strike("during")  # the link is there, and nobody knows yet
        if target == paths.env and self.fault.target in ("swapped", "restored"):
            self.strike(BETWEEN)

    @contextmanager
    def _around_units(self, *_: Any) -> Iterator[None]:
        yield
        if self.fault.target in ("swapped", "restored"):
            self.strike(UNITS)

    def _around(self, *targets: str) -> Callable[..., Any]:
        @contextmanager
        def around(*_: Any) -> Iterator[None]:
            mine = self.fault.target in targets and (self.fault.source == START or self.fault.target == END)
            if mine and self.fault.kind in ("error", "full"):
                self.strike("during")
            yield
            if mine:
                self.strike("during")

        return around

    def _around_command(self, *targets: str) -> Callable[..., Any]:
        """A command fails or hangs by itself, and the agent must see to it; the agent may die while one runs."""

        @contextmanager
        def around(*arguments: Any, **options: Any) -> Iterator[process.Ended | None]:
            mine = self.inside and not self.done and self.fault.moment == "during" and self.fault.target in targets
            if not mine or self.fault.source == START:
                yield None
            elif self.fault.kind == "error":
                self._note()
                yield process.Ended(1, "failed", 0.0)
            elif self.fault.kind == "hang":
                self._note()
                deadline = options.get("deadline") or arguments[-1]
                yield process.run(["sleep", "60"], cwd=Path("/"), deadline=deadline)
            else:
                if "restarted" in targets:
                    self.world.services.start_one(SERVICES[0])
                self.strike("during")
                yield None

        return around

    def _note(self) -> None:
        self.done = True
        os.write(self.tell, b"struck")

    def _wrap(self, owner: Any, name: str, around: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            with around(*arguments, **options) as instead:
                return original(*arguments, **options) if instead is None else instead

        setattr(owner, name, wrapped)


def keep_history(root: Path, beside: Path) -> None:
    """Remember what rows change of a deploy root, so that every row starts from the same one."""
    shutil.copytree(root, beside, symlinks=True, ignore=lambda directory, names: {"releases"} & {*names})


def bring_back(root: Path, beside: Path) -> None:
    """The remembered root, in its place again; the sealed releases were there all the time."""
    for path in root.iterdir():
        if path.name != "releases":
            seal.remove(path)
    shutil.copytree(beside, root, symlinks=True, dirs_exist_ok=True)
