"""A switch and a deploy without a build: ours beside the ssh script's, over short and long lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks.bench import Bench, Job, Run, bench
from benchmarks.measure import Spread, in_turn, slope
from benchmarks.section import Section, table
from benchmarks.subjects import Subject

RTTS = (0, 50, 100)  # milliseconds
TITLES = {"switch": "Switch", "deploy": "Deploy without a build"}


@dataclass(frozen=True)
class Measured:
    """All runs of one subject, by round trip time."""

    name: str
    runs: dict[int, list[Run]]

    def seconds(self, rtt: float) -> Spread:
        return Spread.of([run.cost.seconds for run in self.runs[int(rtt)]])

    @property
    def slope(self) -> float:
        """Round trips."""
        return slope(lambda rtt: self.seconds(rtt).median, RTTS)

    @property
    def far(self) -> list[Run]:
        """The runs over the longest line: there nothing overtakes anything by chance."""
        return self.runs[max(RTTS)]

    @property
    def counted(self) -> float:
        return median(run.round_trips for run in self.far)

    @property
    def connections(self) -> int:
        return max(run.seen.connections for run in self.far)

    @property
    def channels(self) -> int:
        return max(run.seen.channels for run in self.far)

    @property
    def line(self) -> tuple[str, dict[int, Spread]]:
        """What a plot shows."""
        return self.name, {rtt: self.seconds(rtt) for rtt in self.runs}

    def row(self, other: Measured) -> list[str]:
        walls = [f"{self.seconds(rtt)} ×{self.seconds(rtt).median / other.seconds(rtt).median:.2f}" for rtt in RTTS]
        costs = [run.cost for runs in self.runs.values() for run in runs]
        trips = [f"{self.slope:.1f}", f"{self.counted:g}", str(self.connections), str(self.channels)]
        cpu, memory = Spread.of([cost.cpu for cost in costs]), max(cost.memory for cost in costs)
        return [self.name, *walls, *trips, str(cpu), f"{memory:.0f}"]


def measure(on: Bench, job: Job, repeats: int) -> tuple[Measured, Measured]:
    """Ours and the script's; every run is followed by one of the other kind or of another length."""
    what: list[tuple[Subject, int]] = [(subject, rtt) for rtt in RTTS for subject in (on.ours, on.script)]
    found = in_turn(what, repeats, lambda each: on.run(each[0], job, each[1]))

    def of(name: str, subject: Subject) -> Measured:
        return Measured(name, {rtt: found[subject, rtt] for rtt in RTTS})

    return of("oroboros_deploy", on.ours), of("ssh script", on.script)


def section(job: Job, measured: tuple[Measured, Measured]) -> Section:
    ours, script = measured
    head = ["", *(f"RTT {rtt} ms" for rtt in RTTS), "slope", "counted", "conn.", "channels", "CPU s", "MB"]
    values = {
        f"{job}.wall.{rtt}": ours.seconds(rtt).median / script.seconds(rtt).median
        for rtt in RTTS
        if rtt or job == "switch"
    }
    values |= {
        f"{job}.slope": ours.slope,
        f"{job}.counted": ours.counted,
        f"{job}.connections": ours.connections,
        f"{job}.channels": ours.channels,
    }
    return Section(TITLES[job], table(head, [each.row(script) for each in measured]), values)


def further(on: Bench, repeats: int) -> Section:
    """Calls on a connection that is open already."""
    found = in_turn((min(RTTS), max(RTTS)), max(1, repeats // 3), partial(on.further))
    seconds = {rtt: Spread.of([each for calls, _ in found[rtt] for each in calls]) for rtt in found}
    counted = median(trips for _, trips in found[max(RTTS)])
    by_slope = slope(lambda rtt: seconds[int(rtt)].median, list(found))
    row = ["facts", *map(str, seconds.values()), f"{by_slope:.1f}", f"{counted:g}"]
    text = table(["", *(f"RTT {rtt} ms" for rtt in found), "slope", "counted"], [row])
    return Section("A further call on the open connection", text, {"further.slope": by_slope})


def sections(jobs: Sequence[Job], repeats: int) -> tuple[list[Section], dict[str, tuple[Measured, Measured]]]:
    """The sections, and what a plot is made of."""
    with bench() as on:
        measured = {job: measure(on, job, repeats) for job in jobs}
        found = [section(job, measured[job]) for job in jobs]
        if "switch" in jobs:
            found.append(further(on, repeats))
    return found, {TITLES[job]: both for job, both in measured.items()}
