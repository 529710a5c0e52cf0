"""What the login's environment has that no command of a repository gets."""

from __future__ import annotations

import os
import re

from .. import environment
from ..annotations import List, Mapping

# What differs from one login to the next, or is about its terminal: no build should ask for it.
_PASSING = re.compile(r"SSH_.*|XDG_.*|LC_.*|LS_.*|LESS.*|MEMORY_PRESSURE_.*|SYSTEMD_.*|DBUS_.*|BASH_FUNC_.*|DEPLOY_.*")
_PASSING_NAMES = {
    *("COLUMNS", "DISPLAY", "INVOCATION_ID", "JOURNAL_STREAM", "LANG", "LANGUAGE", "LINES", "MAIL", "MOTD_SHOWN"),
    *("OLDPWD", "PATH", "PS1", "PWD", "SHLVL", "TERM", "TMPDIR", "_"),
}
_GAMES = ("/usr/local/games", "/usr/games")  # Debian's sshd adds them


def only_there(login: Mapping[str, str] = os.environ) -> List[str]:
    """The names of what a login has and builds lack; of PATH, the directories that are there."""
    ours = environment.of_this_user()
    names = sorted(name for name, value in login.items() if ours.get(name) != value and not _passes(name))
    known = [*ours["PATH"].split(":"), *_GAMES]
    more = [part for part in dict.fromkeys(login.get("PATH", "").split(":")) if part not in known]
    return [*names, *(f"{part} in PATH" for part in more if part.startswith("/") and os.path.isdir(part))]


def warning(names: List[str]) -> str:
    """What is said of them."""
    return f"this login has variables, or directories in PATH, that no command of a deploy gets: {', '.join(names)}"


def _passes(name: str) -> bool:
    return name in _PASSING_NAMES or _PASSING.fullmatch(name) is not None
