"""Starting an activation where no broken connection can reach it, and following it from there.

Who only starts and follows one does not import `activation`, with all that it needs; who acts, or settles, does.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from math import inf
from pathlib import Path

from . import (
    durable,
    hold,
    lock,
    manager,
    process,
    records,
    running,
    state,
    time_limits,
    turn,
    units,
    words,
)
from .annotations import IO, TYPE_CHECKING, Dict, Optional, Tuple, cast
from .journal import Journal
from .layout import Layout
from .refusal import Refusal, of_host, read
from .wire import Say, Wire

if TYPE_CHECKING:
    from .contract import ActivateAnswer, ActivateRequest, Level, PruneRequest, Result, SentEvent

GRACE = 3.0  # seconds an activation may be without its lock (starting, or handing over to its recovery)
UNIT, SECOND = running.UNIT, running.SECOND
_ENDING = 15.0  # seconds that the unit before may take to end, and its recovery with it
_ENDED = ("inactive", "failed")
_JOURNAL = "systemd-journal"  # the group that may read it


def start(layout: Layout, request: ActivateRequest, say: Say) -> None:
    """Start the attempt, once: the same attempt asked for again, or by two at once, is only followed."""
    if state.known(layout, request["attempt"]):
        return  # before anything is written: on a disk that takes nothing any more it may have switched
    layout.create()
    if not layout.reserve.spend(_claim, layout, request):
        return
    try:
        (start_detached if request["detached"] else start_unit)(layout, request, say)
    except Refusal as refusal:
        _refuse(layout, request["attempt"], refusal)  # the same attempt asked again gets the same answer
        raise


def run(layout: Layout, request: ActivateRequest) -> None:
    """The activation itself: what the unit (or the detached process) executes."""
    from . import activation

    attempt = request["attempt"]
    say, began = log_to(layout.attempt(attempt) / "log.jsonl"), False
    try:
        with lock.take(layout.lock, wait=2):
            if (layout.attempt(attempt) / "result.json").exists():
                return  # it started so late that a follower gave it up
            if not request["detached"]:
                from . import boot

                boot.install(layout, request, say)
            activation.settle(layout, request, say)
            hold.refuse(layout)  # after that: no hold keeps a host from its restore
            _refuse_news(layout, request)
            _refuse_root(layout, request)
            wanted = activation.Activation(layout, request, say)
            began = True  # an OSError of what follows comes after the first phase: `run` refuses before it
            final = wanted.run()
        if final.phase == "committed":
            _prune_later(layout, request)
    except lock.Held:
        _refuse(layout, attempt, running.busy(layout))
    except Refusal as refusal:
        _refuse(layout, attempt, refusal)
    except OSError as error:
        found = state.load(layout.state)
        if began or (found and found.attempt == attempt):
            raise
        _refuse(layout, attempt, of_host("invalid", "nothing was changed: the activation could not begin", error))


def recover(layout: Layout, request: ActivateRequest) -> Optional[state.State]:
    """Bring an attempt whose process is gone to its end; harmless when it has one, or when it is not gone.

    Returns its state at that end, None when it never had a state or somebody else works here.
    """
    from . import activation

    attempt = request["attempt"]
    say = log_to(layout.attempt(attempt) / "log.jsonl")
    with contextlib.suppress(lock.Held), lock.take(layout.lock, wait=GRACE):
        down = units.going_down()
        if down and _waits_for_the_boot(layout):
            return None
        found = activation.settle(layout, request, say, services=not down)
        if found and found.attempt == attempt:
            return found
        if Journal(layout.journal).has(attempt):
            raise Refusal("unknown", "only the journal has how the activation ended", hint="fab -H HOST audit")
        died, hint = "the activation died before it changed anything", "type the same command again"
        _refuse(layout, attempt, Refusal("invalid", died, hint=hint))
    return None


def _waits_for_the_boot(layout: Layout) -> bool:
    """Whether units have to be put back, by root's systemd-run, of which a system that goes down starts none."""
    last = state.load(layout.state)
    changed = last is not None and not last.final and last.units_begun
    return changed and last is not None and last.phase != "gated" and layout.scope == "system"


def after_boot(layout: Layout, request: ActivateRequest) -> None:
    """What the boot unit executes: settle what an earlier boot left, unless somebody does so already."""
    from . import activation

    say = log_to(layout.attempt(request["attempt"]) / "log.jsonl")
    with contextlib.suppress(lock.Held), lock.take(layout.lock, wait=1):  # some only look who holds it
        activation.settle_earlier_boot(layout, request, say)
        _keep_env()


def _keep_env() -> None:
    """Have what the services of this boot read follow `env`, of which root has a copy for units of least privilege."""
    helper = manager.chosen().helper_copies_env()
    if helper:
        process.run(helper, cwd=Path("/"), deadline=time.monotonic() + 10)


