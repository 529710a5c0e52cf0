"""One request of each call of the agent: a call that is added gets its request here, and is tried by each table."""

from __future__ import annotations

from typing import Any

from tests.support.local_agent import LocalAgent

FACTS = {"sha": None, "services": [], "restart": False, "source": True}


def requests(
    host: LocalAgent,
    live: str,
    *,
    commit: str | None = None,
    target: str | None = None,
    attempt: str = "an-attempt",
    dry_run: bool = False,
) -> dict[str, dict[str, Any]]:
    """Requests about a release; ``commit`` is built and ``target`` activated, and an ``attempt`` is followed."""
    return {
        "facts": {"sha": live},
        "configure": {"sha": live, "env": {"file": None, "values": {"A": "1"}, "secrets": {}, "build": []}},
        "build": host.build_request(commit or live),
        "activate": host.request(target or live),
        "follow": {"attempt": attempt},
        "lock": {"actor": "ada", "reason": "the fair"},
        "unlock": {"actor": "ada"},
        "pin": {"actor": "ada", "release": live},
        "unpin": {"release": live},
        "prune": {"keep": 1, "dry_run": dry_run},
        "audit": {"verify": True, "limit": 9},
        "claim": {"actor": "ada", "dry_run": dry_run},
        "logs": {"services": ["api"], "lines": 1, "follow": False},
        "run_line": {"actor": "ada", "line": "true", "service": None},
        "doctor": {"facts": FACTS, "tools": [], "python": None, "node": None, "venvs": False, "script": None},
    }
