"""Settings of uv and pip by which an environment would not get what was asked for, and that no argument overrules."""

from __future__ import annotations

import re
from pathlib import Path

from .. import environment
from ..annotations import Iterator, NamedTuple, Optional, Sequence
from .inputs import is_readable, settings_of_uv

_OF_UV = ("target", "prefix", "no-deps", "python-platform", "python-version")
_KEYS = "|".join(_OF_UV)
_HEADER = re.compile(r"\[+([^\[\]]+)\]+\s*(#.*)?")
# `pip.target =`, in whichever of TOML's ways: a table, a key with dots, an inline table.
_SET = re.compile(rf"(?:^|[.\s{{,])pip(?:\.|\s*=\s*\{{(?:.*[\s,])?)({_KEYS})\s*=(?!\s*false\b)")
_UV_TABLE = re.compile(r"tool\.uv(?![\w-])")
_OF_PIP = re.compile(r"^target\s*[=:]", re.MULTILINE)


class Diversion(NamedTuple):
    """A setting, and the file that has it."""

    file: Path
    name: str


def of_uv(place: Path) -> Optional[Diversion]:
    """The first of the files that uv reads in a directory that diverts an installation; None when none does."""
    found = ((file, _diverting(file)) for file in _read_by_uv(place))
    return next((Diversion(file, name) for file, name in found if name), None)


def of_pip(files: Sequence[Path]) -> Optional[Diversion]:
    """The first of pip's files that has a directory to install to: pip gives it to the pip that makes build tools."""
    found = (file for file in files if _OF_PIP.search(file.read_text("utf-8", "replace")))
    return next((Diversion(file, "target") for file in found), None)


def _read_by_uv(place: Path) -> Iterator[Path]:
    login = environment.of_this_user()
    if login.get("UV_NO_CONFIG", "").lower() in ("1", "true", "yes", "on", "y", "t"):
        return
    if "UV_CONFIG_FILE" in login:
        yield from filter(is_readable, [Path(login["UV_CONFIG_FILE"])])
        return
    near = [file for directory in (place, *place.parents) for file in _of_directory(directory)]
    yield from (*near[:1], *settings_of_uv())


def _of_directory(directory: Path) -> Iterator[Path]:
    """What uv reads of a directory: the first counts."""
    for file in (directory / "uv.toml", directory / "pyproject.toml"):
        if is_readable(file) and (file.name == "uv.toml" or any(_lines(file))):
            yield file


def _diverting(file: Path) -> Optional[str]:
    """The first diverting setting of a file of uv's."""
    found = (_SET.search(line) for line in _lines(file))
    return next((each.group(1) for each in found if each), None)


def _lines(file: Path) -> Iterator[str]:
    """The lines of a file that are for uv, each after the name of its table; old Pythons cannot read TOML."""
    table = "" if file.name == "pyproject.toml" else "tool.uv."
    for line in file.read_text("utf-8", "replace").splitlines():
        bare = re.sub(r"[\"']", "", line.strip())
        header = _HEADER.fullmatch(bare)
        if header:
            name = re.sub(r"\s", "", header.group(1))
            table, bare = f"{name}." if file.name == "pyproject.toml" else f"tool.uv.{name}.", ""
        told = f"{table}{bare}"
        if _UV_TABLE.match(told) and not bare.startswith("#"):
            yield told
