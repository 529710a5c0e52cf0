"""What the agent says to a call: one JSON object a line, events first, then one result or one refusal."""

from __future__ import annotations

import json
import os
import select
import sys
import threading

from .annotations import TYPE_CHECKING, Optional, Union, cast

if TYPE_CHECKING:
    from typing import Protocol

    from .contract import Level, Request, SentAnswer, SentCall, SentEvent

    class Say(Protocol):
        """Tells the control node what is happening."""

        def __call__(self, event: str, message: str = "", level: Level = "info", **data: object) -> None: ...

else:
    Say = None

REQUEST = "OROBOROS_REQUEST"  # the environment variable that the first request comes in
IDLE = 10.0  # seconds that an agent waits for another call: of a cut cable nobody may tell it for a quarter of an hour


class Wire:
    """The agent's standard output."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def say(self, event: str, message: str = "", level: Level = "info", **data: object) -> None:
        """Tell the control node what is happening."""
        self.send({"event": event, "message": message, "level": level, "data": data})

    def send(self, value: Union[SentEvent, SentAnswer]) -> None:
        """Write one line; raises BrokenPipeError when nobody listens any more."""
        line = json.dumps(value, ensure_ascii=True) + "\n"
        with self._lock:
            sys.stdout.write(line)
            sys.stdout.flush()


def read_request() -> Request:
    """What the first call asks for; no command that it runs inherits this."""
    return cast("Request", json.loads(os.environ.pop(REQUEST)))


def next_call() -> Optional[SentCall]:
    """A further call, a line of the input; None when nobody will ask, or has asked for `IDLE`."""
    if not select.select([sys.stdin], [], [], IDLE)[0]:
        return None
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return None  # also for half a line: the connection broke
    return cast("SentCall", json.loads(line))


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