def tidy(layout: Layout, request: ActivateRequest) -> None:
    """What an activation that went well leaves to be done: prune, once nobody builds or activates."""
    from . import prune

    say, keep = log_to(layout.attempt(request["attempt"]) / "prune.jsonl"), request.get("keep")
    if keep is None:
        return
    asked: PruneRequest = {"keep": keep, "dry_run": False}
    try:
        prune.prune(layout, asked, say, wait=60)
    except Refusal as refusal:
        say("warning", f"nothing was pruned: {refusal.message}", level="warning")


def follow(
    layout: Layout, attempt: str, wire: Wire, after: int = 0, asked: Optional[ActivateRequest] = None
) -> ActivateAnswer:
    """Pass on the attempt's log from line ``after``; returns its result once it has one.

    When nobody works on the attempt any more and it has no result, settles it: the
    next contact is enough, even if the host's own recovery never ran.  Where no result
    can be written or read, its state is the answer; without that Refusal says that
    nobody knows, for the attempt may have switched.
    """
    request = state.read_request(layout, attempt) or asked
    if request is None:
        hint = "fab -H HOST audit  shows the attempts that this host knows"
        raise Refusal("missing", f"attempt {attempt} is not known on this host", hint=hint)
    try:
        with _open_log(layout.attempt(attempt)) as log:
            for _ in range(after):
                log.readline()
            return _followed(layout, request, log, wire)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise of_host("unknown", "how the activation ended cannot be read on this host", error) from error


def _followed(layout: Layout, request: ActivateRequest, log: IO[bytes], wire: Wire) -> ActivateAnswer:
    directory = layout.attempt(request["attempt"])
    alone_since: Optional[float] = None
    while True:
        ended = _ended(directory)
        pass_on(log, wire)
        if ended:
            return _result(directory)
        alone_since = None if running.held(layout) else alone_since or time.monotonic()
        if alone_since and time.monotonic() - alone_since > GRACE:
            if running.unit_runs():  # the lock file is not there any more: the activation is
                alone_since = None
            else:
                found = _settled(layout, request)
                if found and not _ended(directory):
                    from . import activation

                    pass_on(log, wire)
                    return {"state": found.as_dict(), "live": activation.live_at(layout, found)}
        time.sleep(0.005)


def _settled(layout: Layout, request: ActivateRequest) -> Optional[state.State]:
    """The state at the end of the attempt, whether its records can be written or not."""
    try:
        return recover(layout, request)
    except OSError:
        found = state.load(layout.state)
        if found and found.final and found.attempt == request["attempt"]:
            return found
        raise


def _ended(directory: Path) -> bool:
    with contextlib.suppress(OSError):  # somebody took it: the state will tell
        return (directory / "result.json").exists()
    return False


def _claim(layout: Layout, request: ActivateRequest) -> bool:
    """Make the request an attempt of this host; False when it is one, also of somebody who asked a moment ago.

    However long the disk takes, it is waited for: told to be refused, the attempt could still begin.
    """
    with lock.take(layout.start_lock, wait=inf):
        if state.known(layout, request["attempt"]):
            return False
        _keep(layout.attempt(request["attempt"]), {**request, "layout": layout.as_dict()})
    return True


def _keep(directory: Path, request: ActivateRequest) -> None:
    """Make the directory of an attempt, its log, and its request last: that makes it an attempt."""
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        _log_file(directory)
        durable.write_json(directory / "request.json", request)
    except OSError:
        (directory / "log.jsonl").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            directory.rmdir()  # not when a build left its logs there
        raise
    durable.sync_directory(directory.parent)


def start_unit(layout: Layout, request: ActivateRequest, say: Say) -> None:
    """Ask systemd to run it: a unit of a fixed name, so the name itself is a mutex for the whole host.

    The activation that has the name is waited for; raises Refusal when that takes too long.

    A unit that has ended and cannot be put away, for a process of it that nothing can kill,
    would keep the name for ever: while nobody holds the lock, there is a second one.

    Never ``--pipe`` or ``--pty``: with them the unit dies of the broken connection
    that it is there to survive.
    """
    unit, ours, ends = UNIT, turn.Turn(say), turn.Turn(say)
    while True:
        if unit == UNIT and running.second_runs():
            _wait(layout, ours, turn.seconds(layout, request))
            continue
        ended = process.run(unit_command(layout, request, unit), cwd=Path("/"), deadline=time.monotonic() + 30)
        if ended.ok:
            return
        if "already" not in ended.tail:
            _give_up(layout, request, _not_started(ended, request["restart"]))
            return
        ending, over = _ending(unit)
        if not ending:
            ends = turn.Turn(say)
        if over and ends.waited > GRACE and unit == UNIT and not lock.is_held(layout.lock):
            unit = SECOND  # at once: a moment later somebody else may have the first name
        else:
            _wait(layout, ours, _patience(layout, request, ours.waited - ends.waited + _ENDING if ending else GRACE))


