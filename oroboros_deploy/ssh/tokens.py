"""The %-tokens, ``~`` and ``${NAME}`` in ssh_config values."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from ..errors import ConfigError

_TOKEN = re.compile(r"%(.?)")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def expand(text: str, names: Mapping[str, str]) -> str:
    """Replace %-tokens; ``names`` gives %h %n %p %r %u (and %k), the rest is looked up here.

    Raises ConfigError for a token that does not exist.
    """

    def replacement(found: re.Match[str]) -> str:
        letter = found[1]
        return names[letter] if letter in names else _local(letter, names, text)

    return _TOKEN.sub(replacement, text)


def expand_path(text: str, names: Mapping[str, str]) -> str:
    """The same for a file name, where ``~`` and ``${NAME}`` are replaced as well."""

    def variable(found: re.Match[str]) -> str:
        try:
            return os.environ[found[1]]
        except KeyError:
            raise ConfigError(f"{text!r} names the environment variable {found[1]}, which is not set") from None

    return str(Path(_VARIABLE.sub(variable, expand(text, names))).expanduser())


def _local(letter: str, names: Mapping[str, str], text: str) -> str:
    host = socket.gethostname()
    connection = host + names["h"] + names["p"] + names["r"]
    known = {
        "%": "%",
        "C": hashlib.sha1(connection.encode(), usedforsecurity=False).hexdigest(),
        "d": str(Path.home()),
        "i": str(os.getuid()),
        "j": "",
        "l": host,
        "L": host.split(".")[0],
    }
    if letter not in known:
        raise ConfigError(f"%{letter} in {text!r} is not a token of ssh_config")
    return known[letter]
