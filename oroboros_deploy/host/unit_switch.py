"""What an activation does with units on a host; only one that has some imports this.

Which sets there are is a `Brought` of ``unit_files``.  When each of this is done is the business of ``activation``.
"""

from __future__ import annotations

import contextlib

from . import manager, records, unit_files, unit_sets, words
from .annotations import TYPE_CHECKING, Container, Dict, List, Optional, Sequence, Tuple
from .layout import Layout
from .refusal import Failed, Refusal
from .unit_files import Brought

if TYPE_CHECKING:
    from .contract import UnitsRequest
    from .units import Unit
    from .wire import Say


class UnitSwitch:
    """The units of one deploy root, on their way there and back."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    # --- before the switch ---

    def brought_by(
        self, target: str, asked: UnitsRequest, say: Say, *, recorded: bool, services: Container[str] = ()
    ) -> Brought:
        """What the target brings in the place of what is there; what somebody wrote there is told, and kept.

        ``recorded``: what it was committed with.  ``services`` are started whatever the units say.
        """
        try:
            return self._brought_by(target, asked, say, recorded, services)
        except Refusal as refusal:
            raise Refusal(refusal.kind, f"nothing was switched: {refusal.message}", hint=refusal.hint) from None

    def _brought_by(
        self, target: str, asked: UnitsRequest, say: Say, recorded: bool, services: Container[str]
    ) -> Brought:
        release = self.layout.release(target)
        record = records.found(self.layout, target) if recorded else None
        texts = unit_sets.wanted(self.layout, release, asked, recorded, record)
        look = unit_sets.look(self.layout, texts, asked["adopt"])
        changes, after = unit_files.told(look.changes), unit_sets.keep(self.layout, look.after)
        if not changes:
            return Brought(after, after)
        unit_sets.verify(self.layout, texts, release, say, asked["directory"])
        unit_sets.refuse_unfit(look.before, look.after)
        for said in (*look.said, *unit_sets.keep_edited(self.layout, look.edited)):
            say("warning", said, level="warning")
        say("units.changed", f"units: {changes}", names=look.changes)
        for timer in unit_files.idle(look.before, look.after, services):
            say("warning", words.idle(timer), level="warning")
        self._tell_of_disabled(unit_files.appearing(look.before, look.after), say)
        unit_sets.keep_originals(self.layout, look.originals)
        return Brought(unit_sets.keep(self.layout, look.before), after, look.changes, (look.before, look.after))

    def _tell_of_disabled(self, coming: Sequence[str], say: Say) -> None:
        for name in self.disabled():
            if unit_files.brings(coming, name):
                said = words.stays_disabled(name, manager.chosen().typed("systemctl"))
                say("warning", said, level="warning")

    def stage(self, brought: Brought) -> None:
        """Note the two sets for whoever finds the activation without its state."""
        self.layout.reserve.spend(unit_sets.stage, self.layout, str(brought.before), str(brought.after))

    def note_disabled(self, gone: Dict[str, Unit]) -> None:
        """Keep which of the units that go somebody has disabled, by their full names."""
        off = {name: unit.runs for name, unit in gone.items() if unit.file_state == "disabled"}
        unit_sets.note_disabled(self.layout, off, [name for name in gone if name not in off])

    def disabled(self) -> Dict[str, bool]:
        """What somebody had disabled when a release took it away, each with whether it ran then."""
        return unit_sets.disabled(self.layout)

    def to_open(self, brought: Brought) -> List[str]:
        """The sockets, timers and paths that are new, and that nobody had disabled."""
        away = [name for name, ran in self.disabled().items() if not ran]
        return unit_files.to_open(*brought.sets, away)

    # --- the switch, there and back ---

    def put(
        self,
        before: str,
        after: str,
        services: Sequence[str],
        deadline: float,
        start: Sequence[str],
        attempt: str,
    ) -> None:
        """Have the units of another set, as `unit_sets.put` does; raises Failed where they cannot be had."""
        spend = self.layout.reserve.spend
        try:
            spend(unit_sets.put, self.layout, before, after, services, deadline, start, attempt)
        except (unit_sets.NotPut, ValueError) as error:
            raise Failed(str(error)) from error

    def loaded(self, before: str, after: str) -> Brought:
        """What an attempt brought that another process began; raises Failed where that cannot be read."""
        try:
            sets = (unit_sets.load(self.layout, before), unit_sets.load(self.layout, after))
        except ValueError as error:
            raise Failed(f"the earlier units were not put back: {error}") from error
        return Brought(before, after, sets=sets)

    def keep_edited(self, say: Say, *names: str) -> None:
        """Keep what somebody wrote into units since an attempt installed those of these sets."""
        with contextlib.suppress(OSError, ValueError):
            found = unit_sets.strange(self.layout, *names)
            for said in unit_sets.keep_edited(self.layout, found, "was edited here during this activation"):
                say("warning", said, level="warning")

    # --- what is there ---

    def altered(self, name: str) -> List[str]:
        """The paths at which the host has something else than a set says."""
        return unit_sets.altered(self.layout, name)

    def in_place(self, name: str) -> bool:
        """Whether the host has what a set says, and has it enabled so."""
        return unit_sets.in_place(self.layout, name, links=True)

    def touched(self, before: str) -> bool:
        """Whether the host has something else than a set says, or a text of it that was left half written."""
        return bool(unit_sets.half_written(self.layout, before)) or not self.in_place(before)

    def staged(self) -> Optional[Tuple[str, str]]:
        """The two sets of an unfinished activation, None where it had none."""
        return unit_sets.staged(self.layout)

    def unstage(self) -> None:
        """Take away what only an unfinished activation needs."""
        unit_sets.unstage(self.layout)
