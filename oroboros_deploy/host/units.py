"""systemd, as the agent needs it: what units are doing, and a restart that can be believed."""

from __future__ import annotations

import os
import re
import time
from itertools import zip_longest
from math import inf
from pathlib import Path

from . import process
from .annotations import Dict, List, NamedTuple, Sequence, Tuple

_SUFFIXES = (".service", ".socket", ".target", ".timer", ".path", ".mount", ".slice")
_SHOWN = (
    "Id,LoadState,ActiveState,SubState,Type,Result,MainPID,InvocationID,NRestarts,NeedDaemonReload,ExecMainStatus,"
    "ActiveEnterTimestampMonotonic,StartLimitIntervalUSec,"
    "CanStart,CanStop,ControlGroup,TimeoutStopUSec,Job,ExecMainStartTimestampMonotonic,"
    "Wants,Requires,BindsTo,ConsistsOf,ConditionResult,ConditionTimestampMonotonic"
)
FAILED = ": Failed with result '"  # what systemd says of a unit that did not end well
PATIENCE = 10.0  # seconds for which systemd is asked again when it does not answer
_PAUSE = 0.1  # seconds between two of these questions
_ENTRY = re.compile(r"\n(?! )")  # where an entry of the journal begins: the further lines of one are indented
_SPAN = {"": 0.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}  # how systemd writes seconds; 0 is bare


def present() -> bool:
    """Whether systemd manages this host."""
    return Path("/run/systemd/system").is_dir()


def full_name(unit: str) -> str:
    """``api`` → ``api.service``; a name with a unit suffix stays as it is."""
    return unit if unit.endswith(_SUFFIXES) else f"{unit}.service"


def privileged(*argv: str) -> List[str]:
    """The command as root may run it, through ``sudo -n`` for anybody else."""
    return list(argv) if os.getuid() == 0 else ["sudo", "-n", *argv]


def may_manage(starts: bool = False, restarts: bool = True) -> bool:
    """Whether this login may restart units and start the activation without a password.

    With ``starts`` only systemctl is asked for: the attempt to start the unit shows whether
    systemd-run is allowed.  Without ``restarts`` only systemd-run is asked for; if it is
    refused, the activation runs as a detached process.  A harmless command is run through
    sudo, for ``sudo -l`` says yes to a rule that asks for a password, too; ``-k``: a password
    typed a moment ago counts no longer when the services are restarted.
    """
    if os.getuid() == 0:
        return True
    if not process.find("sudo"):
        return False
    wanted = (("systemctl",) if starts else ("systemctl", "systemd-run")) if restarts else ("systemd-run",)
    return all(_systemctl(["sudo", "-n", "-k", path_of(name), "--version"], 10).ok for name in wanted)


class Silent(OSError):
    """systemd gave no answer: the host's trouble, which says nothing of a unit or a release."""


class Unit(NamedTuple):
    """What systemd says of one unit at one moment.

    ``counted`` unless it is active and no start of it can still count against its start limit;
    ``refuses`` when systemd would refuse to restart it (RefuseManualStart= and its like).
    ``group`` is the control group of its processes, empty when it has none.
    ``stops_within`` are the seconds that it may take to stop; ``job`` is true while systemd has work to do on it.
    ``members`` of a target are what it wants and what is PartOf it; ``skipped`` when a condition
    (ConditionPathExists= and its like) kept it from starting; ``age`` is how many seconds ago its main process started.
    """

    name: str
    load: str
    active: str
    sub: str
    type: str
    result: str
    pid: str
    invocation: str
    restarts: str
    stale: bool
    status: str
    counted: bool = True
    refuses: bool = False
    group: str = ""
    stops_within: float = 0.0
    job: bool = False
    members: Tuple[str, ...] = ()
    skipped: bool = False
    age: float = inf

    @property
    def serving(self) -> bool:
        """Active; a oneshot that succeeded has done its work and counts as well."""
        if self.type == "oneshot":
            return self.result == "success" and self.active in ("active", "inactive")
        return self.active == "active"

    @property
    def runs(self) -> bool:
        """Active at this moment; a oneshot that has ended does not run."""
        return self.active in ("active", "reloading")

    @property
    def between(self) -> bool:
        """Ended well, and waits for systemd to start it again (Restart=)."""
        return self.result == "success" and "auto-restart" in self.sub

    def recurs(self, seconds: float) -> bool:
        """Whether it may be one that ends after each piece of work: it never ran, or was started again just now."""
        started_again = self.restarts not in ("", "0") and self.result == "success" and self.age < seconds
        return not self.invocation or self.between or started_again

    @property
    def dead(self) -> bool:
        """Ended for good: systemd will not start it again by itself."""
        return self.active == "failed" or (self.active == "inactive" and not (self.serving or self.between))

    @property
    def identity(self) -> Tuple[str, str, str]:
        """What changes when the process behind the unit does."""
        return (self.pid, self.invocation, self.restarts)

    @property
    def condition(self) -> str:
        """For people: ``failed (exit-code, status 203)``."""
        if self.result not in ("", "success"):
            return f"{self.active} ({self.result}, status {self.status})"
        return f"{self.active} ({self.sub})"


