"""A PostgreSQL connection that only reads: nothing of that is a setting of the session, which a pooler may share."""

from __future__ import annotations

from typing import Any

from psycopg2.extensions import cursor  # type: ignore[import-untyped]

# The server runs what comes in one string as one transaction, with which these end.
_FIRST = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY; SET LOCAL statement_timeout = '15s'; "


def make_read_only(connection: Any) -> None:
    """Make each statement on this connection a transaction of its own, which cannot write and ends within 15 s."""
    connection.autocommit = True
    connection.cursor_factory = _Cursor


class _Cursor(cursor):  # type: ignore[misc]
    def execute(self, query: str, vars: Any = None) -> None:
        super().execute(_FIRST + query, vars)
