"""What a disk may hold after a power cut, worked out from which writes were made to last and which were not.

While a piece of the agent runs, every call that changes the disk is a moment at which the
power may fail.  In each, a name that was changed in a directory since its last fsync may
be there or not, one by one; a file that was written since its last fsync may be as it was
then, empty if it was new, half written, or whole.  Every such disk is built for real, once.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import durable

CHANGES = ("rename", "unlink", "symlink", "mkdir", "rmdir", "write", "truncate", "ftruncate", "chmod", "fsync")
CONTENTS = ("old", "torn", "new")
MANY = 4  # so many names at most are tried in every combination; of more, one or all but one

Name = tuple[int, str]  # the inode of a directory, and an entry in it


@dataclass(frozen=True)
class Node:
    """One inode: a directory's entries, a file's content or a link's target."""

    mode: int = stat.S_IFREG | 0o600
    mtime: int = 0
    content: bytes = b""
    entries: Mapping[str, int] = field(default_factory=dict)


Inodes = dict[int, Node]


@dataclass(frozen=True)
class Disk:
    """One disk that a power cut may leave."""

    inodes: Inodes
    root: int

    def write(self, directory: Path, number: int | None = None) -> None:
        """Make it real in an empty directory."""
        for name, child in self.inodes[self.root if number is None else number].entries.items():
            node, path = self.inodes[child], directory / name
            if stat.S_ISDIR(node.mode):
                path.mkdir()
                self.write(path, child)
                path.chmod(stat.S_IMODE(node.mode))
            elif stat.S_ISLNK(node.mode):
                path.symlink_to(os.fsdecode(node.content))
            else:
                path.write_bytes(node.content)
                path.chmod(stat.S_IMODE(node.mode))
            os.utime(path, ns=(node.mtime, node.mtime), follow_symlinks=False)

    def as_tree(self, number: int | None = None) -> Any:
        """To tell two disks apart."""
        node = self.inodes[self.root if number is None else number]
        below = sorted((name, self.as_tree(child)) for name, child in node.entries.items())
        return (node.mode, node.content, tuple(below))


class PowerCuts:
    """Collects the disks that a power cut may leave, while the agent works in ``root``."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, ignoring: str = "") -> None:
        self.root = root
        self.ignoring = ignoring
        self.number = root.stat().st_ino
        self.held: dict[int, int] = {}  # an inode that is held open keeps its number for itself
        self.lasting = self._scan()
        self.disks: dict[Any, Disk] = {}
        self.moments = 0
        self.seen: Callable[[], Any] = lambda: None
        self.witnessed: dict[Any, set[Any]] = {}
        self._record(monkeypatch)

    def close(self) -> None:
        for descriptor in self.held.values():
            os.close(descriptor)

    def cut(self) -> None:
        """The power may fail now."""
        self.moments += 1
        now, seen = self._scan(), self.seen()
        pending = list(self._pending(now))
        for chosen in _subsets(pending):
            for content in CONTENTS:
                disk = self._disk(now, set(chosen), content)
                key = disk.as_tree()
                self.disks.setdefault(key, disk)
                self.witnessed.setdefault(key, set()).add(seen)

    def _record(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def recording(name: str) -> Callable[..., Any]:
            original = getattr(os, name)

            def recorded(*arguments: Any, **options: Any) -> Any:
                self.cut()
                result = original(*arguments, **options)
                if name == "fsync":
                    self._made_to_last(arguments[0])
                return result

            return recorded

        for name in CHANGES:
            monkeypatch.setattr(os, name, recording(name))
        monkeypatch.setattr(durable, "sync_filesystem", lambda path: self.lasting.update(self._scan()))

    def _made_to_last(self, descriptor: int) -> None:
        number = os.fstat(descriptor).st_ino
        now = self._scan()
        if number in now:
            self.lasting[number] = now[number]
            for child in now[number].entries.values():
                if stat.S_ISLNK(now[child].mode):  # a link and its target are one
                    self.lasting[child] = now[child]

    def _pending(self, now: Inodes) -> Iterator[Name]:
        """The names that differ from what lasts."""
        for number, node in now.items():
            if stat.S_ISDIR(node.mode):
                before = self.lasting.get(number, Node()).entries
                for name in sorted(before.keys() | node.entries.keys()):
                    if before.get(name) != node.entries.get(name):
                        yield number, name

    def _disk(self, now: Inodes, chosen: set[Name], content: str) -> Disk:
        inodes: Inodes = {}

        def take(number: int) -> None:
            before, after = self.lasting.get(number), now.get(number)
            node = after or before or Node()
            if stat.S_ISDIR(node.mode):
                entries = dict(before.entries if before else {})
                for name in {name for directory, name in chosen if directory == number}:
                    entries.pop(name, None)
                    if after and name in after.entries:
                        entries[name] = after.entries[name]
                inodes[number] = Node(node.mode, node.mtime, b"", entries)
                for child in entries.values():
                    take(child)
            else:
                inodes[number] = _file(before, after, content)

        take(self.number)
        return Disk(inodes, self.number)

    def _scan(self) -> Inodes:
        found: Inodes = {}

        def look(path: Path) -> int:
            status = path.lstat()
            number = status.st_ino
            if number not in self.held:
                self.held[number] = os.open(path, os.O_PATH | os.O_NOFOLLOW)
            entries: dict[str, int] = {}
            content = b""
            if stat.S_ISDIR(status.st_mode):
                entries = {name: look(path / name) for name in os.listdir(path) if name != self.ignoring}
            elif stat.S_ISLNK(status.st_mode):
                content = os.fsencode(os.readlink(path))
            else:
                content = path.read_bytes()
            found[number] = Node(status.st_mode, status.st_mtime_ns, content, entries)
            return number

        look(self.root)
        return found


def _file(before: Node | None, after: Node | None, content: str) -> Node:
    """A file or link as the disk may have it: a link whole, a file with some of what was not made to last."""
    if after is None or after == before:
        return before or Node()
    if stat.S_ISLNK(after.mode) or content == "new":
        return after
    old = before.content if before else b""
    if content == "torn" and after.content.startswith(old):
        old = after.content[: (len(old) + len(after.content)) // 2]
    return Node(after.mode, after.mtime, old)


def _subsets(pending: list[Name]) -> Iterator[tuple[Name, ...]]:
    sizes = range(len(pending) + 1) if len(pending) <= MANY else (0, 1, len(pending) - 1, len(pending))
    for size in sizes:
        yield from combinations(pending, size)
