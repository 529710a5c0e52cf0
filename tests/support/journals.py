"""Journals of hosts, as an agent would have written them."""

from __future__ import annotations

from typing import Any

from oroboros_deploy.host.journal_entry import GENESIS, digest


def chained(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries as an agent would have written them, their chain whole."""
    before = {"seq": 0, "hash": GENESIS}
    for entry in entries:
        entry |= {"seq": before["seq"] + 1, "previous": before["hash"]}
        entry["hash"] = digest(entry)
        before = entry
    return entries
