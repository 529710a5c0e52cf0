"""Ctrl-C: never lost in a place where Python ignores errors, and unheard once a command says how it ended."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType

_AGAIN = 0.02  # seconds until an interrupt is heard again that came where it would be ignored
_MOST = 50  # times that it is put off: a second, after which somebody waits for good
# Callbacks of weak references, such as those of each import that ends: an error in them is shown and forgotten.
_IMPORT_ENDS = ("<frozen importlib._bootstrap>", "cb")
_WEAK = ("weakref.py", "_weakrefset.py")


def never_lost() -> None:
    """Let Ctrl-C raise KeyboardInterrupt as ever, but nowhere that it would be ignored: there a moment later."""
    if _is_main() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _Careful())


def kept_out(program: CodeType) -> None:
    """Let Ctrl-C change no more how a program ends whose running this code is, and which then ends Python.

    It still ends the waiting for a thread of somebody's, and what goes on after that program.
    """
    careful, running = _careful(), _running(program)
    if careful and running and running.f_locals.get("exit") and _is_main():
        signal.signal(signal.SIGINT, _Ending(careful, running))


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


class _Careful:
    """Raises KeyboardInterrupt, but a moment later where Python would ignore it, and at the latest after a second."""

    def __init__(self) -> None:
        self._put_off = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Hear a Ctrl-C that came in this frame."""
        if self._put_off < _MOST and any(map(_is_ignoring, _stack(frame))):
            self._put_off += 1
            _again(number)
        else:
            self._put_off = 0
            raise KeyboardInterrupt


class _Ending:
    """Leaves out what comes while a program returns and Python begins to go; all else is heard as before."""

    def __init__(self, careful: _Careful, program: FrameType) -> None:
        self.careful = careful
        self._program = program

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Hear a Ctrl-C that came in this frame."""
        if not any(each is self._program or _is_going(each) for each in _stack(frame)):
            self.careful(number, frame)


def _careful() -> _Careful | None:
    """What hears Ctrl-C, also after a program that has ended; None where that is somebody else's."""
    found = signal.getsignal(signal.SIGINT)
    if isinstance(found, _Ending):
        return found.careful
    return found if isinstance(found, _Careful) else None


def _running(program: CodeType) -> FrameType | None:
    return next((frame for frame in _stack(sys._getframe()) if frame.f_code is program), None)


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _again(number: int) -> None:
    again = threading.Timer(_AGAIN, signal.pthread_kill, (threading.main_thread().ident, number))
    again.daemon = True
    again.start()


def _is_ignoring(frame: FrameType) -> bool:
    code = frame.f_code
    place = code.co_filename
    return (place, code.co_name) == _IMPORT_ENDS or code.co_name == "__del__" or place.endswith(_WEAK)


def _is_going(frame: FrameType) -> bool:
    """Whether Python ends here, and waits for no thread."""
    code = frame.f_code
    if (code.co_filename, code.co_name) != (threading.__file__, "_shutdown"):
        return False
    main = threading.main_thread()
    return all(thread.daemon or thread is main for thread in threading.enumerate())


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()
