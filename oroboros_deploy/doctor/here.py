"""What the control node itself says: the registry, the repository, the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from ..errors import DeployError
from ..host import unit_files
from . import needs
from .finding import Finding, worst_first
from .mending import executable

if TYPE_CHECKING:
    from ..config import Config


@dataclass(frozen=True)
class Here:
    """What was asked here.

    ``errors`` are those that a deploy would end with.  ``script`` is git's mode of the health script in the next
    commit, empty where it is not in it, and None where nobody knows.  ``registry`` is the version of the registry's
    tables (None: there are none yet), ``version`` the one that this program makes.  ``units`` are the texts of the next
    commit's units (None where nobody knows, or the settings have none); ``uncommitted`` tells that the work tree has
    units there that are not as they were committed.
    """

    errors: Sequence[DeployError] = ()
    script: str | None = None
    registry: int | None = None
    version: int = 0
    units: Mapping[str, str] | None = None
    uncommitted: bool = False


def findings(config: Config, here: Here) -> tuple[Finding, ...]:
    """All of the control node, the worst first."""
    return worst_first([*_refused(here), *_units(config, here), *_script(config, here), *_registry(here)])


def _refused(here: Here) -> Iterator[Finding]:
    for error in here.errors:
        what = error.message.removeprefix("nothing was changed: ")
        yield Finding("refused", what, f"a deploy stops here (exit {int(error.exit_code)})", error.hint)


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
