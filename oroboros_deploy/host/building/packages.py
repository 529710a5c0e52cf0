"""The packages of Debian's package manager that the result of a build can depend on.

A wheel with C code is compiled by packages of a language, against headers: those of a library come in the same version
as the library. A library alone is only ever replaced by one that what was linked to it runs with, or removed, and
its headers with it. Programs that a build runs by name are told apart from packages: `Bench.programs`.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..annotations import Dict, Iterator, List, Tuple

STATUS = Path("/var/lib/dpkg/status")
# Sections of compilers, interpreters, headers and of what languages find without being told where; and of programs
# that make files of other files.
_SECTIONS = {
    *("cli-mono", "devel", "gnu-r", "gnustep", "golang", "haskell", "interpreters", "introspection", "java"),
    *("javascript", "libdevel", "lisp", "ocaml", "oldlibs", "perl", "php", "python", "ruby", "rust"),
    *("fonts", "graphics", "math", "science", "sound", "tex", "text", "vcs", "video"),
}
# What interpreters and everything compiled are linked to.
_RUNTIME = re.compile(r"libc6|libgcc-s\d|libstdc\+\+\d|libssl[\d.]+(t64)?|zlib1g|libffi\d+|libpython3.*|libnode\d+")
_FIELD = re.compile(r"^(Package|Status|Section|Version|Architecture): (.*)$", re.MULTILINE)


def that_builds_use() -> List[str]:
    """Name, architecture and version of each; none where this is not Debian."""
    try:
        text = STATUS.read_text("utf-8", "replace")
    except OSError:
        return []
    return sorted(told for told in map(_told, _fields(text)) if told)


def _fields(text: str) -> Iterator[Dict[str, str]]:
    found: Dict[str, str] = {}
    pairs: List[Tuple[str, str]] = _FIELD.findall(text)
    for name, value in [*pairs, ("Package", "")]:
        if name == "Package" and found:
            yield found
            found = {}
        found[name] = value


def _told(package: Dict[str, str]) -> str:
    name, section = package["Package"], package.get("Section", "").rpartition("/")[2]
    here = package.get("Status", "").endswith(" installed")
    counts = section in _SECTIONS or name.endswith("-dev") or _RUNTIME.fullmatch(name) is not None
    return f"{name}:{package.get('Architecture')} {package.get('Version')}" if here and counts else ""