def show(units: Sequence[str]) -> Dict[str, Unit]:
    """Ask systemd about all units in one call, keyed by the names given; raises Silent when it does not answer."""
    if not units:
        return {}
    blocks = _shown(units).strip().split("\n\n")
    return {unit: _parse(unit, block) for unit, block in zip_longest(units, blocks[: len(units)], fillvalue="")}


def with_members(services: Sequence[str]) -> Dict[str, Unit]:
    """The services, and what the targets among them want or have as a part: it counts as if it was named.

    What a target wants may be absent, masked, or kept from starting by a condition, and is left out then.
    """
    seen, asked = show(services), {full_name(name) for name in services}
    more = [*seen.values()]
    while more:
        wanted = dict.fromkeys(name for unit in more for name in unit.members if name not in asked)
        asked.update(wanted)
        more = [unit for unit in show([*wanted]).values() if unit.load == "loaded" and not unit.skipped]
        seen.update((unit.name, unit) for unit in more)
    return seen


def names(services: Sequence[str]) -> List[str]:
    """The services, and what targets among them stand for; without a target systemd is not asked."""
    targets = any(full_name(name).endswith(".target") for name in services)
    return [*with_members(services)] if targets else [*services]


def _shown(units: Sequence[str]) -> str:
    """What systemd shows of units.  It is asked again while it does not answer, as in the middle of a daemon-reexec."""
    argv = ["systemctl", "show", "--no-pager", f"--property={_SHOWN}", "--", *map(full_name, units)]
    until = time.monotonic() + PATIENCE
    while True:
        output: List[bytes] = []
        ended = process.apart(argv, cwd=Path("/"), deadline=time.monotonic() + 30, sink=output.append)
        if ended.ok:
            return b"".join(output).decode("utf-8", "replace")
        if time.monotonic() >= until:
            raise Silent(f"systemd does not say how the units are: systemctl show {ended.reason}: {ended.said}")
        time.sleep(_PAUSE)


def restart(before: Dict[str, Unit], deadline: float) -> process.Ended:
    """Clear start limits unless there is nothing to clear, then restart what was ``before``.

    Without ``reset-failed`` a release that crash-looped has used up the start limit,
    and systemd refuses to start the good one that replaces it.
    """
    names = [full_name(unit) for unit in before]
    if any(unit.counted for unit in before.values()):
        _systemctl(privileged("systemctl", "reset-failed", "--", *names), 30)
    return _systemctl(privileged("systemctl", "restart", "--", *names), deadline - time.monotonic())


def stop(units: Sequence[str], deadline: float) -> process.Ended:
    """Stop units: what is left to do when there is no release to go back to."""
    return _systemctl(
        privileged("systemctl", "stop", "--", *map(full_name, units)), max(1.0, deadline - time.monotonic())
    )


