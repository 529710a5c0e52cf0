r"""Unit files: what a release brings for the service manager, as it has to be on a host.  Pure: nothing here acts.

    # oroboros_deploy: shop in /srv/shop, 0123456789abcdef     whose it is, and the digest of what follows
    [Service]
    ExecStart=/srv/shop/current/bin/shop

The digest tells whether somebody edited a file since it was installed, so no note beside it can be lost.
"""

from __future__ import annotations

import re

from .annotations import TYPE_CHECKING, Container, Dict, Iterable, List, NamedTuple, Optional, Tuple
from .sha256 import digest
from .words import KINDS as KINDS

if TYPE_CHECKING:
    from .contract import Changes

OPENED = (".socket", ".timer", ".path")  # what starts others: it has to be active to be of use
RESERVED = "oroboros-"  # how the names of our own units begin
_UNIT = r"[A-Za-z0-9:_.\\@-]+(?:%s)" % "|".join(map(re.escape, KINDS))
# Compiled where they are used: an activation without units imports this too.
_PATH = rf"{_UNIT}|{_UNIT}\.d/[A-Za-z0-9:_.\\@-]+\.conf"
_HEADER = r"# oroboros_deploy: ([^\n]+?) in (/[^\n]*), ([0-9a-f]{16})\n"
_SECTION = r"(?m)^\s*\[Install\]\s*$"
_ASSIGNED = r"(?m)^\s*(User|DynamicUser|DefaultInstance)\s*=[ \t]*(.*?)\s*$"
_WANTS = r"(?m)^\s*(?:Wants|Requires|BindsTo|Upholds)\s*=(.*)$"
_ALIAS = r"(?m)^\s*Alias\s*=[ \t]*(.*?)\s*$"
_VALUE = r"(?m)^[ \t]*[A-Za-z]+[ \t]*=(.*)$"
_WORD = r"""^[-+!:|\s]*(@\w+@)\s*$|(?:^[-+!:|\s]*|[\s=:"'])(@\w+@)(?=/)"""  # a whole value, or how a path begins
_ACCEPT = r"(?mi)^\s*Accept\s*=\s*(yes|true|1|on|y|t)\s*$"

Texts = Dict[str, str]  # by path within the directory of units


class Header(NamedTuple):
    """What the first line of a file says, and whether the rest is still what it speaks of."""

    application: str
    root: str
    edited: bool


class UnitSet(NamedTuple):
    """What a host has, or has to have, at some paths of its directory of units.

    ``files`` are texts (None: nothing is there), ``links`` where the links lead that enable them or give them other
    names, by path (None: those that are there stay, and what is new is enabled as it says itself).
    """

    files: Dict[str, Optional[str]]
    links: Optional[Dict[str, str]]

    @property
    def texts(self) -> Texts:
        """What is there."""
        return {path: text for path, text in self.files.items() if text is not None}

    @property
    def units(self) -> List[str]:
        """The units that are there; a drop-in is none."""
        return [path for path in self.texts if "/" not in path]


NONE = UnitSet({}, None)


PLACEHOLDERS = ("@root@", "@application@", "@user@")


# --- one file ----------------------------------------------------------------------------------------------------


def is_path(path: str) -> bool:
    """Whether a path within a directory of units is that of a unit, or of a drop-in for one."""
    return bool(re.fullmatch(_PATH, path))


def render(text: str, application: str, root: str, user: str, env: str = "") -> str:
    """A file of the commit as it is installed; the configuration is read at ``env`` where that is another place."""
    for name, value in zip(PLACEHOLDERS, (root, application, user)):
        text = text.replace(name, value)
    if env:
        text = re.sub(rf"(?m)^(\s*EnvironmentFile\s*=\s*-?){re.escape(root)}/env(?=\s*$)", rf"\g<1>{env}", text)
    return f"# oroboros_deploy: {application} in {root}, {digest(text.encode())[:16]}\n{text}"


def unknown_words(text: str) -> List[str]:
    """The words of a file that look like placeholders and are none, where they can mean nothing else."""
    found = (one or other for value in re.findall(_VALUE, text) for one, other in re.findall(_WORD, value))
    return [word for word in found if word not in PLACEHOLDERS]


def no_placeholder(path: str, word: str) -> str:
    """What is wrong with a word of a file that nothing replaces."""
    *some, last = PLACEHOLDERS
    return f"{path}: {word} is no placeholder; there are {', '.join(some)} and {last}"


def header(text: str) -> Optional[Header]:
    """What the first line says; None for a file that this tool did not write."""
    found = re.match(_HEADER, text)
    if not found:
        return None
    application, root, noted = found.groups()
    return Header(application, root, digest(body(text).encode())[:16] != noted)


def body(text: str) -> str:
    """A file without our first line."""
    return re.sub(_HEADER, "", text, count=1)


def has_install(text: str) -> bool:
    """Whether it can be enabled by its own name; of a template only one that names an instance can."""
    return bool(re.search(_SECTION, text))


def aliases(text: str) -> List[str]:
    """The other names that a unit gets when it is enabled."""
    return [name for names in re.findall(_ALIAS, text) for name in names.split()]


def users(text: str) -> List[str]:
    """The users that it names; none where systemd makes the user, or only an instance tells it."""
    told = re.findall(_ASSIGNED, text)
    if any(name == "DynamicUser" and value.lower() in ("1", "yes", "true", "on") for name, value in told):
        return []
    return [value for name, value in told if name == "User" and value and "%" not in value]


