"""The last resort: an error that nobody foresaw becomes a message, and its traceback a file.

`exit_codes.py` catches it for every task, and `running.py` for an attempt, whose switches it knows.
`control/faults.py` writes the traceback, and hides secrets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from invoke import Exit

from ..control import faults
from ..errors import DeployError, ExitCode
from ..events import Event
from .typeable import Typed, plainly

_BEFORE = 1  # the exit code when no switch was asked for


class Switches:
    """Hears which hosts were asked to switch, and how that ended; a listener."""

    def __init__(self) -> None:
        self.ends: dict[str, str | None] = {}
        self.typed: Typed = plainly

    def __call__(self, event: Event) -> None:
        """Note what an event says of its host."""
        from ..outcome import State
        from ..words import name_of

        if event.host and event.name == "switch.asked":
            self.ends[event.host] = None
        elif event.host in self.ends and event.name == "host.finished":
            self.ends[event.host] = name_of(State(event.data["state"]))


class Unforeseen(DeployError):
    """An error that nobody foresaw; ``switches`` are the hosts that were asked to switch, and how it ended there."""

    exit_code = ExitCode.UNKNOWN

    def __init__(self, cause: Exception, switches: Switches) -> None:
        condition, advice = _condition(switches.ends), _advice(switches, faults.keep(cause))
        super().__init__(f"{condition}: {faults.in_a_line(cause)}", hint=advice)
        self.code = int(self.exit_code) if switches.ends else _BEFORE


@contextmanager
def caught(switches: Switches | None = None) -> Iterator[None]:
    """Raise Unforeseen for what is neither an error of ours nor an exit."""
    try:
        yield
    except (DeployError, Exit):
        raise
    except Exception as error:
        raise Unforeseen(error, switches or Switches()) from error


def _condition(ends: Mapping[str, str | None]) -> str:
    hosts = (f"{host} {end or 'goes on alone, how it ends is not known here'}" for host, end in ends.items())
    return "; ".join(hosts) or "no host was asked to switch"


def _advice(switches: Switches, kept: Path | None) -> str:
    report, names = faults.report(kept), ",".join(switches.ends)
    return f"{switches.typed(names, 'status')}  tells what they serve; {report}" if names else report
