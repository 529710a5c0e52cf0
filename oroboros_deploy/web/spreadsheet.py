"""Attempts as a table for spreadsheets: CSV in which no cell is taken for a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from starlette.responses import StreamingResponse

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

_AT_ONCE = 500  # lines that are sent together

MEDIA_TYPE = "text/csv; charset=utf-8"


class Spreadsheet(StreamingResponse):
    """CSV of attempts, a line each, which browsers keep as a file; it is sent while it is read."""

    media_type = MEDIA_TYPE

    def __init__(self, attempts: Iterable[Mapping[str, Any]]) -> None:
        super().__init__(table(attempts), headers={"Content-Disposition": 'attachment; filename="attempts.csv"'})


def table(attempts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The attempts as CSV, some at a time, with the names of their hosts in the last column."""
    yield _lines([[*_COLUMNS, "hosts"]])
    rows = iter(attempts)
    while some := [_row(each) for each in islice(rows, _AT_ONCE)]:
        yield _lines(some)


def _lines(rows: Iterable[Sequence[object]]) -> str:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()


def _row(attempt: Mapping[str, Any]) -> list[object]:
    hosts = " ".join(part["host"] for part in attempt["hosts"])
    return [_cell(value) for value in (*(attempt[name] for name in _COLUMNS), hosts)]


def _cell(value: object) -> object:
    text = readable(value) if isinstance(value, str) else value
    return _SEPARATED.sub(r"\1'", text) if isinstance(text, str) else text
