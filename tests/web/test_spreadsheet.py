"""Attempts as CSV."""

from __future__ import annotations

import csv

from oroboros_deploy.web.spreadsheet import table

ROW = {
    "attempt": "one",
    "application": "shop",
    "kind": "deploy",
    "release_id": "a" * 40,
    "subject": "=cmd|'/c calc'!A1",
    "environment": None,
    "actor": "@ada, of the \x1b[31mdesk",
    "started_at": "2030-01-31T12:00:00+00:00",
    "finished_at": None,
    "seconds": -1.5,
    "state": "running",
    "exit_code": None,
    "hosts": [{"host": "w1"}, {"host": "w2"}],
}


def test_no_cell_is_a_formula() -> None:
    """Text that a spreadsheet would reckon with is quoted, colours are gone, and numbers stay numbers."""
    head, row = csv.reader("".join(table([ROW])).splitlines())
    cells = dict(zip(head, row, strict=True))
    assert (cells["subject"], cells["actor"]) == ("'=cmd|'/c calc'!A1", "'@ada, of the desk")
    assert (cells["seconds"], cells["environment"], cells["hosts"]) == ("-1.5", "", "w1 w2")


def test_a_list_that_is_separated_otherwise() -> None:
    """Where a spreadsheet takes a semicolon for the end of a cell, what follows is no formula either."""
    head, row = csv.reader("".join(table([{**ROW, "subject": "mended; =1+1;@x, a-b; c"}])).splitlines())
    assert dict(zip(head, row, strict=True))["subject"] == "mended; '=1+1;'@x, a-b; c"
