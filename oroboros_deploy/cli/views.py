"""What people and programs read: one stream of events, three views, and the words at the end.

On a terminal each host at work has one line that keeps moving and finished steps
scroll up; elsewhere there are plain lines; with ``--json`` one object a line.
"""

from __future__ import annotations

import json as jsonlib
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from ..events import Event
from ..outcome import HostOutcome, Kind, Outcome, State
from .tables import columns, size

_SHORT = 10  # digits of a sha that people see, and may type back
_REDRAW = 0.1  # seconds between two drawings of a terminal
_STILL = 15.0  # seconds of silence before a plain log says what is going on
_WHAT = 24  # columns for the name of a step
_WAITING = "waiting"
_TAIL = 20  # lines of a step's output shown when it fails

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII = str.maketrans({"✓": "+", "✗": "x", "→": "->", "…": "...", "·": "-", "│": "|"} | dict.fromkeys(_SPINNER, "*"))
_COLORS = {"✓": "32", "✗": "31", "!": "33"}
_ANSI = re.compile(r"\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]|[@-Z\\^_])")

# A phase is reported when it is reached; this is what the host does next.
_AFTER = {"prepared": "switch", "swapped": "restart", "restarted": "gate", "gated": "commit", "restoring": "restore"}
_STEPS = {
    "migrating": "migrate",
    "swapping": "switch",
    "restarting": "restart",
    "gating": "gate",
    "restoring": "restore",
}
_RUN_IDS = {
    "trace_id": ("TRACE_ID", "OUROBOROS_TRACE_ID"),
    "run_id": ("RUN_ID", "OUROBOROS_RUN_ID"),
    "slot_id": ("SLOT_ID", "OUROBOROS_SLOT_ID"),
}

# --- views ---


