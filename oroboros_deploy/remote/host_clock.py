"""A host's clock, and what its times are by the clock of this machine.  Pure but for the time now."""

from __future__ import annotations

import math
import time


class HostClock:
    """A host's clock, by which its log has times.  What is heard late keeps the time at which it happened."""

    def __init__(self) -> None:
        self._last = self._ahead = -math.inf  # how far it is ahead of ours: the most that anything heard says

    def moment(self, told: float | None) -> float:
        """When something happened that is heard now, by the clock of this machine; ``told`` is its time there."""
        now = time.time()
        if told is None:
            return now
        if told < self._last - 1:  # somebody set it back
            self._ahead = -math.inf
        self._last, self._ahead = told, max(self._ahead, told - now)
        return told - self._ahead
