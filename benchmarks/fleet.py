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
from benchmarks.section import Section, table, unmeasured
from benchmarks.subjects import FAB, FABFILE, Ours, Subject, environ
from tests.support.sshd import Sshd

HOSTS, MANY, RTTS = 8, 30, (50, 100)  # milliseconds
INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")  # of all that the kernel runs for root
_EACH = 10  # of them that a host takes
COUNTS = (1, 10, 25, 50, 100)
AS_SHIPPED = "MaxStartups 10:30:100"

_Answered = tuple[float, float, float, int]  # wall and processor seconds, MB, how many did not answer


def hosts(repeats: int, count: int = HOSTS, name: str = "fleet") -> Section:
    """A switch on so many hosts; the values have this name."""
    with bench(count) as on:
        subjects: dict[str, Subject] = {
            f"oroboros_deploy --parallel={count}": Ours(on.lab, parallel=count),
            f"{count} ssh scripts side by side": on.script,
        }
        if count == HOSTS:  # on thirty that takes minutes, and tells nothing new
            subjects["oroboros_deploy, one after another"] = on.ours
        what = [(each, rtt) for rtt in RTTS for each in subjects]
        runs = in_turn(what, repeats, lambda each: on.run(subjects[each[0]], "switch", each[1]))
    wall = {each: Spread.of([run.cost.seconds for run in found]) for each, found in runs.items()}
    ours, scripts, *_ = subjects
    ratio = {(each, rtt): wall[each, rtt].median / wall[scripts, rtt].median for each, rtt in what}
    costs = {each: [run.cost for rtt in RTTS for run in runs[each, rtt]] for each in subjects}
    memory = {each: max(cost.memory for cost in found) for each, found in costs.items()}
    rows = [
        [
            each,
            *(f"{wall[each, rtt]} ×{ratio[each, rtt]:.2f}" for rtt in RTTS),
            str(Spread.of([cost.cpu for cost in found])),
            f"{memory[each]:.0f}",
        ]
        for each, found in costs.items()
    ]
    values = {f"{name}.wall.{rtt}": ratio[ours, rtt] for rtt in RTTS} | {f"{name}.memory.{count}": memory[ours]}
    head = ["", *(f"RTT {rtt} ms" for rtt in RTTS), "CPU s", "MB"]
    return Section(f"Switch on {count} hosts", table(head, rows), values)


def thirty(repeats: int) -> Section:
    """A switch on thirty hosts; the kernel is told to let so many boot, and afterwards what it was told before."""
    before, wanted = int(INSTANCES.read_text()), MANY * _EACH
    try:
        _allow(max(before, wanted))
    except OSError as error:
        why = f"fs.inotify.max_user_instances is {before}, {MANY} systemds want {wanted}, and setting it fails"
        how = f"`sysctl -w fs.inotify.max_user_instances={wanted}` where this machine's kernel is set"
        return unmeasured(f"Switch on {MANY} hosts", f"{why}: {error.strerror} ({how}, then again)")
    try:
        return hosts(repeats, MANY, "thirty")
    finally:
        _allow(before)


def _allow(instances: int) -> None:
    """Let the kernel run so many inotify instances for a user, as `sysctl -w fs.inotify.max_user_instances=N` does."""
    if instances != int(INSTANCES.read_text()):
        INSTANCES.write_text(f"{instances}\n")


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
