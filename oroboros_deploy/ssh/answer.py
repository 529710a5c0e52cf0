"""What ssh_config says about one host, as ``ssh -G`` prints it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from ..errors import ConfigError

Values = Mapping[str, tuple[str, ...]]
T = TypeVar("T")


def read(text: str) -> Values:
    """The values of each keyword (in lower case), in order: one for each line that begins with it."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        keyword, _, value = line.partition(" ")
        found[keyword.lower()] = (*found.get(keyword.lower(), ()), value)
    return found


@dataclass(frozen=True)
class Answer:
    """The settings of ``host``; ``usual`` are those of a host that no file says anything about."""

    host: str
    values: Values
    usual: Values

    def get(self, keyword: str) -> str | None:
        """The first value of a keyword, if it has one, whether a file sets it or not."""
        return next(iter(self.all(keyword)), None)

    def all(self, keyword: str) -> tuple[str, ...]:
        """Every value of a keyword, whether a file sets them or not."""
        return self.values.get(keyword.lower(), ())

    def is_set(self, keyword: str) -> bool:
        """Whether a file says something about the keyword that differs from what is so anyway."""
        return self.all(keyword) != self.usual.get(keyword.lower(), ())

    def chosen(self, keyword: str) -> str | None:
        """The first value of a keyword that is set."""
        return self.get(keyword) if self.is_set(keyword) else None

    def value(self, keyword: str, understand: Callable[[str], T], default: T) -> T:
        """The first value, understood; raises ConfigError where it cannot be."""
        text = self.get(keyword)
        if text is None:
            return default
        try:
            return understand(text.lower())
        except (KeyError, ValueError):
            raise self.error(keyword, "this value is not understood") from None

    def error(self, keyword: str, problem: str) -> ConfigError:
        """The error to raise when a setting cannot be followed."""
        said = f"{keyword} {' '.join(self.all(keyword))}".strip()
        return ConfigError(
            f"ssh_config: {said}: {problem}", hint=f"ssh -G {self.host} shows what it says", host=self.host
        )
