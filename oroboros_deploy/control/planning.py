"""A plan of a deploy: everything that a deploy asks before it begins, and nothing that changes a host."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from ..errors import DeployError, InvalidInput
from ..host import env_file
from ..records.plan import NAMED, DeployPlan, HostPlan, Removed, expected, expected_of_all
from ..version import __version__
from . import looking, plan
from . import secrets as secrets_of
from .asking import ask
from .plan import Job, Plan

if TYPE_CHECKING:
    from ..host.contract import Changes, Facts, Sources
    from ..registry import Registry
    from ..remote.host import Host
    from ..source import Commit
    from .node import ControlNode

_DEPLOYS = 20  # of a host, that are looked at for how long one takes


class Planning:
    """What a deploy of a commit would do, asked of the hosts and of the repository.

    ``configuration`` are the values that the hosts do not find in the release (None: there are none).
    """

    def __init__(self, node: ControlNode, commit: Commit, configuration: Sources | None = None) -> None:
        self.node, self.commit, self.configuration = node, commit, configuration
        self.job = Job(secrets.token_hex(4), "deploy", commit.sha, node.actor, node.config, __version__)
        self._unpushed = cache(self._is_unpushed)  # each is a process
        self._counts, self._units = cache(self._count), cache(self._unit_files)
        self._removes = cache(self._removed)

    def run(self, names: Sequence[str]) -> DeployPlan:
        """Ask all hosts, keep the plan in the registry, and return it."""
        request = plan.facts_request(self.job)
        request["space"] = True
        found = ask(self.node, names, lambda host: self.look(host, host.facts(request)))
        hosts = [_told(name, answer) for name, answer in found.items()]
        with self.node.registry() as registry:
            made = self.of([self._timed(registry, host) for host in hosts], dirty=self.dirty())
            registry.keep_plan(made)
        return made

    def of(self, hosts: Sequence[HostPlan], *, dirty: Sequence[str] = ()) -> DeployPlan:
        """The plan of all hosts."""
        config = self.node.config
        return DeployPlan(
            id=self.job.attempt,
            application=self.node.application,
            root=config.root,
            environment=config.environment,
            sha=self.commit.sha,
            subject=self.commit.subject,
            actor=self.node.actor,
            made_at=datetime.now(UTC).isoformat(),
            recipe=plan.recipe_digest(config),
            settings=looking.settings(self.job),
            services=config.services,
            migrate=plan.migration(config),
            unpushed=self._unpushed(),
            dirty=tuple(dirty),
            hosts=tuple(hosts),
            seconds=expected_of_all(hosts, config.parallel),
        )

    def look(self, host: Host, facts: Facts) -> HostPlan:
        """The plan for one host; what would be refused is told in it."""
        try:
            return self.accepted(host, facts)
        except DeployError as error:
            host.explain(error)
            return looking.refused(self.known(host.name, facts, None), error, int(error.exit_code))

    def accepted(self, host: Host, facts: Facts) -> HostPlan:
        """The plan for one host.  Raises the DeployError that a deploy would be refused with."""
        return self._configured(host, facts, plan.decide(self.job, facts, host.name))

    def brief(self, found: Sequence[tuple[str, Facts, Plan]]) -> DeployPlan:
        """The plan that the facts of hosts tell, where nobody is asked anything more."""
        hosts = [self._of_host(host, facts, planned, None) for host, facts, planned in found]
        return self.of(hosts, dirty=self.dirty(self.commit.sha))

    def known(self, host: str, facts: Facts, planned: Plan | None) -> HostPlan:
        """The plan for one host as far as its facts tell."""
        return self._of_host(host, facts, planned, self._units(facts["live"]))

    def _of_host(self, host: str, facts: Facts, planned: Plan | None, units: Changes | None) -> HostPlan:
        live = facts["live"]
        found = looking.host_plan(self.job, host, facts, planned, self._counts(live), units)
        return replace(found, removes=self._removes(live)) if live and found.behind else found

    def _configured(self, host: Host, facts: Facts, planned: Plan) -> HostPlan:
        """The same with what the host says of the configuration, which may call for more."""
        sources = self.configuration
        if sources is None:
            return self.known(host.name, facts, planned)
        file = self._file(sources) if planned.build else None
        request = looking.question(self.job, facts, sources, file, complete=not planned.build)
        if request is None:
            return looking.configured_first(self.known(host.name, facts, planned), sources, file)
        host.hide(secrets_of.mask(sources))
        answer = host.configure(request)
        if not planned.build:
            planned = plan.with_configuration(self.job, facts, host.name, planned, answer)
        return looking.configured(self.known(host.name, facts, planned), answer)

    def _file(self, sources: Sources) -> dict[str, str]:
        """The variables of the commit's file; none where there is none or the host will refuse it."""
        path = sources["file"]
        with suppress(InvalidInput, ValueError):
            text = self.node.source().file(self.job.sha, path) if path else ""
            return env_file.parse(text)
        return {}

    def _count(self, live: str | None) -> tuple[int, int] | None:
        """The commits that only the live and only the wanted release have, as far as this repository knows."""
        if live is None or live == self.job.sha:
            return None
        with suppress(InvalidInput):
            return self.node.source().apart(live, self.job.sha)
        return None

    def _removed(self, live: str) -> tuple[Removed, ...]:
        """The newest commits that only the live release has."""
        with suppress(InvalidInput):
            found = self.node.source().log(self.job.sha, live, NAMED)
            return tuple(Removed(each.sha, each.subject) for each in found)
        return ()

    def _unit_files(self, live: str | None) -> Changes | None:
        """The files of units in which the commits differ, as far as this repository knows."""
        directory = self.node.config.units
        with suppress(InvalidInput):
            return self.node.source().differing(live, self.job.sha, directory) if directory else None
        return None

    def _is_unpushed(self) -> bool:
        with suppress(InvalidInput):
            return self.node.source().is_unpushed(self.job.sha)
        return False

    def dirty(self, sha: str | None = None) -> list[str]:
        """The files of the work tree that are not committed; with a ``sha``, none where another one is checked out."""
        with suppress(InvalidInput):
            return self.node.source().dirty(sha)
        return []

    def _timed(self, registry: Registry, host: HostPlan) -> HostPlan:
        """The plan with what the host's deploys of this application took."""
        reader, own = registry.reader, self.node.application
        found = reader.attempts(_DEPLOYS, host=host.host, kind="deploy", state="live", application=own).items
        return replace(host, seconds=expected(found, host))


def _told(name: str, answer: HostPlan | DeployError) -> HostPlan:
    if isinstance(answer, HostPlan):
        return answer
    return looking.refused(HostPlan(name), answer, int(getattr(answer, "code", answer.exit_code)))
