"""Bounds of wall time: far above what a slow and busy machine takes, far below what they are there to notice."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SLOW = float(os.environ.get("SLOW", "1"))  # how many times slower this machine is than others


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail when the block takes longer; no machine promises less than five seconds."""
    assert seconds >= 5
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds * SLOW, f"{took:.1f} s, where {seconds} s were allowed"


class Hasty:
    """Python's `time` for a module whose pauses take no time: what fails after ten seconds of them fails at once."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped

    def sleep(self, seconds: float) -> None:
        self._skipped += seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)
