"""The host's own record of what was activated: append-only, each line sealed by a hash over the one before."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Dict, List, Optional

from . import durable

Entry = Dict[str, Any]
GENESIS = "0" * 64


def digest(entry: Entry) -> str:
    """The hash of an entry, over all its fields but the hash itself."""
    body = {key: value for key, value in entry.items() if key != "hash"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


class Journal:
    """The file of finished attempts, oldest first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> List[Entry]:
        """All entries that can be read; the chain of hashes shows where a damaged one is left out.

        A last line without its end, torn by a power cut, is not an entry.
        """
        if not self.path.exists():
            return []
        entries = map(_parse, self.path.read_bytes().split(b"\n")[:-1])
        return [entry for entry in entries if entry is not None]

    def append(self, entry: Entry) -> Entry:
        """Add one entry with its sequence number and hash; returns it as written."""
        last: Entry = (self.entries() or [{"seq": 0, "hash": GENESIS}])[-1]
        entry = {**entry, "seq": last["seq"] + 1, "previous": last["hash"]}
        entry["hash"] = digest(entry)
        durable.append(self.path, json.dumps(entry, sort_keys=True).encode() + b"\n")
        durable.sync_directory(self.path.parent)
        return entry

    def has(self, attempt: str) -> bool:
        """Whether an attempt is recorded."""
        return any(entry["attempt"] == attempt for entry in self.entries())


def _parse(line: bytes) -> Optional[Entry]:
    try:
        entry: Entry = json.loads(line)
    except ValueError:
        return None
    return entry
