"""The words that a host and the control node share: phases, steps, names of units, who holds a host, sudo's rules.

Both say them to people, so each is written here alone; the host cannot import what the control node has.
"""

from __future__ import annotations

import time

from .annotations import TYPE_CHECKING, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence

if TYPE_CHECKING:
    from .contract import Facts, Hold, Phase, Running


class Reached(NamedTuple):
    """What is said when a phase of an activation is reached, and the step that follows; None after the last."""

    words: str
    following: Optional[str] = None


OTHER_RECIPE = "it was built with other settings of `build`, `shared` or `privileged`"

PHASES: Dict[Phase, Reached] = {
    "prepared": Reached("target verified, way back made", "switch"),
    "swapped": Reached("current switched", "restart"),
    "restarted": Reached("services restarted", "gate"),
    "gated": Reached("gate passed", "commit"),
    "committed": Reached("release is live"),
    "restoring": Reached("failed, going back", "restore"),
    "restored": Reached("previous release is back"),
    "restore_failed": Reached("the restore failed"),
}

# What a restart says otherwise: it moves nothing, and has nothing to go back to.
_RESTARTING: Dict[Phase, str] = {
    "prepared": "the live release is whole",
    "swapped": "current stays as it is",
    "restoring": "failed, and nothing is there to go back to",
    "restored": "nothing was restarted",
    "restore_failed": "the restart failed",
}

# The timed steps of an activation, in the order in which they pass, and what people call them.
STEPS: Dict[str, str] = {
    "migrating": "migrate",
    "swapping": "switch",
    "restarting": "restart",
    "gating": "gate",
    "restoring": "restore",
}

KINDS = (".service", ".socket", ".timer", ".path", ".target")  # of the units that a release may bring
_SUFFIXES = (*KINDS, ".mount", ".slice")

SAID_BY = "--- "  # before the name of the unit whose log follows
# What a line that tells of an error has in it, in small or large letters.
ERROR = r"(?:\berr|error|exception|fatal|failed|failure|missing|not found)\b"

# `prune`, `claim` and `plan` have no --wait, and can be refused for the same reason.
WAIT = (
    "type the same command again when that has ended (deploy, rollback, restart and env.push wait for it "
    "with --wait=600, for 600 s at most)"
)

_UNKNOWN = "another activation holds this host (just begun, or of another deploy root)"


def reached(phase: Phase, kind: str) -> str:
    """What is said when an attempt of a kind reaches a phase."""
    ours = _RESTARTING if kind == "restart" else {}
    return ours.get(phase, PHASES[phase].words)


def busy(running: Running) -> str:
    """Which activation holds the host; ``running`` is empty when it has not said yet what it is."""
    if not running:
        return _UNKNOWN
    since = moment(running["since"]).partition(" ")[2]
    who = f"{running['kind']} of {running['target']} by {running['actor']}"
    return f"{who} holds this host since {since} UTC ({running['phase']})"


def held(hold: Hold) -> str:
    """Who holds a host on purpose, since when and why."""
    return f"held by {hold['actor']} since {moment(hold['at'])} UTC: {hold['reason']}"


def not_live(facts: Facts) -> Iterator[str]:
    """Why it is not certain that the services serve the live release, a sentence each; an older agent says less."""
    yield from moved_away(facts)
    yield from not_running(facts)


def moved_away(facts: Facts) -> Iterator[str]:
    """What is live or in use otherwise than the journal has it: somebody moved a link."""
    last = facts["journal"][-1:]
    if last and last[0].get("live", facts["live"]) != facts["live"]:
        yield moved(last[0]["live"], facts["live"])
    used = facts.get("configuration")
    if last and last[0].get("configuration", used) != used:
        yield moved_env(last[0].get("configuration"), used)


def not_running(facts: Facts) -> Iterator[str]:
    """Which services do not run, or run otherwise than from what is live and in use."""
    used = facts.get("configuration")
    for name, unit in facts["units"].items():
        if not unit.get("serving", True) and not unit.get("put_away"):
            yield f"{name} is {unit['condition']}"
        if unit.get("behind"):
            yield f"{name} was not restarted since the configuration {used} was put in use"
        yield from (stray(name, each["pid"], each["release"]) for each in unit.get("strays", ()))


def stranger(name: str, current: str) -> str:
    """That a service runs from no release at all."""
    what = f"{name} runs from no release: no directory, program, argument or variable of its processes names one"
    return f"{what}, so a deploy does not change what it runs: set WorkingDirectory={current} in its unit"


def put_away(name: str, systemctl: str = "systemctl") -> str:
    """That a service is left as somebody wanted it, and what starts it again."""
    again = f"{systemctl} enable --now {name}"
    what = f"{name} was stopped and disabled since the last good attempt"
    return f"{what}: it is left so and not watched ({again} starts it)"


def stays_disabled(name: str, systemctl: str = "systemctl") -> str:
    """That a unit comes back as somebody left it, and what enables it again."""
    again = f"{systemctl} enable --now {name}"
    return f"{name} was disabled by somebody before a release took it away: it stays disabled ({again} enables it)"


