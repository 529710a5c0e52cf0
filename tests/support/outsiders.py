"""What somebody else does to a host while an activation goes on: to `current`, to units, to our files, to the clock.

An act is done within the agent's process, at one moment of the activation, and changes what
everybody sees: links, files, and the services of `faults.Services`.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from oroboros_deploy.host import process, records, state, units
from tests.support.faults import World, act_in_child, fork, interpreter

# After this phase was entered; or after a command ran in it, which is in the middle of the work that leaves it.
MOMENTS = {
    "prepared": "prepared",
    "migrating": "prepared",
    "swapped": "swapped",
    "restarted": "restarted",
    "gating": "restarted",
    "gated": "gated",
    "committed": "committed",
    "restoring": "restoring",
    "going back": "restoring",
    "restored": "restored",
}
_COMMANDS = {"prepared": "migrating", "restarted": "gating", "restoring": "going back"}
AWAY = ".away"

Act = Callable[[World, str], None]


def relinks(world: World, target: str) -> None:
    """`current` names another release, which was good once."""
    _relink(world, f"releases/{_named(world, 'older')}")


def relinks_back(world: World, target: str) -> None:
    """`current` names the release from before again."""
    _relink(world, f"releases/{_named(world, 'old')}")


def relinks_away(world: World, target: str) -> None:
    """`current` leads out of the releases."""
    _relink(world, "/")


def removes_current(world: World, target: str) -> None:
    """There is no `current`."""
    world.host.paths.current.unlink()


def makes_a_directory(world: World, target: str) -> None:
    """A real directory is in the place of `current`."""
    world.host.paths.current.unlink()
    (world.host.paths.current / "kept").mkdir(parents=True)


def relinks_env(world: World, target: str) -> None:
    """`env` names the configuration of a release from before."""
    paths = world.host.paths
    beside = paths.root / ".somebody"
    beside.symlink_to(f".deploy/config/{records.configuration_of(paths, _named(world, 'older'))}")
    beside.rename(paths.env)


def edits_a_unit(world: World, target: str) -> None:
    """Somebody writes into a unit that came with the release."""
    unit = world.services.units / "api.service"
    unit.write_text(f"{unit.read_text()}# by hand\n")


def stops_a_unit(world: World, target: str) -> None:
    """A service is stopped."""
    (world.services.directory / "api").write_text(" 0")


def restarts_a_unit(world: World, target: str) -> None:
    """A service is started again, from what `current` names now."""
    world.services.start_one("api")


def removes_the_lock(world: World, target: str) -> None:
    """The file of the lock is gone, and the lock with it."""
    world.host.paths.lock.unlink(missing_ok=True)


def removes_tmp(world: World, target: str) -> None:
    """Our temporary files are gone, with the links that wait there."""
    shutil.rmtree(world.host.paths.tmp)


def removes_the_state(world: World, target: str) -> None:
    """The state of the activation is gone."""
    world.host.paths.state.unlink(missing_ok=True)


def removes_the_way_back(world: World, target: str) -> None:
    """The release from before is gone."""
    _take_away(world.host.paths.release(_named(world, "old")))


def removes_the_target(world: World, target: str) -> None:
    """The release that is switched to is gone."""
    _take_away(world.host.paths.release(target))


def removes_the_interpreter(world: World, target: str) -> None:
    """What the new release runs by, and lies outside of it, is gone."""
    interpreter(world.host.root).unlink()


def moves_the_clock_on(world: World, target: str) -> None:
    """The clock is a year ahead from now on."""
    _move_the_clock(365 * 86400)


def moves_the_clock_back(world: World, target: str) -> None:
    """The clock is a day behind from now on."""
    _move_the_clock(-86400)


def silences_systemd(world: World, target: str) -> None:
    """systemd answers nobody any more, however long it is asked."""

    def silent(names: object) -> NoReturn:
        raise units.Silent("systemd does not say how the units are")

    units.show = silent


ACTS: dict[str, Act] = {
    act.__name__.replace("_", " "): act
    for act in (
        relinks,
        relinks_back,
        relinks_away,
        removes_current,
        makes_a_directory,
        relinks_env,
        edits_a_unit,
        stops_a_unit,
        restarts_a_unit,
        removes_the_lock,
        removes_tmp,
        removes_the_state,
        removes_the_way_back,
        removes_the_target,
        removes_the_interpreter,
        moves_the_clock_on,
        moves_the_clock_back,
        silences_systemd,
    )
}


def meddle(
    world: World, act: Callable[..., object], request: dict[str, Any], moment: str, meddling: Act, *, dies: bool
) -> None:
    """Run a part of the agent in a process of its own while somebody does something at this moment.

    Where it ``dies`` the process is killed at once.  Fails when the moment never came.
    """
    told, tell = os.pipe()

    def prepare() -> None:
        _Meddler(world, request["attempt"], moment, lambda: meddling(world, request["sha"]), dies, tell).prepare()

    child = fork()
    if child == 0:
        act_in_child(act, world.host.paths, request, prepare)
    os.close(tell)
    with os.fdopen(told, "rb") as said:
        came = said.read()
    os.waitpid(child, 0)
    assert came == b"done", f"{moment} never came"


def undo(world: World) -> None:
    """Bring back the releases that somebody took away."""
    for path in world.host.paths.releases.glob(f"*{AWAY}"):
        path.rename(path.with_suffix(""))


class _Meddler:
    """The agent's own code in this process, rewired so that somebody acts at one moment, once."""

    def __init__(
        self, world: World, attempt: str, moment: str, meddling: Callable[[], None], dies: bool, tell: int
    ) -> None:
        self.world = world
        self.attempt = attempt
        self.moment = moment
        self.meddling = meddling
        self.dies = dies
        self.tell = tell
        self.phase = ""
        self.done = False

    def prepare(self) -> None:
        save, shell = state.save, process.shell

        def saving(path: Path, entered: state.State) -> None:
            save(path, entered)
            self.phase = entered.phase
            self._come_to(entered.phase)

        def running(*arguments: Any, **options: Any) -> process.Ended:
            ended = shell(*arguments, **options)
            self._come_to(_COMMANDS.get(self.phase, ""))
            return ended

        state.save, process.shell = saving, running

    def _come_to(self, moment: str) -> None:
        if self.done or moment != self.moment:
            return
        self.done = True
        self.meddling()
        os.write(self.tell, b"done")
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)


def _named(world: World, name: str) -> str:
    [found] = [path.name for path in world.host.paths.releases.iterdir() if (path / "name").read_text() == name]
    return found.removesuffix(AWAY)


def _relink(world: World, text: str) -> None:
    beside = world.host.root / ".somebody"
    beside.symlink_to(text)
    beside.rename(world.host.paths.current)


def _take_away(release: Path) -> None:
    release.rename(release.with_name(f"{release.name}{AWAY}"))


def _move_the_clock(seconds: float) -> None:
    now = time.time
    time.time = lambda: now() + seconds
