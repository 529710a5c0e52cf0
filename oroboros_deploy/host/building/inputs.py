"""What the result of a part depends on: committed files, tools, settings of the login, the system."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
from pathlib import Path, PurePosixPath

from .. import environment, process, seal
from ..annotations import Dict, Iterator, List, Optional, Sequence, Tuple

Inputs = Dict[str, object]  # a JSON value by the name of what it tells of

# Where installers read what no variable says.
_PIP = ("~/.config/pip/pip.conf", "~/.pip/pip.conf", "/etc/pip.conf", "/etc/xdg/pip/pip.conf", f"{sys.prefix}/pip.conf")
_SETTINGS = (*_PIP, "~/.npmrc", "/etc/npmrc", "~/.config/uv/uv.toml", "/etc/uv/uv.toml")
# What changes with every package that the system's own package manager installs: compilers, libraries, tools.
_PACKAGES = ("/var/lib/dpkg/status", "/var/lib/rpm/rpmdb.sqlite", "/lib/apk/db/installed", "/var/lib/pacman/local")
_UPWARD = re.compile(rb"(?<!\.)\.\.(?:[/\\\"',\s]+\.\.)*(?=[/\\\"'])")  # `../..`, or "..", ".."
_PROSE = (".md", ".rst")  # no build reads it, but in the directory that it works in


class Sources:
    """The files of a commit, by what git calls them; ``more`` are paths that every part depends on."""

    def __init__(
        self, listing: Optional[Dict[str, str]] = None, release: Path = Path(), more: Sequence[str] = ()
    ) -> None:
        self._listing = listing or {}
        self._release = release
        self._more = more

    def of(self, directory: str) -> Dict[str, str]:
        """What a part that works in ``directory`` may read: it, the files beside the directories above it, ``more``.

        The whole commit, when a file in it names a path that leads out of it and nobody said which ones matter.
        """
        if directory == "." or self.widened_by(directory):
            return {".": digest(sorted(self._listing.items()))}
        above = sorted(f"{path} {name}" for path, name in self._listing.items() if self._is_beside(path, directory))
        return {"files above": digest(above), **{path: self.name(path) for path in (directory, *self._more)}}

    def widened_by(self, directory: str) -> Optional[str]:
        """The file that makes a part in ``directory`` depend on the whole commit; None when none does."""
        return self.leads_out(directory) if directory != "." and not self._more else None

    def leads_out(self, directory: str) -> Optional[str]:
        """A file of the directory that names a path outside it; None when there is none."""
        prefix = f"{directory}/"
        within = (path for path in sorted(self._listing) if path.startswith(prefix) and not path.endswith(_PROSE))
        return next((path for path in within if self._climbs(path, path.count("/") - prefix.count("/"))), None)

    def name(self, path: str) -> str:
        """What git calls a file or directory of the commit; ``none`` where there is none."""
        return self._listing.get(path, "none") if path != "." else digest(sorted(self._listing.items()))

    def _is_beside(self, path: str, directory: str) -> bool:
        parents = {str(parent) for parent in PurePosixPath(directory).parents}
        is_file = not self._listing[path].startswith("040000 ") and not path.endswith(_PROSE)
        return is_file and str(PurePosixPath(path).parent) in parents

    def _climbs(self, name: str, depth: int) -> bool:
        path = self._release / name
        if not path.is_symlink() and not path.is_file():
            return False  # a directory, or what another part took away
        text = os.fsencode(os.readlink(path)) + b"/" if path.is_symlink() else path.read_bytes()
        if path.is_symlink() and text.startswith(b"/"):
            return True
        return any(found.group().count(b"..") > depth for found in _UPWARD.finditer(text))


def surroundings() -> Inputs:
    """What every part depends on, whatever it does: the environment of this user and the system.

    Digests only, for some of it is secret.
    """
    variables = sorted(environment.of_this_user().items())
    kept = [item for item in variables if item[0] != environment.MARK]
    files = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in _existing(_SETTINGS)}
    return {
        "environment": digest(kept),
        "settings of tools": digest(sorted((str(path), content) for path, content in files.items())),
        "system": [platform.machine(), *platform.libc_ver(), *(_stamp(path) for path in _existing(_PACKAGES))],
    }


def pip_is_configured() -> bool:
    """Whether this login's pip was told where or how to install from."""
    return bool(_existing(_PIP)) or any(name.startswith("PIP_") for name in environment.of_this_user())


def python() -> str:
    """The interpreter that environments are made with."""
    return f"{sys.version} {_stamp(Path(os.path.realpath(sys.executable)))}"


def tool(name: str) -> Optional[str]:
    """A program on the path, as it is now: its file, and the version that a package.json beside it tells."""
    found = process.find(name)
    if found is None:
        return None
    path = Path(os.path.realpath(found))
    package = next((parent / "package.json" for parent in path.parents if (parent / "package.json").is_file()), None)
    version = json.loads(package.read_bytes()).get("version") if package else ""
    return f"{_stamp(path)} {version}"


def content(path: Path) -> str:
    """A digest of a file, or of everything below a directory: names, types and bytes, no times."""
    below = sorted(seal.walk(path)) if path.is_dir() and not path.is_symlink() else [path]
    return digest([_told(each, path) for each in below])


def digest(value: object) -> str:
    """A short name for a JSON value: equal values, equal names."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def differing(ours: Inputs, theirs: Inputs) -> List[str]:
    """The inputs in which two differ; those that hold several are named one by one."""
    one, other = dict(_flat(ours)), dict(_flat(theirs))
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _flat(inputs: Inputs) -> Iterator[Tuple[str, object]]:
    for name, value in inputs.items():
        if isinstance(value, dict):
            yield from ((f"{name} {key}" if key != "." else name, each) for key, each in value.items())
        else:
            yield name, value


def _told(path: Path, top: Path) -> List[object]:
    kind, mode, _, _ = seal.facts(path)  # of the mode only what a seal leaves
    executable = kind == "f" and bool(mode & 0o111)
    taken = (0o555 if executable or kind == "d" else 0o444) & ~mode if kind != "l" else 0
    return [os.path.relpath(path, top), kind, executable, seal.content(path), *([taken] if taken else [])]


def _existing(names: Sequence[str]) -> List[Path]:
    login = environment.of_this_user()
    config = login.get("XDG_CONFIG_HOME") or f"{login['HOME']}/.config"
    paths = [Path(name.replace("~/.config", config, 1).replace("~", login["HOME"], 1)) for name in names]
    return [path for path in paths if os.access(path, os.R_OK)]


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{path} {status.st_size} {status.st_mtime_ns}"
