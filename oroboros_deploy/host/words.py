"""The words that a host and the control node share: phases, steps, who holds a host, what sudo has to allow.

Both say them to people, so each is written here alone; the host cannot import what the control node has.
"""

from __future__ import annotations

import time

from .annotations import Any, Dict, Mapping, NamedTuple, Optional


class Phase(NamedTuple):
    """What is said when a phase of an activation is reached, and the step that follows; None after the last."""

    reached: str
    following: Optional[str] = None


PHASES: Dict[str, Phase] = {
    "prepared": Phase("target verified, way back made", "switch"),
    "swapped": Phase("current switched", "restart"),
    "restarted": Phase("services restarted", "gate"),
    "gated": Phase("gate passed", "commit"),
    "committed": Phase("release is live"),
    "restoring": Phase("failed, going back", "restore"),
    "restored": Phase("previous release is back"),
    "restore_failed": Phase("the restore failed"),
}

# The timed steps of an activation, in the order in which they pass, and what people call them.
STEPS: Dict[str, str] = {
    "migrating": "migrate",
    "swapping": "switch",
    "restarting": "restart",
    "gating": "gate",
    "restoring": "restore",
}

_UNKNOWN = "another activation holds this host (just begun, or of another deploy root)"


def busy(running: Mapping[str, Any]) -> str:
    """Which activation holds the host; ``running`` is empty when it has not said yet what it is."""
    if not running:
        return _UNKNOWN
    since = moment(running["since"]).partition(" ")[2]
    who = f"{running['kind']} of {running['target']} by {running['actor']}"
    return f"{who} holds this host since {since} UTC ({running['phase']})"


def held(hold: Mapping[str, Any]) -> str:
    """Who holds a host on purpose, since when and why."""
    return f"locked by {hold['actor']} since {moment(hold['at'])} UTC: {hold['reason']}"


def sudoers(user: str) -> str:
    """What to do when a user may not restart units without a password."""
    return f"add to sudoers: {user} ALL=(root) NOPASSWD: /usr/bin/systemctl, /usr/bin/systemd-run"


def moment(at: float) -> str:
    """Unix time as people read it, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
