"""What the settings need of a host: the programs that the recipe's lines begin with, and the health script."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ..control import plan
from ..host.constants import FRONTEND_COMMAND

if TYPE_CHECKING:
    from ..config import Config
    from ..control.plan import Job
    from ..host.contract import DoctorRequest

_BETWEEN = re.compile(r"[;&|()\n]+")
_ASSIGNED = re.compile(r"\w+=")
_PROGRAM = re.compile(r"[A-Za-z0-9][\w.+-]*")
_RUNS = re.compile(
    r"""(?m)^[ \t]*Exec(?:Condition|Reload|(?:Start|Stop)(?:Pre|Post)?)[ \t]*=[ \t@:+!|]*(["']?)(/[^\s"']+)\1"""
)
_SHELLS = ("bash", "sh", "/bin/bash", "/bin/sh")
# Words that bash knows itself.
_OWN = frozenset(
    (
        *("alias", "break", "builtin", "case", "cd", "command", "continue", "declare", "do", "done", "echo", "elif"),
        *("else", "esac", "eval", "exec", "exit", "export", "false", "fi", "for", "function", "if", "let", "local"),
        *("printf", "pwd", "read", "readonly", "return", "select", "set", "shift", "shopt", "source", "test", "then"),
        *("time", "trap", "true", "type", "ulimit", "umask", "unset", "until", "wait", "while"),
    )
)


def request(job: Job, programs: Iterable[str] = ()) -> DoctorRequest:
    """What the host is to look at; ``programs`` are those that the units of the next commit run."""
    config = job.config
    facts = plan.facts_request(job)
    facts |= {"sha": None, "live": True}
    facts.pop("wait", None)
    return {
        "facts": facts,
        "tools": sorted({*tools(config), *programs}),
        "python": config.build.python,
        "node": config.build.node,
        "venvs": bool(config.build.venvs) and config.build.installer != "uv",
        "script": script(config)[0],
    }


def tools(config: Config) -> Iterator[str]:
    """The programs that the lines of the recipe begin with, and those that it cannot do without."""
    build = config.build
    if build.frontend:
        yield from ("npm",) if build.frontend.command == FRONTEND_COMMAND else programs(build.frontend.command)
    for step in build.steps:
        yield from programs(step.command)
    if build.installer == "uv" and build.venvs:
        yield "uv"


def programs(line: str) -> Iterator[str]:
    """The programs by which the commands of a line begin; what has a path of its own is not looked for."""
    first = True
    for word in _signs_and_words(line):
        if _BETWEEN.fullmatch(word):
            first = True
        elif first and not _ASSIGNED.match(word):
            first = False
            yield from [word] if _PROGRAM.fullmatch(word) and word not in _OWN else []


def runs(config: Config, units: Mapping[str, str]) -> dict[str, str]:
    """The programs outside of the deploy root that units cannot do without, each with the file that names it."""
    named = (
        (program, f"{config.units}/{path}")
        for path, text in units.items()
        for _, program in _RUNS.findall(text.replace("\\\n", " "))
    )
    ours = (f"{config.root}/", f"{config.current_link}/")
    return {program: path for program, path in named if not program.startswith(ours) and not set("%$\\") & set(program)}


def _signs_and_words(line: str) -> list[str]:
    """What stands between blanks and signs, as a shell splits it; nothing of a line that a shell cannot read."""
    read = shlex.shlex(line.replace("\\\n", " "), posix=True, punctuation_chars="();<>|&\n")
    read.whitespace, read.whitespace_split, read.commenters = " \t\r", True, ""
    try:
        return [*read]
    except ValueError:
        return []


def script(config: Config) -> tuple[str | None, bool]:
    """The script that the health command begins with, as a path in the release, and whether it has to be executable."""
    words = [] if config.skip_healthcheck else _words(config.healthcheck.command or "")
    by_shell = words[:1] != [] and words[0] in _SHELLS
    named = words[1:2] if by_shell else words[:1]
    inside = [word for word in named if re.fullmatch(r"(?:\./)?[\w.-]+(?:/[\w.-]+)*", word)]
    inside = [word for word in inside if ("/" in word or by_shell) and ".." not in word.split("/")]
    return (inside[0].removeprefix("./"), not by_shell) if inside else (None, False)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return []
