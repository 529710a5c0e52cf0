"""Every fault, in every moment of every transition of the state machine; and the invariants after each.

The transitions come from the declaration that the state machine itself obeys
(``state.TRANSITIONS``).  Each row runs the agent's own code in a process of its own,
lets a fault strike there, does what systemd would do, and asks the oracle; once for
each service manager that may run what is deployed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, get_args

import pytest

from oroboros_deploy.host import launch, state
from oroboros_deploy.host.contract import Scope
from oroboros_deploy.host.state import FINAL, TRANSITIONS
from tests.support.faults import (
    ALL,
    ANOTHER,
    END,
    GATE,
    START,
    Fault,
    Transition,
    World,
    rows,
    rows_between,
)
from tests.support.invariants import broken
from tests.support.rights import require_mount
from tests.support.watching import tree

pytestmark = pytest.mark.slow

FORWARD = [(START, "prepared"), ("prepared", "swapped"), ("swapped", "restarted"), ("restarted", "gated")]
COMMIT = [("gated", "committed"), ("committed", END)]
BACK = [("restoring", "restored"), ("restored", END)]


@dataclass(frozen=True)
class Journey:
    """What is asked of a host, how it ends when nothing goes wrong, and the transitions it goes through."""

    kind: str
    release: str
    ends: str
    transitions: tuple[Transition, ...]
    world_breaks: bool = False
    user: str | None = None


JOURNEYS = {
    "deploy": Journey("deploy", "new", "committed", (*FORWARD, ("prepared", "prepared"), *COMMIT)),
    "rollback": Journey("rollback", "older", "committed", (*FORWARD, *COMMIT)),
    "bad migration": Journey("deploy", "stuck", "restored", (("prepared", "restoring"), ("restored", END))),
    "bad deploy": Journey("deploy", "bad", "restored", (("restarted", "restoring"), *BACK)),
    "bad rollback": Journey("rollback", "spoilt", "restored", (("restarted", "restoring"), *BACK)),
    "broken world": Journey(
        "deploy", "new", "restore_failed", (("restoring", "restore_failed"), ("restore_failed", END)), True
    ),
    "restart": Journey("restart", "old", "committed", (*FORWARD[:1], *FORWARD[2:], *COMMIT)),
    "bad restart": Journey(
        "restart", "old", "restore_failed", (("restoring", "restore_failed"), ("restore_failed", END)), True
    ),
    "deploy with run_as": Journey(
        "deploy", "new", "committed", (("prepared", "prepared"), ("restarted", "gated")), user=ANOTHER
    ),
    "bad migration with run_as": Journey("deploy", "stuck", "restored", (("prepared", "restoring"),), user=ANOTHER),
}
# What an attempt that was interrupted in a phase goes through when it is settled.
SETTLED: dict[str, tuple[Transition, ...]] = {
    "prepared": (("prepared", "restoring"), ("restored", END)),
    "swapped": (("swapped", "restoring"), *BACK),
    "restarted": (("restarted", "restoring"), *BACK),
    "gated": (*COMMIT,),
    "restoring": (("restoring", "restoring"), *BACK),
    **{phase: ((phase, END),) for phase in FINAL},
}
MOVED: tuple[Transition, ...] = (("gated", "restoring"), *BACK)  # gated, and somebody moved `current` meanwhile

GOING = [
    pytest.param(name, row, id=f"{name}-{row}") for name, each in JOURNEYS.items() for row in rows(*each.transitions)
]
SETTLING = [
    pytest.param(phase, False, row, id=f"{phase}-{row}") for phase, each in SETTLED.items() for row in rows(*each)
] + [pytest.param("gated", True, row, id=f"gated-moved-{row}") for row in rows(*MOVED)]


@pytest.fixture(scope="module", params=get_args(Scope))
def scope(request: pytest.FixtureRequest) -> Scope:
    """The system's manager, and the login's own."""
    found: Scope = request.param
    return found


def sha(world: World, name: str) -> str:
    [found] = [path.name for path in world.host.paths.releases.iterdir() if (path / "name").read_text() == name]
    return found


def asked(world: World, journey: Journey, **changes: Any) -> dict[str, Any]:
    if journey.release == "spoilt":  # it was good when it was live
        path = world.host.paths.release(sha(world, "spoilt"))
        (world.services.directory / "spoilt").write_text(path.name)
    (world.services.directory / "broken").unlink(missing_ok=True)
    if journey.world_breaks:
        (world.services.directory / "broken").touch()
    migrate = "migration" if journey.kind == "deploy" and not journey.world_breaks else None
    if journey.user:
        changes |= {"migrate_as": journey.user, "healthcheck": {**GATE, "user": journey.user}}
    return world.request(sha(world, journey.release), kind=journey.kind, migrate=migrate, **changes)


def ended(world: World, request: dict[str, Any]) -> str:
    answer = world.host.answer(request["attempt"])
    return "refused" if answer.refusal else (answer.result or {})["state"]["phase"]


def expected(fault: Fault, undisturbed: str, kind: str, booting: bool = False) -> str:
    """Where the host ends: as without the fault once it was decided, else as if nothing had been asked.

    Where it boots, a link that could not be put back is tried again after the units.  What a restart has begun
    nobody takes back: it is left for a person, unless systemd did nothing of it.
    """
    if fault.kind == "full":
        return undisturbed  # it notices nothing
    if fault.source == START:
        return "refused"
    if kind == "restart" and fault.source in ("swapped", "restarted"):
        nothing_done = fault.moment == "before" or (fault.moment == "during" and fault.kind != "kill")
        return "restored" if fault.source == "swapped" and nothing_done else "restore_failed"
    if (fault.source, fault.target) == ("restoring", "restored") and fault.kind == "error":
        again = fault.moment == "after" or (booting and fault.moment == "during")
        return undisturbed if again else "restore_failed"
    return "restored" if fault.source in ("prepared", "swapped", "restarted") else undisturbed


def assert_at_rest(
    world: World,
    request: dict[str, Any],
    fault: Fault,
    undisturbed: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    booting: bool = False,
) -> None:
    """It ended as it should, nothing is broken, and asking again changes nothing."""
    end = expected(fault, undisturbed, request["kind"], booting)
    assert ended(world, request) == end
    # When the disk refuses the way back itself, services and link may differ: that end calls for a person.
    serving = world.services.running if end in (undisturbed, "restored", "refused") else None
    assert broken(world.host.root, serving=serving, units=world.services.units) == []
    before = tree(world.host.root), world.host.journal, world.services.running
    monkeypatch.setattr(launch, "start_unit", lambda *_: pytest.fail("it was started twice"))
    launch.start(world.host.paths, request, lambda *_, **__: None)
    launch.recover(world.host.paths, request)
    assert (tree(world.host.root), world.host.journal, world.services.running) == before


@pytest.mark.parametrize(("name", "fault"), GOING)
def test_going(world: World, name: str, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deploy, a rollback or a restore that suffers a fault ends by itself, without a control node."""
    needs_a_disk(fault)
    request = asked(world, JOURNEYS[name])
    before = tree(world.host.root)
    if not world.suffer(launch.run, request, fault):
        launch.recover(world.host.paths, request)  # ExecStopPost=
    assert_at_rest(world, request, fault, JOURNEYS[name].ends, monkeypatch)
    if fault.source == START and fault.kind != "full":
        assert tree(world.host.root) == before


