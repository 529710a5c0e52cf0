"""What goes on during an attempt, for people: the steps that ended, and what each host is doing now."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ..events import Event
from ..host.words import STEPS
from ..outcome import State
from ..text import clean, duration, size, telling, time_of_day
from ..words import following, name_of

WHAT = 24  # columns for the name of a step
_WAITING = "waiting"
_FINISHING = "finish"
_NO_STEPS = (_WAITING, _FINISHING)
TAIL = 20  # lines of a step's output shown when it fails,
_KEPT = 500  # and so many of them are chosen from
_COLORS = {"✓": "32", "✗": "31", "!": "33"}


def painted(line: str) -> str:
    """A line with the mark that it begins with in its colour."""
    color = _COLORS.get(line[:1])
    return f"\x1b[{color}m{line[0]}\x1b[0m{line[1:]}" if color else line


@dataclass(frozen=True)
class Line:
    """A line for people: ✓ done, ✗ failed, ! look here, · by the way, │ output of a step."""

    mark: str
    host: str | None
    what: str
    seconds: float | None = None
    more: str = ""

    def text(self, width: int, *, color: bool = False) -> str:
        """The line with its host in a column of this width."""
        mark = painted(self.mark) if color else self.mark
        host = f"{clean(self.host):<{width}}  " if self.host else ""
        what = clean(self.what)
        if self.seconds is not None:
            what = f"{what:<{WHAT}} {duration(self.seconds):>10} {clean(self.more)}".rstrip()
        return f"{mark} {host}{what}"


@dataclass
class Doing:
    """What a host is doing, and since when (Unix time).

    ``parts`` are those that run, and since when.  ``last`` is the last line that it printed, ``usual`` how long the
    ``slowest`` part that runs took when it was made last.
    ``begun`` is true when the host said that it begins the step, ``skipped`` when there is nothing to do in it,
    ``failed`` when a part of it failed.  ``away`` is since when nothing was heard of the host, while its link is lost.
    """

    step: str
    since: float
    parts: dict[str, float] = field(default_factory=dict)
    note: str = ""
    last: str = ""
    usual: float | None = None
    slowest: str = ""
    begun: bool = False
    skipped: bool = False
    failed: bool = False
    away: float | None = None

    @property
    def label(self) -> str:
        """The step in words, with the parts that run."""
        return " ".join(filter(None, [self.step, ", ".join(self.parts), self.note]))

    @property
    def now(self) -> str:
        """What is known of the host now, in words."""
        if self.away is None:
            return self.label
        return f"not heard of since {time_of_day(self.away)}, it goes on by itself (last: {self.label})"

    @property
    def began(self) -> float:
        """When that began."""
        return self.counted if self.away is None else self.away

    @property
    def counted(self) -> float:
        """Since when what is shown runs: the slowest part, else the part that began first, else the step."""
        return self.parts.get(self.slowest) or min(self.parts.values(), default=self.since)

    @property
    def expected(self) -> str:
        """What it usually takes, in words; empty when that is not known."""
        return f"(usually {duration(self.usual)})" if self.usual is not None else ""


class Steps:
    """Follows the events of an attempt and says which steps ended, and what each host is doing now."""

    def __init__(self, verbose: bool = False) -> None:
        self.at_work: dict[str, Doing] = {}
        self.width = 0
        self._verbose = verbose
        self._started: float | None = None
        self._tails: dict[str, dict[str, deque[str]]] = {}
        self._usual: Mapping[str, Mapping[str, float]] = {}
        self._on: Mapping[str, Callable[[Event, str], Iterator[Line]]] = {
            "attempt.started": self._attempt_started,
            "host.connected": self._connected,
            "facts.read": self._facts_read,
            "source.sent": self._source_sent,
            "build.started": self._build_started,
            "build.usual": self._build_usual,
            "part.started": self._part_started,
            "part.finished": self._part_finished,
            "part.failed": self._part_failed,
            "output": self._output,
            "release.sealed": self._sealed,
            "step": self._step,
            "phase": self._phase,
            "gate.try": self._gate_try,
            "link.lost": self._link_lost,
            "host.finished": self._host_finished,
        }

    def take(self, event: Event) -> list[Line]:
        """The lines that this event adds."""
        host = event.host or ""
        self.width = max(self.width, len(clean(host)))
        return list(self._on.get(event.name, self._said)(event, host))

    def _attempt_started(self, event: Event, host: str) -> Iterator[Line]:
        self._started = event.at
        for name in event.data.get("hosts", ()):
            self.width = max(self.width, len(clean(name)))
            self._begin(name, "connect", event.at)
        yield from self._said(event, host)

    def _connected(self, event: Event, host: str) -> Iterator[Line]:
        doing = self.at_work.get(host)
        if doing and doing.away is not None:
            yield Line("✓", host, "heard of again after", event.at - doing.away)
            doing.away = None
            return
        if not doing and self._started is not None:
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

    def _build_usual(self, event: Event, host: str) -> Iterator[Line]:  # noqa: ARG002
        self._usual = event.data.get("seconds", {})
        for name, doing in self.at_work.items():
            self._expect(name, doing)
        yield from ()

    def _expect(self, host: str, doing: Doing) -> None:
        """Say of what a host does how long it usually takes: parts run side by side, so the longest decides."""
        known = self._usual.get(host, {})
        doing.slowest = max((part for part in doing.parts if part in known), key=known.__getitem__, default="")
        doing.usual = known.get(doing.slowest)

    def _part_started(self, event: Event, host: str) -> Iterator[Line]:
        doing = self._doing(event, host)
        doing.parts[str(event.data.get("part", ""))] = event.at
        self._expect(host, doing)
        yield from ()

    def _part_finished(self, event: Event, host: str) -> Iterator[Line]:
        part = self._part(event, host)
        yield self._end(event, host, f"{'cached' if event.data.get('cached') else 'build'} {part}")
        yield from self._tail(event, host, part, failed=False)

    def _part_failed(self, event: Event, host: str) -> Iterator[Line]:
        part = self._part(event, host)
        self._doing(event, host).failed = True
        yield self._end(event, host, f"build {part}")
        tails = self._tails.get(host, {})
        shared = [name for name in tails if name not in self._doing(event, host).parts]  # made for several parts
        for name in [part] if part in tails else shared:
            yield from self._tail(replace(event, message=""), host, name, failed=True)

    def _part(self, event: Event, host: str) -> str:
        """The part that has ended."""
        part, doing = str(event.data.get("part", "")), self._doing(event, host)
        doing.parts.pop(part, None)
        doing.last = ""
        self._expect(host, doing)
        return part

    def _output(self, event: Event, host: str) -> Iterator[Line]:
        lines = str(event.data.get("text", event.message)).removesuffix("\n").split("\n")
        if host in self.at_work:
            self.at_work[host].last = next(filter(str.strip, map(clean, reversed(lines))), self.at_work[host].last)
        if self._verbose:
            yield from (Line("│", host, line) for line in lines)
        else:
            part = str(event.data.get("part", ""))
            self._tails.setdefault(host, {}).setdefault(part, deque(maxlen=_KEPT)).extend(lines)

    def _sealed(self, event: Event, host: str) -> Iterator[Line]:
        yield self._end(event, host, "build")
        self._begin(host, _WAITING, event.at)

    def _step(self, event: Event, host: str) -> Iterator[Line]:
        name = str(event.data.get("step", event.message))
        skipped = bool(event.data.get("skipped"))
        self.at_work[host] = Doing(STEPS.get(name, name), event.at, begun=True, skipped=skipped)
        yield from ()

    def _phase(self, event: Event, host: str) -> Iterator[Line]:
        phase, doing = event.data.get("phase"), self._doing(event, host)
        failed = phase in ("restoring", "restore_failed")
        if doing.skipped and not failed:
            yield Line("·", host, f"{doing.step} skipped")
        elif doing.begun:
            yield self._end(event, host, doing.step, "✗" if failed else "✓")
        yield from self._tail(event, host, failed=failed)
        self._begin(host, following(str(phase)) or _FINISHING, event.at)

    def _gate_try(self, event: Event, host: str) -> Iterator[Line]:
        doing = self._doing(event, host)
        doing.note = f"try {event.data['tries']}" if "tries" in event.data else event.message
        yield from ()

    def _link_lost(self, event: Event, host: str) -> Iterator[Line]:
        doing = self._doing(event, host)
        doing.away, doing.last = event.data.get("heard_at", event.at), ""
        yield from self._said(event, host)

    def _host_finished(self, event: Event, host: str) -> Iterator[Line]:
        state = State(event.data.get("state", State.UNKNOWN))
        doing = self.at_work.get(host)
        if state is State.NOT_SWITCHED and doing and doing.step not in _NO_STEPS:
            yield self._end(event, host, doing.step if doing.failed else doing.label, "✗")
        told = doing is not None and doing.failed  # what the part that failed printed; the others were only stopped
        yield from self._tail(replace(event, message=""), host, failed=not state.ok and not told)
        self.at_work.pop(host, None)
        total = None if self._started is None else event.at - self._started
        yield Line("✓" if state.ok else "✗", host, name_of(state), total)

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
        names = [part] if part is not None else [*tails]
        lines = [line for name in names for line in telling([*tails.pop(name, ())], TAIL)]
        if failed:
            yield from (Line("│", host, line) for line in lines)
            yield from (Line("✗", host, line) for line in event.message.splitlines())
