"""The one environment of all that runs on a host for the repository: of the host and the user, not of a session."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

from . import seal
from .annotations import Dict, Iterator, Optional

MARK = "DEPLOY_BUILD"  # in the environment of all that a build runs: its directory
SETTLED = Path("/etc/environment")
SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SESSION = ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")  # by these the login's own systemd would be found
_NAME = re.compile(r"[0-9A-Za-z_]+")


def of_this_user(node: Optional[str] = None) -> Dict[str, str]:
    """What every command gets, however this process was started: by a login, by systemd, after a boot.

    The directory of a chosen ``node`` comes first in PATH.
    """
    return of_user(pwd.getpwuid(os.getuid()), node)


def of_user(user: pwd.struct_passwd, node: Optional[str] = None) -> Dict[str, str]:
    """The same for a command that runs as somebody else."""
    settled = read(SETTLED)
    for name in _SESSION:
        settled.pop(name, None)
    mark = {MARK: os.environ[MARK]} if MARK in os.environ else {}
    path = [os.path.dirname(node or ""), *settled.get("PATH", "").split(":"), *SYSTEM.split(":")]
    return {
        **settled,
        **mark,
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "SHELL": user.pw_shell or "/bin/sh",
        "LANG": "C.UTF-8",
        "PATH": ":".join(dict.fromkeys(part for part in path if part.startswith("/"))),
        "PYTHONDONTWRITEBYTECODE": "1",  # a root login could write bytecode into the sealed release that it runs from
    }


def of_our_tools() -> Dict[str, str]:
    """What git, sudo and systemd get when we ask them: they answer in English, and about what we name."""
    ours = {name: value for name, value in of_this_user().items() if not name.startswith("GIT_")}
    return {**ours, "LC_ALL": "C.UTF-8"}


def of_release(release: Path, user: Optional[str] = None) -> Dict[str, str]:
    """What a command gets that runs in a release, as a named user where there is a name.

    A release that no build of ours made has its id for a version.
    """
    meta = seal.read_meta(release)
    told = {"DEPLOY_RELEASE": release.name, "DEPLOY_VERSION": meta.get("version", release.name)}
    return {**of_user(pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid()), meta.get("node")), **told}


def read(path: Path) -> Dict[str, str]:
    """The variables of a file like `/etc/environment`, as PAM reads it; none when it cannot be read."""
    try:
        text = os.fsdecode(path.read_bytes())
    except OSError:
        return {}
    found: Dict[str, str] = {}
    for line in _assembled(text):
        assigned = line[7:] if line.startswith("export ") else line
        name, is_set, value = assigned.partition("=")
        if not is_set:
            found.pop(name, None)
        elif _NAME.fullmatch(name):
            found[name] = _unquoted(value)
    return found


def _assembled(text: str) -> Iterator[str]:
    """The lines that say something; a backslash at a line's end joins it with the next of them."""
    begun = ""
    for line in text.split("\n"):
        told, comment, _ = line.partition("#")
        if told.strip(" \t"):
            goes_on = told.endswith("\\") and not comment
            begun += told[:-1] if goes_on else told
            if not goes_on:
                yield begun.lstrip(" \t")
                begun = ""


def _unquoted(value: str) -> str:
    """PAM takes away a quote at the beginning, of either kind, and then one at the end; it knows no escapes."""
    if not value.startswith(('"', "'")):
        return value
    return value[1:-1] if value[1:].endswith(('"', "'")) else value[1:]
