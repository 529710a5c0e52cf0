"""A repository's files as `init` looks at them: it reads, and runs nothing."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

_PASSED_OVER = {"node_modules", "vendor", "docs", "doc", "examples", "tests", "test", "dist", "build", "venv", "target"}
_BYTES = 500_000  # of a file are read at most
_FILES = 2000  # of a repository are looked at by their names


class Tree:
    """The files below a directory, by their paths in it; ``""`` is the directory itself."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def has(self, *path: str) -> bool:
        """Whether there is such a file."""
        return self._at(path).is_file()

    def first(self, place: str, *names: str) -> str | None:
        """The first of these files that is there."""
        return next((name for name in names if self.has(place, name)), None)

    def text(self, *path: str) -> str:
        """What a file holds; empty where it is none, or no text."""
        if not self.has(*path):
            return ""
        try:
            with self._at(path).open(encoding="utf-8", errors="replace") as file:
                return file.read(_BYTES)
        except OSError:
            return ""

    def toml(self, *path: str) -> Mapping[str, object]:
        """A file of TOML; empty where it is none."""
        try:
            return tomllib.loads(self.text(*path))
        except (ValueError, RecursionError):
            return {}

    def json(self, *path: str) -> Mapping[str, object]:
        """A file of JSON that holds an object; empty where it is none."""
        try:
            found = json.loads(self.text(*path))
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def places(self, *names: str) -> list[str]:
        """Where one of these files lies: the top, else directories of it, else directories of those."""
        return next(self.levels(*names), [])

    def levels(self, *names: str) -> Iterator[list[str]]:
        """The same for each of these levels where one lies: at the top may be what configures tools alone."""
        levels = ([""], [*self._below("")], [inner for each in self._below("") for inner in self._below(each)])
        yield from filter(None, ([place for place in level if self.first(place, *names)] for level in levels))

    def names(self, place: str) -> list[str]:
        """The names of all that is in a directory."""
        return [each.name for each in self._entries(place)]

    def directories(self, place: str) -> list[str]:
        """The names of the directories in a directory that hold something: git keeps no other."""
        return [each.name for each in self._entries(place) if each.is_dir() and self.names(below(place, each.name))]

    def files(self, *patterns: str) -> list[str]:
        """The files whose names fit, anywhere but in what is passed over."""
        fitting = [re.compile(pattern) for pattern in patterns]
        return [name for name in self._all() if any(each.fullmatch(name.rpartition("/")[2]) for each in fitting)]

    def _all(self) -> list[str]:
        found: list[str] = []
        waiting = [""]
        while waiting and len(found) < _FILES:
            place = waiting.pop(0)
            found += [str(each.relative_to(self.top)) for each in self._entries(place) if each.is_file()]
            waiting += self._below(place)
        return found

    def _below(self, place: str) -> Iterator[str]:
        for each in self._entries(place):
            if each.is_dir() and not each.is_symlink() and each.name not in _PASSED_OVER and each.name[0] != ".":
                yield str(each.relative_to(self.top))

    def _entries(self, place: str) -> list[Path]:
        """What is in a directory; nothing where nobody may look."""
        try:
            return sorted((self.top / place).iterdir())
        except OSError:
            return []

    def _at(self, path: tuple[str, ...]) -> Path:
        return self.top.joinpath(*path)


def table(value: object) -> Mapping[str, object]:
    """What a key holds, when that is a table."""
    return value if isinstance(value, Mapping) else {}


def below(place: str, name: str) -> str:
    """A path in a place, from the top."""
    return f"{place}/{name}" if place else name
