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
)
# How a release came to be, or what became of it: as built; a service of root's wrote bytecode or a file that nobody
# else may touch; the build linked a file from a store; a file cannot be changed, by nobody; another tool made it.
MADE = ("plain", "bytecode", "foreign", "linked", "immutable", "adopted")
_BEFORE = ("connecting", "starting", "prepared", "swapped", "restarted")
PHASES = {
    ("deploy", True): ("connecting", "building", "built", *_BEFORE[1:], "gated", "committed", "recording"),
    ("deploy", False): ("connecting", "building", "built", *_BEFORE[1:], "restoring", "restored", "recording"),
    ("rollback", True): (*_BEFORE, "gated", "committed", "recording"),
    ("rollback", False): (*_BEFORE, "restoring", "restored", "recording"),
}
ALL_PHASES = (*PHASES["deploy", True][:-2], "restoring", "committed", "restored", "recording", "over")


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


def choose(seed: int) -> Choice:
    """The choices of one run."""
    draw = random.Random(seed)
    victim = draw.choices(VICTIMS[:-1], weights=(1, 3, 3, 3, 2, 2, 3))[0]
    choice = Choice(
        seed=seed,
        kind=draw.choices(("deploy", "rollback"), weights=(2, 1))[0],
        release=draw.choice(("good",) * len(BAD) + BAD),
        target=draw.random(),
        victim=victim,
        how=draw.choice(_HOWS.get(victim, ("",))),
        alone=draw.random() < 0.4 and victim not in ("nothing", "client"),
        aimed=draw.choices((draw.random(), None), weights=(2, 1))[0],
        moment=draw.random(),
        seconds=draw.choices((draw.uniform(0.2, 3), draw.uniform(5, 8)), weights=(3, 1))[0],
        made=draw.choices(MADE, weights=(5, 1, 1, 1, 1, 1))[0],
    )
    if draw.random() < 0.7:
        return choice
    return replace(choice, victim="outsider", how=draw.choice(OUTSIDERS), alone=draw.random() < 0.3)


_HOWS: dict[str, tuple[str, ...]] = {
    "client": ("SIGKILL", "SIGTERM", "SIGINT"),
    "link": CUTS,
    "sshd": ("SIGKILL", "SIGSTOP"),
}
