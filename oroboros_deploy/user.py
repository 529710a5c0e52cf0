"""Who runs this."""

from __future__ import annotations

import getpass
import os

from .errors import ConfigError


def user_name() -> str:
    """The user's name.  Raises ConfigError where nobody gave the user one, as in some containers of CI."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise ConfigError(
            f"nothing was changed: user {os.getuid()} has no name on this machine", hint="export LOGNAME=somebody"
        ) from None
