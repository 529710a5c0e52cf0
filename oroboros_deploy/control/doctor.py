"""Asking all hosts, and this machine, for what keeps a deploy from going well; nothing is changed anywhere."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..doctor import here, needs, of_host
from ..doctor.finding import Diagnosis, Finding
from ..doctor.here import Here
from ..doctor.of_host import Look
from ..errors import DeployError
from ..version import __version__
from .asking import Answers, ask
from .plan import Job
from .secrets import named

if TYPE_CHECKING:
    from ..remote.host import Host
    from .node import ControlNode

Findings = tuple[Finding, ...]


def diagnose(node: ControlNode, names: Sequence[str]) -> Diagnosis:
    """Look at all hosts side by side, over one channel each, and at the control node."""
    job = Job("", "deploy", "", node.actor, node.config, __version__)
    errors: list[DeployError] = []
    tables: list[int | None] = []

    def registry(hosts: Sequence[Host], _: Answers[Findings]) -> None:
        """Ask the registry while the hosts are connected: one of them may be the way to it."""
        _gather(errors, lambda: tables.append(_tables(node, hosts)))

    script, absent = _in_the_commit(node, errors)
    _gather(errors, lambda: named(node.config.env.secrets, os.environ))  # the command is run by who needs it
    answers = ask(
        node, names, lambda host: of_host.findings(job, host.name, _look(host, job, script, absent)), registry
    )
    found = {name: _even_of_a_fault(job, name, answer) for name, answer in answers.items()}
    return Diagnosis(here.findings(node.config, _here(errors, script, tables)), found)


def _gather(errors: list[DeployError], do: Callable[[], object]) -> None:
    """Do what a deploy does, and keep the error that it would end with."""
    try:
        do()
    except DeployError as error:
        errors.append(error)


def _look(host: Host, job: Job, script: str | None, absent: frozenset[str]) -> Look:
    """What the host says; where it cannot be asked, what was heard before that was known."""
    try:
        answer = host.doctor(needs.request(job))
    except DeployError as error:
        host.explain(error)
        return Look(None, error, host.refused, host.printed)
    return Look(answer, None, host.refused, host.printed, answer["clock"] - time.time(), script, absent)


def _even_of_a_fault(job: Job, name: str, answer: Findings | DeployError) -> Findings:
    """The findings of a host; of one whose answer cannot be worked with, that."""
    return of_host.findings(job, name, Look(error=answer)) if isinstance(answer, DeployError) else answer


def _here(errors: Sequence[DeployError], script: str | None, tables: Sequence[int | None]) -> Here:
    from ..registry.schema import VERSION

    return Here(errors, script, next(iter(tables), None), VERSION)


def _tables(node: ControlNode, hosts: Sequence[Host]) -> int | None:
    with node.registry(hosts, write=False) as registry:
        return registry.tables()


def _in_the_commit(node: ControlNode, errors: list[DeployError]) -> tuple[str | None, frozenset[str]]:
    """The mode of the health script in the commit HEAD, and which paths of the recipe that commit has not.

    A repository that is not here is no error where the hosts fetch from a URL.
    """
    path, frontend = needs.script(node.config)[0], node.config.build.frontend
    try:
        source = node.source()
        head = source.resolve("HEAD").sha
        absent = {frontend.path} if frontend and not source.mode(head, frontend.path) else set()
        return source.mode(head, path) if path else None, frozenset(absent)
    except DeployError as error:
        errors += [] if node.config.repo_url else [error]
        return None, frozenset()
