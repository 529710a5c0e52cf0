"""How fast one core of this machine is, now: what the seconds of every table are to be read with."""

from __future__ import annotations

import time
from statistics import median

_TIMES = 5
_STEPS = 1_000_000


def speed() -> float:
    """Million steps of a plain Python loop that one core does in a second of its time; the median of some tries."""
    return median(_once() for _ in range(_TIMES))


def told() -> str:
    """A line for people."""
    return f"One core did {speed():.1f} million steps of an empty Python loop a second when this table was measured.\n"


def _once() -> float:
    began = time.thread_time()
    for _ in range(_STEPS):
        pass
    return _STEPS / 1e6 / (time.thread_time() - began)
