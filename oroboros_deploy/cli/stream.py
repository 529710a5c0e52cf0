"""The stream that a command writes to: how wide it is, whether it moves, and that it may go away."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII = str.maketrans({"✓": "+", "✗": "x", "→": "->", "…": "...", "·": "-", "│": "|"} | dict.fromkeys(SPINNER, "*"))


def write(stream: TextIO | None, text: str) -> None:
    """Write text as far as the stream can encode it. A stream that went away is no error: the deploy matters more."""
    if stream is None:
        return
    try:
        stream.write(_encodable(text, getattr(stream, "encoding", None) or "utf-8"))
        stream.flush()
    except (OSError, ValueError):
        _discard(stream)


def _encodable(text: str, encoding: str) -> str:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text


def _discard(stream: TextIO) -> None:
    # Python flushes at exit once more, and would then end with its own code instead of ours.
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
    except (OSError, ValueError):
        return


def is_terminal(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """True where a person watches and lines can be drawn over."""
    if stream is None or stream.closed or environ.get("CI") or environ.get("TERM", "dumb") == "dumb":
        return False
    return stream.isatty()


def in_color(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """True where a person watches who did not ask for text without colours."""
    return is_terminal(stream, environ) and not environ.get("NO_COLOR")


def size_of(stream: TextIO | None) -> tuple[int, int]:
    """Columns and rows of the terminal; 80 and 24 where it does not tell."""
    try:
        wide, high = os.get_terminal_size(stream.fileno() if stream else -1)
    except (OSError, ValueError):
        return 80, 24
    return wide or 80, high or 24
