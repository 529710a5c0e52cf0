"""A push: the configuration of today, with the release that is live on each host."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import DeployError
from ..source import Commit
from . import plan, resolving
from .attempt import Attempt, Work, connect

if TYPE_CHECKING:
    from ..host.contract import Facts, Sources
    from ..registry import Registry
    from .node import ControlNode


class Push(Attempt):
    """An attempt whose release the hosts alone know, so it asks them before the registry hears of it.

    They may serve different ones: each keeps its own, and the attempt is called by that of the first.
    """

    def __init__(self, node: ControlNode, names: Sequence[str], configuration: Sources) -> None:
        super().__init__(node, "env", Commit("", "", ""), names, configuration)

    def _open_registry(self, stack: ExitStack) -> Registry:
        try:
            self._look()
        except DeployError as error:
            self.error = error
            self._end_the_rest()
            error.outcome = self._outcome()
            raise
        return super()._open_registry(stack)

    def _look(self) -> None:
        """Learn what is live on each host; where nothing is, say so."""
        request = plan.facts_request(self.job)
        self._on_each(connect=connect, facts=lambda work: _learn(work, work.host.facts(request)))
        live = next(filter(None, (work.live for work in self.works)), None)
        if live is None:
            self._meet()
        else:
            self._call_it(live)

    def _call_it(self, live: str) -> None:
        self.commit = resolving.described_commit(self.node, live)
        self.job = replace(self.job, sha=live)
        for work in self.works:
            work.job = replace(self.job, sha=work.live or live)
        self._tell("commit", f"{live} is live", level="detail", sha=live, subject=self.commit.subject)

    def _meet(self) -> None:
        """Decide by what was learned, and have every host keep the configuration."""
        self._on_each(facts=self._decide_by_learned)

    def _decide_by_learned(self, work: Work) -> None:
        assert work.facts is not None
        self._decide(work, work.facts)


def _learn(work: Work, facts: Facts) -> None:
    work.facts = facts
