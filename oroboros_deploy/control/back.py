"""A rollback to a release that nobody named: it is chosen by what the hosts have, and shown before it is gone to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..errors import Busy, InvalidInput
from ..source import Commit
from ..text import moment, short
from . import plan, way_back
from .attempt import Work
from .informed import Informed
from .way_back import WayBack

if TYPE_CHECKING:
    from ..host.contract import Facts
    from .node import ControlNode

Agree = Callable[[WayBack], object]


class Back(Informed):
    """An attempt that asks the hosts what they have; ``agree`` raises when somebody does not want what was chosen."""

    def __init__(self, node: ControlNode, names: Sequence[str], agree: Agree) -> None:
        super().__init__(node, "rollback", Commit("", "", ""), names)
        self._agree = agree

    def _look(self) -> None:
        self._learn({**plan.facts_request(self.job), "sha": None, "served": True}, self._check)
        self._call_it(self._chosen())
        for work in self.works:
            work.job = self.job
        for work in self.works:
            self._warn(work)
        self._agree(WayBack(self.job.sha, self.commit.subject, {work.host.name: work.live for work in self.works}))
        self.started = datetime.now(UTC)  # nobody wants to know how long the answer took

    def _warn(self, work: Work) -> None:
        """Tell of a release that somebody went back from: there was a reason for that."""
        found = (each for each in work.facts["releases"] if each["id"] == self.job.sha) if work.facts else ()
        undone = next((each["undone"] for each in found if each.get("undone")), None)
        if undone:
            typed = self.config.typed(",".join(each.host.name for each in self.works), "rollback --release=ID")
            before = f"an earlier rollback replaced it here at {moment(undone)} UTC"
            what = f"this rollback goes to {short(self.job.sha)}, although {before}"
            work.host.tell("warning", f"{what}; {typed}  goes to another release", level="warning")

    def _check(self, work: Work, facts: Facts) -> None:
        plan.check(work.job, facts, work.host.name)

    def _chosen(self) -> str:
        asks = self.config.healthcheck.asks
        places = {work.host.name: way_back.place_of(work.facts, asks=asks) for work in self.works if work.facts}
        found = way_back.choose([*places.values()])
        if found is None:
            raise self._nowhere(places)
        return found

    def _nowhere(self, places: dict[str, way_back.Place]) -> InvalidInput:
        lines = "".join(f"\n  {way_back.listed(host, place)}" for host, place in places.items())
        what = (
            "there is no release to go back to: a release must have passed its gate on all of these hosts,"
            " and have been live on one of them before the present release"
        )
        hint = f"deploy a commit, or name a release: {self.config.typed(','.join(places), 'rollback --release=ID')}"
        return InvalidInput(f"nothing was changed: {what}{lines}", hint=hint)

    def _connect(self) -> None:
        """The connections stand."""

    def _meet(self) -> None:
        request = plan.facts_request(self.job)
        self._on_each(facts=lambda work: self._decide(work, work.host.facts(request)))

    def _decide(self, work: Work, facts: Facts) -> None:
        """Decide by what was shown: where another release is live by now, nobody agreed to leave that."""
        if work.live != facts["live"] and not plan.unfinished(facts["last"]):
            news = f"{facts['live']} went live here meanwhile" if facts["live"] else "no release is live here by now"
            everybody = ",".join(each.host.name for each in self.works)
            hint = f"{self.config.typed(everybody, 'rollback')}  chooses anew"
            raise Busy(f"nothing was changed: {news}", hint=hint, host=work.host.name)
        super()._decide(work, facts)
