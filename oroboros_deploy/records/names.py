"""By which name each target answers now.  Pure.

What people type are aliases, of which each workstation has its own: a name belongs to the target that answered to it
last.  A target whose name another one has taken, or that somebody has forgotten, is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

GONE = ""  # the id, in the history, of a target that somebody has forgotten


@dataclass(frozen=True)
class Names:
    """The names of the targets of one application, by the ids that the targets have minted.

    ``last`` are those that they answered to last, ``here`` those that this control node last called them by;
    ``places`` has the application and the root of each, for a name is one target's for each of these.
    """

    last: Mapping[str, str] = field(default_factory=dict)
    here: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def now(self, host: str, target_id: str | None) -> str | None:
        """How to call a target, from here, that answered to ``host`` once; None when it is gone."""
        if target_id == GONE:
            return None
        if target_id is None:  # told by an earlier version, or before there was an id
            return host
        named = [self.here.get(target_id), self.last.get(target_id), host]
        return next((name for name in named if name and not self._taken(name, target_id)), None)

    def _taken(self, name: str, target_id: str) -> bool:
        place = self.places.get(target_id)
        others = (other for other, last in self.last.items() if last == name and other != target_id)
        return any(place is None or self.places.get(other) == place for other in others)
