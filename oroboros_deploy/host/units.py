"""systemd, as the agent needs it: what units are doing, and a restart that can be believed."""

from __future__ import annotations

import os
import re
import time
from itertools import zip_longest
from math import inf
from pathlib import Path

from . import environment, manager, process
from .annotations import Callable, Container, Dict, List, NamedTuple, Sequence, Tuple
from .words import full_name as full_name

_SHOWN = (
    "Id,LoadState,UnitFileState,ActiveState,SubState,Type,Result,MainPID,InvocationID,NRestarts,NeedDaemonReload,ExecMainStatus,"
    "ActiveEnterTimestampMonotonic,StartLimitIntervalUSec,"
    "CanStart,CanStop,ControlGroup,TimeoutStopUSec,Job,ExecMainStartTimestampMonotonic,"
    "Wants,Requires,BindsTo,ConsistsOf,SliceOf,Triggers,Accept,ConditionResult,ConditionTimestampMonotonic"
)
_STARTED = (".service", ".socket", ".target", ".timer", ".path")  # what a deploy can start by mistake
_BOOTED = ("sysinit.target", "basic.target")  # every unit requires them
# What an activation asks of systemctl as root; the way back needs all of it.
_ACTIONS = ("restart", "stop", "reset-failed", "is-system-running")
_VERSION = ("systemd-run", "--version")
_SUDO = 10.0  # seconds that sudo may take to answer
FAILED = ": Failed with result '"  # what systemd says of a unit that did not end well
# What systemctl says when the other end is gone; of a unit that failed it says other things.
_WENT_AWAY = (
    "disconnected from message bus",
    "connect to bus",
    "Connection reset by peer",
    "endpoint is not connected",
)
PATIENCE = 10.0  # seconds for which systemd is asked again when it does not answer
_PAUSE = 0.1  # seconds between two of these questions
_ENTRY = r"\n(?! )"  # where an entry of the journal begins: the further lines of one are indented
_SPAN = {"": 0.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}  # how systemd writes seconds; 0 is bare


def present() -> bool:
    """Whether the service manager runs."""
    return manager.chosen().present


def privileged(*argv: str) -> List[str]:
    """The command as the service manager obeys it: the system's obeys root, through ``sudo -n`` for anybody else."""
    return manager.chosen().acting(*argv)


def refused(starts: bool = False, restarts: bool = True, services: Sequence[str] = ()) -> List[str]:
    """What sudo would not run for this login without a password, of all that an activation and its way back may need.

    With ``starts`` only systemctl is asked for: the attempt to start the unit shows whether
    systemd-run is allowed.  Without ``restarts`` only systemd-run is asked for; if it is
    refused, the activation runs as a detached process.  Harmless commands are run through
    sudo, for ``sudo -l`` says yes to a rule that asks for a password, too; each is as near as can
    be to what will be run, for a rule may be of restarts alone, or of one service, or of one line.
    ``-k``: a password typed a moment ago counts no longer when the services are restarted.
    Root needs no sudo.
    """
    return asking(starts, restarts, services)()


def asking(starts: bool, restarts: bool, services: Sequence[str]) -> Callable[[], List[str]]:
    """Begin to ask sudo what is ``refused``; what is returned waits for the answers, and gives them.

    The questions take longer than all else that an activation has to know, so they are asked beside it.
    """
    if os.getuid() == 0:
        return list
    lines = {f"systemctl {action}": ("systemctl", action, *_harmless(action, services)) for action in _ACTIONS}
    asked = {**(lines if restarts else {}), **({} if restarts and starts else {"systemd-run": _VERSION})}
    asked = manager.chosen().questions(asked)
    if not process.find("sudo"):
        return lambda: [*asked]
    env, deadline = environment.of_our_tools(), time.monotonic() + _SUDO
    answers = {name: process.begin(_by_sudo(*line), env=env, deadline=deadline) for name, line in asked.items()}
    return lambda: [name for name, answer in answers.items() if not _allowed(answer())]


def _harmless(action: str, services: Sequence[str]) -> Tuple[str, ...]:
    """The arguments with which systemctl only says what it would do; the last action only asks anyway."""
    return () if action == _ACTIONS[-1] else ("--help", "--", *map(full_name, services))


