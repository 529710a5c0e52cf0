"""Where this user's machine keeps what it has to remember between commands."""

from __future__ import annotations

import os
from pathlib import Path

from ..user import expanded


def state_directory() -> Path:
    """The directory of unwritten records, journal heads, web tokens, tracebacks and the default registry.

    It is ``$XDG_STATE_HOME/oroboros_deploy``; without an absolute ``XDG_STATE_HOME`` it is in ``~/.local/state``.
    Raises ConfigError for a user without a home.
    """
    home = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (home if home.is_absolute() else expanded("~/.local/state")) / "oroboros_deploy"


def default_registry_url(directory: Path | None = None) -> str:
    """The registry used when none is configured: a SQLite file in this directory (default: the state directory)."""
    return f"sqlite:///{(directory or state_directory()) / 'registry.db'}"
