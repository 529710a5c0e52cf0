"""Attempts as a table for spreadsheets: CSV in which no cell is taken for a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import Response

from .display import readable

_COLUMNS = (
    "attempt",
    "application",
    "kind",
    "release_id",
    "subject",
    "environment",
    "actor",
    "started_at",
    "finished_at",
    "seconds",
    "state",
    "exit_code",
)
# Where a cell begins that a spreadsheet reckons with; where its lists are separated by semicolons, inside a text too.
_SEPARATED = re.compile(r"(^|[;\t\r\n][ ]*)(?=[=+\-@\t\r])")

MEDIA_TYPE = "text/csv; charset=utf-8"


class Spreadsheet(Response):
    """CSV of attempts, a line each, which browsers keep as a file."""

    media_type = MEDIA_TYPE

    def __init__(self, attempts: Iterable[Mapping[str, Any]]) -> None:
        super().__init__(table(attempts), headers={"Content-Disposition": 'attachment; filename="attempts.csv"'})


def table(attempts: Iterable[Mapping[str, Any]]) -> str:
    """The attempts as CSV, with the names of their hosts in the last column."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow([*_COLUMNS, "hosts"])
    for each in attempts:
        hosts = " ".join(part["host"] for part in each["hosts"])
        writer.writerow([_cell(value) for value in (*(each[name] for name in _COLUMNS), hosts)])
    return written.getvalue()


def _cell(value: object) -> object:
    text = readable(value) if isinstance(value, str) else value
    return _SEPARATED.sub(r"\1'", text) if isinstance(text, str) else text
