"""What a settings file must not hold, because Invoke walks through it before any setting of ours is looked at."""

from __future__ import annotations

from collections.abc import Mapping


def refuse_unusable(found: object, at: str = "", above: tuple[int, ...] = ()) -> None:
    """Raise ValueError for a name that is no text, and for what holds itself by an alias."""
    if not isinstance(found, Mapping | list):
        return
    if id(found) in above:
        raise ValueError(f"{at or 'it'} holds itself, by an alias")
    for name, value in found.items() if isinstance(found, Mapping) else enumerate(found):
        if isinstance(found, Mapping) and not isinstance(name, str):
            raise ValueError(f"{at + ': ' if at else ''}the name {name!r} is no text for YAML: put it in quotes")
        refuse_unusable(value, f"{at}.{name}" if at else str(name), (*above, id(found)))
