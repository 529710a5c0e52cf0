"""What tells one recipe from another: a digest of the settings that shape what a build makes.  Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

from .settings import Build, Places

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_SHAPES_NOTHING = ("timeout", "cache")  # how long a build may take, and what is kept of it


def digest(build: Build, shared: Places, privileged: Sequence[str] = ()) -> str:
    """The digest of the settings that differ from their defaults: a setting that is new and unset changes no digest.

    ``shared`` are the shared places, which every release has links to; ``privileged`` is what may become root.
    """
    more: dict[str, object] = {"shared": dict(shared)} if shared else {}
    told = {**_differing(build, Build()), **more, **({"privileged": True} if "build" in privileged else {})}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _differing(section: DataclassInstance, default: object) -> dict[str, object]:
    shaping = (each for each in fields(section) if each.name not in _SHAPES_NOTHING)
    pairs = {each.name: (getattr(section, each.name), getattr(default, each.name, each.default)) for each in shaping}
    return {name: _told(ours, other) for name, (ours, other) in pairs.items() if ours != other}


def _told(value: object, default: object = None) -> object:
    """A value as JSON has it; of a section, and of each of its parts, what differs from the default."""
    if is_dataclass(value) and not isinstance(value, type):
        return _differing(value, default)
    if isinstance(value, Mapping):
        return {str(name): _told(each) for name, each in value.items()}
    return [_told(each) for each in value] if isinstance(value, list | tuple) else value
