"""What happens during an attempt, told as it happens.

The rooms that work emit events; output, registry and tests listen.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["info", "detail", "warning", "error"]


@dataclass(frozen=True)
class Event:
    """One thing that happened during an attempt; a value that never changes.

    ``name`` says what happened (docs/json.md has all names), ``message`` says it in words, ``host`` is where (None:
    the whole attempt), ``level`` how much a person should care, ``data`` the values that belong to it, and ``at``
    when, as Unix time in seconds.

    >>> Event("warning", "the commit was not pushed", level="warning", at=0.0).host is None
    True
    """

    name: str
    message: str = ""
    host: str | None = None
    level: Level = "info"
    data: Mapping[str, Any] = field(default_factory=dict)
    at: float = field(default_factory=time.time)


Listener = Callable[[Event], None]


def guarded(listener: Listener) -> Listener:
    """The same listener, whose own failures are logged: they must not become the deploy's."""

    def tell(event: Event) -> None:
        try:
            listener(event)
        except Exception:
            what = "the function that is told of each event (the listener) failed at the event %r; the command goes on"
            logging.getLogger(__package__).exception(what, event.name)

    return tell


def fan_out(*listeners: Listener) -> Listener:
    """One listener that tells all of these, in this order."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell
