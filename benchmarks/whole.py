"""Whole deploys through `fab` of an application with thousands of files in node_modules, of which little changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from benchmarks.bench import Bench, bench
from benchmarks.measure import Spread
from benchmarks.section import Section, table
from benchmarks.subjects import BUILD, FILES, Ours, Subject

WINDOW = 2.0  # seconds for which the gate as it is shipped watches a new release
MAKE = """\
import pathlib, sys
for number in range(int(sys.argv[1])):
    path = pathlib.Path("node_modules", f"package-{number // 20}", "lib", f"module-{number % 20}.js")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"module.exports = {number};\\n" * (number % 200 + 1))
pathlib.Path("dist").mkdir(exist_ok=True)
pathlib.Path("dist", "index.html").write_text("page")
"""
CHANGES = {"one part changed": "frontend__source", "only a document changed": "README.md"}


@dataclass(frozen=True)
class Deploy:
    """Seconds of the command, of the parts that were built anew, and from the first part's begin to the last's end."""

    seconds: float
    parts: float
    building: float


def section(repeats: int) -> Section:
    """Ours beside the script, which builds everything each time."""
    with bench() as on:
        ours = Ours(on.lab, variant="whole")
        on.script.build = BUILD
        first = {"frontend__make.py": MAKE, "frontend__source": "0", "README.md": "0"}
        for subject in (ours, on.script):
            _deploy(on, subject, "the large application", first)
            first = {"README.md": "1"}
        runs: dict[str, list[Deploy]] = {name: [] for name in (*CHANGES, "script")}
        for number in range(2, 2 + repeats):
            for name, path in CHANGES.items():
                runs[name].append(_deploy(on, ours, name, {path: f"{name} {number}"}))
            runs["script"].append(_deploy(on, on.script, "script", {"frontend__source": f"script {number}"}))
    return tell(runs)


def tell(runs: dict[str, list[Deploy]]) -> Section:
    """What the runs of each kind come to."""
    part, document = (runs[name] for name in CHANGES)
    script = median(each.seconds for each in runs["script"])
    besides = median(each.seconds - each.parts - WINDOW for each in part)
    values = {
        "whole.part": max(0.0, besides) / script,
        "whole.document": median(each.building for each in document),
    }
    head = [
        "",
        "wall s",
        "parts built anew s",
        "build without source and seal s",
        "all without the parts and the gate's window s",
    ]
    text = table(head, [_row(name, found) for name, found in runs.items()])
    return Section(f"A whole deploy with {FILES} files of node_modules, gate as shipped", text, values)


def _row(name: str, runs: list[Deploy]) -> list[str]:
    columns = ([getattr(each, column) for each in runs] for column in ("seconds", "parts", "building"))
    beside = Spread.of([each.seconds - each.parts - WINDOW for each in runs])
    return [name, *(str(Spread.of(column)) for column in columns), str(beside) if name in CHANGES else ""]


def _deploy(on: Bench, subject: Subject, text: str, files: dict[str, str]) -> Deploy:
    """One commit with these files changed, deployed and checked."""
    sha = on.lab.repository.commit(text, **files)
    processes = on.lab.processes(subject.root)
    on.line.set_rtt(0)
    cost = on.node.run(subject.deploy(on.lab.names, sha), on.lab.repository.path)
    on.lab.check(subject.root, sha, processes)
    parts = [*_parts(on.node.said.read_text())]
    building = max((end for _, end, _ in parts), default=0.0) - min((begin for begin, *_ in parts), default=0.0)
    return Deploy(cost.seconds, sum(end - begin for begin, end, cached in parts if not cached), building)


def _parts(said: str) -> Iterator[tuple[float, float, bool]]:
    """When each part of the build began and ended, and whether it was taken from an earlier build."""
    for line in said.splitlines():
        told = _told(line)
        if told.get("event") == "part.finished":
            ended = datetime.fromisoformat(told["timestamp_utc"]).timestamp()
            yield ended - told["seconds"], ended, told["cached"]


def _told(line: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line) if line.startswith("{") else {}
    return found
