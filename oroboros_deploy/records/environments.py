"""Which environments are production, and in which order people read them.  Pure."""

from __future__ import annotations

from collections.abc import Iterable

PRODUCTION = frozenset({"prod", "production"})


def production(names: Iterable[str]) -> list[str]:
    """Those of the environments that are production by their name; all of them where none is so named."""
    every = list(names)
    return [name for name in every if name in PRODUCTION] or every


def reading_order(name: str) -> tuple[bool, bool, str]:
    """What environments are sorted by: production comes first, hosts without an environment last."""
    return (not name, name not in PRODUCTION, name)
