"""An entry's hash is over everything else that it says, and a line is an entry only when it has number and hash."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oroboros_deploy.host.journal_entry import GENESIS, digest, head_of, line_of, parse

ENTRY: dict[str, Any] = {"kind": "lock", "actor": "ada@desk", "reason": "fair", "seq": 1, "previous": GENESIS}


def test_the_hash_is_over_all_other_fields() -> None:
    """Another value of any field, and another field, make another hash; the hash itself and the order do not."""
    first = digest(ENTRY)  # type: ignore[arg-type]
    changed = [{**ENTRY, name: "other"} for name in ENTRY] + [{**ENTRY, "new": 1}]
    assert first not in [digest(each) for each in changed]  # type: ignore[arg-type]
    assert first == digest(dict(reversed(ENTRY.items())) | {"hash": "x"})  # type: ignore[arg-type]


def test_a_line_is_read_as_it_was_written() -> None:
    """What is written as a line is the entry that is read from it, and its head is its number and hash."""
    entry = {**ENTRY, "hash": digest(ENTRY)}  # type: ignore[arg-type]
    assert parse(line_of(entry)) == entry  # type: ignore[arg-type]
    assert head_of(entry) == {"seq": 1, "hash": entry["hash"]}  # type: ignore[arg-type]


@pytest.mark.parametrize("said", [None, [], 1, {}, {"seq": "1", "hash": "x"}, {"seq": 1}, {"seq": 1, "hash": 2}])
def test_a_line_without_number_and_hash_is_no_entry(said: object) -> None:
    """JSON that is no entry, and what is no JSON, is None and no error."""
    assert (parse(json.dumps(said).encode()), parse(b"\xff{"), parse(b"")) == (None, None, None)
