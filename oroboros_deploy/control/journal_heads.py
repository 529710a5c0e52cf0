"""The last journal entry that this machine saw of each host; nobody on the host can take that back."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..host.contract import JournalHead


class JournalHeads:
    """A directory with one small file a host and deploy root; a memory, never needed for a deploy."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def seen(self, host: str, root: str) -> JournalHead | None:
        """Number and hash of the last entry that was seen, None when none was."""
        try:
            seen: JournalHead = json.loads(self.path(host, root).read_text())
        except (OSError, ValueError):
            return None
        return seen

    def note(self, host: str, root: str, head: JournalHead | None) -> None:
        """Remember a later entry than the one seen before; an earlier one never takes its place."""
        seen = self.seen(host, root)
        if head is None or (seen and seen["seq"] >= head["seq"]):
            return
        path = self.path(host, root)
        new = path.with_name(f".{path.name}.{os.getpid()}")
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.write_text(json.dumps({"host": host, "root": root, "seq": head["seq"], "hash": head["hash"]}))
            new.replace(path)

    def path(self, host: str, root: str) -> Path:
        """Where it is remembered: to be deleted by hand when a host was set up anew."""
        return self._directory / f"{hashlib.sha256(f'{host} {root}'.encode()).hexdigest()[:16]}.json"
