"""What a directory of the repository says of itself as a Python project."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

from ..annotations import Dict, List, Sequence
from ..refusal import Refusal

# A table, or a key with dots, that describes a project; `[tool.ruff]` does not.  Old Pythons cannot read TOML; and
# a table that is not closed is for the build backend to refuse.
_DESCRIBES = re.compile(
    r"^[ \t]*\[[ \t]*(project|build-system|tool\.poetry)[ \t]*([\].]|$)|^(project|build-system)\.", re.MULTILINE
)
_NO_GROUP = (
    "correct the name in `groups`, or declare it below [dependency-groups] in the pyproject.toml of a project "
    "of that environment"
)


def is_packaged(directory: Path) -> bool:
    """Whether a wheel can be built of it: many have a pyproject.toml for their tools alone."""
    pyproject = directory / "pyproject.toml"
    described = pyproject.is_file() and _DESCRIBES.search(pyproject.read_text("utf-8", "replace"))
    return bool(described) or (directory / "setup.py").is_file()


def grouped(directories: Sequence[Path], names: Sequence[str]) -> List[str]:
    """The requirements of dependency groups; raises Refusal for one that none of the projects declares."""
    tables = [_groups(directory / "pyproject.toml") for directory in directories] if names else []
    for name in names:
        if not any(_normal(name) in table for table in tables):
            what = f"build.venvs: no project of the virtual environment has the dependency group {name!r}"
            raise Refusal("build_failed", what, hint=_NO_GROUP)
    return list(dict.fromkeys(each for table in tables for name in names for each in _expanded(table, name, ())))


def _groups(pyproject: Path) -> Dict[str, List[object]]:
    if not pyproject.is_file():
        return {}
    if sys.version_info < (3, 11):
        what = (
            "`groups` of build.venvs needs Python 3.11 or later as the host's own python3; build.python changes nothing"
        )
        hint = "commit a lock file of uv or Poetry, or name `packages` or `requirements` in place of `groups`"
        raise Refusal("build_failed", what, hint=hint)
    try:
        told = importlib.import_module("tomllib").loads(pyproject.read_text("utf-8"))
    except ValueError as error:
        what = f"{pyproject.parent.name}/pyproject.toml cannot be read: {error}"
        raise Refusal("build_failed", what, hint="correct the file, and commit it") from None
    return {_normal(name): members for name, members in told.get("dependency-groups", {}).items()}


def _expanded(table: Dict[str, List[object]], name: str, above: Sequence[str]) -> List[str]:
    """The members of a group, with those of the groups that it includes."""
    found: List[str] = []
    for member in table.get(_normal(name), []) if name not in above else []:
        if isinstance(member, str):
            found.append(member)
        elif isinstance(member, dict):
            found += _expanded(table, str(member.get("include-group")), [*above, name])
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
