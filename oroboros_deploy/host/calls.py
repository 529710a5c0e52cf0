"""The agent's entry: call after call, each with its events and one answer."""

from __future__ import annotations

import gc
import os
import sys
import threading
from pathlib import Path

from . import manager
from .annotations import TYPE_CHECKING, Callable, Dict, Optional, cast
from .constants import FORMAT
from .layout import Layout
from .refusal import Refusal, of_host
from .wire import Wire, next_call, read_request

if TYPE_CHECKING:
    from .contract import (
        ActivateAnswer,
        ActivateRequest,
        Answer,
        AuditAnswer,
        AuditRequest,
        BuildAnswer,
        BuildRequest,
        Call,
        ClaimAnswer,
        ClaimRequest,
        ConfigureAnswer,
        ConfigureRequest,
        DoctorAnswer,
        DoctorRequest,
        Facts,
        FactsRequest,
        FollowRequest,
        LockAnswer,
        LockRequest,
        LogsAnswer,
        LogsRequest,
        PinAnswer,
        PinRequest,
        PruneAnswer,
        PruneRequest,
        RefusalKind,
        RunAnswer,
        RunRequest,
        SentAnswer,
        SentCall,
        Sources,
        UnlockAnswer,
        UnlockRequest,
        UnpinAnswer,
        UnpinRequest,
    )

# Calls whose errors do not get the prefix "nothing was switched": for a build the control node adds it;
# after an activation it could be false.
_UNSAID = ("build", "activate", "follow")
HEARTBEAT = 5.0  # seconds between signs of life while a call has nothing to say


def main() -> int:
    """Answer the calls of one session; the exit status is 0 when each had an answer of either kind."""
    os.umask(0o022)
    command = sys.argv[1]
    if command in ("run", "recover", "boot", "tidy"):
        return _detached(command)
    wire = Wire()
    try:
        _converse(command, wire)
    except (BrokenPipeError, EOFError):
        os._exit(1)  # nobody listens: there is nobody to tell, and nothing left to flush
    return 0


def _converse(command: str, wire: Wire) -> None:
    """Answer until nobody asks; a refusal is the last answer, for what was sent along may be unread."""
    _start_heartbeat(wire)
    asked: Optional[SentCall] = {"call": cast("Call", command), "request": read_request()}
    while asked:
        answer = _respond(asked, wire)
        wire.send(answer)
        if "refusal" in answer:
            return
        if asked["call"] != "doctor":  # it leaves nothing, not even the agent
            from . import bytecode  # the answer is on its way

            bytecode.keep(Path(sys.argv[0]))
        _import_ahead(asked)
        asked = next_call()


def _import_ahead(asked: SentCall) -> None:
    """Import what the calls after this one need, while they are on their way."""
    if asked["call"] != "facts":
        return
    request = cast("FactsRequest", asked["request"])
    if request.get("sha") or request.get("live"):
        from . import launch  # noqa: F401

        if request.get("source"):
            from .building import build  # noqa: F401


def _respond(asked: SentCall, wire: Wire) -> SentAnswer:
    try:
        return {"format": FORMAT, "result": _answer(asked, wire), "target": _target(asked)}
    except Refusal as refusal:
        return {"format": FORMAT, "refusal": refusal.as_dict()}
    except BrokenPipeError:
        raise
    except OSError as error:
        state = "" if asked["call"] in _UNSAID else "nothing was switched: "
        kind: RefusalKind = "build_failed" if asked["call"] == "build" else "invalid"
        trouble = of_host(kind, f"{state}the host could not go on", error)
        return {"format": FORMAT, "refusal": trouble.as_dict()}


def _answer(asked: SentCall, wire: Wire) -> Answer:
    layout = Layout.of(asked["request"]["layout"])
    if asked["call"] != "doctor":  # it tells of what the others stop at
        layout.refuse_newer()
        if asked["call"] != "claim":
            layout.refuse_other_machine()
    manager.choose(layout.scope, layout.root)
    return CALLS[asked["call"]](layout, asked["request"], wire)


def _target(asked: SentCall) -> Optional[str]:
    """Which target answered: a build and an activation mint its id."""
    return Layout.of(asked["request"]["layout"]).target()


# One function a call.  Each imports only what its call needs: the facts of a host should not wait for the build's code.


def _facts(layout: Layout, request: FactsRequest, wire: Wire) -> Facts:
    from .facts import facts

    if request.get("wait"):
        from . import turn

        turn.until_free(layout, request["wait"], wire.say)
    return facts(layout, request)


def _configure(layout: Layout, request: ConfigureRequest, wire: Wire) -> ConfigureAnswer:
    from .configuration import configure

    return configure(layout, request, wire.say)


def _activate(layout: Layout, request: ActivateRequest, wire: Wire) -> ActivateAnswer:
    if not _start(layout, request, wire):
        return {"state": None}
    from . import launch

    return launch.follow(layout, request["attempt"], wire, request.get("after", 0), request)


def _follow(layout: Layout, request: FollowRequest, wire: Wire) -> ActivateAnswer:
    from . import launch

    return launch.follow(layout, request["attempt"], wire, request.get("after", 0))


def _lock(layout: Layout, request: LockRequest, _: Wire) -> LockAnswer:
    from .hold import lock

    return lock(layout, request)


