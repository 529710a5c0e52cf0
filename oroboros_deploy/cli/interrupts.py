"""Ctrl-C while a command says how it ended: nothing is left to stop, so nobody hears it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def unheard() -> None:
    """Let Ctrl-C do nothing from now on; threads other than the first never hear it anyway."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def heard_again() -> Iterator[None]:
    """Let Ctrl-C do afterwards what it did before: other tasks may follow."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
