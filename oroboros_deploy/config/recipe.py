"""What tells one recipe from another: a digest of the settings that shape what a build makes.  Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from .settings import Build

_SHAPES_NOTHING = ("timeout", "cache")  # how long a build may take, and what is kept of it


def digest(build: Build) -> str:
    """The digest of the settings that differ from their defaults: a setting that is new and unset changes no digest."""
    told = json.dumps(_told(build, Build()), sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _told(value: object, default: object = None) -> object:
    """A value as JSON has it; of a section, and of each of its parts, what differs from the default."""
    if is_dataclass(value):
        shaping = (each for each in fields(value) if each.name not in _SHAPES_NOTHING)
        pairs = {each.name: (getattr(value, each.name), getattr(default, each.name, each.default)) for each in shaping}
        return {name: _told(ours, other) for name, (ours, other) in pairs.items() if ours != other}
    if isinstance(value, Mapping):
        return {str(name): _told(each) for name, each in value.items()}
    return [_told(each) for each in value] if isinstance(value, list | tuple) else value
