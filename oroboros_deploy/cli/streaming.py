"""What hosts say while a command listens: lines in one stream, each with its host where there are several."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from ..deployment import Answers
from ..errors import DeployError, Interrupted
from ..events import Event
from ..host.contract import RunAnswer
from ..outcome import rank, state_of
from ..text import clean, moment, plain
from .stream import write

T = TypeVar("T")
Show = Callable[[Event], str]


class Stream:
    """A listener that writes lines as they come, or keeps them until all hosts have told theirs."""

    def __init__(self, name: str, show: Show, *, kept: bool = False, as_json: bool = False) -> None:
        """``name`` is the event of a line, and ``show`` makes text of it."""
        self.hosts: Sequence[str] = ()
        self._name, self._show, self._kept, self._as_json = name, show, kept, as_json
        self._waiting: list[Event] = []

    def __call__(self, event: Event) -> None:
        if event.name == self._name and self._kept:
            self._waiting.append(event)
        elif event.name == self._name:
            write(sys.stdout, self._told(event))
        elif event.level in ("warning", "error"):
            write(sys.stderr, f"{plain(event.message)}\n")

    def finish(self) -> None:
        """Write what was kept, in the order of time: hosts tell theirs side by side."""
        for event in sorted(self._waiting, key=_when):
            write(sys.stdout, self._told(event))
        self._waiting = []

    def _told(self, event: Event) -> str:
        if self._as_json:
            return json.dumps({"host": event.host, "message": event.message, **event.data}) + "\n"
        width = max(map(len, self.hosts), default=0)
        before = f"{clean(event.host or ''):<{width}}  " if len(self.hosts) > 1 else ""
        return "".join(f"{before}{clean(line)}\n" for line in self._show(event).split("\n"))


@contextmanager
def ended_by_ctrl_c(follow: bool) -> Iterator[None]:
    """Take Ctrl-C for the end of what goes on until then."""
    try:
        yield
    except KeyboardInterrupt:
        if not follow:
            raise


@contextmanager
def cut_by_ctrl_c(hosts: Sequence[str], typed: Callable[[str, str], str]) -> Iterator[None]:
    """Say what Ctrl-C means for a line that runs on hosts: it is ended there, and nothing takes back what it did."""
    try:
        yield
    except KeyboardInterrupt:
        names = ", ".join(hosts)
        what = f"interrupted: the line is ended where it ran ({names}); what it did until then stays"
        hint = f"{typed(','.join(hosts), 'audit')}  shows where it was begun"
        raise Interrupted(what, hint=hint) from None


def refuse_all(answers: Answers[T]) -> None:
    """Say every error that a host answered with, and raise the worst: it is how the command ends."""
    errors = [answer for answer in answers.values() if isinstance(answer, DeployError)]
    worst = min(errors, key=lambda error: rank(state_of(error)), default=None)
    for error in errors:
        if error is not worst:
            write(sys.stderr, f"{plain(str(error))}\n")
    if worst:
        raise worst


def _when(event: Event) -> float:
    at = event.data.get("said_at")
    return float(at) if isinstance(at, (int, float)) else 0.0


def log_line(event: Event) -> str:
    """A line of the journal: when (UTC), who, and what; each of its lines."""
    pid = f"[{event.data['pid']}]" if event.data.get("pid") else ""
    before = f"{moment(_when(event))} {event.data.get('who', '')}{pid}: "
    return "\n".join(f"{before}{line}" for line in event.message.split("\n"))


def failed(answers: Answers[RunAnswer]) -> list[str]:
    """On which hosts a line did not end well, a sentence each."""
    ended = {host: answer for host, answer in answers.items() if not isinstance(answer, DeployError)}
    return [f"{host}: {_ended(each['status'])}" for host, each in ended.items() if each["status"] != 0]


def _ended(status: int | None) -> str:
    if status is None:
        return "the line was ended"
    return f"the line was ended by signal {status - 128}" if status > 128 else f"the line exited {status}"
