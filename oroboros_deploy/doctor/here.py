"""What the control node itself says: the registry, the repository, the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from textwrap import shorten
from typing import TYPE_CHECKING

from ..errors import DeployError
from ..host import unit_files
from . import needs
from .finding import Finding, worst_first
from .mending import executable

if TYPE_CHECKING:
    from ..config import Config

_QUESTION = re.compile(r"\s*# QUESTION: (\S.*?):?\s*")  # as `oroboros init` writes it


@dataclass(frozen=True)
class Here:
    """What was asked here.

    ``errors`` are those that a deploy would end with.  ``script`` is git's mode of the health script in the next
    commit, empty where it is not in it, and None where nobody knows.  ``registry`` is the version of the registry's
    tables (None: there are none yet), ``version`` the one that this program makes.  ``units`` are the texts of the next
    commit's units (None where nobody knows, or the settings have none); ``uncommitted`` tells that the work tree has
    units there that are not as they were committed.  ``questions`` are those that `open_questions` finds.
    """

    errors: Sequence[DeployError] = ()
    script: str | None = None
    registry: int | None = None
    version: int = 0
    units: Mapping[str, str] | None = None
    uncommitted: bool = False
    questions: Sequence[str] = ()


def findings(config: Config, here: Here) -> tuple[Finding, ...]:
    """All of the control node, the worst first."""
    notes = [*_asked(here), *_nothing_decides(config)]
    return worst_first([*_refused(here), *notes, *_units(config, here), *_script(config, here), *_registry(here)])


def _refused(here: Here) -> Iterator[Finding]:
    for error in here.errors:
        what = error.message.removeprefix("nothing was changed: ")
        yield Finding("refused", what, f"a deploy stops here (exit {int(error.exit_code)})", error.hint)


def open_questions(file: str, text: str) -> list[str]:
    """What a settings file still asks, each with the line where it stands."""
    found = ((number, _QUESTION.fullmatch(line)) for number, line in enumerate(text.splitlines(), 1))
    return [
        f"{file}, line {number}: this question of `init` is still open: {shorten(asked[1], 200)}"
        for number, asked in found
        if asked
    ]


def _asked(here: Here) -> Iterator[Finding]:
    for question in here.questions:
        why = "the file is used as it stands: check the lines below the question, then delete the question"
        yield Finding("note", question, why, None)


def _nothing_decides(config: Config) -> Iterator[Finding]:
    asks = config.services or config.healthcheck.asks
    frontend_alone = config.build.frontend and not config.build.venvs and not config.build.steps
    if not asks and not frontend_alone:
        what = "no service and no health check: each release counts as healthy"
        why = "a deploy starts nothing and asks nothing; `services` and `healthcheck` in fabric.yaml name what decides"
        yield Finding("note", what, why, None)


def _units(config: Config, here: Here) -> Iterator[Finding]:
    directory, why = config.units or "", "a build of that commit fails"
    if here.units is not None and not here.units:
        what = f"the commit HEAD has no unit in {directory}{', and this directory has' if here.uncommitted else ''}"
        commit = f"git add {quote(directory)} && git commit -m {quote(directory)}"
        mend = commit if here.uncommitted else "commit one, or correct `units` in fabric.yaml"
        yield Finding("note", what, why, mend)
    for path, text in (here.units or {}).items():
        for word in unit_files.unknown_words(text):
            what = unit_files.no_placeholder(f"{directory}/{path}", word)
            yield Finding("note", what, why, "correct it, and commit it")


def _script(config: Config, here: Here) -> Iterator[Finding]:
    path, runs_itself = needs.script(config)
    why = "the health command begins with it, so that the gate fails and every deploy is taken back"
    if here.script == "":
        yield Finding(
            "note",
            f"{path} is not in the commit HEAD",
            why,
            f"git add {quote(path or '')} && git commit -m {quote(path or '')}",
        )
    elif here.script == "100644" and runs_itself:
        yield Finding("note", f"{path} is not executable in the commit HEAD", why, executable(path or ""))


def _registry(here: Here) -> Iterator[Finding]:
    if here.registry is not None and here.registry < here.version:
        what = f"the registry's tables are of version {here.registry}, this program's are {here.version}"
        why = "the next command that writes brings them up to date; older programs cannot write them then"
        yield Finding("note", what, why, "fab registry.list")
