"""Which commit, release, plan and hosts are meant by what was typed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from socket import gethostname
from typing import TYPE_CHECKING

from ..config import as_written
from ..errors import InvalidInput, UnknownCommit, UnknownRelease
from ..release import parse_release_id

if TYPE_CHECKING:
    from ..config import Config
    from ..events import Level
    from ..records.plan import DeployPlan
    from ..source import Commit
    from .node import ControlNode


def named_hosts(config: Config, hosts: Sequence[str] | None) -> list[str]:
    """The hosts, a text being one host; without any, those of the settings.

    A host name alone is the member of the environment that is written with it, as for ``-H``.
    """
    names = [hosts] if isinstance(hosts, str) else list(hosts or config.hosts)
    groups = config.environments.items()
    members = [host for name, own in groups if config.environment in (None, name) for host in own]
    return list(as_written(names, members))


def required_hosts(config: Config, hosts: Sequence[str] | None) -> list[str]:
    """`named_hosts`, each once.  Raises InvalidInput when there are none."""
    names = list(dict.fromkeys(named_hosts(config, hosts)))
    if not names:
        hint = f"add -H HOST or -H ENVIRONMENT{config.or_environments}"
        raise InvalidInput("nothing was changed: no host was named", hint=hint)
    return names


def planned(node: ControlNode, plan_id: str) -> DeployPlan:
    """The plan that the registry keeps by this id.  Raises InvalidInput when there is none."""
    with node.registry() as registry:
        found = registry.plan(plan_id)
    if found is None:
        name = node.config.environment
        where = f"environment {name}" if name else "the settings without an environment"
        what = f"the registry of {where} has no plan {plan_id!r}; plans are kept for 7 days"
        again = f"fab plan --sha=SHA{node.config.flags}  makes one"
        hint = f"{again}; where the plan is of another environment, add --environment=NAME"
        raise InvalidInput(f"nothing was changed: {what}", hint=hint)
    return found


def serving_hosts(node: ControlNode) -> list[str]:
    """The hosts of which the registry knows what they serve."""
    with node.registry() as registry:
        return list(registry.serving(node.application, control_node=gethostname()))


def known_hosts(node: ControlNode) -> dict[str, str | None]:
    """The hosts that the registry knows, each with the environment it was last deployed to in."""
    with node.registry(write=False) as registry:
        return dict(registry.memory(node.application, control_node=gethostname()).hosts)


def whereabouts(node: ControlNode, release: str | None = None) -> list[str]:
    """Where to go when nobody said: the one environment there is, else that of the release, else its hosts.

    Without a release: all hosts that the registry knows.  An environment's name stands
    for its settings too, so it is to be given to ``load`` like a name after ``-H``.
    """
    environments = node.config.environments
    if len(environments) == 1:
        return list(environments)
    if release is None:
        return serving_hosts(node)
    _, hosts, environment = recorded_release(node, release)
    return [environment] if environment and environment in environments else hosts


def release_id(node: ControlNode, release: str) -> str:
    """The release id: the text itself when it is one, else the one id in the registry that begins with it.

    Raises UnknownRelease when no id, or more than one, begins with it.
    """
    try:
        return parse_release_id(release)
    except InvalidInput:
        with node.registry() as registry:
            return _only(registry.find(release.lower()), release)


def recorded_release(node: ControlNode, release: str) -> tuple[str, list[str], str | None]:
    """The release id that was meant, and the hosts and the environment where it was live.

    Raises UnknownRelease when the registry knows no such host.
    """
    try:
        found = parse_release_id(release)
    except InvalidInput:
        found = ""
    with node.registry() as registry:
        found = found or _only(registry.find(release.lower()), release)
        hosts = registry.hosts_of(found, node.application, control_node=gethostname())
        environment = registry.environment_of(found, node.application)
        other = registry.environment_of(found)
        if not hosts and other in node.config.environments:  # it has a root, or a name, of its own
            hosts, environment = registry.hosts_of(found, control_node=gethostname()), other
    if not hosts:
        raise UnknownRelease(
            f"nothing was changed: the registry knows no host where release {found} was live",
            hint=f"name the hosts: fab -H HOST rollback --release={found}",
        )
    return found, hosts, environment


def commit(node: ControlNode, text: str) -> Commit:
    """The commit that a sha, a prefix of it or a ref names.  Raises UnknownCommit."""
    if node.config.repo_url:
        return _commit_by_url(node, text)
    found = node.source().resolve(text)
    level: Level = "detail" if found.ref is None else "info"
    named = "" if text == found.sha else f"{text} is "
    message = f"{named}{found.sha}: {found.subject}"
    node.tell("commit", message, level=level, sha=found.sha, subject=found.subject)
    return found


def described_commit(node: ControlNode, sha: str) -> Commit:
    """The commit, with its subject and time when this repository has it."""
    from ..source import Commit

    with suppress(InvalidInput):
        found = node.source().resolve(sha)
        if found.sha == sha:  # a release id that is no sha could be the name of a branch
            return found
    return Commit(sha, "", "")


def _commit_by_url(node: ControlNode, text: str) -> Commit:
    """With a repository URL the hosts know what exists; a full sha needs no clone here."""
    try:
        return described_commit(node, parse_release_id(text))
    except InvalidInput:
        try:
            return node.source().resolve(text)
        except InvalidInput as error:
            raise UnknownCommit(error.message, hint="with repo_url and no clone here, give the full sha") from error


def _only(candidates: Sequence[str], text: str) -> str:
    if len(candidates) == 1:
        return candidates[0]
    found = f"fits {len(candidates)} releases: {', '.join(candidates)}" if candidates else "is no recorded release"
    shows = "fab registry.list  shows the releases; one that the registry does not have needs its full id"
    hint = "type more of the id" if candidates else shows
    raise UnknownRelease(f"nothing was changed: {text!r} {found}", hint=hint)
