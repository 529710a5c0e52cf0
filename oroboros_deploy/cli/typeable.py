"""Commands in hints: of the program that was typed, with those of its own flags that this command was called with."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from typing import Any

_COMMAND = re.compile(r"\bfab (?=[-a-z])")
Typed = Callable[[str, str], str]  # the command to type about hosts (``a,b``): their names, and the task
_REPEATED = ("search-root", "collection", "config", "ssh-config", "identity")


def plainly(hosts: str, task: str) -> str:
    """The command, where no settings are known."""
    return f"fab -H {hosts} {task}"


def typeable(hint: str) -> str:
    """A hint, each of whose commands finds the fabfile, the settings and the keys that this one found."""
    command = " ".join([typed(), *_flags(_program())])
    return _COMMAND.sub(lambda _: f"{command} ", hint)


def typed() -> str:
    """The program that was typed, ``fab`` where none was."""
    name: str = getattr(_program(), "typed", "fab")
    return name


def _program() -> Any:
    return getattr(sys.modules.get("fabric.main"), "program", None)


def _flags(program: Any) -> Iterator[str]:
    core = getattr(program, "core", None)
    arguments = core[0].args if core else {}
    for name in _REPEATED:
        given = arguments[name].value if name in arguments else None
        for value in given if isinstance(given, list) else [given]:
            if value:
                yield f"--{name}={shlex.quote(str(value))}"