def _unlock(layout: Layout, request: UnlockRequest, _: Wire) -> UnlockAnswer:
    from .hold import unlock

    return unlock(layout, request)


def _pin(layout: Layout, request: PinRequest, _: Wire) -> PinAnswer:
    from .pins import pin

    return pin(layout, request)


def _unpin(layout: Layout, request: UnpinRequest, _: Wire) -> UnpinAnswer:
    from .pins import unpin

    return unpin(layout, request)


def _prune(layout: Layout, request: PruneRequest, wire: Wire) -> PruneAnswer:
    from .prune import prune

    return prune(layout, request, wire.say)


def _audit(layout: Layout, request: AuditRequest, _: Wire) -> AuditAnswer:
    from .audit import audit

    return audit(layout, request)


def _claim(layout: Layout, request: ClaimRequest, _: Wire) -> ClaimAnswer:
    from .claim import claim

    return claim(layout, request)


def _logs(layout: Layout, request: LogsRequest, wire: Wire) -> LogsAnswer:
    from .service_log import logs

    return logs(layout, request, wire.say)


def _run_line(layout: Layout, request: RunRequest, wire: Wire) -> RunAnswer:
    from .user_commands import run

    return run(layout, request, wire.say)


def _doctor(layout: Layout, request: DoctorRequest, _: Wire) -> DoctorAnswer:
    from .doctor import doctor

    return doctor(layout, request)


def _build(layout: Layout, request: BuildRequest, wire: Wire) -> BuildAnswer:
    gc.enable()  # it lives long
    try:
        return _make(layout, request, wire)
    except (Refusal, OSError, EOFError):
        raise
    except Exception as error:
        raise fault(layout.attempt(request["attempt"]), error, request.get("env")) from None


def fault(attempt: Path, error: Exception, sources: Optional[Sources]) -> Refusal:
    """What nobody foresaw, in words; its traceback stays on the host, without any secret, for whoever mends it."""
    import traceback

    from .masking import Mask, as_written

    log, mask = attempt / "fault.log", Mask(as_written(sources["secrets"].values() if sources else ()))
    attempt.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    log.write_text(mask.text(kept), "utf-8")
    what = f"a fault of the agent ended the build: {type(error).__name__}: {mask.text(str(error))}"
    return Refusal("build_failed", f"{what}; its traceback: {log}", hint="report it with that file of the host")


def _make(layout: Layout, request: BuildRequest, wire: Wire) -> BuildAnswer:
    from .building.build import build
    from .building.throttle import Throttle

    verbose: bool = request.get("verbose", True)
    if verbose:
        return build(layout, request, wire.say)
    throttle = Throttle(wire.say)
    try:
        return build(layout, request, throttle)
    finally:
        throttle.finish()


def _start(layout: Layout, request: ActivateRequest, wire: Wire) -> bool:
    """Start the activation; one that was asked to look first is started only when the facts are plain."""
    from . import state

    look = request.get("look")
    if look and not state.known(layout, request["attempt"]):
        from . import time_limits
        from .facts import plain

        found = _facts(layout, {**look, "starts": True}, wire)
        wire.say("facts", level="detail", **found)  # nobody listens any more: this is where it ends
        if not plain(found, request):
            return False
        request["detached"] = not (found["systemd"] and found["may_manage"])
        request["stopping"] = time_limits.stopping(found["units"].values(), request["restart_timeout"])
    from . import launch  # after the facts: they import it while sudo answers

    launch.start(layout, request, wire.say)
    return True


CALLS: Dict[Call, Callable[..., Answer]] = {
    "facts": _facts,
    "configure": _configure,
    "build": _build,
    "activate": _activate,
    "follow": _follow,
    "lock": _lock,
    "unlock": _unlock,
    "pin": _pin,
    "unpin": _unpin,
    "prune": _prune,
    "audit": _audit,
    "claim": _claim,
    "logs": _logs,
    "run_line": _run_line,
    "doctor": _doctor,
}


def _detached(command: str) -> int:
    """Run an attempt, recover it, or settle the unfinished one; its layout is in its own request, beside the agent."""
    import json

    from . import launch

    ours = Path(sys.argv[0]).resolve().parent.parent
    attempt = ours / "unfinished" if command == "boot" else ours / "attempts" / sys.argv[2]
    request = cast("ActivateRequest", json.loads((attempt / "request.json").read_text()))
    layout = Layout.of(request["layout"])
    manager.choose(layout.scope, layout.root)
    try:
        if command != "recover":  # it ends what this version began, whoever wrote there meanwhile
            layout.refuse_newer()
            layout.refuse_other_machine()
    except Refusal as refusal:
        print(f"{refusal.message}; {refusal.hint}", file=sys.stderr)
        return 1
    act = {"run": launch.run, "recover": launch.recover, "boot": launch.after_boot, "tidy": launch.tidy}[command]
    act(layout, request)
    return 0


def _start_heartbeat(wire: Wire) -> None:
    def beat() -> None:
        quiet = threading.Event()
        while not quiet.wait(HEARTBEAT):
            try:
                wire.say("alive", level="detail")
            except OSError:
                return

    threading.Thread(target=beat, daemon=True).start()