def _patience(layout: Layout, request: ActivateRequest, least: float) -> float:
    """Seconds for whoever has the name.

    Of a unit that runs without the lock the activation has not begun yet, or only starts the pruning, or it is of
    another deploy root: for that ``least`` seconds are waited, whatever was asked.
    """
    asked = turn.seconds(layout, request)
    return asked if lock.is_held(layout.lock) else max(least, asked)


def _wait(layout: Layout, ours: turn.Turn, seconds: float) -> None:
    if ours.waited >= seconds:
        raise running.busy(layout)
    ours.wait(seconds, lambda: running.busy(layout).message)


def _give_up(layout: Layout, request: ActivateRequest, refusal: Refusal) -> None:
    """Refuse what systemd-run says it did not start, under the lock: one that begins after that does not act.

    Held, the attempt may have begun all the same (the answer was late or lost), and its follower sees its end.
    """
    with contextlib.suppress(lock.Held), lock.take(layout.lock, wait=1):  # some only look who holds it
        _refuse(layout, request["attempt"], refusal)


def unit_command(layout: Layout, request: ActivateRequest, unit: str = UNIT) -> "list[str]":
    agent, attempt = _agent(), request["attempt"]
    if not words.is_plain(agent):
        raise Refusal("invalid", words.interpreted(agent), hint=words.PLAIN_ROOT)
    # Not $SERVICE_RESULT: stopped by a signal that asks politely, a unit is a success to systemd.
    recovery = f"/bin/sh -c '[ \"$EXIT_STATUS\" = 0 ] || exec {sys.executable} -IS {agent} recover {attempt}'"
    there, back = time_limits.way_there(records.asked(layout, request)), _way_back(layout, request)
    properties = {
        "Type": "exec",
        "ExecStopPost": recovery,
        "RuntimeMaxSec": f"{there + back:.0f}",
        "TimeoutStopSec": f"{back:.0f}",
        "KillSignal": "SIGKILL",  # what is deaf to others keeps no recovery waiting
        "UMask": "0022",
        **(_rights() if manager.chosen().of_the_system else {}),
    }
    description = f"{request['kind']} of {request['sha']} in {layout.root} by {request['actor']}"
    seconds = (f"{there + back:.0f}", f"{back:.0f}")
    helper = manager.chosen().helper_activates(unit, (sys.executable, agent, attempt), seconds)
    return helper or _transient(unit, description, properties, "run", attempt)


def _way_back(layout: Layout, request: ActivateRequest) -> float:
    """Seconds for a restore, by what the live release is held to as well."""
    seconds = time_limits.way_back(request)
    with contextlib.suppress(Refusal):
        live = layout.live()
        return max(seconds, time_limits.way_back(records.way_back(layout, request, live))) if live else seconds
    return seconds


def _rights() -> Dict[str, str]:
    """What root gives it: to be killed last, and to read what the services say.

    In a group that the host does not have it would not start.
    """
    import grp

    last = {"OOMScoreAdjust": "-500"}
    try:
        grp.getgrnam(_JOURNAL)
    except KeyError:
        return last
    return {**last, "SupplementaryGroups": _JOURNAL}


def start_detached(layout: Layout, request: ActivateRequest, say: Say) -> None:
    """Without systemd: a process in a session of its own, which no hang-up reaches."""
    ours = turn.Turn(say)
    while lock.is_held(layout.lock):
        _wait(layout, ours, turn.seconds(layout, request))
    spawn("run", request["attempt"])


