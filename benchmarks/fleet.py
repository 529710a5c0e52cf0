"""Many hosts: eight real ones beside eight ssh scripts, a hundred endpoints at once, and the memory they take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.bench import bench
from benchmarks.measure import Spread, in_turn
from benchmarks.node import ControlNode
from benchmarks.section import Section, table
from benchmarks.subjects import FAB, FABFILE, Subject, environ
from tests.sshd import Sshd

HOSTS, RTT = 8, 50
COUNTS = (1, 10, 25, 50, 100)
AS_SHIPPED = "MaxStartups 10:30:100"

_Answered = tuple[float, float, float, int]  # wall and processor seconds, MB, how many did not answer


def hosts(repeats: int) -> Section:
    """A switch on eight hosts."""
    with bench(HOSTS) as on:
        subjects: list[Subject] = [on.ours, on.script]
        runs = in_turn(subjects, repeats, lambda subject: on.run(subject, "switch", RTT))
    wall = [Spread.of([run.cost.seconds for run in runs[subject]]) for subject in subjects]
    cpu = [Spread.of([run.cost.cpu for run in runs[subject]]) for subject in subjects]
    memory = [max(run.cost.memory for run in runs[subject]) for subject in subjects]
    names = ("oroboros_deploy", f"{HOSTS} ssh scripts side by side")
    rows = [
        [name, f"{seconds} ×{seconds.median / wall[1].median:.2f}", each, f"{most:.0f}"]
        for name, seconds, each, most in zip(names, wall, cpu, memory, strict=True)
    ]
    values = {"fleet.wall": wall[0].median / wall[1].median, "fleet.memory.8": memory[0]}
    return Section(f"Switch on {HOSTS} hosts", table(["", f"RTT {RTT} ms", "CPU s", "MB"], rows), values)


def endpoints() -> Section:
    """Status of up to a hundred sshds at once, and by a hundred names of one."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        node = stack.enter_context(ControlNode(directory, environ(directory), alone=False))
        project = directory / "project"
        project.mkdir()
        (project / "fabfile.py").write_text(FABFILE)
        (project / "fabric.yaml").write_text(f"deploy: {{root: {directory}/srv}}\n")
        names = [f"box{number}" for number in range(max(COUNTS))]
        crowd = [f"crowd{number}" for number in range(max(COUNTS))]
        for name in (*names, "crowd*"):
            place = directory / "sshd" / name.strip("*")
            stack.enter_context(Sshd(place, alias=name, settings=AS_SHIPPED))
        ask = _Ask(node, project)
        ask(names[:1])  # takes the agent there
        taken = {count: ask(names[:count]) for count in COUNTS}
        crowded = ask(crowd)
    rows = [_row(str(count), taken[count]) for count in COUNTS] + [_row(f"{len(crowd)} names of one sshd", crowded)]
    values = {
        "fleet.memory.1": taken[1][2],
        "fleet.memory.100": taken[100][2],
        "fleet.errors": taken[100][3],
        "fleet.crowd": crowded[3],
    }
    text = table(["endpoints", "wall s", "CPU s", "MB", "no answer"], rows)
    return Section("Endpoints at once", text, values)


def _row(name: str, answered: _Answered) -> list[str]:
    seconds, cpu, memory, missing = answered
    return [name, f"{seconds:.2f}", f"{cpu:.2f}", f"{memory:.0f}", str(missing)]


class _Ask:
    """`fab status` of several endpoints."""

    def __init__(self, node: ControlNode, project: Path) -> None:
        self.node = node
        self.project = project
        self.config = project / "ssh_config"
        self.config.write_text(f"Include {project.parent}/sshd/*/ssh_config\n")

    def __call__(self, names: Sequence[str]) -> _Answered:
        argv = [str(FAB), f"--ssh-config={self.config}", "-H", ",".join(names), "status", "--json"]
        cost = self.node.run(argv, self.project)
        answers = json.loads(self.node.said.read_text())
        return cost.seconds, cost.cpu, cost.memory, sum("live" not in answers.get(name, {}) for name in names)
