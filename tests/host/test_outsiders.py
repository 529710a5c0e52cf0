"""Everything that somebody else may do to a host, at every moment of an activation; and releases of every kind.

After each row what the agent told has to be so, and the invariants have to hold, but for what
the other one did after the agent's last look, or took away for good.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oroboros_deploy.host import launch, words
from oroboros_deploy.host.state import TRANSITIONS
from oroboros_deploy.host.units import Unit
from tests.host.test_fault_table import JOURNEYS, SETTLED, asked, ended, interrupted, settled, sha
from tests.support.faults import World
from tests.support.invariants import broken, untrue
from tests.support.outsiders import ACTS, MOMENTS, meddle, undo

pytestmark = pytest.mark.slow

THERE = ("prepared", "migrating", "swapped", "restarted", "gating", "gated", "committed")
BACK = ("restoring", "going back", "restored")
OF_THE_PROCESS = ("moves the clock on", "moves the clock back", "silences systemd")  # they end with it here
ROWS = [
    pytest.param(name, moment, act, dies, id=f"{name}-{moment}-{act}{'-and-dies' if dies else ''}")
    for name, moments in (("deploy", THERE), ("bad deploy", BACK))
    for moment in moments
    for act in ACTS
    for dies in (False, True)
    if not (dies and act in OF_THE_PROCESS) and (moment, act) != ("going back", "restarts a unit")
]  # that one would hold the gate of the old release again from its start, and here it is too short for that
MOVING = ("relinks", "relinks away", "removes current", "relinks env")
LATE = ("committed", "restored")  # the last look is over: what somebody does then is theirs, and stands
UNTOUCHED = ("prepared", "migrating")
GATE = {"command": "health", "timeout": 0.2, "interval": 0.02, "stable_for": 0}
PATIENT = {**GATE, "timeout": 10}  # where a good release is asked once more


def expected(name: str, moment: str, act: str, dies: bool) -> str:
    """How the attempt ends: as without the other one, unless a look can see that they decided otherwise."""
    undisturbed = settled(MOMENTS[moment], moved=False) if dies else JOURNEYS[name].ends
    if act == "removes the state" and dies:  # its links tell how far it came; before the switch it changed nothing
        return "refused" if moment in UNTOUCHED else "restored"
    if moment in LATE:
        return undisturbed
    decides = _of_a_death(moment, act) if dies else _of_an_act(moment, act)
    return decides or ("restore_failed" if act == "makes a directory" else undisturbed)  # no rename replaces one


def _of_an_act(moment: str, act: str) -> str | None:
    """Where an act decides how an activation that goes on ends; None where it changes nothing."""
    back = moment in BACK
    if act == "silences systemd":  # nobody knows whether the old one serves
        return None if moment == "gated" else "restore_failed"
    if act == "stops a unit":
        seen = dict.fromkeys(("restarted", "gating", "gated"), "restored")
        return {**seen, "going back": "restore_failed"}.get(moment)
    if act == "edits a unit":  # on the way back it stands: the next deploy refuses it by name
        return None if moment in BACK else "restored"
    if act in MOVING or (act == "relinks back" and moment not in (*UNTOUCHED, *BACK)):
        return "restore_failed" if moment == "going back" else "restored"
    if act in ("removes the target", "removes the interpreter"):
        return "restored"
    return "restore_failed" if act == "removes the way back" and back else None


def _of_a_death(moment: str, act: str) -> str | None:
    """The same for one that was killed, and is settled after it."""
    if act == "removes the way back" and moment != "gated":
        return "restore_failed"
    seen_at_the_commit = {*MOVING, "relinks back", "removes the target", "removes the interpreter"}
    seen_at_the_commit |= {"stops a unit", "edits a unit"}
    return "restored" if moment == "gated" and act in seen_at_the_commit else None


@pytest.fixture(autouse=True)
def _undone(world: World) -> Iterator[None]:
    yield
    undo(world)


@pytest.mark.parametrize(("name", "moment", "act", "dies"), ROWS)
def test_somebody_else(world: World, name: str, moment: str, act: str, dies: bool) -> None:
    """The attempt has one end, what it tells is so, and what somebody did before the last look is not passed over."""
    request = asked(
        world, JOURNEYS[name], healthcheck=PATIENT if act == "restarts a unit" and name == "deploy" else GATE
    )
    meddle(world, launch.run, request, moment, ACTS[act], dies=dies)
    if not (world.host.paths.attempt(request["attempt"]) / "result.json").exists():
        launch.recover(world.host.paths, request)
    assert ended(world, request) == expected(name, moment, act, dies)
    if moment not in LATE:
        assert untrue(world.host.root, request["attempt"], world.services.running) == []
        stands = ("14",) if moment in ("going back", *UNTOUCHED) else ()
        lost = {"removes the way back": ("1", "10"), "edits a unit": stands}.get(act, ())
        found = broken(world.host.root, units=world.services.units)
        assert [words for words in found if words.partition(":")[0] not in lost] == []


BEFORE = [
    ("deploy", "", "committed"),
    ("bad migration", "", "restored"),
    ("bad deploy", "", "restored"),
    *(("deploy", moment, settled(MOMENTS[moment], moved=False)) for moment in THERE),
    *(("bad deploy", moment, "restored") for moment in BACK),
]


@pytest.mark.parametrize(("name", "moment", "ends"), BEFORE)
def test_env_that_was_moved_before(world: World, name: str, moment: str, ends: str) -> None:
    """What somebody moved `env` to before an attempt is told, and no end of the attempt leaves it in use."""
    request = asked(world, JOURNEYS[name], healthcheck=GATE)
    was = world.host.paths.env.readlink().name
    ACTS["relinks env"](world, request["sha"])
    moved = words.moved_env(was, world.host.paths.env.readlink().name)
    service = world.services.directory / "api"
    ran = service.read_text()
    if moment:
        meddle(world, launch.run, request, moment, lambda *_: None, dies=True)
        launch.recover(world.host.paths, request)
    else:
        launch.run(world.host.paths, request)
    assert ended(world, request) == ends
    said = world.host.answer(request["attempt"]).said("warning")
    assert f"{moved}: a restore puts {was} in use" in said
    assert broken(world.host.root, units=world.services.units, serving=world.services.running) == []
    assert list(words.not_live(world.host.facts())) == []
    untouched = name == "bad migration" or (moment in ("prepared", "migrating", "swapped") and ends == "restored")
    assert (service.read_text() == ran) == untouched  # no service ran with what `env` had been moved to


def test_env_that_was_moved_before_a_start(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that was started since runs with what somebody moved `env` to: a restore puts that in use again."""
    request = asked(world, JOURNEYS["bad deploy"], healthcheck=GATE)
    was = world.host.paths.env.readlink().name
    ACTS["relinks env"](world, request["sha"])
    now = world.host.paths.env.readlink().name
    monkeypatch.setattr(Unit, "age", 0.0)
    launch.run(world.host.paths, request)
    said = world.host.answer(request["attempt"]).said("warning")
    assert f"{words.moved_env(was, now)}: a restore puts {now} in use" in said
    assert (ended(world, request), world.host.paths.env.readlink().name) == ("restored", now)


