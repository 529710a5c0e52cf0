"""The agent's entry: call after call, each with its events and one answer."""

from __future__ import annotations

import gc
import os
import sys
import threading
from importlib import import_module
from pathlib import Path

from . import bytecode
from .annotations import Any, Dict, Optional, Tuple
from .layout import Layout
from .refusal import Refusal, of_host
from .wire import Wire, next_call, read_request

_PLAIN = {"audit": "audit", "lock": "hold", "unlock": "hold", "pin": "pins", "unpin": "pins"}  # call: module
_UNSAID = ("build", "activate", "follow")  # of a build the control node says it; of the others it may be untrue
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
    asked: Optional[Tuple[str, Dict[str, Any]]] = command, read_request()
    while asked:
        answer = _respond(*asked, wire)
        wire.send(answer)
        bytecode.keep(Path(sys.argv[0]))
        if "refusal" in answer:
            return
        _import_ahead(*asked)
        asked = next_call()


def _import_ahead(command: str, request: Dict[str, Any]) -> None:
    """Import what the calls after this one need, while they are on their way."""
    if command == "facts" and request.get("sha"):
        from . import launch  # noqa: F401

        if request.get("source"):
            from .building import build  # noqa: F401


def _respond(command: str, request: Dict[str, Any], wire: Wire) -> Dict[str, Any]:
    try:
        return {"result": _answer(command, request, wire)}
    except Refusal as refusal:
        return {"refusal": refusal.as_dict()}
    except BrokenPipeError:
        raise
    except OSError as error:
        kind = "build_failed" if command == "build" else "invalid"
        state = "" if command in _UNSAID else "nothing was switched: "
        return {"refusal": of_host(kind, f"{state}the host could not go on", error).as_dict()}


def _answer(command: str, request: Dict[str, Any], wire: Wire) -> Dict[str, Any]:
    """Each call imports only what it needs: the facts of a host should not wait for the build's code."""
    layout = Layout.of(request["layout"])
    if command == "facts":
        from .facts import facts

        return facts(layout, request)
    if command == "build":
        made: Dict[str, Any] = _build(layout, request, wire)
        return made
    if command == "prune":
        from .prune import prune

        return prune(layout, request, wire.say)
    if command in _PLAIN:
        answer: Dict[str, Any] = getattr(import_module(f".{_PLAIN[command]}", __package__), command)(layout, request)
        return answer
    from . import launch

    if command == "activate" and not _start(layout, request, wire):
        return {"state": None}
    return launch.follow(layout, request["attempt"], wire, request.get("after", 0))


def _build(layout: Layout, request: Any, wire: Wire) -> Any:
    gc.enable()  # it lives long
    try:
        return _make(layout, request, wire)
    except (Refusal, OSError, EOFError):
        raise
    except Exception as error:
        raise _fault(layout.attempt(request["attempt"]), error) from None


def _fault(attempt: Path, error: Exception) -> Refusal:
    """What nobody foresaw, in words; its traceback stays on the host, for whoever mends it."""
    import traceback

    log = attempt / "fault.log"
    attempt.mkdir(mode=0o700, parents=True, exist_ok=True)
    log.write_text("".join(traceback.format_exception(type(error), error, error.__traceback__)), "utf-8")
    what = f"a fault of the agent ended the build: {type(error).__name__}: {error}"
    return Refusal("build_failed", f"{what}; its traceback: {log}", hint="report it with that file of the host")


def _make(layout: Layout, request: Any, wire: Wire) -> Any:
    from .building.build import build
    from .building.throttle import Throttle

    if request.get("verbose", True):
        return build(layout, request, wire.say)
    throttle = Throttle(wire.say)
    try:
        return build(layout, request, throttle)
    finally:
        throttle.finish()


def _start(layout: Layout, request: Dict[str, Any], wire: Wire) -> bool:
    """Start the activation; one that was asked to look first is started only when the facts are plain."""
    from . import launch

    look = request.pop("look", None)
    if look and not launch.known(layout, request["attempt"]):
        from .facts import facts, plain

        found = facts(layout, {**look, "starts": True})
        wire.send({"event": "facts", "data": found})  # nobody listens any more: this is where it ends
        if not plain(found, request):
            return False
        request["detached"] = not (found["systemd"] and found["may_manage"])
    launch.start(layout, request)
    return True


def _detached(command: str) -> int:
    """Run an attempt, recover it, or settle the unfinished one; its layout is in its own request, beside the agent."""
    import json

    from . import launch

    ours = Path(sys.argv[0]).resolve().parent.parent
    attempt = ours / "unfinished" if command == "boot" else ours / "attempts" / sys.argv[2]
    request = json.loads((attempt / "request.json").read_text())
    act = {"run": launch.run, "recover": launch.recover, "boot": launch.after_boot, "tidy": launch.tidy}[command]
    act(Layout.of(request["layout"]), request)
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
