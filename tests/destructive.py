"""The destructive runner: something is killed at a random moment, and the host has to end well all the same.

    python tests/destructive.py --runs 500 --jobs 2 --write docs/destructive.md
    python tests/destructive.py --seed 20260137 --runs 1        the choices of one run again
    python tests/destructive.py --runs 100 --scope user         services of the login's own, which may not become root
    python tests/destructive.py --seed 20261201 --runs 40 --scope both    what CI runs

Each run is one `fab deploy`, `fab rollback` or `fab env.push` against a real host on a cable of its own, with a
PostgreSQL server as the registry.  It starts from where the one before left the host.  The oracle
(tests/support/oracle.py) asks the host itself.  After a violation the series goes on with a new host; what is needed to
find the cause is printed and kept.  Needs Linux and root.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "examples")]

from disposable_host import missing  # noqa: E402

from tests.support.choice import (  # noqa: E402
    ALL_PHASES,
    BESIDE,
    CONFIGURATIONS,
    MADE,
    OUTSIDERS,
    UNITS,
    VICTIMS,
    choose,
)
from tests.support.postgres import why_not  # noqa: E402
from tests.support.shop import Scope  # noqa: E402
from tests.support.stage import BOUND, Run, Stage, Violation  # noqa: E402


class Series:
    """Many runs on several hosts side by side, each host with every so-many-th seed.

    ``scopes`` are whose service managers run what is deployed; the hosts have them in turn.
    """

    def __init__(
        self,
        seed: int,
        runs: int,
        jobs: int,
        say: Callable[[str], object] = print,
        scopes: Sequence[Scope] = ("system",),
    ) -> None:
        self.seeds = range(seed, seed + runs)
        self.jobs = min(jobs, runs)
        self.say = say
        self.scopes = scopes
        self.runs: list[Run] = []
        self.violated: dict[int, str] = {}  # the seeds of bad runs, and what was wrong
        self.seconds = 0.0
        self.lengths: dict[tuple[str, bool], dict[str, float]] = {}
        self._stop = threading.Event()

    def go(self) -> None:
        """Do all the runs; what was wrong is in ``violated``.  Raises Violation where an undisturbed one fails."""
        began = time.monotonic()
        with ThreadPoolExecutor(self.jobs) as pool:
            jobs = [pool.submit(self._job, number) for number in range(self.jobs)]
            try:
                for job in jobs:
                    job.result()
            finally:
                self._stop.set()
        self.seconds = time.monotonic() - began

    def _job(self, number: int) -> None:
        seeds = iter(self.seeds[number :: self.jobs])
        try:
            while self._runs_on_a_new_host(f"crash{number}", self.scopes[number % len(self.scopes)], seeds):
                pass
        except BaseException:
            self._stop.set()
            raise

    def _runs_on_a_new_host(self, name: str, scope: Scope, seeds: Iterator[int]) -> bool:
        """Do runs up to the first bad one; whether there was one."""
        with tempfile.TemporaryDirectory(prefix="destructive-") as scratch, ExitStack() as stack:
            stage = Stage(name, Path(scratch), stack, scope)
            stage.measure()
            self.lengths = stage.lengths
            for seed in seeds:
                if self._stop.is_set():
                    return False
                try:
                    self._note(stage.run(choose(seed)))
                except Violation as violation:
                    self.violated[seed] = str(violation)
                    self.say(f"seed {seed}: {violation}")
                    return True
        return False

    def _note(self, run: Run) -> None:
        self.runs.append(run)
        self.say(f"{len(self.runs):4}/{len(self.seeds)}  {run.line()}")

    @property
    def verdict(self) -> str:
        """In how many runs an invariant was violated."""
        bad = len(self.violated)
        return f"in {bad} of them an invariant was violated" if bad else "no invariant was violated"

    def report(self) -> str:
        """What was hit and what came of it, in tables."""
        bad = [_table(("seed that is bad", "why"), sorted((seed, _why(said)) for seed, said in self.violated.items()))]
        drawn = (self._outsiders(), self._made(), self._configurations(), self._units(), self._beside())
        tables = (self._hits(), self._ends(), *drawn, self._exits())
        return "\n\n".join((*(bad if self.violated else ()), *tables))

    def _hits(self) -> str:
        """How often each victim was really hit in each phase."""
        hits = Counter((run.hit or "over", run.choice.victim) for run in self.runs)
        rows = [(phase, *(hits[phase, victim] for victim in VICTIMS)) for phase in ALL_PHASES]
        rows = [(*row, sum(row[1:])) for row in rows]
        total = [sum(column) for column in zip(*(row[1:] for row in rows), strict=True)]
        return _table(("phase", *VICTIMS, "all"), [*rows, ("all", *total)])

    def _ends(self) -> str:
        """How the attempts ended, by victim."""
        return self._by("victim", VICTIMS, lambda run: run.choice.victim)

    def _outsiders(self) -> str:
        """The same by what somebody else did."""
        return self._by("somebody", OUTSIDERS, lambda run: run.choice.how)

    def _made(self) -> str:
        """The same by how the release that was asked for came to be; of a rollback the one that was drawn."""
        return self._by("release", MADE, lambda run: run.choice.made)

    def _configurations(self) -> str:
        """The same by the configuration that was asked for; a rollback asks for none."""
        return self._by(
            "configuration",
            CONFIGURATIONS,
            lambda run: "" if run.choice.kind == "rollback" else run.choice.configuration,
        )

    def _units(self) -> str:
        """The same by the units that a deploy brought."""
        return self._by("units", UNITS, lambda run: run.choice.units if run.choice.kind == "deploy" else "")

    def _beside(self) -> str:
        """The same by what came beside them."""
        return self._by("beside", BESIDE, lambda run: run.choice.beside if run.choice.kind == "deploy" else "")

    def _by(self, head: str, names: Sequence[str], of: Callable[[Run], str]) -> str:
        ends = ("committed", "restored", "restore_failed", "unchanged")
        rows = []
        for name in names:
            runs = [run for run in self.runs if of(run) == name]
            longest = f"{max((run.settled for run in runs), default=0):.1f} s"
            told = sum(run.mended for run in runs)
            rows.append((name, *(sum(run.outcome == end for run in runs) for end in ends), told, longest))
        return _table((head, *ends, "change stayed, reported, undone", "at rest after at most"), rows)

    def _exits(self) -> str:
        exits = Counter(run.exit for run in self.runs)
        return _table(("exit code of `fab`", "runs"), [(code, exits[code]) for code in sorted(exits)])


def _why(said: str) -> str:
    """The first line that says what was wrong."""
    return next((line for line in said.splitlines() if line not in ("", "VIOLATION")), "")


def _table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


DOCUMENT = """\
# The destructive series{title}

