"""The last words of what failed: of all that services and commands said, the line that most likely says why.  Pure."""

from __future__ import annotations

import re

from . import words
from .annotations import Optional

_LONGEST = 160  # characters
# A line of systemd's journal, with or without the host's name: when, who, and what was said.
_ENTRY = r"\w{3} [ \d]\d [\d:]{8} (?:[^\s:\[]+ )?(?P<who>[^\s\[]+)(?:\[\d+\])?: (?P<text>.*)"


def last_words(transcript: str) -> str:
    """The last line that names an error, else the last line; empty when nothing was said.

    What services said goes before what a command said, which stands above their logs; systemd's lines do not count.
    """
    lines = transcript.splitlines()
    ours = [text for text in map(_text, lines) if text]
    if not ours:
        headings = (number for number, line in enumerate(lines) if line.startswith(words.SAID_BY))
        ours = [line.strip() for line in lines[: next(headings, len(lines))] if line.strip()]
    errors = [line for line in ours if re.search(words.ERROR, line, re.IGNORECASE)]
    return "".join((errors or ours)[-1:])[:_LONGEST]


def alike(one: str, other: str) -> bool:
    """Whether two say the same but for numbers: times, processes, addresses."""
    return bool(one) and re.sub(r"\d+", "0", one) == re.sub(r"\d+", "0", other)


def _text(line: str) -> Optional[str]:
    found = re.match(_ENTRY, line)
    return found["text"].strip() if found and found["who"] != "systemd" else None
