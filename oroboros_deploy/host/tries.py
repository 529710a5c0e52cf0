"""Tries: what the probes of a gate answered, one after another; what one says again and again is one line.  Pure."""

from __future__ import annotations

from .annotations import TYPE_CHECKING, Dict, List, Optional, Set

if TYPE_CHECKING:
    from .probes import Tried

LINES = 6  # so many of the first and of the last lines of a probe are told


class _Run:
    """Tries of one probe that came to the same."""

    def __init__(self, number: int, at: float, tried: Tried) -> None:
        self.first = self.last = number
        self.since = self.until = at
        self.quickest = self.slowest = tried.seconds
        self.tried = tried

    def goes_on(self, number: int, at: float, tried: Tried) -> bool:
        """Whether a try belongs to it; then it is counted."""
        if (tried.said, tried.ok) != (self.tried.said, self.tried.ok):
            return False
        self.last, self.until, self.tried = number, at, tried
        self.quickest, self.slowest = min(self.quickest, tried.seconds), max(self.slowest, tried.seconds)
        return True

    def __str__(self) -> str:
        when, took = f"try {self.first} at {self.since:.1f} s", f"{self.quickest:.3f} s"
        if self.last > self.first:
            when = f"tries {self.first} to {self.last}, {self.since:.1f} s to {self.until:.1f} s"
            took = f"{took} to {self.slowest:.3f} s" if self.slowest > self.quickest else took
        text = f": {self.tried.text}" if self.tried.text else ""
        return f"{when}: {self.tried.said} (in {took}){text}"


class Tries:
    """All tries of one gate."""

    def __init__(self) -> None:
        self._runs: Dict[str, List[_Run]] = {}
        self._anew: Set[str] = set()

    def add(self, probe: str, number: int, at: float, tried: Tried) -> None:
        """Count a try of a probe, which began ``at`` seconds after the gate."""
        runs = self._runs.setdefault(probe, [])
        if not runs or probe in self._anew or not runs[-1].goes_on(number, at, tried):
            runs.append(_Run(number, at, tried))
        self._anew.discard(probe)

    def begin_anew(self) -> None:
        """Another process answers from now on: no answer goes on."""
        self._anew = {*self._runs}

    def settled(self, patience: float) -> Optional[str]:
        """A probe that has had the same wrong answer for ``patience`` seconds, in words; None so far."""
        last = {probe: runs[-1] for probe, runs in self._runs.items() if probe not in self._anew}
        settled = (each for each in last.items() if each[1].tried.settles and each[1].until - each[1].since >= patience)
        return next((f"{probe} {run.tried.said}" for probe, run in settled), None)

    def __str__(self) -> str:
        return "\n".join(f"--- {probe}\n{_lines(runs)}" for probe, runs in self._runs.items())


def _lines(runs: List[_Run]) -> str:
    lines = [*map(str, runs)]
    left_out = len(lines) - 2 * LINES
    if left_out > 0:
        lines[LINES:-LINES] = [f"… {left_out} lines more, which the log of the attempt has"]
    return "\n".join(lines)
