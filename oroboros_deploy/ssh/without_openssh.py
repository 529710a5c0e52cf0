"""Reading the ssh_config files where there is no ``ssh``: by paramiko's parser, which knows less."""

from __future__ import annotations

import os

from ..errors import ConfigError
from .address import Address
from .answer import Answer
from .tokens import home, tilde

WARNING = (
    "there is no OpenSSH client on this machine that works for this user, so ssh_config is read without it:"
    " Include and part of Match are not followed"
)
_SYSTEM_FILE = "/etc/ssh/ssh_config"
_PATHS = ("userknownhostsfile", "identityagent")  # where ssh replaces ~ before it answers


def answer(address: Address, config_path: str | None, jump: str | None = None) -> Answer:
    """What the files say about an address; ``jump`` is a way there that comes before theirs.

    Raises ConfigError for a file that cannot be read.
    """
    import paramiko

    config = paramiko.SSHConfig()
    try:
        for file in _files(config_path):
            with open(file, encoding="utf-8", errors="surrogateescape") as stream:
                config.parse(stream)
        found = dict(config.lookup(address.host))
    except (paramiko.SSHException, OSError) as error:
        raise ConfigError(f"ssh_config cannot be read: {error}", host=address.host) from None
    given = {"user": address.user, "port": address.port and str(address.port), "proxyjump": jump}
    found |= {keyword: value for keyword, value in given.items() if value}
    if jump:
        found.pop("proxycommand", None)
    return Answer(address.host, {keyword: _values(keyword, value) for keyword, value in found.items()}, {})


def _files(config_path: str | None) -> list[str]:
    if config_path is not None:
        return [config_path]
    own = [f"{home()}/.ssh/config"] if home() else []
    return [file for file in [*own, _SYSTEM_FILE] if os.path.isfile(file)]


def _values(keyword: str, value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(map(str, value))
    text = "none" if value is None else str(value)
    return (" ".join(map(tilde, text.split())) if keyword in _PATHS else text,)
