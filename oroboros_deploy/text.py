"""Values as people read them: shas, times, durations, sizes, columns, and text that came from elsewhere.  Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .host import words
from .host.words import moment as moment

SHORT = 10  # digits of a sha that people see, and may type back
_ESCAPES = re.compile(r"\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]|[@-Z\\^_])")
_ERROR = re.compile(words.ERROR, re.IGNORECASE)
# What systemd says of each restart of a service that ends again and again; the service's own words stand between.
_RESTARTS = re.compile(r" systemd\[\d+\]: (?:\S+: Scheduled restart job|Starting |Started |Stopping |Stopped )")
_FULL_SHA = re.compile(r"\b[0-9a-f]{40}\b")
UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))  # of durations: the seconds in each, and its name


def short(sha: str | None) -> str:
    """The first digits of a sha, enough to type back; empty for none."""
    return clean(sha or "")[:SHORT]


def terse(message: str) -> str:
    """A message with its full shas cut to what people read."""
    return _FULL_SHA.sub(lambda found: short(found[0]), message)


def time_of_day(at: float) -> str:
    """Unix time as the time of day in UTC: ``16:59:52Z``."""
    return f"{moment(at).partition(' ')[2]}Z"


def duration(seconds: float) -> str:
    """Seconds in at most two units: ``12 ms``, ``0.4 s``, ``41 s``, ``3 min 12 s``, ``2 d 4 h``."""
    if seconds < 0.095:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    rest = round(seconds)
    largest = next(index for index, (size, _) in enumerate(UNITS) if rest >= size)
    size, unit = UNITS[largest]
    smaller, name = UNITS[min(largest + 1, len(UNITS) - 1)]
    remainder = rest % size // smaller
    return f"{rest // size} {unit}" + (f" {remainder} {name}" if remainder else "")


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def telling(lines: Sequence[str], most: int) -> list[str]:
    """Of the output of what failed at most so many lines: the end, and before it those that name an error.

    What a package manager says last is often its help.  Lines in which systemd tells of restarts are left out first.
    """
    if len(lines) > most:
        lines = [line for line in lines if not _RESTARTS.search(line)]
    if len(lines) <= most:
        return [*lines]
    start = len(lines) - most // 2
    errors = [line for line in lines[:start] if _ERROR.search(line)][: most - most // 2 - 1]
    return [*errors, "…", *lines[start:]] if errors else [*lines[-most:]]


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as left-aligned columns two spaces apart; every cell is cleaned."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def ssh_line(host: str) -> str:
    """What to type to log in to a host that is named as after ``-H``: ``user@host:port`` or ``user@[IPv6]:port``."""
    place, colon, port = host.rpartition(":")
    named = place.rpartition("@")[2]
    if colon and port.isdigit() and (":" not in named or named.endswith("]")):
        return f"ssh -p {port} {place.replace('[', '').replace(']', '')}"
    return f"ssh {host.replace('[', '').replace(']', '')}"


def without_escapes(text: str) -> str:
    """Text without the escape sequences of terminals: colours, titles, links, the clipboard."""
    return _ESCAPES.sub("", text)


def clean(text: str) -> str:
    """One line without anything that could move a cursor, colour, or reorder what is read."""
    line = without_escapes(text).rstrip("\r\n").rpartition("\r")[2].expandtabs(4)
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)


def plain(text: object) -> str:
    """Text, each of its lines cleaned: some of it may come from a host."""
    return "\n".join(map(clean, str(text).split("\n")))


def changed_names(names: object) -> str:
    """The names in which two configurations differ, in brackets; empty where none does, or they are no such names."""
    if not isinstance(names, Mapping):
        return ""
    lists = ((sign, names.get(key)) for sign, key in (("+", "added"), ("~", "changed"), ("-", "removed")))
    told = [f"{sign}{name}" for sign, found in lists if isinstance(found, list) for name in found]
    return f"({' '.join(told)})" if told else ""
