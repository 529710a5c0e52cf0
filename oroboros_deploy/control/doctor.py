"""Asking all hosts, and this machine, for what keeps a deploy from going well; nothing is changed anywhere."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..doctor import here, needs, of_host
from ..doctor.finding import Diagnosis, Finding
from ..doctor.here import Here
from ..doctor.of_host import Look
from ..errors import DeployError
from ..host.unit_files import is_path
from ..version import __version__
from .asking import Answers, ask
from .plan import Job
from .secrets import named

if TYPE_CHECKING:
    from ..config import Config
    from ..remote.host import Host
    from ..source import Source
    from .node import ControlNode

Findings = tuple[Finding, ...]


@dataclass(frozen=True)
class _Head:
    """What the commit HEAD has of what the settings name.

    ``script`` is the mode of the health script, ``absent`` are the paths of the recipe that it has not, ``units`` the
    texts of its units (None: nobody knows, or none are named); ``uncommitted`` tells of units in the work tree alone.
    ``questions`` are what the settings file beside it still asks.
    """

    script: str | None = None
    absent: frozenset[str] = frozenset()
    units: dict[str, str] | None = None
    uncommitted: bool = False
    questions: tuple[str, ...] = ()


def diagnose(node: ControlNode, names: Sequence[str]) -> Diagnosis:
    """Look at all hosts side by side, over one channel each, and at the control node."""
    job = Job("", "deploy", "", node.actor, node.config, __version__)
    errors: list[DeployError] = []
    tables: list[int | None] = []

    def registry(hosts: Sequence[Host], _: Answers[Findings]) -> None:
        """Ask the registry while the hosts are connected: one of them may be the way to it."""
        _gather(errors, lambda: tables.append(_tables(node, hosts)))

    head = _in_the_commit(node, errors)
    _gather(errors, lambda: named(node.config.env.secrets, os.environ))  # the command is run by who needs it
    answers = ask(node, names, lambda host: of_host.findings(job, host.name, _look(host, job, head)), registry)
    found = {name: _even_of_a_fault(job, name, answer) for name, answer in answers.items()}
    return Diagnosis(here.findings(node.config, _here(errors, head, tables)), found)


def _gather(errors: list[DeployError], do: Callable[[], object]) -> None:
    """Do what a deploy does, and keep the error that it would end with."""
    try:
        do()
    except DeployError as error:
        errors.append(error)


def _look(host: Host, job: Job, head: _Head) -> Look:
    """What the host says; where it cannot be asked, what was heard before that was known."""
    runs = needs.runs(job.config, head.units or {})
    try:
        answer = host.doctor(needs.request(job, runs))
    except DeployError as error:
        host.explain(error)
        return Look(None, error, host.refused, host.printed)
    return Look(answer, None, host.refused, host.printed, answer["clock"] - time.time(), head.script, head.absent, runs)


def _even_of_a_fault(job: Job, name: str, answer: Findings | DeployError) -> Findings:
    """The findings of a host; of one whose answer cannot be worked with, that."""
    return of_host.findings(job, name, Look(error=answer)) if isinstance(answer, DeployError) else answer


def _here(errors: Sequence[DeployError], head: _Head, tables: Sequence[int | None]) -> Here:
    from ..registry.schema import VERSION

    version = next(iter(tables), None)
    return Here(errors, head.script, version, VERSION, head.units, head.uncommitted, head.questions)


def _tables(node: ControlNode, hosts: Sequence[Host]) -> int | None:
    with node.registry(hosts, write=False) as registry:
        return registry.tables()


def _in_the_commit(node: ControlNode, errors: list[DeployError]) -> _Head:
    """What the commit HEAD has; a repository that is not here is no error where the hosts fetch from a URL."""
    try:
        source = node.source()
        return _head(node.config, source, source.resolve("HEAD").sha)
    except DeployError as error:
        errors += [] if node.config.repo_url else [error]
        return _Head()


def _head(config: Config, source: Source, sha: str) -> _Head:
    path, frontend = needs.script(config)[0], config.build.frontend
    absent = {frontend.path} if frontend and not source.mode(sha, frontend.path) else set()
    script = source.mode(sha, path) if path else None
    found = _Head(script, frozenset(absent), questions=tuple(_questions(source.path)))
    directory = None if config.skip_restart else config.units
    if directory is None:
        return found
    only_here = any(is_path(path.removeprefix(f"{directory}/")) for path in source.dirty(within=directory))
    return replace(found, units=_units(source, sha, directory), uncommitted=only_here)


def _questions(directory: Path) -> list[str]:
    """What the nearest settings file still asks."""
    places = (place / f"fabric.{kind}" for place in (directory, *directory.parents) for kind in ("yaml", "yml"))
    found = next(filter(Path.is_file, places), None)
    return here.open_questions(found.name, found.read_text("utf-8", "replace")) if found else []


def _units(source: Source, sha: str, directory: str) -> dict[str, str] | None:
    """The texts of a commit's units; None where nobody knows."""
    there = source.differing(None, sha, directory)
    paths = filter(is_path, there["added"] if there else [])
    return {path: _text(source, sha, f"{directory}/{path}") for path in paths} if there else None


def _text(source: Source, sha: str, path: str) -> str:
    """The text of a file; nothing of one that is no text, which the host refuses."""
    with suppress(UnicodeDecodeError):
        return source.file(sha, path)
    return ""
