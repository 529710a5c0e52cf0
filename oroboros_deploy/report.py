"""What the read-only tasks print: hosts and settings, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .errors import DeployError
from .plan import unfinished

if TYPE_CHECKING:
    from .figures import Figures


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


def figures_table(rows: Sequence[Figures]) -> str:
    """The four measures of each environment; of all together where none is named."""
    head = ("ENVIRONMENT", "DEPLOYMENTS", "A DAY", "LEAD TIME", "CHANGE FAILURES", "TIME TO RESTORE")
    return columns([head, *(_figures_row(row) for row in rows)])


def figures_json(rows: Sequence[Figures]) -> str:
    """All that is known of each, day by day."""
    return json.dumps([asdict(row) for row in rows], indent=2)


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
    last = answer["last"]
    now = f"{running.get('kind', 'activation')}: {running.get('phase', '?')}" if running else _rest(last)
    ended = f"{last['kind']} {last['target'][:10]} {last['phase']}" if last else "none"
    return (host, answer["live"] or "nothing", _since(answer), ended, now)


def _figures_row(row: Figures) -> tuple[str, ...]:
    failures = "-" if row.change_failure_rate is None else f"{row.change_failure_rate:.0%}"
    frequency = f"{row.deployment_frequency_per_day:.2f}"
    times = _duration(row.lead_time_seconds), _duration(row.time_to_restore_seconds)
    return (row.environment or "all", str(row.deployments), frequency, times[0], failures, times[1])


def _duration(seconds: float | None) -> str:
    """A time in the two largest units that it has."""
    if seconds is None:
        return "-"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{days} d", f"{hours} h", f"{minutes} min", f"{left} s"]
    first = next((at for at, value in enumerate((days, hours, minutes)) if value), 3)
    return " ".join(parts[first : first + 2])


def _rest(last: dict[str, Any] | None) -> str:
    return "interrupted; the next deploy settles it" if unfinished(last) else "quiet"


def _since(answer: dict[str, Any]) -> str:
    """When the live release was switched to, as the host's journal has it."""
    for entry in reversed(answer["journal"]):
        if entry["outcome"] == "committed" and entry["target"] == answer["live"]:
            return datetime.fromtimestamp(entry["at"], UTC).strftime("%Y-%m-%d %H:%M:%S")
    return ""


def _plain(answer: dict[str, Any] | DeployError) -> dict[str, Any]:
    return {"error": answer.message, "hint": answer.hint} if isinstance(answer, DeployError) else answer
