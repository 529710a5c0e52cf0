"""Whether Debian has the Python and the Node that an application wants: another one has to be named by its path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from .proposal import Proposal
from .tree import Tree, below, table

Version = tuple[int, ...]


class Tool(NamedTuple):
    """A tool of Debian: its version there by the release of Debian, and the setting that names another one."""

    name: str
    debian: Mapping[int, Version]
    setting: str


_PYTHON = Tool("Python", {12: (3, 11), 13: (3, 13)}, "python: /opt/python/bin/python3")
_NODE = Tool("Node", {12: (18,), 13: (20,)}, "node: /opt/node/bin/node")
_BOUND = re.compile(r"([<>=!~^]*)\s*v?(\d{1,9})(?:\.(\d{1,9}))?([\w.*-]*)")
_FROM_TO = re.compile(r"(?<!\S)(\S{1,30})\s+-\s+(?=\S)")


def of_python(tree: Tree, proposal: Proposal, place: str) -> None:
    """Say whether a project of Python can be installed by that of Debian."""
    project = tree.toml(place, "pyproject.toml")
    poetry = table(table(project.get("tool")).get("poetry"))
    wanted = table(project.get("project")).get("requires-python") or table(poetry.get("dependencies")).get("python")
    _tell(proposal, _PYTHON, below(place, "pyproject.toml"), wanted)


def of_node(tree: Tree, proposal: Proposal, place: str) -> None:
    """Say whether what a package.json describes can be built by the Node of Debian."""
    engines = table(tree.json(place, "package.json").get("engines"))
    of_developers = next((name for name in (".nvmrc", ".node-version") if tree.has(place, name)), None)
    if "node" in engines or not of_developers:
        _tell(proposal, _NODE, below(place, "package.json"), engines.get("node"))
    else:
        used = tree.text(place, of_developers).strip()
        _tell(proposal, _NODE, below(place, of_developers), f">={used}")  # a later one does as well


def _tell(proposal: Proposal, tool: Tool, file: str, wanted: object) -> None:
    """Nothing where each Debian has a fitting one; a question where none has."""
    if not isinstance(wanted, str):
        return
    fitting = [debian for debian, version in tool.debian.items() if fits(wanted, version)]
    there = ", ".join(f"Debian {debian} has {_text(version)}" for debian, version in tool.debian.items())
    needed = f"{file} wants {tool.name} {wanted}; {there}"
    if not fitting:
        proposal.ask(
            "build", f"{needed}: where does the host have a fitting one? Write its path below `build`: {tool.setting}"
        )
    elif len(fitting) < len(tool.debian):
        proposal.because(
            "build", f"{needed}. On the other one write the path of a fitting one below `build`: {tool.setting}"
        )


def fits(wanted: str, version: Version) -> bool:
    """Whether a version is in a range, as projects of Python and Node write it."""
    alternatives = _FROM_TO.sub(r">=\1 <=", wanted).split("||")
    return any(all(_holds(bound, version) for bound in _BOUND.finditer(each)) for each in alternatives)


def _holds(found: re.Match[str], version: Version) -> bool:
    sign, major, minor, rest = found.groups()
    bound = (int(major), *([int(minor)] if minor else []))[: len(version)]
    here = version[: len(bound)] == bound
    if sign == "!=":
        return not (here and rest == ".*")  # another one of the same minor version does as well
    if sign in (">=", ">", "^") or (sign == "~=" and not rest):
        return version >= bound and (sign[0] == ">" or version[0] == bound[0])
    if sign == "<":
        return version < bound
    return version[: len(bound)] <= bound if sign == "<=" else here


def _text(version: Version) -> str:
    return ".".join(map(str, version))