@pytest.mark.parametrize("phase", SETTLED)
def test_a_boot_that_nothing_tells(world: World, phase: str) -> None:
    """The power goes, and boot id, first process and clock are as before: the next contact ends it, services too."""
    request = interrupted(world, phase, moved=False)
    world.services.lose_power()
    launch.after_boot(world.host.paths, request)
    world.services.start()
    launch.recover(world.host.paths, request)
    assert ended(world, request) == settled(phase, moved=False)
    assert broken(world.host.root, serving=world.services.running) == []
    assert untrue(world.host.root, request["attempt"], world.services.running) == []


def test_every_phase_has_its_outsiders() -> None:
    """A phase that is declared needs somebody else in it; after a restore that failed a person is there anyway."""
    assert {MOMENTS[moment] for moment in (*THERE, *BACK)} == {*TRANSITIONS} - {"restore_failed"}


PUSH = {"kind": "env", "units": None, "migrate": None}  # it asks for no units: they stay as they are


@pytest.mark.parametrize(("moment", "ends"), [("restarted", "restored"), ("gated", "restored"), (None, "committed")])
def test_a_unit_that_is_edited_beside_a_push(world: World, moment: str | None, ends: str) -> None:
    """A push leaves units alone; one that is edited while it goes on ends it, and one from before is told."""
    request = world.request(str(world.host.live), **PUSH)
    if moment is None:
        ACTS["edits a unit"](world, request["sha"])
        launch.run(world.host.paths, request)
    else:
        meddle(world, launch.run, request, moment, ACTS["edits a unit"], dies=False)
    told = [
        said for said in world.host.answer(request["attempt"]).said("warning") if "api.service on this host" in said
    ]
    assert (ended(world, request), len(told)) == (ends, 1)
    assert "# by hand" in (world.services.units / "api.service").read_text()


@pytest.mark.parametrize(("release", "moment"), [("bad", "gating"), ("stuck", "migrating")])
def test_a_unit_that_is_edited_before_a_failure(world: World, release: str, moment: str) -> None:
    """Where the attempt changes no units, what somebody wrote into one stays, and is told with the restore."""
    request = world.request(sha(world, release), units=None)
    meddle(world, launch.run, request, moment, ACTS["edits a unit"], dies=False)
    said = world.host.answer(request["attempt"]).said("warning")
    assert (ended(world, request), [each for each in said if each.startswith("somebody changed")]) == (
        "restored",
        [words.edited(["api.service"])],
    )
