"""Commands in hints, with the flags of ``fab`` itself that this command was called with: they mean the same files."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator

_COMMAND = re.compile(r"\bfab (?=[-a-z])")
_REPEATED = ("search-root", "collection", "config", "ssh-config", "identity")


def typeable(hint: str) -> str:
    """A hint, each of whose commands finds the fabfile, the settings and the keys that this one found."""
    flags = "".join(f"{flag} " for flag in _flags())
    return _COMMAND.sub(lambda found: f"{found[0]}{flags}", hint)


def _flags() -> Iterator[str]:
    core = getattr(getattr(sys.modules.get("fabric.main"), "program", None), "core", None)
    arguments = core[0].args if core else {}
    for name in _REPEATED:
        given = arguments[name].value if name in arguments else None
        for value in given if isinstance(given, list) else [given]:
            if value:
                yield f"--{name}={shlex.quote(str(value))}"
