"""What the read-only tasks print: hosts and settings, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from .errors import DeployError

_RECENT = 5


def status_table(answers: Mapping[str, dict[str, Any] | DeployError]) -> str:
    """Each host: what it serves, since when, how its last attempt ended and what runs now."""
    head = ("HOST", "LIVE", "SINCE (UTC)", "LAST ATTEMPT", "NOW")
    return columns([head, *(_status_row(host, answer) for host, answer in answers.items())])


def status_json(answers: Mapping[str, dict[str, Any] | DeployError]) -> str:
    """All that is known of each host."""
    return json.dumps({host: _plain(answer) for host, answer in answers.items()}, indent=2)


def config_table(rows: Sequence[tuple[str, str, str]]) -> str:
    """Setting, value, source."""
    return columns([("SETTING", "VALUE", "FROM"), *rows])


def config_json(rows: Sequence[tuple[str, str, str]]) -> str:
    """Setting, value, source."""
    return json.dumps({name: {"value": value, "from": source} for name, value, source in rows}, indent=2)


def error_json(error: DeployError) -> str:
    """An error as one JSON object on one line, with what came of the attempt on each host."""
    outcome = error.outcome.as_dict() if error.outcome else None
    said = {"error": type(error).__name__, "message": error.message, "hint": error.hint, "host": error.host}
    return json.dumps(said | {"exit_code": int(error.exit_code), "outcome": outcome})


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as left-aligned columns two spaces apart."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _status_row(host: str, answer: dict[str, Any] | DeployError) -> tuple[str, ...]:
    if isinstance(answer, DeployError):
        return (host, "?", "", answer.message, "")
    running = answer["running"]
    now = f"{running.get('kind', 'activation')}: {running.get('phase', '?')}" if running else "quiet"
    last = answer["last"]
    ended = f"{last['kind']} {last['target'][:10]} {last['phase']}" if last else "none"
    return (host, answer["live"] or "nothing", _since(answer), ended, now)


def _since(answer: dict[str, Any]) -> str:
    """When the live release was switched to, as the host's journal has it."""
    for entry in reversed(answer["journal"]):
        if entry["outcome"] == "committed" and entry["target"] == answer["live"]:
            return datetime.fromtimestamp(entry["at"], UTC).strftime("%Y-%m-%d %H:%M:%S")
    return ""


def _plain(answer: dict[str, Any] | DeployError) -> dict[str, Any]:
    return {"error": answer.message, "hint": answer.hint} if isinstance(answer, DeployError) else answer
