"""What people have who set nothing: the gate as it is shipped, and a host that fetches from a `repo_url` itself."""

from __future__ import annotations

from benchmarks.bench import Bench, Job, bench
from benchmarks.measure import Spread, in_turn
from benchmarks.section import Section, table
from benchmarks.subjects import Fetching, Ours, Subject

RTTS = (0, 50)  # milliseconds


def gates(repeats: int) -> Section:
    """A switch and a deploy with the gate's own interval and window; the script looks once and has no window."""
    with bench() as on:
        subjects: dict[str, Subject] = {"oroboros_deploy": Ours(on.lab, variant="shipped"), "ssh script": on.script}
        rows = _switches(on, subjects, repeats, "switch") + _switches(on, subjects, repeats, "deploy")
    text = table(["", "", *(f"RTT {rtt} ms" for rtt in RTTS)], rows)
    return Section("The gate as it is shipped (interval 1 s, window 2 s)", text)


def fetched(repeats: int) -> Section:
    """A deploy without a build whose commit the host fetches; the script fetches it from the same place."""
    with bench() as on:
        subjects: dict[str, Subject] = {
            "oroboros_deploy, repo_url": Fetching(on.lab, Ours(on.lab, variant="fetched")),
            "ssh script that fetches": Fetching(on.lab, on.script),
        }
        on.script.fetches = True
        rows = _switches(on, subjects, repeats, "deploy")
    text = table(["", "", *(f"RTT {rtt} ms" for rtt in RTTS)], rows)
    return Section("Deploy without a build, fetched from a repo_url", text)


def _switches(on: Bench, subjects: dict[str, Subject], repeats: int, job: Job) -> list[list[str]]:
    """A row for each subject: its wall time for each round trip, and how many times the last one's that is."""
    what = [(name, rtt) for rtt in RTTS for name in subjects]
    runs = in_turn(what, repeats, lambda each: on.run(subjects[each[0]], job, each[1]))
    wall = {each: Spread.of([run.cost.seconds for run in found]) for each, found in runs.items()}
    *_, script = subjects

    def cell(name: str, rtt: int) -> str:
        return f"{wall[name, rtt]} ×{wall[name, rtt].median / wall[script, rtt].median:.2f}"

    return [[name, job, *(cell(name, rtt) for rtt in RTTS)] for name in subjects]
