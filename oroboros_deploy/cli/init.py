"""`init`: two files beside the code, which overwrite nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import InvalidInput
from ..init.tree import Tree
from ..init.writing import FABFILE, propose, settings


def top_of(directory: Path) -> Path:
    """The top of the repository that a directory is in; the directory itself where it is in none."""
    return next((each for each in (directory, *directory.parents) if (each / ".git").exists()), directory)


def files_for(top: Path) -> dict[str, str]:
    """What the files for a repository hold, by their names."""
    return {"fabfile.py": FABFILE, "fabric.yaml": settings(propose(Tree(top)))}


def write(top: Path, files: Mapping[str, str]) -> None:
    """Write the files; raises InvalidInput where one of them is there."""
    settings = [f"fabric.{suffix}" for suffix in ("yml", "json", "py")]  # Invoke takes the first that it finds
    there = [name for name in (*files, *settings) if (top / name).exists() or (top / name).is_symlink()]
    if there:
        what = f"{' and '.join(there)} {'is' if len(there) == 1 else 'are'} there already, in {top}"
        raise InvalidInput(f"nothing was changed: {what}", hint="fab init --print  shows what would be written")
    for name, text in files.items():
        with (top / name).open("x") as file:
            file.write(text)


def questions(text: str) -> list[str]:
    """The questions in a settings file."""
    marked = (line.strip().partition("# QUESTION: ")[2] for line in text.splitlines())
    return [each.rstrip(":") for each in marked if each]


def told(top: Path, files: Mapping[str, str], asked: Sequence[str]) -> str:
    """What was written, and what is left to a person."""
    lines = [f"wrote {' and '.join(files)} in {top}", *(f"  ? {each}" for each in asked)]
    where = ["the answers go into fabric.yaml, where the questions stand"] if asked else []
    return "\n".join([*lines, *where])


def printed(files: Mapping[str, str]) -> str:
    """The files, one after the other, each under its name."""
    return "\n".join(f"--- {name}\n{text}" for name, text in files.items())