class View:
    """Shows events on a stream. A listener, to be used in a ``with``."""

    def __call__(self, event: Event) -> None:
        """Show one event. May be called from any thread."""
        raise NotImplementedError

    def __enter__(self) -> View:
        return self

    def __exit__(self, *exc: object) -> None:
        """Show what is left and stop."""


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
    if _is_terminal(stream, environ):
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
            record: dict[str, Any] = {
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
            if now - max(doing.since, self._said.get(host, 0)) >= self._still:
                self._said[host] = now
                self._show([Line("·", host, f"{doing.label}, still at it", now - doing.since)], now)


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
        wide, high = _size_of(self._stream)
        mark, width = _SPINNER[int(now / _REDRAW) % len(_SPINNER)], self._steps.width
        what = min(_WHAT, max(wide - width - 16, 1))  # on a narrow terminal the time matters more
        lines = [
            f"{mark} {_clean(host):<{width}}  {_clean(doing.label):<{what}.{what}} {_time(now - doing.since):>10}"
            for host, doing in self._steps.at_work.items()
        ]
        # A line that wraps or scrolls off could not be erased again.
        room = max(high - 2, 1)
        hidden = [f"· and {len(lines) - room + 1} more"] if len(lines) > room else []
        for line in lines[: room - len(hidden)] + hidden:
            yield line if len(line) < wide else line[: max(wide - 2, 0)] + "…"


# --- what goes on ---


@dataclass(frozen=True)
class Line:
    """A line for people: ✓ done, ✗ failed, ! look here, · by the way, │ output of a step."""

    mark: str
    host: str | None
    what: str
    seconds: float | None = None

    def text(self, width: int, *, color: bool = False) -> str:
        """The line with its host in a column of this width."""
        mark = f"\x1b[{_COLORS[self.mark]}m{self.mark}\x1b[0m" if color and self.mark in _COLORS else self.mark
        host = f"{_clean(self.host):<{width}}  " if self.host else ""
        what = _clean(self.what)
        if self.seconds is not None:
            what = f"{what:<{_WHAT}} {_time(self.seconds):>10}"
        return f"{mark} {host}{what}"


@dataclass
class Doing:
    """What a host is doing, and since when (Unix time)."""

    step: str
    since: float
    parts: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def label(self) -> str:
        return " ".join(filter(None, [self.step, ", ".join(self.parts), self.note]))


class Steps:
    """Follows the events of an attempt and says which steps ended, and what each host is doing now."""

    def __init__(self, verbose: bool = False) -> None:
        self.at_work: dict[str, Doing] = {}
        self.width = 0
        self._verbose = verbose
        self._started: float | None = None
        self._tails: dict[str, dict[str, deque[str]]] = {}
        self._on: Mapping[str, Callable[[Event, str], Iterator[Line]]] = {
            "attempt.started": self._attempt_started,
            "host.connected": self._connected,
            "facts.read": self._facts_read,
            "source.sent": self._source_sent,
            "build.started": self._build_started,
            "part.started": self._part_started,
            "part.finished": self._part_finished,
            "output": self._output,
            "release.sealed": self._sealed,
            "step": self._step,
            "phase": self._phase,
            "gate.try": self._gate_try,
            "host.finished": self._host_finished,
        }

    def take(self, event: Event) -> list[Line]:
        """The lines that this event adds."""
        host = event.host or ""
        self.width = max(self.width, len(_clean(host)))
        return list(self._on.get(event.name, self._said)(event, host))

    def _attempt_started(self, event: Event, host: str) -> Iterator[Line]:
        self._started = event.at
        for name in event.data.get("hosts", ()):
            self.width = max(self.width, len(_clean(name)))
            self._begin(name, "connect", event.at)
        yield from self._said(event, host)

    def _connected(self, event: Event, host: str) -> Iterator[Line]:
        if host not in self.at_work and self._started is not None:
            self._begin(host, "connect", self._started)
        yield self._end(event, host, "connect")
        self._begin(host, "facts", event.at)

    def _facts_read(self, event: Event, host: str) -> Iterator[Line]:
        self._begin(host, _WAITING, event.at)
        yield from ()

    def _source_sent(self, event: Event, host: str) -> Iterator[Line]:
        yield self._end(event, host, f"source {size(event.data.get('bytes', 0))}")
        self._begin(host, "build", event.at)

    def _build_started(self, event: Event, host: str) -> Iterator[Line]:
        self._begin(host, "build", event.at)
        yield from ()

    def _part_started(self, event: Event, host: str) -> Iterator[Line]:
        self._doing(event, host).parts.append(str(event.data.get("part", "")))
        yield from ()

    def _part_finished(self, event: Event, host: str) -> Iterator[Line]:
        part = str(event.data.get("part", ""))
        doing = self._doing(event, host)
        doing.parts = [other for other in doing.parts if other != part]
        yield self._end(event, host, f"{'cached' if event.data.get('cached') else 'build'} {part}")
        yield from self._tail(event, host, part, failed=event.level == "error")

    def _output(self, event: Event, host: str) -> Iterator[Line]:
        lines = str(event.data.get("text", event.message)).removesuffix("\n").split("\n")
        if self._verbose:
            yield from (Line("│", host, line) for line in lines)
        else:
            part = str(event.data.get("part", ""))
            self._tails.setdefault(host, {}).setdefault(part, deque(maxlen=_TAIL)).extend(lines)

    def _sealed(self, event: Event, host: str) -> Iterator[Line]:
        yield self._end(event, host, "build")
        self._begin(host, _WAITING, event.at)

    def _step(self, event: Event, host: str) -> Iterator[Line]:
        name = str(event.data.get("step", event.message))
        self._begin(host, _STEPS.get(name, name), event.at)
        yield from ()

    def _phase(self, event: Event, host: str) -> Iterator[Line]:
        phase = event.data.get("phase")
        step = self._doing(event, host).step
        failed = phase in ("restoring", "restore_failed")
        if step in _STEPS.values():
            yield self._end(event, host, step, "✗" if failed else "✓")
        yield from self._tail(event, host, failed=failed)
        self._begin(host, _AFTER.get(str(phase), "finish"), event.at)

    def _gate_try(self, event: Event, host: str) -> Iterator[Line]:
        doing = self._doing(event, host)
        doing.note = f"try {event.data['tries']}" if "tries" in event.data else event.message
        yield from ()

    def _host_finished(self, event: Event, host: str) -> Iterator[Line]:
        state = State(event.data.get("state", State.UNKNOWN))
        if state is State.NOT_SWITCHED and host in self.at_work:
            yield self._end(event, host, self.at_work[host].label, "✗")
        yield from self._tail(replace(event, message=""), host, failed=not state.ok)
        self.at_work.pop(host, None)
        total = None if self._started is None else event.at - self._started
        yield Line("✓" if state.ok else "✗", host, _words(state), total)

    def _said(self, event: Event, host: str) -> Iterator[Line]:
        if event.message and (event.level != "detail" or self._verbose):
            mark = {"warning": "!", "error": "✗"}.get(event.level, "!" if event.name == "warning" else "·")
            yield from (Line(mark, host or None, line) for line in event.message.splitlines())

    def _begin(self, host: str, step: str, at: float) -> None:
        self.at_work[host] = Doing(step, at)

    def _doing(self, event: Event, host: str) -> Doing:
        return self.at_work.setdefault(host, Doing("build" if event.name.startswith("part") else _WAITING, event.at))

    def _end(self, event: Event, host: str, what: str, mark: str = "✓") -> Line:
        seconds = event.data.get("seconds", event.at - self._doing(event, host).since)
        return Line("✗" if event.level == "error" else mark, host, what, max(float(seconds), 0))

    def _tail(self, event: Event, host: str, part: str | None = None, *, failed: bool) -> Iterator[Line]:
        """The last output (of one part) of a step that failed; that of one that went well is forgotten."""
        tails = self._tails.get(host, {})
        lines = [line for name in ([part] if part is not None else [*tails]) for line in tails.pop(name, ())]
        if failed:
            yield from (Line("│", host, line) for line in lines)
            yield from (Line("✗", host, line) for line in event.message.splitlines())


# --- the words at the end ---

_HEADINGS = ("HOST", "STATE", "LIVE", "TIME", "MESSAGE")
_SERVES: Mapping[State, str] = {
    State.RESTORED: "serves {live} again",
    State.NOT_RESTORED: "NEEDS A PERSON: it is not known to serve any release",
    State.NOT_SWITCHED: "still serves {live}; nothing was switched",
    State.BUSY: "was left alone; somebody else holds it",
    State.UNKNOWN: "goes on by itself; how it ended is not known here",
    State.UNREACHABLE: "was not reached; nothing was changed there",
    State.REFUSED: "cannot do this; nothing was changed there",
    State.INTERRUPTED: "still serves {live}; stopped before the switch",
    State.SKIPPED: "was not touched",
}


def table(outcome: Outcome) -> str:
    """Every host's outcome, a row each."""
    return columns([_HEADINGS, *(_row(host) for host in outcome.hosts)])


def story(outcome: Outcome) -> str:
    """What state each host is in, what failed, and what to type next."""
    bad = [host for host in outcome.hosts if not host.state.ok]
    lines = [_headline(outcome, len(bad))]
    if bad:
        lines += [f"{_clean(host.host)} serves {_short(host.live)}" for host in outcome.hosts if host.state.ok]
    for host in bad:
        lines += _told(host)
    if outcome.registry == "spooled":
        lines.append("The registry was not written; the record is kept here.")
        lines.append("  → fab registry.list (any command that reaches the registry writes it)")
    if outcome.registry == "lost":
        names = ",".join(_clean(host.host) for host in outcome.hosts)
        lines.append("The registry was not written, and the record could not be kept here; the hosts have it.")
        lines.append(f"  → fab -H {names} registry.reconcile (writes it from their journals)")
    return "\n".join(lines)


def plain(words: object) -> str:
    """Text, line by line without anything that could move a cursor: some of it may come from a host."""
    return "\n".join(map(_clean, str(words).split("\n")))


def _row(host: HostOutcome) -> tuple[str, str, str, str, str]:
    message = _clean(host.message.partition("\n")[0])
    return _clean(host.host), _words(host.state), _short(host.live) or "-", _time(sum(host.seconds.values())), message


def _headline(outcome: Outcome, bad: int) -> str:
    what, count = f"{outcome.kind} of {_short(outcome.release_id)}", len(outcome.hosts)
    if bad:
        return f"✗ {what} failed on {bad} of {count} hosts" if count > 1 else f"✗ {what} failed"
    already = all(host.state is State.ALREADY_LIVE for host in outcome.hosts)
    hosts = ", ".join(_clean(host.host) for host in outcome.hosts)
    return f"✓ {_short(outcome.release_id)} {'was live already' if already else 'is live'} on {hosts}"


def _told(host: HostOutcome) -> Iterator[str]:
    again = "serves no release, as before" if host.state is State.RESTORED and not host.live else _SERVES[host.state]
    yield f"{_clean(host.host)} {again.format(live=_short(host.live) or 'no release')}"
    yield from (f"  {_clean(line)}" for line in host.message.splitlines())
    yield from (f"  │ {_clean(line)}" for line in (host.log or "").splitlines()[-_TAIL:])
    yield f"  → {_clean(host.hint or f'fab -H {host.host} status')}"


def _words(state: State) -> str:
    return state.value.replace("_", " ")


def _short(sha: str | None) -> str:
    return _clean(sha or "")[:_SHORT]


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def _clean(text: str) -> str:
    """One line without anything that could move a cursor, colour, or reorder what is read."""
    line = _ANSI.sub("", text).rstrip("\r\n").rpartition("\r")[2].expandtabs(4)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)


# --- the stream ---


def write(stream: TextIO | None, text: str) -> None:
    """Write text as far as the stream can encode it. A stream that went away is no error: the deploy matters more."""
    if stream is None:
        return
    try:
        stream.write(_encodable(text, getattr(stream, "encoding", None) or "utf-8"))
        stream.flush()
    except (OSError, ValueError):
        _discard(stream)


def _encodable(text: str, encoding: str) -> str:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text


def _discard(stream: TextIO) -> None:
    # Python flushes at exit once more, and would then end with its own code instead of ours.
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
    except (OSError, ValueError):
        return


def _is_terminal(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    if stream is None or stream.closed or environ.get("CI") or environ.get("TERM", "dumb") == "dumb":
        return False
    return stream.isatty()


def _size_of(stream: TextIO | None) -> tuple[int, int]:
    try:
        wide, high = os.get_terminal_size(stream.fileno() if stream else -1)
    except (OSError, ValueError):
        return 80, 24
    return wide or 80, high or 24
