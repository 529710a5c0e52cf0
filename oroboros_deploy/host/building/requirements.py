"""The requirements files of projects: which there are, and whether their text says all that they install."""

from __future__ import annotations

import re
from pathlib import Path

from ..annotations import Iterable, Iterator, List, Optional, Sequence

FILE = "requirements.txt"
# A requirement whose meaning is in its line: no other file, no directory of this host.
_SELF_CONTAINED = re.compile(
    r"([A-Za-z0-9][\w.-]*\s*(\[[^\]]*\])?\s*([<>=!~;(,].*)?|--(hash|only-binary|no-binary|pre|prefer-binary)\b.*)?"
)
_INCLUDED = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)", re.MULTILINE)
_AROUND_A_PATH = re.compile(r"^(-[a-z](?=\S)|--[a-z-]+=)?(file:(?!//))?|\[[^\]]*\]$")


def of(release: Path, projects: Sequence[str]) -> List[str]:
    """The requirements files of the projects that have one, relative to the release."""
    return [f"{project}/{FILE}" for project in projects if (release / project / FILE).is_file()]


def are_self_contained(files: Iterable[Path]) -> bool:
    """Whether the text of these files says all that they install: no line names another file or a directory."""
    return all(map(_is_self_contained, files))


def place(file: Path, release: Path) -> Path:
    """The directory that the paths in a file count from: the file's own, as when its project is installed by hand.

    The release, when a path leads somewhere only from there, or when there is no path in it.
    """
    if _is_self_contained(file):
        return release
    paths = [path for text in _texts(file) for path in map(_path, text.split()) if path]
    only_from_release = any((release / path).exists() and not (file.parent / path).exists() for path in paths)
    return release if only_from_release else file.parent


def are_hashed(files: Iterable[Path]) -> bool:
    """Whether one of these files has hashes: pip then demands a hash of everything that it installs with it."""
    return any("--hash" in file.read_text("utf-8", "replace") for file in files)


def _texts(file: Path, known: Sequence[Path] = ()) -> Iterator[str]:
    """The text of a file, and of the files that it includes."""
    if file.is_file() and file not in known:
        text = file.read_text("utf-8", "replace")
        yield text
        for name in _INCLUDED.findall(text):
            yield from _texts(file.parent / name, [*known, file])


def _path(word: str) -> Optional[str]:
    """The path that a word of a requirements file names, None when it names none."""
    bare = _AROUND_A_PATH.sub("", word)
    return bare if ("/" in bare and "://" not in bare) or bare in (".", "..") else None


def _is_self_contained(file: Path) -> bool:
    return is_self_contained(file.read_text("utf-8", "replace"))


def is_self_contained(text: str) -> bool:
    """Whether no line of a requirements file's text names another file or a directory."""
    lines = text.replace("\\\n", " ").splitlines()
    bare = [re.sub(r"(^|\s)#.*", "", line).strip() for line in lines]
    return all(_SELF_CONTAINED.fullmatch(line) and "@" not in line for line in bare)
