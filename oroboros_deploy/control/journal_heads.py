"""The last journal entry that this machine saw of each target; nobody on the host can take that back."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ..host.contract import JournalHead


class JournalHeads:
    """A directory with one small file a target; a memory, never needed for a deploy.

    For each name that was typed and its deploy root a file says which target answered to them last.  Where the host
    has no id yet that file has the entry itself, as those of 0.1.0 have; it moves to the target's when there is one.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def seen(self, host: str, root: str, target: str | None = None) -> JournalHead | None:
        """Number and hash of the last entry seen of a target, by default of the one that answered to the name last."""
        named = _read(self._named(host, root))
        target = target or named.get("target")
        own = _read(self._file(target)) if target else {}
        found = own or named
        return cast("JournalHead", dict(found)) if "seq" in found else None

    def target(self, host: str, root: str) -> str | None:
        """The id of the target that answered to a name last; None when none was heard of."""
        found: str | None = _read(self._named(host, root)).get("target")
        return found

    def note(self, host: str, root: str, head: JournalHead | None, target: str | None = None) -> None:
        """Remember a later entry than the one seen before; an earlier one never takes its place."""
        seen = self.seen(host, root, target)
        newest = seen if seen and (head is None or seen["seq"] >= head["seq"]) else head
        known = target is None or self.target(host, root) == target
        if newest is None or (newest is seen and known):
            return
        where = {"host": host, "root": root}
        path = self._file(target) if target else self._named(host, root)
        _write(path, where | {"seq": newest["seq"], "hash": newest["hash"]})
        if not known:
            _write(self._named(host, root), where | {"target": target})

    def path(self, host: str, root: str) -> Path:
        """Where it is remembered: to be deleted by hand when a host was set up anew."""
        target = self.target(host, root)
        return self._file(target) if target else self._named(host, root)

    def _named(self, host: str, root: str) -> Path:
        return self._file(f"{host} {root}")

    def _file(self, key: str) -> Path:
        return self._directory / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"


def _read(path: Path) -> Mapping[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text())
        return found if isinstance(found, dict) else {}
    return {}


def _write(path: Path, entry: Mapping[str, Any]) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.write_text(json.dumps(entry))
        new.replace(path)
