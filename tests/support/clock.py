"""Bounds of wall time: far above what a slow and busy machine takes, far below what they are there to notice."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

SLOW = float(os.environ.get("SLOW", "1"))  # how many times slower this machine is than others


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail when the block takes longer; no machine promises less than five seconds."""
    assert seconds >= 5
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds * SLOW, f"{took:.1f} s, where {seconds} s were allowed"
