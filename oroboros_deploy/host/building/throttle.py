"""The output of builds, thinned while they run: all of what comes slowly is told, of what comes fast the newest."""

from __future__ import annotations

import threading
import time

from ..annotations import TYPE_CHECKING, Any, Dict
from ..wire import Say

if TYPE_CHECKING:
    from ..contract import Level

MOST = 16 * 1024  # characters of one part that are told at once
PAUSE = 0.2  # seconds between two times


class Throttle:
    """A ``say`` that thins out the output of each part; it is whole in the part's log.

    What a part printed last is always told before it ends or fails, and before whatever else is said.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._kept: Dict[str, str] = {}
        self._told: Dict[str, float] = {}

    def __call__(self, event: str, message: str = "", level: Level = "info", **data: Any) -> None:
        """Say it, now or soon."""
        with self._lock:
            if event == "output":
                self._take(data["part"], data["text"])
                return
            self._tell_all()
            self._say(event, message, level, **data)

    def finish(self) -> None:
        """Tell what is left."""
        with self._lock:
            self._tell_all()

    def _take(self, part: str, text: str) -> None:
        self._kept[part] = _newest(self._kept.get(part, "") + text[-MOST:])
        if time.monotonic() - self._told.get(part, 0.0) >= PAUSE:
            self._tell(part)

    def _tell_all(self) -> None:
        for part in list(self._kept):
            self._tell(part)

    def _tell(self, part: str) -> None:
        self._told[part] = time.monotonic()
        self._say("output", level="detail", part=part, text=self._kept.pop(part))


def _newest(text: str) -> str:
    """The end of a text that is too long, from the start of a line on where there is one."""
    if len(text) <= MOST:
        return text
    end = text[-MOST:]
    return end.partition("\n")[2] or end