At a random moment of a deploy or a rollback something is killed: the client, the link, the agent, sshd, the registry's
database, or the host's power; or somebody else does something to the host. The runner also chooses the condition of
the release at random: unchanged since the build; with bytecode that a service wrote; with files that a service wrote
as another user; with files linked from a store; with a file that nobody can change; or made by another tool. It
chooses the configuration at random: values from each source that work, that prevent the API from starting, or that
make the API crash once after its gate. It chooses the units at random: a changed text, a renamed service, a timer, an
instance of a template, a socket, or a unit that systemd refuses. In addition (the table *beside*) it may choose a
path, a drop-in, or a target that `services` names instead of the services of this target. Some attempts are an
`env.push`. Afterwards the runner checks every invariant on the host: it looks at the release that serves, `env`, the
environment of each process in `/proc`, the bytes of all units, and the units that systemd has read, runs, has enabled
and starts at a boot. Each run starts with the host as the run before left it. In scope user the host has no polkit for
twenty seeds, polkit for the next twenty, and so on in turn. `tests/destructive.py` is the runner,
`tests/support/oracle.py` has the invariants.

    {command}

**{runs} runs, seeds {first} to {last}, in {minutes:.0f} minutes on {cores} cores: {verdict}.**

One third of the moments lie anywhere in the whole cycle. Two thirds are aimed at one of its phases, so that short
phases are hit, too. `over` means that the attempt had ended before the moment came. In {alone} runs the control node
was killed, alone or together with something else, so that no control node was there to help the host. `at rest` counts
from the kill, or from the end of `fab` when nothing was killed; the bound that was checked is {bound} s. When the
change that somebody made was still there at the end (because it came after the last check, or because a person has to
decide), `fab status` had to report this change, and one command had to undo it (column *change stayed, reported,
undone*). After that every invariant had to hold.

{report}

One cycle with nothing killed took this long (seconds in each phase, on the machine and with the load of that day):

{lengths}
"""


def document(series: Series, command: str) -> str:
    """The result for docs/."""
    lengths = [
        (f"{kind} of a {'good' if good else 'bad'} release", *(f"{found.get(p, 0):.2f}" for p in ALL_PHASES[:-1]))
        for (kind, good), found in series.lengths.items()
    ]
    return DOCUMENT.format(
        command=command,
        runs=len(series.runs) + len(series.violated),
        verdict=series.verdict,
        title="" if series.scopes == ("system",) else f" in scope {' and '.join(series.scopes)}",
        first=series.seeds[0],
        last=series.seeds[-1],
        minutes=series.seconds / 60,
        cores=os.cpu_count(),
        alone=sum(run.choice.alone or run.choice.victim == "client" for run in series.runs),
        bound=f"{BOUND:g}",
        report=series.report(),
        lengths=_table(("", *ALL_PHASES[:-1]), lengths[:3]),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a series; 0 when every invariant held, 1 when one did not, 2 when this machine cannot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=40, help="how many runs (default 40)")
    parser.add_argument("--seed", type=int, default=None, help="of the first run (default: of the clock)")
    parser.add_argument("--jobs", type=int, default=1, help="how many hosts of a scope side by side (default 1)")
    parser.add_argument(
        "--scope",
        choices=(*get_args(Scope), "both"),
        default="system",
        help="whose service manager runs the services; both: those of two hosts, with every second seed each",
    )
    parser.add_argument("--write", type=Path, help="write the result to this file")
    options = parser.parse_args(argv)
    if lacks := [*missing(), *filter(None, [why_not()])]:
        print("This machine cannot do that; it lacks", *lacks, sep="\n  - ", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it cleans up as after Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background work, and its children, ignore it
    seed = options.seed if options.seed is not None else int(time.time())
    scopes: tuple[Scope, ...] = get_args(Scope) if options.scope == "both" else (options.scope,)
    jobs = options.jobs * len(scopes)
    series = Series(seed, options.runs, jobs, lambda line: print(line, flush=True), scopes)
    print(f"seed {seed}: {options.runs} runs, {series.jobs} at a time", flush=True)
    command = f"python tests/destructive.py --seed {seed} --runs {options.runs} --scope {options.scope}"
    command += f" --jobs {options.jobs}" if options.jobs > 1 else ""
    return _conclude(series, options.write, command)


def _conclude(series: Series, write: Path | None, command: str) -> int:
    try:
        series.go()
    except Violation as violation:
        print(f"\n{violation}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    runs = len(series.runs) + len(series.violated)
    print(f"\n{series.report()}\n\n{runs} runs in {series.seconds:.0f} s: {series.verdict}")
    if write:
        write.write_text(document(series, f"{command} --write {shlex.quote(str(write))}"))
    return 1 if series.violated else 0


if __name__ == "__main__":
    sys.exit(main())
