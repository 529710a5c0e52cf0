"""A push: the configuration of today, with the release that is live on each host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..source import Commit
from . import plan
from .attempt import Work
from .informed import Informed

if TYPE_CHECKING:
    from ..host.contract import Sources
    from .node import ControlNode


class Push(Informed):
    """The hosts may serve different releases: each keeps its own, and the attempt is called by that of the first."""

    def __init__(self, node: ControlNode, names: Sequence[str], configuration: Sources) -> None:
        super().__init__(node, "env", Commit("", "", ""), names, configuration)

    def _look(self) -> None:
        """Learn what is live on each host; where nothing is, say so."""
        self._learn(plan.facts_request(self.job))
        live = next(filter(None, (work.live for work in self.works)), None)
        if live is None:
            self._meet()
        else:
            self._call_it(live)

    def _call_it(self, live: str) -> None:
        super()._call_it(live)
        for work in self.works:
            work.job = replace(self.job, sha=work.live or live)
        self._tell("commit", f"{live} is live", level="detail", sha=live, subject=self.commit.subject)

    def _meet(self) -> None:
        """Decide by what was learned, and have every host keep the configuration."""
        self._on_each(facts=self._decide_by_learned)

    def _decide_by_learned(self, work: Work) -> None:
        assert work.facts is not None
        self._decide(work, work.facts)
