"""Shared places: what services write, and all releases have in common; each release has links to them."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from shlex import quote

from . import durable
from .annotations import TYPE_CHECKING, Callable, Iterator, List, Optional
from .layout import Layout
from .refusal import Refusal
from .words import SAID_BY

if TYPE_CHECKING:
    import pwd

    from .contract import PlaceKind, Places, Problem

_DENIED = re.compile(r"(?i)permission denied|read-only file system|\b(?:EACCES|EROFS)\b")
_PATH = re.compile(r"""['"`\u2018\u201c]([^'"`\u2018\u2019\u201c\u201d\n]+)['"`\u2019\u201d]|(/[^\s'"`:,;)]+)""")
_IP = r"(?:\d{1,3}\.){3}\d{1,3}|\[?[\da-fA-F:]*:[\da-fA-F:]*\]?"
# What is quoted beside a missing right and is no file: an address, as Python, Ruby and others write it, or a database.
_NO_FILE = re.compile(
    rf"""\((['"])[^'"]*\1(?:, \d+)+\)|["'][^"']+["'] port \d+|['"](?:{_IP})(?::\d+)?['"]|(?i:denied for \w+ \S+)"""
)
DATABASE = "the directory of the database"


def problems(layout: Layout, places: Places, owner: Optional[str] = None) -> Iterator[Problem]:
    """What keeps a release from having links to these places: all of it, each with the line that mends it."""
    for path, kind in sorted(places.items()):
        found = _problem(layout, path, kind, owner)
        if found:
            yield found


def _problem(layout: Layout, path: str, kind: PlaceKind, owner: Optional[str]) -> Optional[Problem]:
    place, served = layout.shared / path, layout.current / path
    above = [each for each in place.parents if each.is_relative_to(layout.shared) and os.path.lexists(each)]
    for each in (each for each in above if not _is_a("dir", each)):
        return {"message": f"{each} is no directory", "hint": f"on the host: ls -ld {quote(str(each))}"}
    if os.path.lexists(place) and not _is_a(kind, place):
        return {"message": f"{place} is no {_NAMES[kind]}", "hint": f"on the host: ls -ld {quote(str(place))}"}
    if _has_content(served) and not _has_content(place) and not _is_same(served, place):
        what = f"{served} has what {place} has not: the next release would not see it"
        return {"message": what, "hint": f"on the host: {_copying(served, place, kind)}"}
    if kind == "file" and not _has_content(place):
        return {"message": f"the shared file {place} is missing", "hint": _installing(place, owner)}
    return None


def create(layout: Layout, places: Places, owner: Optional[str] = None) -> None:
    """Make the directories that are missing, for ``owner`` (None: the login); what is there is used as it is."""
    for path, kind in places.items():
        directory = layout.shared / path if kind == "dir" else (layout.shared / path).parent
        if not _has_content(directory):  # it may be there, and only others may look at it
            _make(layout, directory, owner)


def _make(layout: Layout, directory: Path, owner: Optional[str]) -> None:
    """Make one directory.

    Root gives away only what lies in a directory in which nobody but the login can write; what lies deeper, where the
    owner could put a link in its place, is made with the owner's rights alone.
    """
    from . import another_user

    user = another_user.owner(owner)
    durable.make_directory(directory if user is None else layout.shared, 0o755)
    missing = [each for each in (directory, *directory.parents) if not os.path.lexists(each)]
    if user and missing and _only_ours(missing[-1].parent):
        _hand_over(missing.pop(), user)
    if user and missing:
        another_user.make_directory(directory, user)
        durable.sync_directory(layout.shared)


def _hand_over(path: Path, user: pwd.struct_passwd) -> None:
    """Make a directory that is a user's from the moment it has its name, whatever dies meanwhile."""
    from . import another_user

    new = path.with_name(f".{path.name}.new")
    new.mkdir(mode=0o755, exist_ok=True)
    another_user.give(new, user)
    durable.replace(new, path)


def _only_ours(directory: Path) -> bool:
    status = directory.stat()
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def link(layout: Layout, release: Path, places: Places) -> None:
    """Put the links into a release that is being made; refuses what the commit has at such a path."""
    for path in sorted(places):
        entry = release / path
        taken = _taken(release, path)
        if taken:
            raise Refusal(
                "invalid",
                f"the commit has {taken}, and `shared` keeps {path} outside of releases",
                hint=f"git rm -r --cached {quote(taken)}, or take {path} out of `shared`",
            )
        entry.parent.mkdir(parents=True, exist_ok=True)
        entry.symlink_to(layout.shared / path)


def link_again(layout: Layout, release: Path, places: Places) -> None:
    """Put back what a part removed with the directory that it was in; refuses what a part has put in its place."""
    for path in sorted(places):
        entry = release / path
        if entry.is_symlink() and os.readlink(entry) == str(layout.shared / path):
            continue
        taken = _taken(release, path)
        if taken:
            why = f"a part of the build made {taken}, and `shared` keeps {path} outside of releases"
            raise Refusal("build_failed", why, hint=f"let the build make it elsewhere, or take {path} out of `shared`")
        entry.parent.mkdir(parents=True, exist_ok=True)
        entry.symlink_to(layout.shared / path)


def _taken(release: Path, path: str) -> Optional[str]:
    """The path, or what is above it and no directory, that the commit has; None when the link can be made there."""
    if os.path.lexists(release / path):
        return path
    above = [str(each) for each in Path(path).parents if each.name and os.path.lexists(release / each)]
    return next((each for each in above if (release / each).is_symlink() or not (release / each).is_dir()), None)


def wanted(layout: Layout, release: Path, said: str, directory_of: Callable[[str], str]) -> Optional[str]:
    """The path of its release that a service could not write, by what it said; None when it said no such thing.

    A path that is there was not to be made, but to be run or read.  ``directory_of`` says where the processes of a unit
    begin, whose words follow its name; what comes before the first is of a command, which begins in the release.
    """
    unit = ""
    for line in said.splitlines():
        unit = line[len(SAID_BY) :] if line.startswith(SAID_BY) else unit
        for named in _denied(line):
            begins = directory_of(unit) if unit and not named.startswith("/") else str(release)
            path = _within(layout, release, os.path.join(begins, named))
            if path:
                return path
    return None


def lacks_database(release: Path, said: str) -> bool:
    """Whether SQLite, which names no path, could not make its files, in a release that nobody can write."""
    return "unable to open database file" in said and not release.stat().st_mode & 0o222


def _denied(line: str) -> List[str]:
    """The paths in a line that tells of a missing right."""
    files = _PATH.findall(_NO_FILE.sub("", line)) if _DENIED.search(line) else []
    return [quoted or plain for quoted, plain in files]


def _within(layout: Layout, release: Path, named: str) -> Optional[str]:
    """The topmost directory of a named path that the release does not have, or else the one that the path is in."""
    place = os.path.normpath(named)
    tops = (str(layout.current), str(release), os.path.realpath(release))
    top = next((each for each in tops if place.startswith(f"{each}/")), None)
    return _topmost(release, place[len(top) + 1 :]) if top else None


def _topmost(release: Path, path: str) -> Optional[str]:
    parts = path.split("/")
    above = (release.joinpath(*parts[:number]) for number in range(1, len(parts)))
    leads_elsewhere = any(each.is_symlink() for each in above)
    if leads_elsewhere or " " in path or os.path.lexists(release / path):
        return None
    missing = (number for number in range(1, len(parts)) if not os.path.lexists(release.joinpath(*parts[:number])))
    return "/".join(parts[: next(missing, len(parts) - 1)]) or parts[0]


def _is_a(kind: PlaceKind, path: Path) -> bool:
    """Whether a path is of a kind, or leads where only others may look."""
    mode = _mode(path)
    return mode is None or (stat.S_ISDIR(mode) if kind == "dir" else stat.S_ISREG(mode))


def _has_content(path: Path) -> bool:
    """Whether there is a file, or a directory with something in it, or one that only others may read."""
    mode = _mode(path)
    try:
        return any(os.scandir(path)) if mode and stat.S_ISDIR(mode) else mode != 0
    except PermissionError:
        return True


def _mode(path: Path) -> Optional[int]:
    """The mode of what is at a path, 0 where nothing is, None where only others may look.

    Not `Path.exists` and its like: from Python 3.14 on they say no of that too.
    """
    try:
        return path.stat().st_mode
    except PermissionError:
        return None
    except OSError:
        return 0


def _is_same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _copying(served: Path, place: Path, kind: PlaceKind) -> str:
    above, inside = place if kind == "dir" else place.parent, "/." if kind == "dir" else ""
    copy = f"cp -a {quote(str(served))}{inside} {quote(str(place))}"
    # Nobody may write in a release, and a copy would be like it.
    return f"mkdir -p {quote(str(above))} && {copy} && chmod -R u+w {quote(str(place))}"


def _installing(place: Path, owner: Optional[str]) -> str:
    """What to type to put a file in its place."""
    who, whose = ("root", f"-o {owner} -g $(id -gn {owner}) -m 640") if owner else (_login(), "-m 600")
    return f"on the host, as {who}: install -D {whose} {place.name} {quote(str(place))}"


def _login() -> str:
    from .environment import of_this_user

    return of_this_user()["USER"]


_NAMES = {"dir": "directory", "file": "file"}