def _by_sudo(program: str, *arguments: str) -> List[str]:
    return ["sudo", "-n", "-k", program if program.startswith("/") else path_of(program), *arguments]


def _allowed(ended: process.Ended) -> bool:
    """Whether sudo ran it: a system that is degraded is told so, with a status of its own."""
    return ended.ok or bool(ended.tail)


class Silent(OSError):
    """systemd gave no answer: the host's trouble, which says nothing of a unit or a release."""


class Unit(NamedTuple):
    """What systemd says of one unit at one moment.

    ``counted`` unless it is active and no start of it can still count against its start limit;
    ``refuses`` when systemd would refuse to restart it (RefuseManualStart= and its like).
    ``group`` is the control group of its processes, empty when it has none.
    ``stops_within`` are the seconds that it may take to stop; ``job`` is true while systemd has work to do on it.
    ``members`` of a target are what it wants and what is PartOf it; ``parts`` of another unit are the services that
    systemd restarts with it (PartOf=, Slice=), and the one that a socket starts; ``skipped`` when a condition
    (ConditionPathExists= and its like) kept it from starting; ``age`` is how many seconds ago its main process started.
    ``file_state`` is what systemctl calls UnitFileState: enabled, disabled, static, indirect and others.
    ``wants`` are the units that systemd starts when it starts this one.  ``reopens`` is what we say of a socket whose
    text was changed.
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
    parts: Tuple[str, ...] = ()
    skipped: bool = False
    age: float = inf
    file_state: str = ""
    wants: Tuple[str, ...] = ()
    reopens: bool = False

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
    def stays_open(self) -> bool:
        """Whether it is a socket that is open: a restart of its service needs no restart of it."""
        return full_name(self.name).endswith(".socket") and self.active == "active" and not self.reopens

    @property
    def between(self) -> bool:
        """Ended well, and waits for systemd to start it again (Restart=)."""
        return self.result == "success" and "auto-restart" in self.sub

    @property
    def starts_by_itself(self) -> bool:
        """Enabled, and running: systemd starts it at each boot."""
        return self.file_state == "enabled" and (self.runs or self.between)

    @property
    def put_away(self) -> bool:
        """Stopped and disabled; one that cannot be enabled at all (static, indirect) is never disabled."""
        return self.file_state == "disabled" and self.active in ("inactive", "failed")

    @property
    def started_again(self) -> bool:
        """Whether systemd started it again by itself (Restart=) since somebody last started it."""
        return self.restarts not in ("", "0")

    def recurs(self, seconds: float) -> bool:
        """Whether it may be one that ends after each piece of work: it never ran, or was started again just now."""
        just_now = self.started_again and self.result == "success" and self.age < seconds
        return not self.invocation or self.between or just_now

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


def instances(templates: Sequence[str]) -> Dict[str, Unit]:
    """The instances of templates that systemd has loaded, by their full names; without a template it is not asked."""
    if not templates:
        return {}
    blocks = _shown([template.replace("@.", "@*.") for template in templates]).strip().split("\n\n")
    named = {_block(block).get("Id", ""): block for block in blocks}
    return {name: _parse(name, block) for name, block in named.items() if name}


def with_members(services: Sequence[str]) -> Dict[str, Unit]:
    """The services, and what the targets among them want or have as a part: it counts as if it was named.

    What a target wants may be absent, masked, or kept from starting by a condition, and is left out then.
    """
    seen = show(services)
    return {**seen, **_reached(seen, lambda unit: unit.members, lambda unit: not unit.skipped)}


def wanted(seen: Dict[str, Unit], without: Container[str] = ()) -> Dict[str, Unit]:
    """What systemd starts along with these units, because their texts say so (Wants= and its like)."""
    return _reached(seen, lambda unit: unit.wants, lambda unit: unit.name not in without)


def _reached(
    seen: Dict[str, Unit], listed: Callable[[Unit], Sequence[str]], counts: Callable[[Unit], bool]
) -> Dict[str, Unit]:
    """The loaded units that are listed by these, and by those that are; without these."""
    found: Dict[str, Unit] = {}
    asked, more = {full_name(name) for name in seen}, [*seen.values()]
    while more:
        names = dict.fromkeys(name for unit in more for name in listed(unit) if name not in asked)
        asked.update(names)
        more = [unit for unit in show([*names]).values() if unit.load == "loaded" and counts(unit)]
        found.update((unit.name, unit) for unit in more)
    return found


def names(services: Sequence[str]) -> List[str]:
    """The services, and what targets among them stand for; without a target systemd is not asked."""
    targets = any(full_name(name).endswith(".target") for name in services)
    return [*with_members(services)] if targets else [*services]


def parts(seen: Dict[str, Unit], ran: Container[str] = ()) -> Dict[str, Unit]:
    """The parts of these units, and their parts: each counts as if it was named, but one that somebody stopped.

    One that is stopped by now counts when it ``ran`` before.  What may only be started by others cannot be named.
    """
    found = _reached(seen, lambda unit: unit.parts, lambda unit: not unit.refuses)
    return {name: unit for name, unit in found.items() if unit.active != "inactive" or name in ran}


def whole(names: Sequence[str], seen: Dict[str, Unit]) -> List[str]:
    """These units, and their parts among those that were seen, whatever a name leaves out there."""
    found, called = [*names], {full_name(name): name for name in seen}
    for name in found:
        listed = (called.get(part) for part in (seen[name].parts if name in seen else ()))
        found += [part for part in listed if part and part not in found]
    return found


def _shown(units: Sequence[str]) -> str:
    """What systemd shows of units.  It is asked again while it does not answer, as in the middle of a daemon-reexec."""
    shown = ("show", "--no-pager", f"--property={_SHOWN}", "--")
    argv = manager.chosen().asking("systemctl", *shown, *map(full_name, units))
    until = time.monotonic() + PATIENCE
    while True:
        output: List[bytes] = []
        ended = process.apart(argv, cwd=Path("/"), deadline=time.monotonic() + 30, sink=output.append)
        if ended.ok:
            return b"".join(output).decode("utf-8", "replace")
        if time.monotonic() >= until:
            raise Silent(f"systemd does not say how the units are: systemctl show {ended.reason}: {ended.said}")
        time.sleep(_PAUSE)


def description(unit: str) -> str:
    """What its unit file calls it; empty when there is no such unit."""
    said = _property(unit, "Description")
    return said if said != unit else ""


def working_directory(unit: str) -> str:
    """Where its processes begin; the top of the host's files where its text names no path, or systemd is silent."""
    said = _property(unit, "WorkingDirectory").lstrip("!")  # of a directory that may be missing
    return said if said.startswith("/") else "/"


