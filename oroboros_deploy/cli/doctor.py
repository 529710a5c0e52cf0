"""What `doctor` prints: a block a host, the worst host and the worst line first, within 80 columns; or JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from json import dumps
from textwrap import wrap

from ..doctor.finding import Diagnosis, Finding
from .typeable import typeable

_WIDTH = 80
_MARKS = {"refused": "✗", "note": "!"}
_NOTHING = "nothing to tell"
_HERE = "this machine"
_PROGRAMS = ("ssh ", "fab ", "oroboros ", "git ", "ssh-keygen ", "ssh-keyscan ", "pip ", "df ", "echo ")


def told(found: Diagnosis) -> str:
    """All of it for people; a host with nothing has one line."""
    blocks = [("", _HERE, found.here)] if found.here else []
    blocks += [("", host, each) for host, each in sorted(found.hosts.items(), key=lambda pair: _badness(pair[1]))]
    return "\n".join(line for _, name, findings in blocks for line in _block(name, findings))


def as_json(found: Diagnosis) -> str:
    """The same for programs."""
    hosts = {host: [_typed(each) for each in findings] for host, findings in found.hosts.items()}
    return dumps({"control_node": [_typed(each) for each in found.here], "hosts": hosts}, indent=2)


def _typed(finding: Finding) -> dict[str, str | None]:
    return {**asdict(finding), "mend": finding.mend and typeable(finding.mend)}


def _badness(findings: Sequence[Finding]) -> tuple[int, int]:
    """Sorts the host with most that stops a deploy first, and one with nothing last."""
    return -_count(findings, "refused"), -_count(findings, "note")


def _count(findings: Iterable[Finding], level: str) -> int:
    return sum(each.level == level for each in findings)


def _block(name: str, findings: Sequence[Finding]) -> Iterator[str]:
    if not findings:
        yield f"{name}: {_NOTHING}"
        return
    refused, notes = _count(findings, "refused"), _count(findings, "note")
    stops = [f"{refused} that stop{'s' if refused == 1 else ''} a deploy"] if refused else []
    beside = [f"{notes} to know"] if notes else []
    yield f"{name}: {', '.join([*stops, *beside])}"
    for finding in findings:
        yield from _wrapped(f"  {_MARKS[finding.level]} ", finding.what)
        yield from _wrapped("    ", finding.why)
        yield from _mend(typeable(finding.mend)) if finding.mend else ()


def _wrapped(begin: str, text: str) -> list[str]:
    lines = [line for part in text.split("\n") for line in wrap(part, _WIDTH - len(begin), break_on_hyphens=False)]
    return [f"{begin if not number else ' ' * len(begin)}{line}" for number, line in enumerate(lines)]


def _mend(line: str) -> list[str]:
    """A command is broken where a shell puts it together again, and other words like all words."""
    if not line.startswith(_PROGRAMS) or len(line) <= _WIDTH - 6:
        return _wrapped("    → ", line)
    if line.partition('"')[0].count("'"):  # a backslash in single quotes would be a backslash
        return [f"    → {line}"]
    lines = wrap(line, _WIDTH - 8, break_long_words=False, break_on_hyphens=False)
    return [f"{'      ' if number else '    → '}{each}{_joined(number, lines)}" for number, each in enumerate(lines)]


def _joined(number: int, lines: Sequence[str]) -> str:
    return " \\" if number < len(lines) - 1 else ""