def spawn(*command: str) -> None:
    subprocess.Popen(
        [sys.executable, "-IS", _agent(), *command],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _prune_later(layout: Layout, request: ActivateRequest) -> None:
    """Start ``tidy`` as something of its own: the next activation must not wait for it, nor this one fail by it."""
    with contextlib.suppress(OSError, ImportError):
        from . import retention

        releases, attempts = len(list(layout.release_ids())), len(os.listdir(layout.ours / "attempts"))
        if not retention.due(releases, attempts, request.get("keep")):
            return
        if request["detached"]:
            spawn("tidy", request["attempt"])
        else:
            process.run(_tidy_command(layout, request), cwd=Path("/"), deadline=time.monotonic() + 10)


def _tidy_command(layout: Layout, request: ActivateRequest) -> "list[str]":
    helper = manager.chosen().helper_tidies((sys.executable, _agent(), request["attempt"]))
    if helper:
        return helper
    properties = {"Nice": "10", "IOSchedulingClass": "idle", "RuntimeMaxSec": "900", "UMask": "0022"}
    return _transient(None, f"prune of {layout.root}", properties, "tidy", request["attempt"])


def _transient(unit: Optional[str], description: str, properties: Dict[str, str], *command: str) -> "list[str]":
    """What starts the agent as a unit that needs nobody, with the rights of this login."""
    return [
        *units.privileged("systemd-run", "--quiet", "--no-block", "--collect"),
        *([f"--unit={unit}"] if unit else []),
        f"--description={description}",
        *(f"--property={key}={value}" for key, value in properties.items()),
        *manager.chosen().login,
        "--",
        *manager.literal((sys.executable, "-IS", _agent(), *command)),
    ]


def _refuse_news(layout: Layout, request: ActivateRequest) -> None:
    """Refuse when another release is live than the one that the attempt was decided for, if that was said."""
    live = layout.live()
    expected: Optional[str] = request.get("expected", live)
    if expected != live:
        news = f"{live} went live here meanwhile" if live else "no release is live here by now"
        hint = "see what is live: fab -H HOST status; then type the same command again"
        raise Refusal("busy", f"nothing was switched: {news}", hint=hint)


def _refuse_root(layout: Layout, request: ActivateRequest) -> None:
    """Refuse what is to keep the right to become root where the login has root's helper and nothing else."""
    if manager.chosen().bound:
        gate = records.asked(layout, request)["healthcheck"] or {}
        kept = {"migrate": request.get("migrate_privileged"), "healthcheck": gate.get("privileged")}
        manager.refuse_root([kind for kind, keeps in kept.items() if keeps], "nothing was switched")


def _ending(unit: str) -> Tuple[bool, bool]:
    """Whether the unit that has the name ends or has ended, and whether it will do nothing more.

    One that ends waits, for minutes, for a process that nothing can kill.  Its recovery comes after that wait, unless
    the activation itself ended well, and before the last signals ("final-").
    """
    try:
        found = units.show([unit])[unit]
    except units.Silent:
        return False, False
    over = found.active in _ENDED
    ending = found.active == "deactivating"
    ended_well = found.pid == "0" and found.status == "0"
    return ending or over, over or (ending and (ended_well or found.sub.startswith("final-")))


def _refuse(layout: Layout, attempt: str, refusal: Refusal) -> None:
    """Give an attempt that changed nothing its result; one that has a result keeps it."""
    path = layout.attempt(attempt) / "result.json"
    if not path.exists():
        result: Result = {"refusal": refusal.as_dict()}
        layout.reserve.spend(durable.write_json, path, result)


def log_to(path: Path) -> Say:
    def say(event: str, message: str = "", level: Level = "info", **data: object) -> None:
        line: SentEvent = {"event": event, "message": message, "level": level, "data": data, "at": time.time()}
        with contextlib.suppress(OSError):  # a full disk must not stop a restore
            durable.append(path, json.dumps(line).encode() + b"\n", lasting=False)

    return say


def _open_log(directory: Path) -> IO[bytes]:
    """The log from its first line; an empty one where it cannot be read any more."""
    try:
        return (directory / "log.jsonl").open("rb")
    except (FileNotFoundError, PermissionError):
        return open(os.devnull, "rb")


def _log_file(directory: Path) -> Path:
    path = directory / "log.jsonl"
    path.touch(mode=0o600)
    return path


def pass_on(log: IO[bytes], wire: Wire) -> None:
    for line in iter(log.readline, b""):
        if not line.endswith(b"\n"):  # half a line: read it again when it is whole
            log.seek(-len(line), os.SEEK_CUR)
            return
        with contextlib.suppress(ValueError):  # not a line any more: the power was cut while it was written
            wire.send(cast("SentEvent", json.loads(line)))


def _result(directory: Path) -> ActivateAnswer:
    result = cast("Result", json.loads((directory / "result.json").read_text()))
    if "refusal" in result:
        raise read(result["refusal"])
    return {"state": result["state"], "live": result["live"]}


def _agent() -> str:
    return os.path.abspath(sys.argv[0])


def _not_started(ended: process.Ended, restarts: bool) -> Refusal:
    troubles = manager.chosen().troubles() or manager.without_sudo(
        units.refused(restarts=restarts) if manager.chosen().of_the_system else []
    )
    if troubles:
        return Refusal("invalid", f"nothing was changed: {troubles[0].message}", hint=troubles[0].hint)
    said = ": ".join(filter(None, (ended.reason, ended.tail)))
    hint = "see what systemd says on the host: journalctl -n 50; then type the same command again"
    return Refusal("invalid", f"nothing was changed: the activation did not start: systemd-run {said}", hint=hint)
