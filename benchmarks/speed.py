"""How fast it is: beside a plain ssh script, on many hosts, when it starts, when a build talks.

    python benchmarks/speed.py [SECTION]... [--without SECTION]... [--repeats N] [--resume] [--write docs/speed.md]

Needs root on Debian 12 (it boots real hosts at the end of a line that delays frames) and half an hour. Writes a table
and a plot into build/benchmarks, with --write also into the document. With --resume it measures what was not measured
yet of this source with as many runs: a run that was ended goes on behind its last whole step. --without thirty leaves
that section out, and the report says so; of a section that fails it says why, and goes on. Exits 1, naming them, when
bounds are missed or sections were not measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from compileall import compile_dir
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

from disposable_host import missing as missing_for_hosts

from benchmarks import core, delay, fleet, jobs, output, shipped, start, whole
from benchmarks.bench import Job
from benchmarks.bounds import BOUNDS
from benchmarks.kept import Kept, Step, state
from benchmarks.plot import plot
from benchmarks.section import Section, missed, unmeasured, verdicts
from benchmarks.subjects import CHECKOUT
from tests.support.sshd import BINARY as SSHD

SECTIONS = ("switch", "deploy", "fleet", "start", "output", "fetched", "shipped", "whole", "thirty")
_OF_TESTS = {"everything.counted"}  # held by tests/machines/test_round_trips.py alone
MARK = "<!-- all below is written by benchmarks/speed.py --write -->\n"


def main() -> int:
    """0 when every bound is kept."""
    options = _options()
    if lacks := [*missing_for_hosts(), *delay.missing(), *_missing_sshd()]:
        print(f"nothing was measured: this machine lacks {', '.join(dict.fromkeys(lacks))}", file=sys.stderr)
        return 2
    compile_dir(CHECKOUT / "oroboros_deploy", quiet=1)  # as an installer does: the first runs are not to do it
    place = CHECKOUT / "build/benchmarks"
    kept = Kept(place / "steps", state(), options.repeats)
    names = [name for name in options.sections or SECTIONS if name not in options.without]
    steps = measure(names, options.repeats, kept, resume=options.resume)
    sections = [section for step in steps.values() for section in step.sections]
    sections += [unmeasured(name.capitalize(), "it was left out (`--without`)") for name in options.without]
    drawn = "".join(step.drawn for step in steps.values())
    picture = "![wall time by RTT](speed.svg)" if drawn else ""
    report = f"{conditions(options.repeats, steps)}\n{picture}\n\n{tables(sections)}"
    place.mkdir(parents=True, exist_ok=True)
    write(place / "speed.md", report, drawn)
    if options.write:
        above = options.write.read_text().partition(MARK)[0] if options.write.exists() else ""
        write(options.write, above + MARK + "\n" + report, drawn)
    beyond = missed(values_of(sections))
    lacking = [section for section in sections if not section.measured]
    told = [f"missed: {BOUNDS[name].what}" for name in beyond]
    told += [f"{each.title}: {each.text.strip()}" for each in lacking]
    print("".join(f"{line}\n" for line in told), file=sys.stderr, end="")
    return int(bool(beyond or lacking))


def measure(names: Sequence[str], repeats: int, kept: Kept, *, resume: bool) -> dict[str, Step]:
    """The steps that make these sections, each printed when it is there, and kept."""
    chosen: list[Job] = [job for job in ("switch", "deploy") if job in names]
    works: dict[str, Callable[[], tuple[list[Section], str]]] = {
        "-".join(chosen): lambda: _jobs(chosen, repeats),
        "fleet": lambda: ([fleet.hosts(repeats), fleet.endpoints()], ""),
        "start": lambda: ([start.section()], ""),
        "output": lambda: ([output.section(max(1, repeats // 2))], ""),
        "fetched": lambda: ([shipped.fetched(repeats)], ""),
        "shipped": lambda: ([shipped.gates(repeats)], ""),
        "whole": lambda: ([whole.section(repeats)], ""),
        "thirty": lambda: ([fleet.thirty(repeats)], ""),
    }
    steps: dict[str, Step] = {}
    for name, work in works.items():
        if name in names or (chosen and name == "-".join(chosen)):
            found = kept.take(name) if resume else None
            steps[name] = found or _measured(name, work, kept)
            _print(name, steps[name], again=found is not None)
    return steps


def _jobs(chosen: Sequence[Job], repeats: int) -> tuple[list[Section], str]:
    sections, measured = jobs.sections(chosen, repeats)
    return sections, plot({title: [each.line for each in pair] for title, pair in measured.items()})


def _measured(name: str, work: Callable[[], tuple[list[Section], str]], kept: Kept) -> Step:
    """A step, measured and kept; with how fast a core was beside each of its tables. One that fails costs no other."""
    began = time.monotonic()
    try:
        sections, drawn = work()
    except Exception as error:
        traceback.print_exc()
        first = next(iter(str(error).splitlines()), "")
        sections, drawn = [unmeasured(name.capitalize(), f"it failed: {type(error).__name__}: {first}")], ""
    told = [_beside_a_core(section) for section in sections]
    step = Step(told, time.monotonic() - began, drawn)
    if all(section.measured for section in sections):
        kept.put(name, step)
    return step


def _beside_a_core(section: Section) -> Section:
    return replace(section, text=f"{section.text}\n{core.told()}") if section.measured else section


def _print(name: str, step: Step, *, again: bool) -> None:
    for section in step.sections:
        print(f"## {section.title}\n\n{section.text}\n{verdicts(section.values)}", flush=True)
    print(f"{name}: {'measured before, in' if again else 'took'} {step.seconds:.0f} s\n", flush=True)


def tables(sections: Sequence[Section]) -> str:
    """All sections, and the bounds."""
    told = "".join(f"## {section.title}\n\n{section.text}\n" for section in sections)
    values = values_of(sections)
    return f"## Bounds\n\n{verdicts(values)}\n{_without(values)}{told}".rstrip() + "\n"


def _without(values: Mapping[str, float]) -> str:
    """The bounds that nothing was held against, one a line."""
    lacking = "".join(f"- {bound.what}\n" for name, bound in BOUNDS.items() if name not in {*values, *_OF_TESTS})
    return f"Not measured:\n\n{lacking}\n" if lacking else ""


def conditions(repeats: int, steps: Mapping[str, Step]) -> str:
    """When, where and how it was measured, and how long each step took."""
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True).stderr.split(",")[0]
    packages = ", ".join(f"{name} {version(name)}" for name in ("fabric", "paramiko", "SQLAlchemy"))
    command = " ".join(["python benchmarks/speed.py", *sys.argv[1:]])
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"Measured {datetime.now(UTC):%-d %B %Y} with `{command}` ({repeats} runs of each, "
        f"taken in turn) on {os.cpu_count()} cores and {memory:.0f} GB, which the hosts share: "
        f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}, {ssh}, {packages}. "
        "Times are medians (smallest–largest) in seconds. "
        f"The steps took {', '.join(f'{name} {step.seconds:.0f} s' for name, step in steps.items())}.\n"
    )


def values_of(sections: Iterable[Section]) -> dict[str, float]:
    return {name: value for section in sections for name, value in section.values.items()}


def write(path: Path, report: str, drawn: str) -> None:
    """The report, and the plot beside it."""
    path.write_text(report)
    if drawn:
        path.with_suffix(".svg").write_text(drawn)


def _missing_sshd() -> list[str]:
    return [] if os.access(SSHD, os.X_OK) else [f"{SSHD} (apt-get install openssh-server)"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "sections", nargs="*", choices=[*SECTIONS, []], metavar="section", help=f"{', '.join(SECTIONS)} (default: all)"
    )
    parser.add_argument("--without", action="append", default=[], choices=SECTIONS, help="leave this section out")
    parser.add_argument("--repeats", type=int, default=7, help="runs of each (default 7)")
    parser.add_argument("--resume", action="store_true", help="measure only what was not measured yet")
    parser.add_argument("--write", type=Path, help="document to write the report into, below its own text")
    options = parser.parse_args()
    if options.write and options.sections:
        parser.error("a document gets all sections: leave their names away")
    return options


if __name__ == "__main__":
    sys.exit(main())
