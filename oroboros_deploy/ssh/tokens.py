"""The %-tokens, ``~`` and ``${NAME}`` that ``ssh -G`` leaves in ssh_config values."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import socket
from collections.abc import Mapping, Sequence

from ..errors import ConfigError
from ..user import user_name

_TOKEN = re.compile(r"%(.?)")
_TOKEN_OR_VARIABLE = re.compile(r"%(.?)|\$\{([^}]*)\}")


def names(*, host: str, hostname: str, port: int, user: str, alias: str | None, hops: Sequence[str]) -> Names:
    """What the tokens stand for on the way to one host, which leads through the hops."""
    here, jump = socket.gethostname(), hops[-1] if hops else ""
    connection = f"{here}{hostname}{port}{user}{jump}"
    known = {
        "%": "%",
        "C": hashlib.sha1(connection.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest(),
        "h": hostname,
        "i": str(os.getuid()),
        "j": jump,
        "k": alias or host,
        "L": here.split(".")[0],
        "l": here,
        "n": host,
        "p": str(port),
        "r": user,
        "u": user_name(),
    }
    directory = home()
    return known | ({"d": directory} if directory else {})


def expand(text: str, names: Names) -> str:
    """Replace the %-tokens; raises ConfigError for one that does not exist."""
    return _TOKEN.sub(lambda found: _token(found[1], names, text), text)


def expand_path(text: str, names: Names) -> str:
    """The same for a file name, where ``~`` and ``${NAME}`` are replaced as well."""

    def replacement(found: re.Match[str]) -> str:
        return _variable(found[2], text) if found[1] is None else _token(found[1], names, text)

    return _TOKEN_OR_VARIABLE.sub(replacement, tilde(text))


def tilde(path: str) -> str:
    """Replace a ``~`` or ``~user`` in front by a home directory, as ssh does: whatever ``HOME`` says.

    Raises ConfigError where there is no such user, or this one has no home.
    """
    if not path.startswith("~"):
        return path
    user, slash, rest = path[1:].partition("/")
    directory = _home_of(user) if user else home()
    if directory is None:
        problem = f"there is no user {user}" if user else "this user has no home directory"
        raise ConfigError(f"the path {path!r} leads nowhere: {problem}", hint="write the path without ~")
    return f"{directory.removesuffix(slash)}{slash}{rest}"  # below the top directory ssh writes no second slash


def home() -> str | None:
    """This user's home directory, if there is one; ssh never asks ``HOME``, which serves users without a name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return os.environ.get("HOME") or None


def _home_of(user: str) -> str | None:
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:
        return None


def _token(letter: str, names: Names, text: str) -> str:
    try:
        return names[letter]
    except KeyError:
        hint = "write %% for a percent sign; `man ssh_config` lists the tokens"
        raise ConfigError(f"%{letter} in {text!r} is not a token of ssh_config", hint=hint) from None


def _variable(name: str, text: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise ConfigError(
            f"ssh_config: {text!r} names the environment variable {name}, which is not set",
            hint="set the variable where this command runs, or write the path without it",
        ) from None


Names = Mapping[str, str]
