"""Which release a rollback goes to when nobody named one.  Pure: nothing here touches anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from ..host.constants import SWITCHABLE
from ..text import short

if TYPE_CHECKING:
    from ..host.contract import Facts, ReleaseFacts


@dataclass(frozen=True)
class WayBack:
    """What a rollback would do: the ``release`` it goes to, its commit's ``subject``, and what is ``live`` by host."""

    release: str
    subject: str
    live: Mapping[str, str | None]


class Kept(NamedTuple):
    """A release on a host; ``first`` orders releases by their first commit there (None: it never served)."""

    id: str
    first: int | None
    good: bool  # it passed its gate there (adopted: it served), and did not fail later
    words: str = ""


class Place(NamedTuple):
    """What a host has, the newest first, and which release is live there."""

    live: str | None
    kept: tuple[Kept, ...]

    @property
    def good(self) -> set[str]:
        """The releases that may be gone back to there."""
        return {each.id for each in self.kept if each.good}

    @property
    def earlier(self) -> set[str]:
        """The releases that served there before the live one did; it is the newest where nobody noted when it came."""
        if self.live is None:
            return set()
        firsts = self.firsts
        return {name for name, first in firsts.items() if first < firsts.get(self.live, inf)}

    @property
    def firsts(self) -> dict[str, int]:
        """When each release that served came first."""
        return {each.id: each.first for each in self.kept if each.first is not None}


def choose(places: Sequence[Place]) -> str | None:
    """The newest release that is good everywhere, and on one host came before what is live there; None without one.

    What is newest the first host says, which like all others has committed the release.
    """
    good = set.intersection(*(place.good for place in places))
    earlier = set().union(*(place.earlier for place in places))
    return max(good & earlier, key=places[0].firsts.__getitem__, default=None)


def place_of(facts: Facts, *, asks: bool) -> Place:
    """What a host has.  ``asks``: the settings have a health command or probes, without which no gate was passed."""
    kept = (_kept(each, asks=asks, live=each["id"] == facts["live"]) for each in facts["releases"])
    return Place(facts["live"], tuple(sorted(kept, key=_newest)))


def listed(host: str, place: Place) -> str:
    """What a host has, on a line."""
    return f"{host}: {', '.join(f'{short(each.id)} ({each.words})' for each in place.kept) or 'no release'}"


def _newest(kept: Kept) -> tuple[float, str]:
    return (inf if kept.first is None else -kept.first, kept.id)


def _kept(release: ReleaseFacts, *, asks: bool, live: bool) -> Kept:
    wrong = _wrong(release, asks=asks)
    words = ", ".join(filter(None, ["live" if live else "", wrong or _right(release)]))
    return Kept(release["id"], release.get("first"), not wrong, words)


def _right(release: ReleaseFacts) -> str:
    return "served before" if release["state"] == "adopted" else "passed its gate"


def _wrong(release: ReleaseFacts, *, asks: bool) -> str:
    """Why a release is not one to go back to; empty when it is."""
    if release["state"] not in SWITCHABLE:
        return "not complete"
    if release["bad"]:
        return "failed here"
    if release.get("first") is None:
        return "never served here"
    skipped = release.get("gate") == "skipped" and asks and release["state"] == "sealed"
    return "its gate was skipped" if skipped else ""
