"""The Python of environments and wheels, and the node of all commands: looked at before anything is built."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from .. import process
from ..annotations import TYPE_CHECKING, Callable, Optional, Sequence, Tuple
from ..refusal import Refusal
from .inputs import stamp

if TYPE_CHECKING:
    from ..contract import Recipe

Ask = Callable[[Sequence[str]], process.Ended]

_OLDEST = (3, 9)
_TELL = (
    "import json, os, sys;"
    "print(json.dumps([sys.version_info[0], sys.version_info[1], sys.version, os.path.realpath(sys.executable),"
    " os.path.realpath(os.__file__), sys.prefix]))"
)
_NODE = re.compile(r"v\d+\.\d+\.\d+\S*")
_UNSEEN = (
    "runs on this host, but not in a build, which sees neither .deploy nor what the host has in /tmp, /var/tmp "
    "and /dev/shm"
)
_ELSEWHERE = "install it in another directory, such as /opt, and name that place in fabric.yaml, then deploy again"


@dataclass(frozen=True)
class Toolchain:
    """What was chosen; ``about_python`` and ``about_node`` tell one file and version from another.

    ``files`` are what the chosen Python cannot start without; empty for the agent's own.
    """

    python: str
    about_python: str
    version: Tuple[int, int]
    node: Optional[str] = None
    about_node: Optional[str] = None
    files: Sequence[str] = ()
    prefix: str = sys.prefix  # where this Python keeps a pip.conf

    def unreachable(self) -> Optional[str]:
        """The file or directory that keeps other users from the chosen Python; None when none does."""
        for file in map(Path, self.files):
            for place in [*reversed(file.parents), file]:
                wanted = 0o005 if place == file and os.access(file, os.X_OK) else 0o004 if place == file else 0o001
                if place.stat().st_mode & wanted != wanted:
                    return str(place)
        return None

    def refuse_unseen(self, ask: Ask) -> None:
        """Raise Refusal when commands of a build, asked by ``ask``, cannot run what was chosen."""
        for setting, path in (("python", self.python if self.files else None), ("node", self.node)):
            if path is not None and not ask([path, "--version"]).ok:
                raise Refusal("invalid", f"nothing was built: build.{setting}: {path} {_UNSEEN}", hint=_ELSEWHERE)


def of_the_agent() -> Toolchain:
    """The agent's own Python, and whatever node is found in PATH."""
    about = f"{sys.version} {stamp(Path(os.path.realpath(sys.executable)))}"
    return Toolchain(sys.executable, about, sys.version_info[:2])


def chosen(recipe: Recipe, ask: Ask) -> Toolchain:
    """The tools of a recipe; raises Refusal by the setting's name for one that does not serve."""
    python, node = recipe.get("python"), recipe.get("node")
    found = _python(python, ask) if python else of_the_agent()
    about_node = _about_node(node, ask) if node else None
    return Toolchain(found.python, found.about_python, found.version, node, about_node, found.files, found.prefix)


def _python(path: str, ask: Ask) -> Toolchain:
    _refuse_no_program("python", path)
    asked = ask([path, "-c", _TELL])
    try:
        major, minor, version, program, library, prefix = json.loads(asked.tail.splitlines()[-1])
        about = f"{path} {version} {stamp(Path(program))}"
    except (ValueError, TypeError, IndexError, OSError):
        raise _refused("python", f"{path} is no Python that runs: {_last_line(asked)}") from None
    if (major, minor) < _OLDEST:
        raise _refused("python", f"{path} is Python {major}.{minor}, and 3.9 or later is needed")
    return Toolchain(path, about, (major, minor), files=(program, library), prefix=prefix)


def _about_node(path: str, ask: Ask) -> str:
    _refuse_no_program("node", path)
    asked = ask([path, "--version"])
    if not (asked.ok and _NODE.fullmatch(asked.tail)):
        raise _refused("node", f"{path} is no node that runs: {_last_line(asked)}")
    return f"{asked.tail} {stamp(Path(os.path.realpath(path)))}"


def _refuse_no_program(setting: str, path: str) -> None:
    if not os.path.isfile(path):
        raise _refused(setting, f"{path} is not on this host")
    if not os.access(path, os.X_OK):
        raise _refused(setting, f"{path} cannot be executed by this login")


def _last_line(asked: process.Ended) -> str:
    return (asked.said or asked.tail or asked.reason).splitlines()[-1]


def _refused(setting: str, why: str) -> Refusal:
    usual = {"python": "the host's own python3", "node": "the node in PATH"}[setting]
    hint = f"install it there, or set build.{setting} in fabric.yaml (null: {usual}), then deploy again"
    return Refusal("invalid", f"nothing was built: build.{setting}: {why}", hint=hint)