def going_down() -> bool:
    """Whether the host shuts down: systemd refuses to start anything then."""
    asked = privileged("systemctl", "is-system-running")  # as root it is answered even when the bus is gone
    return present() and process.apart(asked, cwd=Path("/"), deadline=time.monotonic() + 10).tail == "stopping"


def recent_log(unit: str, since: float, lines: int = 15) -> str:
    """The last that a unit and systemd said of it ``since`` (Unix time), its earlier starts included.

    Who may not read the journal gets what ``systemctl status``, which the login may use as root, has of it:
    nothing from before systemd started the unit last.
    """
    asked = ("systemctl", "status", "--no-pager", "--full", f"--lines={lines}", "--", full_name(unit))
    return _journal(unit, since, lines) or _systemctl(privileged(*asked), 10).tail


def _journal(unit: str, since: float, lines: int) -> str:
    """Its last entries in the journal, none where this process may not read them.

    They are asked for newest first: with ``--since`` alone, ``--lines`` counts from the first entry (systemd 252).
    """
    if not process.find("journalctl"):
        return ""
    wanted = (f"--unit={full_name(unit)}", f"--since=@{since:f}", f"--lines={lines}", "--reverse")
    read = _systemctl(["journalctl", "--quiet", "--no-pager", "--no-hostname", "--all", *wanted], 10)
    return "\n".join(reversed(_ENTRY.split(read.tail))) if read.ok else ""


def _parse(unit: str, text: str) -> Unit:
    block = dict(line.partition("=")[::2] for line in text.splitlines())
    return Unit(
        name=unit,
        load=block.get("LoadState", "not-found"),
        active=block.get("ActiveState", "unknown"),
        sub=block.get("SubState", ""),
        type=block.get("Type", ""),
        result=block.get("Result", ""),
        pid=block.get("MainPID", "0"),
        invocation=block.get("InvocationID", ""),
        restarts=block.get("NRestarts", "0"),
        stale=block.get("NeedDaemonReload") == "yes",
        status=block.get("ExecMainStatus", "0"),
        counted=block.get("ActiveState") != "active" or _counted(block),
        refuses="no" in (block.get("CanStart"), block.get("CanStop")),
        group=block.get("ControlGroup", ""),
        stops_within=_seconds(block.get("TimeoutStopUSec", "")),
        job=block.get("Job", "") not in ("", "0"),
        members=_members(block),
        skipped=_skipped(block),
        age=_age(block),
    )


def _members(block: Dict[str, str]) -> Tuple[str, ...]:
    """The services and targets that a target is there to start; what else has members is no name for them."""
    if not block.get("Id", "").endswith(".target"):
        return ()
    listed = " ".join(block.get(name, "") for name in ("Wants", "Requires", "BindsTo", "ConsistsOf")).split()
    return tuple(dict.fromkeys(name for name in listed if name.endswith((".service", ".target"))))


def _skipped(block: Dict[str, str]) -> bool:
    tried = block.get("ConditionTimestampMonotonic", "0") != "0"
    return tried and block.get("ConditionResult") == "no" and block.get("ActiveState") == "inactive"


def _age(block: Dict[str, str]) -> float:
    started = int(block.get("ExecMainStartTimestampMonotonic") or 0)
    return time.monotonic() - started / 1e6 if started else inf


def _counted(block: Dict[str, str]) -> bool:
    """Whether the start that made it active may be within the interval of the start limit; it was the last one."""
    since, interval = block.get("ActiveEnterTimestampMonotonic"), block.get("StartLimitIntervalUSec")
    return not since or not interval or time.monotonic() - int(since) / 1e6 <= _seconds(interval)


def _seconds(span: str) -> float:
    """``1min 30s`` → 90; infinity for what is longer than hours."""
    try:
        return sum(float(part.rstrip("himnsu")) * _SPAN[part.lstrip("0123456789.")] for part in span.split())
    except (KeyError, ValueError):
        return inf


def _systemctl(argv: Sequence[str], seconds: float) -> process.Ended:
    return process.run(argv, cwd=Path("/"), deadline=time.monotonic() + seconds)


def path_of(name: str) -> str:
    return process.find(name) or f"/usr/bin/{name}"
