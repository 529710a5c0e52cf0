"""One entry of a host's journal: its hash over the entry before, and the line that it is written as.  Pure."""

from __future__ import annotations

import json

from . import sha256
from .annotations import TYPE_CHECKING, Optional, cast

if TYPE_CHECKING:
    from .contract import JournalEntry, JournalHead

GENESIS = "0" * 64  # what the first entry follows


def digest(entry: JournalEntry) -> str:
    """The hash of an entry, over all its fields but the hash itself."""
    body = {key: value for key, value in entry.items() if key != "hash"}
    return sha256.digest(json.dumps(body, sort_keys=True).encode())


def line_of(entry: JournalEntry) -> bytes:
    """An entry as it is written, without the end of its line."""
    return json.dumps(entry, sort_keys=True).encode()


def parse(line: bytes) -> Optional[JournalEntry]:
    """The entry on a line, None when it is none."""
    return cast("Optional[JournalEntry]", chained(line))


def head_of(entry: JournalEntry) -> JournalHead:
    """Number and hash of an entry."""
    return {"seq": entry["seq"], "hash": entry["hash"]}


def chained(line: bytes) -> object:
    """What a line of JSON says, when it has a number and a hash; else None."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):  # nested too deeply for the parser
        return None
    whole = isinstance(said, dict) and type(said.get("seq")) is int and isinstance(said.get("hash"), str)
    return said if whole else None
