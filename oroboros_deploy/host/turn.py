"""Waiting for an activation that somebody else began: on the host, so that nobody asks over and over from afar."""

from __future__ import annotations

import time

from . import hold, lock, running
from .annotations import TYPE_CHECKING, Callable, Optional
from .constants import WAIT_FOR_OTHERS
from .layout import Layout
from .wire import Say

if TYPE_CHECKING:
    from .contract import ActivateRequest

_TOLD_AFTER = 1.0  # seconds; what is over sooner needs no word
_LOOK = 0.25  # seconds between two looks


def until_free(layout: Layout, seconds: float, say: Say) -> None:
    """Wait until no activation of this deploy root runs; where a hold would refuse anyway, nobody waits.

    One that still runs after ``seconds`` is in the facts, which are read next.
    """
    turn = Turn(say)
    while turn.waited < seconds and not hold.found(layout) and running.running(layout) is not None:
        turn.wait(seconds, lambda: running.busy(layout).message)


class Turn:
    """How long somebody has waited, and that it was told."""

    def __init__(self, say: Say) -> None:
        self._say, self._began, self._told = say, time.monotonic(), False

    @property
    def waited(self) -> float:
        return time.monotonic() - self._began

    def wait(self, seconds: float, who: Callable[[], str], pause: float = _LOOK) -> None:
        """Let a moment pass; after the first second say for whom, and for how long at most."""
        if self.waited > _TOLD_AFTER and not self._told:
            self._told = True
            self._say("waiting", f"waits up to {seconds:.0f} s: {who()}")
        time.sleep(pause)


def seconds(layout: Layout, request: ActivateRequest) -> float:
    """For how long to wait for whoever activates now: of this deploy root as was asked, of another one a minute."""
    said: Optional[float] = request.get("wait")
    if lock.is_held(layout.lock):
        return said or 0.0
    return WAIT_FOR_OTHERS if said is None else said
