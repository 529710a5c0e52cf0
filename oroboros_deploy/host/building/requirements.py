"""The requirements files of projects: which there are, and whether their text says all that they install."""

from __future__ import annotations

import re
from pathlib import Path

from ..annotations import Iterable, List, Sequence

FILE = "requirements.txt"
# A requirement whose meaning is in its line: no other file, no directory of this host.
_SELF_CONTAINED = re.compile(
    r"([A-Za-z0-9][\w.-]*\s*(\[[^\]]*\])?\s*([<>=!~;(,].*)?|--(hash|only-binary|no-binary|pre|prefer-binary)\b.*)?"
)


def of(release: Path, projects: Sequence[str]) -> List[str]:
    """The requirements files of the projects that have one, relative to the release."""
    return [f"{project}/{FILE}" for project in projects if (release / project / FILE).is_file()]


def are_self_contained(files: Iterable[Path]) -> bool:
    """Whether the text of these files says all that they install: no line names another file or a directory."""
    return all(map(_is_self_contained, files))


def are_hashed(files: Iterable[Path]) -> bool:
    """Whether one of these files has hashes: pip then demands a hash of everything that it installs with it."""
    return any("--hash" in file.read_text("utf-8", "replace") for file in files)


def _is_self_contained(file: Path) -> bool:
    lines = file.read_text("utf-8", "replace").replace("\\\n", " ").splitlines()
    bare = [re.sub(r"(^|\s)#.*", "", line).strip() for line in lines]
    return all(_SELF_CONTAINED.fullmatch(line) and "@" not in line for line in bare)
