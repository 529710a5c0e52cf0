"""One section of a report: what was measured, as tables to read and as values that bounds are held against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.bounds import BOUNDS

SPARE = 0.15  # of a bound, which a slower core may need
_NOT = "Not measured: "
_COUNTS = (".counted", ".connections", ".channels", ".errors", ".crowd", ".unused", ".wrong")  # no core changes them


@dataclass(frozen=True)
class Section:
    """``values`` are named like their bounds."""

    title: str
    text: str
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether there are figures in it."""
        return not self.text.startswith(_NOT)


def unmeasured(title: str, why: str) -> Section:
    """A section that says why it has no figures."""
    return Section(title, f"{_NOT}{why}.\n")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def missed(values: Mapping[str, float]) -> list[str]:
    """The names of the values that are beyond their bounds."""
    return [name for name, value in values.items() if value > BOUNDS[name].most]


def verdicts(values: Mapping[str, float]) -> str:
    """Each value beside its bound, and whether it is kept on a core that is somewhat slower, too."""
    rows = [
        (BOUNDS[name].what, f"{value:.4g} {unit}", f"{BOUNDS[name].most:g} {unit}", _verdict(name, value))
        for name, value in values.items()
        for unit in [BOUNDS[name].unit]
    ]
    return table(["what", "measured", "at most", ""], rows)


def _verdict(name: str, value: float) -> str:
    most = BOUNDS[name].most
    if value > most:
        return "**missed**"
    return "kept" if name.endswith(_COUNTS) or value <= most * (1 - SPARE) else f"kept, by less than {SPARE:.0%}"
