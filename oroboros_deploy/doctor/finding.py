"""One thing that is wrong, and all that was found on the control node and on the hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from ..errors import ExitCode

Level = Literal["refused", "note"]
_WORST_FIRST: tuple[Level, ...] = ("refused", "note")


@dataclass(frozen=True)
class Finding:
    """What is wrong, why that matters, and the command that mends it (None: there is no one command).

    ``level`` is ``refused`` for what stops a deploy, else ``note``.
    """

    level: Level
    what: str
    why: str
    mend: str | None


@dataclass(frozen=True)
class Diagnosis:
    """What was found: of the control node itself (``here``), and of each host by its name, the worst first."""

    here: tuple[Finding, ...]
    hosts: Mapping[str, tuple[Finding, ...]]

    @property
    def exit_code(self) -> ExitCode:
        """INVALID for anything that stops a deploy, LIVE when there is nothing to tell, or notes alone."""
        found = [*self.here, *(each for findings in self.hosts.values() for each in findings)]
        return ExitCode.INVALID if any(each.level == "refused" for each in found) else ExitCode.LIVE


def worst_first(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding once, what stops a deploy before the rest."""
    once = dict.fromkeys(found)
    return tuple(each for level in _WORST_FIRST for each in once if each.level == level)
