"""The user who runs this program: the name, and paths that begin with ``~``."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from .errors import ConfigError


def user_name() -> str:
    """The user's name.  Raises ConfigError where nobody gave the user one, as in some containers of CI."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise ConfigError(
            f"nothing was changed: user {os.getuid()} has no name on this machine", hint="export LOGNAME=somebody"
        ) from None


def expanded(path: str) -> Path:
    """The path with a ``~`` in front replaced.  Raises ConfigError where the user, or the one named, has no home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(
            f"nothing was changed: {path!r} leads nowhere: there is no such home directory",
            hint="export HOME=/a/directory/of/yours",
        ) from None
