"""What one run of the destructive series does: drawn from its seed, and from nothing else."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from tests.support.cable import CUTS
from tests.support.oracle import PORT
from tests.support.shop import SERVE

# It says nothing: where somebody stops journald, it could not answer because its own words reach nobody.
HTTP = f"exec python3 -m http.server {PORT} 2>/dev/null"
ASK = f"curl --silent --fail http://127.0.0.1:{PORT}/api.sh | cmp - services/api.sh"
# What a release's API and gate do; all but the first cannot stay live.
RELEASES = {
    "good": (HTTP, ASK),
    "gate fails": (HTTP, "exit 1"),
    "gate hangs": (HTTP, "sleep 600"),
    "crash loop": ("exit 1", ASK),
    "dies later": (f"exec timeout 0.4 python3 -m http.server {PORT}", ASK),
    "deaf": (SERVE, ASK),
}
BAD = tuple(RELEASES)[1:]
VICTIMS = ("nothing", "client", "link", "agent", "sshd", "database", "power", "outsider")
# What somebody else does to the host, in the place of a victim.
OUTSIDERS = (
    "moves current",
    "removes current",
    "removes the lock",
    "stops a unit",
    "restarts a unit",
    "reexecutes systemd",
    "stops dbus",
    "stops journald",
    "moves env",
    "edits a unit",
    "reloads systemd",
)
# How a release came to be, or what became of it: as built; a service of root's wrote bytecode or a file that nobody
# else may touch; the build linked a file from a store; a file cannot be changed, by nobody; another tool made it.
MADE = ("plain", "bytecode", "foreign", "linked", "immutable", "adopted")
# A release's configuration: as before, with other values that work, with one of a source that keeps the API from
# starting, or with one that makes it crash once, after its gate.
CONFIGURATIONS = ("kept", "new", "file breaks", "values break", "secrets break", "crashes later")
# Its units: two services; the text of one is another; one has another name; with a timer, an instance of a template or
# a socket; with one that systemd refuses.
UNITS = ("plain", "changed", "renamed", "timer", "template", "socket", "refused")
# What comes beside them: nothing; a path; a target that is named in `services` in the place of what it wants; a drop-in
# of the API.
BESIDE = ("nothing", "path", "target", "drop-in")
KINDS = ("deploy", "rollback", "env")
# What the host does between two phases of its state: it keeps the configuration; what goes is stopped; files of units
# come; they are enabled and systemd reads them; `env` is switched, and `current` not yet.
_BUILDING = ("building", "built")
_CONFIGURED = ("configured",)
_UNITS = ("stopping", "installing", "reloading")
_PHASES = {
    "deploy": (
        "connecting",
        *_BUILDING,
        *_CONFIGURED,
        "starting",
        "prepared",
        *_UNITS,
        "linked",
        "swapped",
        "restarted",
    ),
    "rollback": ("connecting", "starting", "prepared", *_UNITS, "linked", "swapped", "restarted"),
    "env": ("connecting", *_CONFIGURED, "starting", "prepared", "linked", "swapped", "restarted"),
}
_ENDS = {True: ("gated", "committed", "recording"), False: ("restoring", "restored", "recording")}
PHASES = {(kind, good): (*_PHASES[kind], *_ENDS[good]) for kind in KINDS for good in _ENDS}
ALL_PHASES = (*_PHASES["deploy"], "gated", "restoring", "committed", "restored", "recording", "over")


@dataclass(frozen=True)
class Choice:
    """What one run does; its seed alone decides, the state of the host does not."""

    seed: int
    kind: str
    release: str  # a key of RELEASES, for a deploy
    target: float  # of a rollback: which of the releases to go back to, 0 to 1
    victim: str
    how: str
    alone: bool  # the control node is killed as well, so that nobody follows
    aimed: float | None  # at one phase, 0 to 1 of those there are; None: at any time of the whole cycle
    moment: float  # 0 to 1 of that phase or cycle
    seconds: float  # for which what can come back is gone
    made: str = "plain"  # one of MADE
    configuration: str = "new"  # one of CONFIGURATIONS
    units: str = "plain"  # one of UNITS
    beside: str = "nothing"  # one of BESIDE


def choose(seed: int) -> Choice:
    """The choices of one run."""
    draw = random.Random(seed)
    victim = draw.choices(VICTIMS[:-1], weights=(1, 3, 3, 3, 2, 2, 3))[0]
    choice = Choice(
        seed=seed,
        kind=draw.choices(KINDS, weights=(4, 2, 1))[0],
        release=draw.choice(("good",) * len(BAD) + BAD),
        target=draw.random(),
        victim=victim,
        how=draw.choice(_HOWS.get(victim, ("",))),
        alone=draw.random() < 0.4 and victim not in ("nothing", "client"),
        aimed=draw.choices((draw.random(), None), weights=(2, 1))[0],
        moment=draw.random(),
        seconds=draw.choices((draw.uniform(0.2, 3), draw.uniform(5, 8)), weights=(3, 1))[0],
        made=draw.choices(MADE, weights=(5, 1, 1, 1, 1, 1))[0],
        configuration=draw.choices(CONFIGURATIONS, weights=(4, 4, 1, 1, 1, 1))[0],
        units=draw.choices(UNITS, weights=(3, 3, 2, 2, 2, 2, 1))[0],
        beside=random.Random(f"beside {seed}").choice(BESIDE),  # all else of a seed is as it was before this came
    )
    if draw.random() < 0.7:
        return choice
    return replace(choice, victim="outsider", how=draw.choice(OUTSIDERS), alone=draw.random() < 0.3)


_HOWS: dict[str, tuple[str, ...]] = {
    "client": ("SIGKILL", "SIGTERM", "SIGINT"),
    "link": CUTS,
    "sshd": ("SIGKILL", "SIGSTOP"),
}
