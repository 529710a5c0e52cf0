"""One command on one or more hosts over the delay line: what it costs, and proof that it did what was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from disposable_host import DisposableHost, ensure_image

from benchmarks.delay import DelayLine
from benchmarks.lab import Lab, Seen
from benchmarks.node import ControlNode, Cost
from benchmarks.subjects import Ours, Script, Subject, environ

Job = Literal["switch", "deploy"]


@dataclass(frozen=True)
class Run:
    """What one command cost, and what was seen of it on the line and by sshd (of the first host)."""

    cost: Cost
    round_trips: float
    seen: Seen


class Bench:
    """A control node, a delay line and hosts, with two releases of each subject on them."""

    def __init__(self, directory: Path, hosts: Sequence[DisposableHost], node: ControlNode, line: DelayLine) -> None:
        self.node = node
        self.line = line
        self.lab = Lab(directory, hosts, line.address, [Ours.root, Script.root])
        self.ours = Ours(self.lab)
        self.script = Script(self.lab)
        self.releases: dict[str, list[str]] = {Ours.root: [], Script.root: []}
        self.commits = 0
        for subject in (self.ours, self.script):
            for _ in range(2):
                self.run(subject, "deploy", 0)

    def run(self, subject: Subject, job: Job, rtt: float) -> Run:
        """One command, with everything in place before and checked afterwards.

        Raises CommandFailed or NotServing: such a run is no figure.
        """
        sha, argv = self._command(subject, job)
        host = self.lab.hosts[0]
        processes, seen = self.lab.processes(subject.root), self.lab.seen(host)
        self.line.set_rtt(rtt)
        self.line.reset()
        cost = self.node.run(argv, self.lab.repository.path)
        round_trips = self.line.round_trips()
        self.lab.check(subject.root, sha, processes)
        return Run(cost, round_trips, self.lab.seen(host).since(seen))

    def further(self, rtt: float, calls: int = 10) -> tuple[list[float], float]:
        """Seconds of calls one after another on a connection that is open, and the round trips of one of them."""
        trips, seconds = [], []
        for count in (1, 1 + calls):
            self.line.set_rtt(rtt)
            self.line.reset()
            self.node.run(self.ours.further(count), self.lab.repository.path)
            trips.append(self.line.round_trips())
            seconds = json.loads(self.node.said.read_text())
        return seconds[1:], (trips[1] - trips[0]) / calls

    def _command(self, subject: Subject, job: Job) -> tuple[str, list[str]]:
        releases = self.releases[subject.root]
        if job == "deploy":
            self.commits += 1
            releases.append(self.lab.commit(f"commit {self.commits}"))
            return releases[-1], subject.deploy(self.lab.names, releases[-1])
        releases[-2:] = reversed(releases[-2:])
        return releases[-1], subject.switch(self.lab.names, releases[-1])


@contextmanager
def bench(hosts: int = 1) -> Iterator[Bench]:
    """Boot it all, and leave nothing behind."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        image = ensure_image()
        booted = [stack.enter_context(DisposableHost(f"web{number + 1}", image)) for number in range(hosts)]
        node = stack.enter_context(ControlNode(directory, environ(directory)))
        line = stack.enter_context(DelayLine(node))
        yield Bench(directory, booted, node, line)
