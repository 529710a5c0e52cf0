"""`init`: two files beside the code, which overwrite nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import InvalidInput
from ..init.tree import Tree
from ..init.writing import FABFILE, propose, settings

_SUFFIXES = ("yaml", "yml", "json", "py")


def top_of(directory: Path) -> Path:
    """The top of the repository that a directory is in; the directory itself where it is in none."""
    return next((each for each in (directory, *directory.parents) if (each / ".git").exists()), directory)


def files_for(top: Path) -> dict[str, str]:
    """What the files for a repository hold, by their names."""
    return {"fabfile.py": FABFILE, "fabric.yaml": settings(propose(Tree(top)))}


def write(top: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Write the files that are missing, and return them; raises InvalidInput where none is."""
    missing = {name: text for name, text in files.items() if not _there(top, name)}
    if not missing:
        what = f"{' and '.join(_all_there(top, files))} are there already, in {top}"
        raise InvalidInput(f"nothing was changed: {what}", hint="fab init --print  shows what would be written")
    for name, text in missing.items():
        with (top / name).open("x") as file:
            file.write(text)
    return missing


def kept(top: Path, files: Mapping[str, str], written: Mapping[str, str]) -> list[str]:
    """What is said of each file that was there and was left as it is."""
    names = [found for name in files if name not in written for found in _there(top, name)]
    said = [f"{name} was there and is as it was" for name in names]
    if "fabfile.py" in names and "oroboros_deploy" not in Tree(top).text("fabfile.py"):
        said.append(
            "fabfile.py does not have the tasks of oroboros_deploy: add the line  from oroboros_deploy.tasks import ns"
            "  to it, or type oroboros in place of fab"
        )
    return said


def _all_there(top: Path, files: Mapping[str, str]) -> list[str]:
    return [found for name in files for found in _there(top, name)]


def _there(top: Path, name: str) -> list[str]:
    """The files that are in the place of one: settings may have another ending, and Invoke reads one file alone."""
    names = [f"fabric.{suffix}" for suffix in _SUFFIXES] if name == "fabric.yaml" else [name]
    return [each for each in names if (top / each).exists() or (top / each).is_symlink()]


def questions(text: str) -> list[str]:
    """The questions in a settings file."""
    marked = (line.strip().partition("# QUESTION: ")[2] for line in text.splitlines())
    return [each.rstrip(":") for each in marked if each]


def told(top: Path, files: Mapping[str, str], asked: Sequence[str], kept: Sequence[str] = ()) -> str:
    """What was written, what was there before, and what is left to a person."""
    lines = [f"wrote {' and '.join(files)} in {top}", *kept, *(f"  ? {each}" for each in asked)]
    where = ["the answers go into fabric.yaml, where the questions stand"] if asked else []
    return "\n".join([*lines, *where])


def printed(files: Mapping[str, str]) -> str:
    """The files, one after the other, each under its name."""
    return "\n".join(f"--- {name}\n{text}" for name, text in files.items())
