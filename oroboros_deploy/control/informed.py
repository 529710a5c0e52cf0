"""Attempts whose release the hosts alone know, so that they are asked before the registry hears of the attempt."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import DeployError
from . import resolving
from .attempt import Attempt, Work, connect

if TYPE_CHECKING:
    from ..host.contract import Facts, FactsRequest
    from ..registry import Registry


class Informed(Attempt):
    """Asks its hosts first; what they refuse, and what cannot be chosen, leaves no trace.

    The registry is opened before that: nobody is asked to agree to what it would then refuse.
    """

    def _open_registry(self, stack: ExitStack) -> Registry:
        registry = self._reach_registry(stack)
        try:
            self._look()
        except DeployError as error:
            self.error = error
            self._end_the_rest()
            error.outcome = self._outcome()
            raise
        self._begin(registry)
        return registry

    def _look(self) -> None:
        """Ask the hosts, and say which release is meant."""
        raise NotImplementedError

    def _learn(self, request: FactsRequest, check: Callable[[Work, Facts], object] = lambda _, __: None) -> None:
        """Connect to all hosts and read their facts; each is checked as it comes."""

        def read(work: Work) -> None:
            work.facts = work.host.facts(request)
            check(work, work.facts)

        self._on_each(connect=connect, facts=read)

    def _call_it(self, sha: str) -> None:
        """Call the attempt by a release."""
        self.commit = resolving.described_commit(self.node, sha)
        self.job = replace(self.job, sha=sha)
