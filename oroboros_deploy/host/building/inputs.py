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
from ..annotations import Dict, Iterator, List, Optional, Sequence, Set, Tuple
from . import packages

Inputs = Dict[str, object]  # a JSON value by the name of what it tells of

# Where installers read what no variable says.
_PIP = ("~/.config/pip/pip.conf", "~/.pip/pip.conf", "/etc/pip.conf", "/etc/xdg/pip/pip.conf")
_UV = ("~/.config/uv/uv.toml", "/etc/xdg/uv/uv.toml", "/etc/uv/uv.toml")
_NPM = ("~/.npmrc", "/etc/npmrc")
# Variables that name such a file elsewhere.
_ELSEWHERE = (
    *("PIP_CONFIG_FILE", "UV_CONFIG_FILE", "npm_config_userconfig", "NPM_CONFIG_USERCONFIG"),
    *("npm_config_globalconfig", "NPM_CONFIG_GLOBALCONFIG"),
)
# Variables that name files of versions to keep to, several with blanks between, and how pip.conf names them.
_CONSTRAINTS = ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT", "UV_CONSTRAINT", "UV_BUILD_CONSTRAINT", "UV_OVERRIDE")
_CONSTRAINT = re.compile(r"^(?:build-)?constraint[ \t]*[=:](.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)
# What changes with every package that other package managers than Debian's install: compilers, libraries, tools.
_PACKAGES = ("/var/lib/rpm/rpmdb.sqlite", "/lib/apk/db/installed", "/var/lib/pacman/local")
_UPWARD = re.compile(rb"(?<!\.)\.\.(?:[/\\\"',\s]+\.\.)*(?=[/\\\"'])")  # `../..`, or "..", ".."
_DESCRIBING = (
    *("package.json", "Makefile", "makefile", "GNUmakefile", "justfile", "CMakeLists.txt", "meson.build"),
    *("setup.py", "setup.cfg", "pyproject.toml"),
)
_WORDS = re.compile(r"[\w./@+-]+")  # of a command line
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


def surroundings(prefix: str = sys.prefix, node: Optional[str] = None) -> Inputs:
    """What every part depends on, whatever it does: the environment of this user and the system.

    Digests only, for some of it is secret.  ``prefix`` is that of the Python that is built with.
    """
    variables = sorted(environment.of_this_user().items())
    kept = [item for item in variables if item[0] != environment.MARK]
    files = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in _settings(prefix, node)}
    return {
        "environment": digest(kept),
        "settings of tools": digest(sorted((str(path), content) for path, content in files.items())),
        "system": [platform.machine(), *platform.libc_ver(), *(stamp(path) for path in _existing(_PACKAGES))],
        "packages": digest(packages.that_builds_use()),
    }


def pip_is_configured(prefix: str) -> bool:
    """Whether this login's pip was told where or how to install from."""
    return bool(settings_of_pip(prefix)) or any(name.startswith("PIP_") for name in environment.of_this_user())


def settings_of_pip(prefix: str) -> List[Path]:
    """The files that the pip of a Python reads."""
    named = [environment.of_this_user().get("PIP_CONFIG_FILE", "")]
    if named == [os.devnull]:
        return []
    return _existing([*_PIP, f"{prefix}/pip.conf", *filter(os.path.isfile, named)])


def settings_of_uv() -> List[Path]:
    """The files that uv reads wherever it runs."""
    return _existing(_UV)


def _settings(prefix: str, node: Optional[str]) -> List[Path]:
    """The files that package managers read, whatever they build."""
    login, program = environment.of_this_user(node), process.find("node", node)
    named = [login[name] for name in _ELSEWHERE if os.path.isfile(login.get(name, ""))]
    of_node = [str(Path(os.path.realpath(program)).parents[1] / "etc" / "npmrc")] if program else []
    of_pip = settings_of_pip(prefix)
    return [*of_pip, *_existing([*_NPM, *_UV, *named, *of_node]), *_constraints(login, of_pip)]


def _constraints(login: Dict[str, str], of_pip: Sequence[Path]) -> List[Path]:
    """The files of versions that installers keep to: those that variables and pip's settings name."""
    said = [login.get(name, "") for name in _CONSTRAINTS]
    said += [each for file in of_pip for each in _CONSTRAINT.findall(file.read_text(errors="replace"))]
    return [Path(path) for path in " ".join(said).split() if os.path.isfile(path) and os.access(path, os.R_OK)]


def tool(name: str, node: Optional[str] = None) -> Optional[str]:
    """A program on the path, as it is now: its file, and the version that a package.json beside it tells.

    The directory of a chosen ``node`` comes first in the path.
    """
    found = process.find(name, node)
    if found is None:
        return None
    path = Path(os.path.realpath(found))
    package = next((parent / "package.json" for parent in path.parents if (parent / "package.json").is_file()), None)
    version = json.loads(package.read_bytes()).get("version") if package else ""
    return f"{stamp(path)} {version}"


def content(path: Path, besides: bytes = b"") -> str:
    """A digest of a file, or of everything below a directory: names, types and bytes, no times.

    The bytes ``besides`` do not count in them, such as the path of a release.
    """
    below = sorted(seal.walk(path)) if path.is_dir() and not path.is_symlink() else [path]
    return digest([_told(each, path, besides) for each in below])


def said_by(directory: Path) -> Set[str]:
    """The words of the files by which a directory says how it is built: among them are the programs that this takes."""
    files = [directory / name for name in _DESCRIBING] + sorted(directory.glob("*.sh"))
    return {word for path in files if is_readable(path) for word in words(path.read_text("utf-8", "replace"))}


def is_readable(path: Path) -> bool:
    """Whether a path leads to a file that we may read; one that nobody can look at is none."""
    return os.path.isfile(path) and os.access(path, os.R_OK)


def words(line: str) -> Set[str]:
    """The words of a command line: names of programs and files, and whatever else is written like them."""
    return set(_WORDS.findall(line))


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


def _told(path: Path, top: Path, besides: bytes) -> List[object]:
    kind, mode, _, _ = seal.facts(path)  # of the mode only what a seal leaves
    executable = kind == "f" and bool(mode & 0o111)
    taken = (0o555 if executable or kind == "d" else 0o444) & ~mode if kind != "l" else 0
    return [os.path.relpath(path, top), kind, executable, _bytes(path, kind, besides), *([taken] if taken else [])]


def _bytes(path: Path, kind: str, besides: bytes) -> str:
    """What a file has, or where a link leads."""
    if kind == "l":
        return seal.content(path).replace(os.fsdecode(besides), "") if besides else seal.content(path)
    if kind != "f" or not besides:
        return seal.content(path)
    with seal.opened(path) as file:
        return hashlib.sha256(file.read().replace(besides, b"")).hexdigest()


def _existing(names: Sequence[str]) -> List[Path]:
    login = environment.of_this_user()
    config = login.get("XDG_CONFIG_HOME") or f"{login['HOME']}/.config"
    system = (login.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    each = [name.replace("/etc/xdg", top, 1) for name in names for top in (system if "/etc/xdg/" in name else [""])]
    paths = [Path(name.replace("~/.config", config, 1).replace("~", login["HOME"], 1)) for name in each]
    return [path for path in paths if os.access(path, os.R_OK)]


def stamp(path: Path) -> str:
    """What tells that a file was replaced or changed."""
    status = path.stat()
    return f"{path} {status.st_size} {status.st_mtime_ns}"
