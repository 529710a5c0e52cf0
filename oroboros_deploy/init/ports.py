"""Where a server of Node answers: what its scripts, its code and its configuration say, in this order."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .proposal import Proposal
from .tree import Tree

_GUESS = 3000
_SCRIPT = re.compile(r"(?:--port[ =]|-p |PORT=)(\d{2,5})\b")
_CODE = r".*\.[cm]?[jt]s"
_READS = re.compile(r"\bprocess\.env\.PORT\b|\bPORT\b[^\n=]{0,80}(?:=[^\n=]{0,80})?=\s*process\.env\b")
_DEFAULT = re.compile(
    r"process\.env\.PORT\)?\s*(?:\|\||\?\?)\s*['\"]?(\d{2,5})\b|\bPORT\s*=\s*(\d{2,5})\b[^\n]{0,80}process\.env"
    r"|\.listen\(\s*(\d{2,5})\b"
)
_CONFIGURATION = r"(?:config|defaults?|production)\.(?:[cm]?[jt]s|json)"
_SETTING = re.compile(r"^(?![ \t]*(?://|\*|#)).*?(?<!\w)['\"]?port['\"]?\s*:\s*(\d{2,5})\b", re.MULTILINE)
_OF_OTHERS = {25, 113, 465, 587, 3306, 5432, 5672, 6379, 6667, 6697, 9200, 11211, 27017}  # mail, databases, chat


def look(tree: Tree, proposal: Proposal, place: str, scripts: str) -> None:
    """Add the port, and the file that says it; a guess is called one."""
    code = [name for name in tree.files(_CODE) if name.startswith(place)]
    if any(_READS.search(tree.text(name)) for name in code):
        proposal.names.append("PORT")
    script = _SCRIPT.search(scripts)
    file, port = ("", int(script[1])) if script else next(_said(tree, place, code), ("", None))
    proposal.answers(port, guess=_GUESS, file=file)


def _said(tree: Tree, place: str, code: list[str]) -> Iterator[tuple[str, int]]:
    """The files that say a port, with that port: code before configuration."""
    settings = [name for name in tree.files(_CONFIGURATION) if name.startswith(place)]
    for names, pattern in ((code, _DEFAULT), (settings, _SETTING)):
        for name in names:
            found = (int("".join(each.groups(""))) for each in pattern.finditer(tree.text(name)))
            yield from ((name, port) for port in found if port not in _OF_OTHERS)
