"""The terminal of whoever types, while a program on a host has it."""

from __future__ import annotations

import base64
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput
from ..host.constants import SIZED, TYPED
from ..text import plain
from .stream import size_of, write

if TYPE_CHECKING:
    from ..events import Event
    from ..host.contract import TerminalSize

SHELL = "exec bash --norc -i"  # the program where nobody names one
_PIECE = 4096


class Console:
    """A listener that shows what the program shows; its `typed` is what is typed meanwhile."""

    def __init__(self) -> None:
        self._wakes, self._wake = os.pipe()
        self._before: list[Any] | None = None

    def __call__(self, event: Event) -> None:
        if event.name == "console.began" and os.isatty(0):
            self._before = termios.tcgetattr(0)
            tty.setraw(0)
        elif event.name == "console.output":
            _write(base64.b64decode(str(event.data.get("shown", ""))))
        elif event.level in ("warning", "error"):
            write(sys.stderr, f"{plain(event.message)}\n")

    @property
    def terminal(self) -> TerminalSize:
        """The size and the kind of the terminal."""
        columns, rows = size_of(sys.stdin)
        return {"rows": rows, "columns": columns, "kind": os.environ.get("TERM", "dumb")}

    def typed(self) -> Iterator[bytes]:
        """Blocks for the host, as they come: what is typed, and each new size of the window."""
        yield self._size()
        while True:
            readable, _, _ = select.select([0, self._wakes], [], [])
            if self._wakes in readable:
                if os.read(self._wakes, _PIECE).endswith(b"."):
                    return
                yield self._size()
            if 0 in readable:
                data = os.read(0, _PIECE)
                if not data:
                    return
                yield TYPED + data

    def _size(self) -> bytes:
        size = self.terminal
        return SIZED + b"%d %d" % (size["rows"], size["columns"])

    def _tell(self, what: bytes) -> None:
        os.write(self._wake, what)

    @contextmanager
    def held(self) -> Iterator[Console]:
        """Follow the size of the window; at the end the terminal is as it was."""
        before = signal.signal(signal.SIGWINCH, lambda *_: self._tell(b"s"))
        try:
            yield self
        finally:
            self._tell(b".")
            signal.signal(signal.SIGWINCH, before)
            if self._before is not None:
                termios.tcsetattr(0, termios.TCSADRAIN, self._before)


def need_terminal(instead: str) -> None:
    """Raises InvalidInput where nobody sits at a terminal; ``instead`` is what to type there."""
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        what = "nothing was run: a console needs a terminal, and standard input or output is none here"
        raise InvalidInput(what, hint=f"{instead}  runs a line without one")


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
