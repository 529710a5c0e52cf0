"""Ctrl-C: never lost in a place where Python ignores errors, and unheard once a command says how it ended."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN = 0.02  # seconds until an interrupt is heard again that came where it would be ignored
# Callbacks of weak references, such as those of each import that ends: an error in them is shown and forgotten.
_IMPORT_ENDS = ("<frozen importlib._bootstrap>", "cb")
_WEAK = ("weakref.py", "_weakrefset.py")


def never_lost() -> None:
    """Let Ctrl-C raise KeyboardInterrupt as ever, but nowhere that it would be ignored: there a moment later."""
    if _is_main() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _heard)


def unheard() -> None:
    """Let Ctrl-C do nothing from now on; threads other than the first never hear it anyway."""
    if _is_main():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def heard_again() -> Iterator[None]:
    """Let Ctrl-C do afterwards what it did before: other tasks may follow."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if before is not None and _is_main():
            signal.signal(signal.SIGINT, before)


def _heard(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if _is_ignoring(frame):
            again = threading.Timer(_AGAIN, signal.pthread_kill, (threading.main_thread().ident, number))
            again.daemon = True
            again.start()
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _is_ignoring(frame: FrameType) -> bool:
    code = frame.f_code
    place = code.co_filename
    return (place, code.co_name) == _IMPORT_ENDS or code.co_name == "__del__" or place.endswith(_WEAK)


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()
