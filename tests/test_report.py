"""What the read-only tasks print."""

from __future__ import annotations

from typing import Any

import pytest

from oroboros_deploy.errors import HostUnreachable
from oroboros_deploy.report import status_table

SHA = "a" * 40


def answer(**changes: Any) -> dict[str, Any]:
    last = {"kind": "deploy", "target": SHA, "phase": "committed"}
    journal = [{"outcome": "committed", "target": SHA, "at": 1_800_000_000.0}]
    return {"live": SHA, "last": last, "running": None, "freeze": None, "journal": journal} | changes


@pytest.mark.parametrize(
    ("said", "row"),
    [
        (answer(), f"web1  {SHA}  2027-01-15 08:00:00  deploy aaaaaaaaaa committed  quiet"),
        (
            answer(running={"kind": "rollback", "phase": "gated"}),
            f"web1  {SHA}  2027-01-15 08:00:00  deploy aaaaaaaaaa committed  rollback: gated",
        ),
        (
            answer(last={"kind": "deploy", "target": SHA, "phase": "swapped"}),
            f"web1  {SHA}  2027-01-15 08:00:00  deploy aaaaaaaaaa swapped  interrupted; the next deploy settles it",
        ),
        (
            answer(freeze={"actor": "ada@desk", "at": 1_800_000_000.0, "reason": "the fair"}),
            f"web1  {SHA}  2027-01-15 08:00:00  deploy aaaaaaaaaa committed  "
            "locked by ada@desk since 2027-01-15 08:00:00 UTC: the fair",
        ),
        (answer(live=None, last=None, journal=[]), "web1  nothing               none          quiet"),
        (HostUnreachable("connection refused"), "web1  ?                  connection refused"),
    ],
    ids=["quiet", "running", "interrupted", "locked", "new", "unreachable"],
)
def test_status(said: Any, row: str) -> None:
    """One row a host: what it serves, since when, how its last attempt ended, what goes on."""
    assert status_table({"web1": said}).splitlines()[1] == row
