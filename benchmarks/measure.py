"""Runs, and what they have in common: medians with their spread, taken in turn so that a busy minute hits all alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

K = TypeVar("K")
R = TypeVar("R")


@dataclass(frozen=True)
class Spread:
    """The median of several values, the smallest and the largest."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}–{self.most:.2f})"


def in_turn(what: Sequence[K], times: int, run: Callable[[K], R]) -> dict[K, list[R]]:
    """Run each so many times: A B, B A, A B …; the results of each."""
    found: dict[K, list[R]] = {each: [] for each in what}
    for number in range(times):
        for each in what if number % 2 == 0 else reversed(what):
            found[each].append(run(each))
    return found


def slope(seconds: Callable[[float], float], rtts: Sequence[float]) -> float:
    """Round trips: how many milliseconds a command gets longer for each millisecond of the longest round trip."""
    shortest, longest = min(rtts), max(rtts)
    return 1000 * (seconds(longest) - seconds(shortest)) / (longest - shortest)
