"""What the agent says to a call: one JSON object a line, events first, then one result or one refusal."""

from __future__ import annotations

import json
import os
import select
import sys
import threading

from .annotations import Any, Callable, Dict, Optional, Tuple

Say = Callable[..., None]
REQUEST = "OROBOROS_REQUEST"  # the environment variable that the first request comes in
IDLE = 10.0  # seconds that an agent waits for another call: of a cut cable nobody may tell it for a quarter of an hour


class Wire:
    """The agent's standard output."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def say(self, event: str, message: str = "", level: str = "info", **data: Any) -> None:
        """Tell the control node what is happening."""
        self.send({"event": event, "message": message, "level": level, "data": data})

    def send(self, value: Dict[str, Any]) -> None:
        """Write one line; raises BrokenPipeError when nobody listens any more."""
        line = json.dumps(value, ensure_ascii=True) + "\n"
        with self._lock:
            sys.stdout.write(line)
            sys.stdout.flush()


def read_request() -> Dict[str, Any]:
    """What the first call asks for; no command that it runs inherits this."""
    request: Dict[str, Any] = json.loads(os.environ.pop(REQUEST))
    return request


def next_call() -> Optional[Tuple[str, Dict[str, Any]]]:
    """A further call and what it asks for, a line of the input; None when nobody will ask, or has asked for `IDLE`."""
    if not select.select([sys.stdin], [], [], IDLE)[0]:
        return None
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return None  # also for half a line: the connection broke
    asked: Dict[str, Any] = json.loads(line)
    return asked["call"], asked["request"]


def read_block() -> Optional[bytes]:
    """One block of a stream that is sent as ``<length>\\n<bytes>``; None at its end (length 0).

    Raises EOFError when the control node is gone before the end: a cut stream is
    never mistaken for a whole one.
    """
    length = sys.stdin.buffer.readline()
    if not length:
        raise EOFError("the control node went away")
    block = sys.stdin.buffer.read(int(length))
    if len(block) != int(length):
        raise EOFError("the control node went away")
    return block or None