def _property(unit: str, name: str) -> str:
    output: List[bytes] = []
    argv = manager.chosen().asking("systemctl", "show", f"--property={name}", "--value", "--", full_name(unit))
    ended = process.apart(argv, cwd=Path("/"), deadline=time.monotonic() + 10, sink=output.append)
    return b"".join(output).decode("utf-8", "replace").strip() if ended.ok else ""


def restart(before: Dict[str, Unit], deadline: float, *away: str) -> process.Ended:
    """Clear start limits unless there is nothing to clear, then restart what was ``before``.

    A socket that is open stays so: systemd refuses to open it again while its service runs.
    Without ``reset-failed`` a release that crash-looped has used up the start limit,
    and systemd refuses to start the good one that replaces it.
    What is ``away`` (full names) is not started with them, although something wants it; all else that is wanted is
    started first, and decides as little as when systemd starts it.
    """
    names = [full_name(name) for name, unit in before.items() if not unit.stays_open]
    if not names:
        return process.Ended(0, "", 0.0)
    if any(unit.counted for unit in before.values()):
        _systemctl(privileged("systemctl", "reset-failed", "--", *names), 30)
    alone = ("--job-mode=ignore-requirements",) if away else ()
    also = [name for name, unit in wanted(before, away).items() if not unit.runs] if away else []
    if also:
        _restarted(privileged("systemctl", "restart", *alone, "--", *also), deadline)
    return _restarted(privileged("systemctl", "restart", *alone, "--", *names), deadline)


def _restarted(command: Sequence[str], deadline: float) -> process.Ended:
    """Ask for the restart; again while systemd went away before it answered, as in the middle of a daemon-reexec."""
    began = time.monotonic()
    while True:
        ended = _systemctl(command, deadline - time.monotonic())
        waited = time.monotonic() - began
        if ended.ok or waited > PATIENCE or not any(word in ended.tail for word in _WENT_AWAY):
            return ended
        time.sleep(0.2)


