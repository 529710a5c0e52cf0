"""The members of a workspace of Node, by the patterns that its package.json or pnpm-workspace.yaml has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import PurePosixPath

from .tree import Tree, table

_COMMENT = re.compile(r"(?:^|(?<=\s))#.*", re.MULTILINE)
_PACKAGES = re.compile(r"^packages:[ \t]*(\[[^\]]*\]|(?:\n[ \t]*(?:-.*)?)+)", re.MULTILINE)
_ITEM = re.compile(r"'([^'\n]*)'|\"([^\"\n]*)\"|([^\s,\[\]'\"-][^\s,\[\]]*)")
_LONGEST = 200  # characters of a pattern that is read
_CHOICES = 100  # of one pattern that are tried
_BRACES = re.compile(r"\{([^{}]*)\}")


def has_member(tree: Tree, top: str, place: str) -> bool:
    """Whether the workspace that is described in a directory has this one below it as a member."""
    parts = PurePosixPath(place).relative_to(top or ".").parts
    patterns = [each for each in (*_of_package(tree, top), *_of_pnpm(tree, top)) if len(each) <= _LONGEST]
    without = [each.removeprefix("!") for each in patterns if each.startswith("!")]
    return _is_in(parts, (each for each in patterns if not each.startswith("!"))) and not _is_in(parts, without)


def _of_package(tree: Tree, top: str) -> list[str]:
    """What `workspaces` names: a list, or a table with one."""
    said = tree.json(top, "package.json").get("workspaces")
    patterns = table(said).get("packages", said)
    return [each for each in patterns if isinstance(each, str)] if isinstance(patterns, list) else []


def _of_pnpm(tree: Tree, top: str) -> list[str]:
    """What `packages` of pnpm lists, on one line or on many; all the rest of its file is passed over."""
    found = _PACKAGES.search(_COMMENT.sub("", tree.text(top, "pnpm-workspace.yaml")))
    return ["".join(item) for item in _ITEM.findall(found[1])] if found else []


def _is_in(parts: Sequence[str], patterns: Iterable[str]) -> bool:
    written = (each for pattern in patterns for each in islice(_without_braces(pattern), _CHOICES))
    return any(_matches(parts, PurePosixPath(each).parts) for each in written)


def _without_braces(pattern: str) -> Iterator[str]:
    """The patterns that one with a choice in braces stands for."""
    found = _BRACES.search(pattern)
    if found is None:
        yield pattern
        return
    for choice in found[1].split(","):
        yield from _without_braces(pattern[: found.start()] + choice + pattern[found.end() :])


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path fits, part by part; two stars are any number of parts."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[number:], pattern[1:]) for number in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
