"""What a settings file must not hold, because Invoke walks through it before any setting of ours is looked at."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from invoke import util

_yaml: Any = util.yaml  # the one that Invoke reads with
_Names: Any = _yaml.SafeLoader


class _EachNameOnce(_Names):  # type: ignore[misc]
    """YAML as Invoke reads it, but for a name that a mapping has twice: the last one would win, and nobody knew."""

    def compose_mapping_node(self, anchor: object) -> object:
        """Compose a mapping; raises ValueError for a name that is in it twice."""
        node: Any = super().compose_mapping_node(anchor)
        known: dict[tuple[str, str], int] = {}
        for name, _ in node.value:
            if isinstance(name.value, str) and name.value != "<<":
                line, said = name.start_mark.line + 1, (name.tag, name.value)
                if said in known:
                    raise ValueError(f"{name.value} is said twice, in lines {known[said]} and {line}: keep one of them")
                known[said] = line
        return node


def read_yaml(path: str) -> object:
    """What a YAML file holds; raises ValueError for a name that is said twice."""
    with open(path, encoding="utf-8-sig") as file:
        return _yaml.load(file, Loader=_EachNameOnce)


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


def refuse_mixed(found: Mapping[str, object], usual: Mapping[str, object]) -> None:
    """Raise ValueError for a value where Fabric has settings, such as ``run: 5``, and the other way round."""
    for name, value in found.items():
        if name in usual and isinstance(usual[name], Mapping) != isinstance(value, Mapping):
            must = "must hold settings of its own" if isinstance(usual[name], Mapping) else "must be a value"
            raise ValueError(f"{name} {must} (it is {reprlib.repr(value)})")
