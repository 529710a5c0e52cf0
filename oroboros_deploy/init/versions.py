"""Whether Debian has the Python and the Node that an application wants: another one has to be named by its path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
_README = re.compile(r"\bPython (?:>= ?)?(3\.\d+)(?:\+| (?:or|and) (?:later|newer|above|higher)\b)")
_SETUP = re.compile(r"\bpython_requires\s*=\s*['\"]?([^'\"\n]+)")
_SAID = {
    "setup.cfg": _SETUP,
    "setup.py": _SETUP,
    "README.md": _README,
    "README.rst": _README,
    ".python-version": re.compile(r"\A\s*(3\.\d+)(?:\.\d+)?\s*$", re.MULTILINE),
    "Dockerfile": re.compile(r"^FROM[ \t]+(?:--\S+[ \t]+)?(?:\S+/)?python:(3\.\d+)", re.MULTILINE),
}
_BOUND = re.compile(r"([<>=!~^]*)\s*v?(\d{1,9})(?:\.(\d{1,9}))?([\w.*-]*)")
_FROM_TO = re.compile(r"(?<!\S)(\S{1,30})\s+-\s+(?=\S)")


def of_python(tree: Tree, proposal: Proposal, place: str) -> None:
    """Say whether a project of Python can be installed by that of Debian, by the first file that tells its versions."""
    project = tree.toml(place, "pyproject.toml")
    poetry = table(table(project.get("tool")).get("poetry"))
    wanted = table(project.get("project")).get("requires-python") or table(poetry.get("dependencies")).get("python")
    if wanted:
        _tell(proposal, _PYTHON, below(place, "pyproject.toml"), wanted)
        return
    file, wanted = next(_in_other_files(tree, place), ("", None))
    _tell(proposal, _PYTHON, file, wanted)


def _in_other_files(tree: Tree, place: str) -> Iterator[tuple[str, str]]:
    """What is said of installing, then what people read, what developers use, and what an image has."""
    images = [each for each in tree.files(r"Dockerfile(\..+)?") if each.startswith(place)]
    files = [below(place, each) for each in ("setup.cfg", "setup.py", "README.md", "README.rst", ".python-version")]
    for file in [*files, *images]:
        name = file.rpartition("/")[2]
        found = _SAID.get(name, _SAID["Dockerfile"]).search(tree.text(file))
        if found:
            yield file, found[1] if name.startswith("setup") else f">={found[1]}"  # a later one does as well


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
        others = " or ".join(f"Debian {debian}" for debian in tool.debian if debian not in fitting)
        proposal.because(
            "build", f"{needed}. On {others} write the path of a fitting one below `build`: {tool.setting}"
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