def idle(timer: str) -> str:
    """That nothing starts a timer that a release brings."""
    return f"{timer} has no [Install], and neither `services` nor a unit beside it names it: it is not started"


def edited(paths: Sequence[str]) -> str:
    """That somebody changed units of the release that serves, and how they are replaced."""
    stays = "it stays as it is" if len(paths) == 1 else "they stay as they are"
    again = "a deploy or rollback with --adopt-units brings what the release has"
    return f"somebody changed {', '.join(paths)} on this host: {stays} ({again})"


def stale(name: str, systemctl: str, *, reloaded: bool) -> str:
    """That somebody changed a unit, and systemd goes by its old text."""
    what = f"{name} was changed on this host, and systemd has not read it since"
    return f"{what}: {'this activation' if reloaded else f'{systemctl} daemon-reload '} makes systemd read it"


def moved(before: Optional[str], now: Optional[str]) -> str:
    """That somebody moved `current`, which named ``before`` after the last activation."""
    where = f"to {now}" if now else "away from every release"
    return f"somebody moved current {where}; it named {before or 'no release'}"


def moved_env(before: Optional[str], now: Optional[str]) -> str:
    """That somebody moved `env`, which named the configuration ``before``."""
    where = f"to the configuration {now}" if now else "away from every configuration"
    return f"somebody moved env {where}; it named {before or 'none'}"


def stray(unit: str, pid: int, release: Optional[str]) -> str:
    """A process that runs from another release than the live one, or may do so."""
    if release is None:
        return f"process {pid} of {unit} started before current was switched"
    return f"process {pid} of {unit} runs from release {release}"


def hanging(pid: int) -> str:
    """A process of a unit that does not end."""
    return f"its process {pid} hangs in the kernel, where no signal reaches it"


def keeps_root(kinds: Sequence[str]) -> str:
    """Why ``privileged`` is refused where root's helper is all that sudo runs for the login."""
    what = "with least privilege nothing keeps the right to become root"
    return f"{what}: `privileged` names {', '.join(kinds)}"


WITHOUT_ROOT = "take `privileged` out of fabric.yaml; what needs root there is done by root, beside deploys"


def full_name(unit: str) -> str:
    """``api`` → ``api.service``; a name with a unit suffix stays as it is."""
    return unit if unit.endswith(_SUFFIXES) else f"{unit}.service"


def waiting_for_boot(units: Iterable[str]) -> List[str]:
    """The units, by full names, that wait for the boot unit; for a socket or a path it is the service of its name.

    At a boot sockets and paths come before every service.  One that waited for the boot unit would close an ordering
    cycle, and systemd breaks a cycle by leaving out the sockets, or paths, of the whole machine.
    """
    split = (name.rpartition(".") for name in units)
    kinds = {"socket": "service", "path": "service"}
    return [*dict.fromkeys(f"{stem}.{kinds.get(kind, kind)}" for stem, _, kind in split if not stem.endswith("@"))]


PLAIN_ROOT = "name a `root` of letters, digits and _ . / @ : + , = - in fabric.yaml"


def is_plain(path: str) -> bool:
    """Whether systemd reads a path in a unit as it stands: without blanks, quotes, backslashes, `$` and `%`."""
    import re

    return bool(re.fullmatch(r"[\w/.@:+,=-]+", path))


def interpreted(path: str) -> str:
    """What is said of a path that is not plain."""
    return f"{path!r} holds characters that systemd would interpret"


def boot_unit(root: str) -> str:
    """``/srv/my-app`` → ``oroboros-boot-srv-my\\x2dapp.service``: escaped as systemd does, so no two roots share it."""
    import os
    import re

    plain = re.sub(rb"[^\w.:/]", lambda found: b"\\x%02x" % ord(found[0]), os.fsencode(root.strip("/")))
    return f"oroboros-boot-{os.fsdecode(plain).replace('/', '-')}.service"


def without_format(path: str) -> str:
    """What to do with a file that no longer tells which version wrote last on a host."""
    return f"if no later version of oroboros_deploy was used there, on the host: rm {path} ; the next deploy writes it"


def sudo_rule(user: str, runs: str = "/usr/bin/systemctl, /usr/bin/systemd-run") -> str:
    """The line that sudo needs, so that a user may activate with the system's manager, or by what ``runs`` for that."""
    return f"{user} ALL=(root) NOPASSWD: {runs}"


def sudoers(user: str, *runs: str) -> str:
    """What to do when a user may not restart units without a password."""
    return f"add to sudoers: {sudo_rule(user, *runs)}"


def setup_least(user: str) -> str:
    """What lists the units and users of an application for a login with least privilege, once more or for the first."""
    return f"fab -H root@HOST setup --login={user} --least-privilege"


def moment(at: float) -> str:
    """Unix time as people read it, in UTC."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
    except (ValueError, OverflowError, OSError):  # a year that no calendar here knows
        return "?"
