"""Starting an activation where no broken connection can reach it, and following it from there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Optional

from . import activation, boot, durable, lock, process, state, units
from .layout import Layout
from .refusal import Refusal
from .wire import Say, Wire

UNIT = "oroboros-activate.service"
GRACE = 3.0  # seconds an activation may be without its lock (starting, or handing over to its recovery)
_PLAIN = re.compile(r"[\w/.@:+,=-]+")


def start(layout: Layout, request: Dict[str, Any]) -> None:
    """Start the attempt, once: the same attempt asked for again is only followed."""
    layout.create()
    directory = layout.attempt(request["attempt"])
    if (directory / "request.json").exists():
        return
    layout.reserve.spend(_keep, directory, {**request, "layout": layout.as_dict()})
    try:
        (_start_detached if request["detached"] else _start_unit)(layout, request)
    except Refusal as refusal:
        _refuse(layout, request["attempt"], refusal)  # the same attempt asked again gets the same answer
        raise


def run(layout: Layout, request: Dict[str, Any]) -> None:
    """The activation itself: what the unit (or the detached process) executes."""
    attempt = request["attempt"]
    say = _log_to(layout.attempt(attempt) / "log.jsonl")
    try:
        with lock.hold(layout.lock, wait=2):
            if (layout.attempt(attempt) / "result.json").exists():
                return  # it started so late that a follower gave it up
            layout.reserve.fill()
            if not request["detached"]:
                boot.install(layout, request, say)
            activation.settle(layout, request, say)
            activation.Activation(layout, request, say).run()
    except lock.Held:
        _refuse(layout, attempt, _busy(layout))
    except Refusal as refusal:
        _refuse(layout, attempt, refusal)


def recover(layout: Layout, request: Dict[str, Any]) -> None:
    """Bring an attempt whose process is gone to its end; harmless when it has one, or when it is not gone."""
    attempt = request["attempt"]
    say = _log_to(layout.attempt(attempt) / "log.jsonl")
    with contextlib.suppress(lock.Held), lock.hold(layout.lock, wait=GRACE):
        activation.settle(layout, request, say, services=not units.going_down())
        _refuse(layout, attempt, Refusal("invalid", "the activation died before it changed anything", hint="try again"))


def after_boot(layout: Layout, request: Dict[str, Any]) -> None:
    """What the boot unit executes: settle what an earlier boot left, unless somebody does so already."""
    say = _log_to(layout.attempt(request["attempt"]) / "log.jsonl")
    with contextlib.suppress(lock.Held), lock.hold(layout.lock, wait=1):  # some only look who holds it
        activation.settle_earlier_boot(layout, request, say)


def follow(layout: Layout, attempt: str, wire: Wire, after: int = 0) -> Dict[str, Any]:
    """Pass on the attempt's log from line ``after``; returns its result once it has one.

    When nobody works on the attempt any more and it has no result, settles it: the
    next contact is enough, even if the host's own recovery never ran.
    """
    directory, request = layout.attempt(attempt), state.read_request(layout, attempt)
    if request is None:
        raise Refusal("missing", f"attempt {attempt} is not known on this host")
    alone_since: Optional[float] = None
    with _log_file(directory).open("rb") as log:
        for _ in range(after):
            log.readline()
        while True:
            ended = (directory / "result.json").exists()
            _pass_on(log, wire)
            if ended:
                return _result(directory)
            alone_since = None if lock.is_held(layout.lock) else alone_since or time.monotonic()
            if alone_since and time.monotonic() - alone_since > GRACE:
                recover(layout, request)
            time.sleep(0.02)


def holder(layout: Layout) -> Dict[str, Any]:
    """Who activates at this moment: attempt, kind, target, actor and since when, as far as it is known."""
    found = state.load(layout.state)
    if found is None or found.final:
        return {}
    return {
        "attempt": found.attempt,
        "kind": found.kind,
        "target": found.target,
        "actor": found.actor,
        "since": found.started_at,
        "phase": found.phase,
    }


def _keep(directory: Path, request: Dict[str, Any]) -> None:
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


def _start_unit(layout: Layout, request: Dict[str, Any]) -> None:
    """Ask systemd to run it: a unit of a fixed name, so the name itself is a mutex for the whole host.

    Never ``--pipe`` or ``--pty``: with them the unit dies of the broken connection
    that it is there to survive.
    """
    argv = _unit_command(layout, request)
    give_up = time.monotonic() + 15
    while True:
        ended = process.run(argv, cwd=Path("/"), deadline=time.monotonic() + 30)
        if ended.ok:
            return
        if "already" not in ended.tail:
            raise Refusal("invalid", f"the activation could not be started: {ended.tail}", hint=_sudo_hint())
        if lock.is_held(layout.lock) or not _ending() or time.monotonic() > give_up:
            raise _busy(layout)
        time.sleep(0.05)


def _unit_command(layout: Layout, request: Dict[str, Any]) -> "list[str]":
    agent, attempt = _agent(), request["attempt"]
    if not _PLAIN.fullmatch(agent):
        raise Refusal("invalid", f"{agent!r} holds characters that systemd would interpret", hint="use a plain root")
    # Not $SERVICE_RESULT: stopped by a signal that asks politely, a unit is a success to systemd.
    recovery = f"/bin/sh -c '[ \"$EXIT_STATUS\" = 0 ] || exec {sys.executable} -IS {agent} recover {attempt}'"
    way_back = request["restart_timeout"] + _gate_seconds(request) + 30
    bound = way_back + request["restart_timeout"] + _gate_seconds(request) + request["migrate_timeout"]
    properties = {
        "Type": "exec",
        "ExecStopPost": recovery,
        "RuntimeMaxSec": f"{bound:.0f}",
        "TimeoutStopSec": f"{way_back:.0f}",
        "OOMScoreAdjust": "-500",
        "UMask": "0022",
    }
    user = [] if os.getuid() == 0 else [f"--uid={os.getuid()}"]
    return [
        *units.privileged("systemd-run", "--quiet", "--no-block", "--collect", f"--unit={UNIT}"),
        f"--description={request['kind']} of {request['sha']} in {layout.root} by {request['actor']}",
        *(f"--property={key}={value}" for key, value in properties.items()),
        *user,
        "--",
        *(sys.executable, "-IS", agent, "run", attempt),
    ]


def _start_detached(layout: Layout, request: Dict[str, Any]) -> None:
    """Without systemd: a process in a session of its own, which no hang-up reaches."""
    if lock.is_held(layout.lock):
        raise _busy(layout)
    subprocess.Popen(
        [sys.executable, "-IS", _agent(), "run", request["attempt"]],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _gate_seconds(request: Dict[str, Any]) -> float:
    settings = request["healthcheck"] or {}
    return float(settings.get("timeout", 60.0)) + 2 * process.GRACE


def _ending() -> bool:
    """Whether the unit has done its work and systemd is just putting it away."""
    unit = units.show([UNIT])[UNIT]
    return unit.active in ("deactivating", "inactive", "failed")


def _busy(layout: Layout) -> Refusal:
    holds = holder(layout)
    if not holds:
        return Refusal("busy", f"another activation holds this host ({UNIT})", hint=f"systemctl status {UNIT}")
    since = time.strftime("%H:%M:%S UTC", time.gmtime(holds["since"]))
    return Refusal(
        "busy",
        f"{holds['kind']} of {holds['target']} by {holds['actor']} holds this host since {since} ({holds['phase']})",
        hint="wait for it, or watch it with: fab status",
        holder=holds,
    )


def _refuse(layout: Layout, attempt: str, refusal: Refusal) -> None:
    """Give an attempt that changed nothing its result; one that has a result keeps it."""
    path = layout.attempt(attempt) / "result.json"
    if not path.exists():
        layout.reserve.spend(durable.write_json, path, {"refusal": refusal.as_dict()})


def _log_to(path: Path) -> Say:
    def say(event: str, message: str = "", level: str = "info", **data: Any) -> None:
        line = {"event": event, "message": message, "level": level, "data": data, "at": time.time()}
        with contextlib.suppress(OSError):  # a full disk must not stop a restore
            durable.append(path, json.dumps(line).encode() + b"\n", lasting=False)

    return say


def _log_file(directory: Path) -> Path:
    path = directory / "log.jsonl"
    path.touch(mode=0o600)
    return path


def _pass_on(log: Any, wire: Wire) -> None:
    for line in iter(log.readline, b""):
        if not line.endswith(b"\n"):  # half a line: read it again when it is whole
            log.seek(-len(line), os.SEEK_CUR)
            return
        with contextlib.suppress(ValueError):  # not a line any more: the power was cut while it was written
            wire.send(json.loads(line))


def _result(directory: Path) -> Dict[str, Any]:
    result: Dict[str, Any] = json.loads((directory / "result.json").read_text())
    if "refusal" in result:
        refusal = result["refusal"]
        raise Refusal(refusal.pop("kind"), refusal.pop("message"), refusal.pop("hint"), **refusal)
    return result


def _agent() -> str:
    return os.path.abspath(sys.argv[0])


def _sudo_hint() -> str:
    user = process.environment()["USER"]
    return f"allow it on the host: {user} ALL=(root) NOPASSWD: /usr/bin/systemctl, /usr/bin/systemd-run"