def difference(path: str, there: str, wanted: str) -> str:
    """What somebody's file has and the release's has not, and the other way round."""
    import difflib

    named = (f"{path} (on the host)", f"{path} (of the release)")
    lines = difflib.unified_diff(body(there).splitlines(), body(wanted).splitlines(), *named, lineterm="", n=1)
    return "\n".join(lines)


# --- names -------------------------------------------------------------------------------------------------------


def unit_of(path: str) -> str:
    """The unit that a file is of: its own, or the one that a drop-in is for."""
    return path.partition(".d/")[0]


def is_template(unit: str) -> bool:
    return "@." in unit


def is_instance(name: str) -> bool:
    return "@" in name and not is_template(name)


def for_connections(template: str, kept: UnitSet) -> bool:
    """Whether a socket starts an instance for each connection, which nobody can start again."""
    socket = kept.texts.get(template.replace("@.service", ".socket"), "")
    return bool(re.search(_ACCEPT, socket))


def is_of(unit: str, name: str) -> bool:
    """Whether a full name is that of the unit, or of an instance of it."""
    start, at, kind = unit.partition("@.")
    return name == unit or bool(at and name.startswith(f"{start}@") and name.endswith(f".{kind}"))


def brings(units: Iterable[str], name: str) -> bool:
    """Whether one of the units has this full name, or is the template of it."""
    return any(is_of(unit, name) for unit in units)


# --- two sets ----------------------------------------------------------------------------------------------------


def compare(before: UnitSet, after: UnitSet) -> Changes:
    """The paths in which two sets differ."""
    one, other = before.texts, after.texts
    return {
        "added": sorted(other.keys() - one.keys()),
        "changed": sorted(path for path in one.keys() & other.keys() if one[path] != other[path]),
        "removed": sorted(one.keys() - other.keys()),
    }


def told(changes: Changes) -> str:
    """The changes for people: ``+ a.timer, ~ api.service, - old.service``; empty where there are none."""
    marked = (("+", changes["added"]), ("~", changes["changed"]), ("-", changes["removed"]))
    return ", ".join(f"{mark} {path}" for mark, paths in marked for path in paths)


def appearing(before: UnitSet, after: UnitSet) -> List[str]:
    """The units that are in the second set alone."""
    return sorted({*after.units}.difference(before.units))


def going(before: UnitSet, after: UnitSet) -> List[str]:
    """The units that are in the first set alone."""
    return appearing(after, before)


def changed(before: UnitSet, after: UnitSet) -> List[str]:
    """The units of both sets whose texts differ, those of their drop-ins too."""
    both = {*before.units}.intersection(after.units)
    changes = compare(before, after)
    one, other = before.texts, after.texts
    altered = (path for path in changes["changed"] if body(one[path]) != body(other[path]))  # not our first line alone
    paths = [*changes["added"], *altered, *changes["removed"]]
    return sorted(both.intersection(map(unit_of, paths)))


class Brought(NamedTuple):
    """The sets of units before a switch and with its target, by name, and what is in them.

    The names are the same when nothing changes.
    """

    before: Optional[str] = None
    after: Optional[str] = None
    changes: Optional[Changes] = None
    sets: Tuple[UnitSet, UnitSet] = (NONE, NONE)

    @property
    def differ(self) -> bool:
        return self.before != self.after

    @property
    def altered(self) -> List[str]:
        """The units that are changed or taken away, by their files."""
        return [*going(*self.sets), *changed(*self.sets)]


def to_enable(before: UnitSet, after: UnitSet, services: Iterable[str], disabled: Container[str] = ()) -> List[str]:
    """What is new and can be enabled; of a template the instances that are named as services.

    ``services`` are full names, and so is what somebody ``disabled`` before a release took it away.
    """
    found: List[str] = []
    for unit in appearing(before, after):
        text = after.texts[unit]
        if not has_install(text):
            continue
        if not is_template(unit) or any(name == "DefaultInstance" for name, _ in re.findall(_ASSIGNED, text)):
            found.append(unit)
        if is_template(unit):
            found += [name for name in services if is_of(unit, name) and name != unit]
    return [name for name in found if name not in disabled]


def to_open(before: UnitSet, after: UnitSet, disabled: Container[str] = ()) -> List[str]:
    """The sockets, timers and paths that are new, and that something starts at a boot."""
    new = (unit for unit in appearing(before, after) if unit.endswith(OPENED) and not is_template(unit))
    return [unit for unit in new if has_install(after.texts[unit]) and unit not in disabled]


def idle(before: UnitSet, after: UnitSet, services: Container[str] = ()) -> List[str]:
    """The timers that are new and that nothing starts: no boot, no unit beside them, and not as one of ``services``."""
    new = (unit for unit in appearing(before, after) if unit.endswith(".timer") and not is_template(unit))
    wanted = {name for text in after.texts.values() for line in re.findall(_WANTS, text) for name in line.split()}
    return [unit for unit in new if not (has_install(after.texts[unit]) or unit in services or unit in wanted)]


def belongs(units: Iterable[str], link: str, leads: str) -> bool:
    """Whether a link in the directory of units is one of these units: it leads to one, or has the name of one."""
    names = (link.rpartition("/")[2], leads.rpartition("/")[2])
    return any(brings(units, name) for name in names)