def stop(units: Sequence[str], deadline: float) -> process.Ended:
    """Stop units: what is left to do when there is no release to go back to."""
    return _systemctl(
        privileged("systemctl", "stop", "--", *map(full_name, units)), max(1.0, deadline - time.monotonic())
    )


def going_down() -> bool:
    """Whether the host (or the login's manager) shuts down: systemd refuses to start anything then."""
    asked = privileged("systemctl", "is-system-running")  # as root it is answered even when the bus is gone
    return present() and process.apart(asked, cwd=Path("/"), deadline=time.monotonic() + 10).tail == "stopping"


def recent_log(unit: str, since: float, lines: int = 30) -> str:
    """The last that a unit and systemd said of it ``since`` (Unix time), its earlier starts included.

    Who may not read the journal gets what ``systemctl status``, which the login may use as root, has of it:
    nothing from before systemd started the unit last.
    """
    asked = ("systemctl", "status", "--no-pager", "--full", f"--lines={lines}", "--", full_name(unit))
    return _journal(unit, since, lines) or f"{_systemctl(privileged(*asked), 10).tail}{_unread()}"


def _unread() -> str:
    """What is told of a journal that shows the login nothing; root's words need no such hint."""
    if manager.chosen().of_the_system:
        return ""
    from . import user_log

    return f"\n{user_log.unread()}"


def _journal(unit: str, since: float, lines: int) -> str:
    """Its last entries in the journal, none where this process may not read them.

    A unit may have a journal of its own (LogNamespace=), while systemd's words of it are in the usual one.
    They are asked for newest first: with ``--since`` alone, ``--lines`` counts from the first entry (systemd 252).
    """
    if not process.find("journalctl"):
        return ""
    if not manager.chosen().of_the_system:
        from . import user_log

        return user_log.recent(full_name(unit), since, lines)
    wanted = (f"--unit={full_name(unit)}", f"--since=@{since:f}", f"--lines={lines}", "--reverse")
    read = _systemctl(["journalctl", "--quiet", "--no-pager", "--no-hostname", "--all", "--namespace=*", *wanted], 10)
    return "\n".join(reversed(re.split(_ENTRY, read.tail))) if read.ok else ""


def _block(text: str) -> Dict[str, str]:
    return dict(line.partition("=")[::2] for line in text.splitlines())


def _parse(unit: str, text: str) -> Unit:
    block = _block(text)
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
        parts=_parts(block),
        skipped=_skipped(block),
        age=_age(block),
        file_state=block.get("UnitFileState", ""),
        wants=_wants(block),
    )


def _members(block: Dict[str, str]) -> Tuple[str, ...]:
    """The services and targets that a target is there to start; what else has members is no name for them."""
    if not block.get("Id", "").endswith(".target"):
        return ()
    listed = (*_wants(block), *block.get("ConsistsOf", "").split())
    return tuple(dict.fromkeys(name for name in listed if name.endswith((".service", ".target"))))


def _wants(block: Dict[str, str]) -> Tuple[str, ...]:
    """What its text wants, but not what is there on every host that has booted."""
    listed = " ".join(block.get(name, "") for name in ("Wants", "Requires", "BindsTo")).split()
    return tuple(name for name in listed if name.endswith(_STARTED) and name not in _BOOTED)


def _parts(block: Dict[str, str]) -> Tuple[str, ...]:
    """The services that are restarted with a unit; what a target has is `_members`, a timer's service has its time.

    What a socket starts for each connection (Accept=) lasts as long as that, and nobody can start it again.
    """
    kind = block.get("Id", "").rpartition(".")[2]
    socket = ("ConsistsOf",) if block.get("Accept") == "yes" else ("Triggers", "ConsistsOf")
    properties = {"target": (), "socket": socket, "slice": ("SliceOf", "ConsistsOf")}
    listed = " ".join(block.get(name, "") for name in properties.get(kind, ("ConsistsOf",))).split()
    return tuple(dict.fromkeys(name for name in listed if name.endswith((".service", ".slice"))))


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
