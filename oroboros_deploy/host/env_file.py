"""Environment variables as text: read as systemd reads the file of an `EnvironmentFile=`, and written so that it can.

Pure.  What is refused is named by its line or its variable, never by its value, which may be secret.
"""

from __future__ import annotations

import re

from .annotations import Dict, Iterable, Iterator, List, Mapping, Tuple

_NEWLINES = "\n\r"
_BLANK = " \t\n\r"
_ESCAPED = '"\\`$'  # what a backslash takes its meaning from, within double quotes
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Compiled where they are used: every command of the control node imports this.
_COMMENT = r"(?:\\[^\r\n]|[^\\\r\n])*"
# Padding after what is no usual name of a variable (those have one case); two of them after any.
_PADDED = r"[A-Za-z0-9_]+={2,}|(?=[^=]*[a-z])(?=[^=]*[A-Z])[A-Za-z0-9_]+="
_CONTROL = r"[\0-\x08\x0b-\x1f\x7f\ud800-\udfff]"  # systemd passes none of them on, but tab and line feed


class Wrong(ValueError):
    """Text that is no list of variables, or a variable that systemd would not pass on; it says which."""


def parse(text: str) -> Dict[str, str]:
    """The variables of a text, in its order; one that stands there twice is refused."""
    found: Dict[str, str] = {}
    for line, name, value in _assignments(text):
        if not NAME.fullmatch(name):
            raise _wrong(line, "has no NAME=value: a name has letters, digits and '_' alone, and begins with no digit")
        if name in found:
            raise _wrong(line, f"has {name} for the second time")
        found[name] = value
    check(found)
    return found


def printed(text: str) -> Dict[str, str]:
    """The same of what a command printed, which may be a secret alone, such as base64 that ends with '='."""
    lines = text.split("\n")
    for number, _, _ in _assignments(text):
        if re.fullmatch(_PADDED, lines[number - 1].strip(_BLANK)):
            raise _wrong(number, "looks like a value that ends with '=', without a name; an empty value is NAME=\"\"")
    return parse(text)


def check(variables: Mapping[str, str]) -> None:
    """Refuse names and values that systemd would not give to a service."""
    for name, value in variables.items():
        if not NAME.fullmatch(name):
            raise Wrong(f"{name!r} is no name of a variable")
        if re.search(_CONTROL, value):
            raise Wrong(f"the value of {name} has control characters")


def render(variables: Mapping[str, str], comments: Iterable[str] = ()) -> str:
    """The text of variables, by name; ``comments`` stand before them, a line each."""
    lines = [f"# {comment}\n" for comment in comments]
    return "".join([*lines, *(f'{name}="{_quoted(variables[name])}"\n' for name in sorted(variables))])


def comments(text: str) -> Iterator[str]:
    """The comments that `render` wrote before the variables."""
    for line in text.split("\n"):
        if not line.startswith("# "):
            return
        yield line[2:]


def _quoted(value: str) -> str:
    return "".join(f"\\{char}" if char in _ESCAPED else char for char in value)


def _wrong(line: int, what: str) -> Wrong:
    return Wrong(f"line {line} {what}")


def _assignments(text: str) -> Iterator[Tuple[int, str, str]]:
    """The number of the line that each assignment begins on, its name and its value."""
    at = _skipped(text, 0, _BLANK)
    while at < len(text):
        line = text.count("\n", 0, at) + 1
        if text[at] in "#;":
            at = _after_comment(text, at, line)
        else:
            name, at = _name(text, at, line)
            value, at = _value(text, at, line)
            yield line, name, value
        at = _skipped(text, at, _BLANK)


def _skipped(text: str, at: int, which: str) -> int:
    while at < len(text) and text[at] in which:
        at += 1
    return at


def _after_comment(text: str, at: int, line: int) -> int:
    found = re.compile(_COMMENT).match(text, at)
    end = found.end() if found else at
    if text[end : end + 1] == "\\" and end + 1 < len(text):
        raise _wrong(
            line, "is a comment that ends with a backslash: versions of systemd differ in what the next line is"
        )
    return end + 1


def _name(text: str, at: int, line: int) -> Tuple[str, int]:
    end = at
    while end < len(text) and text[end] != "=":
        if text[end] in _NEWLINES:
            raise _wrong(line, "has no NAME=value")
        end += 1
    if end == len(text):
        raise _wrong(line, "has no NAME=value")
    return text[at:end].rstrip(_BLANK), end + 1


def _value(text: str, at: int, line: int) -> Tuple[str, int]:
    """A value: quoted pieces, one after another, and at last perhaps one without quotes."""
    pieces: List[str] = []
    while True:
        at = _skipped(text, at, " \t")
        if at >= len(text) or text[at] in _NEWLINES:
            return "".join(pieces), at
        if text[at] in "'\"":
            piece, at = (_single if text[at] == "'" else _double)(text, at + 1, line)
            pieces.append(piece)
        else:
            piece, at = _bare(text, at)
            return "".join([*pieces, piece]), at


def _single(text: str, at: int, line: int) -> Tuple[str, int]:
    end = text.find("'", at)
    if end < 0:
        raise _wrong(line, "begins a quote that does not end")
    return text[at:end], end + 1


def _double(text: str, at: int, line: int) -> Tuple[str, int]:
    kept = []
    while at < len(text) and text[at] != '"':
        char, following = text[at], text[at + 1 : at + 2]
        if char != "\\":
            kept.append(char)
        elif following in _ESCAPED:
            kept.append(following)
        elif following != "\n":
            kept.append(char + following)
        at += 1 if char != "\\" else 2
    if at >= len(text):
        raise _wrong(line, "begins a quote that does not end")
    return "".join(kept), at + 1


def _bare(text: str, at: int) -> Tuple[str, int]:
    """A piece without quotes, to the end of its line; blanks at its end are not part of it, unless escaped."""
    kept, blank = "", ""
    while at < len(text) and text[at] not in _NEWLINES:
        char = text[at]
        if char in " \t":
            blank += char
        else:
            kept, blank = kept + blank, ""
            following = text[at + 1 : at + 2] if char == "\\" else char
            kept += following.strip(_NEWLINES)
        at += 2 if char == "\\" else 1
    return kept, at
