"""A deploy by a plan: it does what was planned, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..errors import DeployError, InvalidInput
from ..records.plan import DeployPlan, changes
from .attempt import Attempt, Work
from .planning import Planning

if TYPE_CHECKING:
    from ..host.contract import Facts, Sources
    from ..outcome import Outcome
    from ..source import Commit
    from .node import ControlNode


class Bound(Attempt):
    """Every host is looked at as it was for the plan; where a fact has changed, nothing is done on any."""

    def __init__(
        self,
        node: ControlNode,
        made: DeployPlan,
        commit: Commit,
        names: Sequence[str],
        configuration: Sources | None = None,
        consent: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(node, "deploy", commit, names, configuration, consent)
        self._made = made
        self._planning = Planning(node, commit, self.configuration)

    def run(self) -> Outcome:
        """The same, unless the plan itself is none that can be done."""
        self._refuse_other_hosts()
        return super().run()

    def _refuse_other_hosts(self) -> None:
        names = [work.host.name for work in self.works]
        planned = [host.host for host in self._made.hosts]
        refused = [f"{host.host} was refused: {host.refusal.message}" for host in self._made.hosts if host.refusal]
        others = (
            [f"the plan was made for {', '.join(planned)}, and this command is for {', '.join(names)}"]
            if {*planned} != {*names}
            else []
        )
        if found := [*refused, *others]:
            raise changed(self._made, found, self._again(",".join(names)))

    def _again(self, hosts: str) -> str:
        return self.config.typed(hosts, f"plan --sha={self.job.sha}{self.config.of_deploy}")

    def _decide(self, work: Work, facts: Facts) -> None:
        work.facts = facts
        found = self._planning.accepted(work.host, facts)  # what was not compared is not done
        self._refuse_changed(self._planning.of([found]), work.host.name)
        super()._decide(work, facts)

    def _refuse_changed(self, now: DeployPlan, host: str) -> None:
        found = changes(self._made, now)
        if found:
            raise changed(self._made, found, self._again(host), host)


def changed(made: DeployPlan, found: Sequence[str], again: str, host: str | None = None) -> DeployError:
    """The refusal of a plan that is out of date."""
    what = "".join(f"\n  - {line}" for line in found)
    message = f"nothing was changed: the plan {made.id} is out of date:{what}"
    return InvalidInput(message, hint=f"make a new one: {again}", host=host)
