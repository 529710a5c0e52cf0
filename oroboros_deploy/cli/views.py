"""What people and programs read while an attempt runs: one stream of events, three views of it.

On a terminal each host at work has one line that keeps moving and finished steps
scroll up; elsewhere there are plain lines; with ``--json`` one object a line.
"""

from __future__ import annotations

import json as jsonlib
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

from ..events import Event
from ..outcome import Kind
from ..text import clean, duration
from .steps import WHAT, Line, Steps
from .stream import SPINNER, is_terminal, size_of, write

_REDRAW = 0.1  # seconds between two drawings of a terminal
_STILL = 15.0  # seconds of silence before a plain log says what is going on
_RUN_IDS = {
    "trace_id": ("TRACE_ID", "OUROBOROS_TRACE_ID"),
    "run_id": ("RUN_ID", "OUROBOROS_RUN_ID"),
    "slot_id": ("SLOT_ID", "OUROBOROS_SLOT_ID"),
}


class View:
    """Shows events on a stream. A listener, to be used in a ``with``."""

    def __call__(self, event: Event) -> None:
        """Show one event. May be called from any thread."""
        raise NotImplementedError

    def __enter__(self) -> View:
        return self

    def __exit__(self, *exc: object) -> None:
        """Show what is left and stop."""

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Show nothing for a while: somebody is asked something on the same terminal."""
        yield


def view(
    stream: TextIO | None,
    json: bool,
    component: Kind,
    sha: str | None,
    *,
    verbose: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> View:
    """The view that suits the stream: JSON when asked for, live on a terminal, else plain lines."""
    if json:
        return JsonView(stream, component, sha, environ)
    if is_terminal(stream, environ):
        return LiveView(stream, verbose=verbose, color=not environ.get("NO_COLOR"))
    return PlainView(stream, verbose=verbose)


class JsonView(View):
    """One JSON object a line, for programs."""

    def __init__(self, stream: TextIO | None, component: Kind, sha: str | None, environ: Mapping[str, str]) -> None:
        self._stream = stream
        self._component = component
        self._ids = {key: next(filter(None, map(environ.get, names)), None) for key, names in _RUN_IDS.items()}
        self._sha = sha
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        at = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds")
        with self._lock:
            self._sha = self._sha or event.data.get("sha")  # a ref is resolved only after the view was opened
            record: dict[str, object] = {
                "timestamp_utc": at.replace("+00:00", "Z"),
                "component": self._component,
                "event": event.name,
                "message": event.message,
                **self._ids,
                "commit_sha": self._sha,
                "host": event.host,
                "level": event.level,
            }
            record |= {key: value for key, value in event.data.items() if key not in record}
            write(self._stream, jsonlib.dumps(record, default=str) + "\n")


class _MovingView(View):
    """A view with a thread of its own, because time passes between events too."""

    def __init__(self, stream: TextIO | None, *, verbose: bool, interval: float) -> None:
        self._stream = stream
        self._steps = Steps(verbose)
        self._interval = interval
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._move, name="output", daemon=True)

    def __enter__(self) -> View:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closed.set()
        self._thread.join()
        with self._lock:
            self._finish()

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        with self._lock:
            self._finish()
            yield

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._show(self._steps.take(event), event.at)

    def _move(self) -> None:
        while not self._closed.wait(self._interval):
            with self._lock:
                self._tick()

    def _show(self, lines: Sequence[Line], at: float) -> None:
        raise NotImplementedError

    def _tick(self) -> None:
        raise NotImplementedError

    def _finish(self) -> None:
        """What a view that holds something back shows at the end."""


class PlainView(_MovingView):
    """Plain lines with the time of day in UTC, for logs; every 15 s it says what still goes on."""

    def __init__(self, stream: TextIO | None, *, verbose: bool = False, still: float = _STILL) -> None:
        super().__init__(stream, verbose=verbose, interval=min(1.0, still / 4))
        self._still = still
        self._said: dict[str, float] = {}

    def _show(self, lines: Sequence[Line], at: float) -> None:
        clock = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%SZ")
        for line in lines:
            write(self._stream, f"{clock} {line.text(self._steps.width)}\n")

    def _tick(self) -> None:
        now = time.time()
        for host, doing in self._steps.at_work.items():
            if now - max(doing.counted, self._said.get(host, 0)) >= self._still:
                self._said[host] = now
                more = " ".join(filter(None, [doing.expected, doing.last]))
                self._show([Line("·", host, f"{doing.label}, still at it", now - doing.counted, more)], now)


class LiveView(_MovingView):
    """For a terminal: a moving line for each host at work, below the steps that are finished."""

    def __init__(self, stream: TextIO | None, *, verbose: bool = False, color: bool = True) -> None:
        super().__init__(stream, verbose=verbose, interval=_REDRAW)
        self._color = color
        self._pending: list[Line] = []
        self._shown: list[str] = []

    def _show(self, lines: Sequence[Line], at: float) -> None:  # noqa: ARG002
        self._pending += lines

    def _tick(self) -> None:
        self._draw(list(self._status()))

    def _finish(self) -> None:
        self._draw([])

    def _draw(self, status: list[str]) -> None:
        if not self._pending and status == self._shown:
            return
        erase = f"\r\x1b[{len(self._shown)}A\x1b[J" if self._shown else ""
        finished = [line.text(self._steps.width, color=self._color) for line in self._pending]
        write(self._stream, erase + "".join(f"{line}\n" for line in [*finished, *status]))
        self._pending, self._shown = [], status

    def _status(self) -> Iterator[str]:
        now = time.time()
        wide, high = size_of(self._stream)
        mark, width = SPINNER[int(now / _REDRAW) % len(SPINNER)], self._steps.width
        doing = [(clean(host), clean(each.label), each) for host, each in self._steps.at_work.items()]
        longest = max((len(label) for _, label, _ in doing), default=0)
        expected = max((len(each.expected) + 1 for _, _, each in doing if each.expected), default=0)
        what = min(max(longest, WHAT), max(wide - width - 16 - expected, 1))  # where it is narrow the time matters more
        # A line that wraps or scrolls off could not be erased again.
        room = max(high - 2, 1)
        lines = []
        for host, label, each in doing:
            time_taken = f"{duration(now - each.counted):>10} {each.expected}".rstrip()
            lines.append(f"{mark} {host:<{width}}  {label:<{what}.{what}} {time_taken}")
            if each.last and 2 * len(doing) <= room:  # with many hosts the lines that they print would hide hosts
                lines.append(f"  {'':<{width}}  │ {each.last}")
        hidden = [f"· and {len(lines) - room + 1} more"] if len(lines) > room else []
        for line in lines[: room - len(hidden)] + hidden:
            yield line if len(line) < wide else line[: max(wide - 2, 0)] + "…"