@pytest.mark.parametrize(("phase", "moved", "fault"), SETTLING)
def test_recovering(world: World, phase: str, moved: bool, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recovery of a killed activation suffers a fault itself: the next contact ends it."""
    needs_a_disk(fault)
    request = interrupted(world, phase, moved)
    if not world.suffer(launch.recover, request, fault):
        launch.recover(world.host.paths, request)
    assert_at_rest(world, request, fault, settled(phase, moved), monkeypatch)


@pytest.mark.parametrize(("phase", "moved", "fault"), SETTLING)
def test_booting(world: World, phase: str, moved: bool, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settling at boot suffers a fault itself: the next boot, or the next contact, ends it."""
    needs_a_disk(fault)
    request = interrupted(world, phase, moved)
    world.lose_power(monkeypatch)
    world.suffer(launch.after_boot, request, fault)
    if fault.kind == "kill":
        world.lose_power(monkeypatch)
        if world.host.paths.unfinished.is_symlink():  # the condition of the unit
            launch.after_boot(world.host.paths, request)
    world.services.start()
    launch.recover(world.host.paths, request)
    assert_at_rest(world, request, fault, settled(phase, moved), monkeypatch, booting=True)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        pytest.param(name, row, id=f"{name}-{row}")
        for name, transition in (
            ("deploy", ("prepared", "swapped")),
            ("rollback", ("prepared", "swapped")),
            ("bad deploy", ("restoring", "restored")),
            ("bad rollback", ("restoring", "restored")),
        )
        for row in rows_between(transition)
    ],
)
def test_between_the_links(world: World, name: str, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault between units, `env` and `current` leaves a release with its own units and its own configuration."""
    test_going(world, name, fault, monkeypatch)


@pytest.mark.parametrize("fault", [row for row in rows(("prepared", "swapped")) if row.moment != "during"], ids=str)
def test_before_a_restart(world: World, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault before anything is restarted leaves the services as they run, and nothing for a person to do."""
    ran = {name: unit.invocation for name, unit in world.services.show(["api", "web"]).items()}
    test_going(world, "restart", fault, monkeypatch)
    now = {name: unit.invocation for name, unit in world.services.show(["api", "web"]).items()}
    assert (now == ran) == (fault.kind != "full")


@pytest.mark.parametrize(
    ("phase", "end"),
    [("prepared", "restored"), ("swapped", "restored"), ("restarted", "restored"), ("gated", "committed")],
)
def test_a_power_cut_during_a_restart(world: World, phase: str, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The boot starts the services of the same release anew, so nobody is called."""
    request = asked(world, JOURNEYS["restart"])
    world.die_in(request, phase)
    world.lose_power(monkeypatch)
    launch.after_boot(world.host.paths, request)
    world.services.start()
    assert (ended(world, request), world.host.live) == (end, sha(world, "old"))
    assert broken(world.host.root, serving=world.services.running, units=world.services.units) == []


def test_every_transition_has_its_rows() -> None:
    """A phase or transition that is declared needs a journey that goes through it."""
    gone = {(row.source, row.target) for _, row in (param.values for param in GOING)}
    settled = {(row.source, row.target) for _, _, row in (param.values for param in SETTLING)}
    assert gone | settled == set(ALL)
    assert set(SETTLED) == set(TRANSITIONS)


def test_undeclared_transitions_are_refused() -> None:
    """The declaration is what the state machine obeys, not a description of it."""
    request = {"attempt": "a", "kind": "deploy", "sha": "b", "actor": "c"}
    begun = state.begin(request, None)
    for phase in {*TRANSITIONS} - {*TRANSITIONS["prepared"]}:
        with pytest.raises(ValueError, match=f"an activation does not go from prepared to {phase}"):
            begun.entering(phase)


def test_how_many_rows_there_are() -> None:
    """Each transition has twelve: four faults in three moments."""
    assert (len(GOING) % 12, len(SETTLING) % 12, len(GOING) + 2 * len(SETTLING) >= 150) == (0, 0, True)


def needs_a_disk(fault: Fault) -> None:
    if fault.kind == "full":
        require_mount()


def settled(phase: str, moved: bool) -> str:
    if phase in FINAL:
        return phase
    return "committed" if phase == "gated" and not moved else "restored"


def interrupted(world: World, phase: str, moved: bool) -> dict[str, Any]:
    """An attempt whose process was killed right after it entered a phase."""
    failing = {"restoring": "bad deploy", "restored": "bad deploy", "restore_failed": "broken world"}
    request = asked(world, JOURNEYS[failing.get(phase, "deploy")])
    world.die_in(request, phase)
    (world.services.directory / "broken").unlink(missing_ok=True)
    if moved:
        world.host.paths.current.unlink()
        world.host.paths.current.symlink_to(f"releases/{sha(world, 'old')}")
    found = json.loads(world.host.paths.state.read_text())
    assert (found["attempt"], found["phase"]) == (request["attempt"], phase)
    return request
