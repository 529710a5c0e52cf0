"""The page, the API and the metrics over a registry of 100,000 attempts, alone and with 200 readers.

    python benchmarks/page_load.py [--attempts N] [--readers N] [--seconds N] [--write docs/page.md]

`fab serve` runs as a process of its own over SQLite.  First each address is asked alone: again and again while nothing
changes, and right after a change of the registry, when of what was kept only figures and metrics can be given.  Then
the readers come, each of whom asks once in five seconds, nine in ten for a light page and one in ten for the figures or
the metrics, while an attempt goes on whose control node gives a sign of life every five seconds.

Kept: figures and metrics, unchanged, take at most three times the first page; p99 of all readers stays below 1.5 s, and
every answer is 200.  Exits 1 when one of these is missed.  With --write the figures replace those of a document.
"""

from __future__ import annotations

import argparse
import http.client
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlsplit

import httpx2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import core
from benchmarks.registry_at_size import fill
from oroboros_deploy.events import Event
from oroboros_deploy.records.record import HostRecord, Record
from oroboros_deploy.registry import Registry
from tests.support.serving import Served

LIGHT = ("/", "/api/attempts", "/hosts", "/api/hosts", "/releases")
HEAVY = ("/figures", "/api/figures", "/metrics")
EVERY, P99, TIMES_LIGHT = 5.0, 1.5, 3.0
_GOING = Record("going", "deploy", "a" * 40, "a" * 40, "prod", "ada", "desk", "1", "2030-01-01T12:00:00+00:00")
BEGIN, END = "<!-- page_load -->\n", "<!-- end -->\n"


@dataclass(frozen=True)
class Figures:
    """What was measured: each address alone, and how long the answers to ``readers`` took; ``wrong``: what was none."""

    alone: dict[str, tuple[float, float]]
    readers: int
    took: list[float]
    wrong: list[str]

    @property
    def p99(self) -> float:
        """What 99 of 100 answers took at most."""
        return quantiles(self.took, n=100)[98]

    @property
    def missed(self) -> list[str]:
        """The bounds that are not kept."""
        light = self.alone["/"][0]
        found = [path for path in HEAVY if self.alone[path][0] > TIMES_LIGHT * light]
        return found + ["p99"] * (self.p99 > P99) + ["answers"] * bool(self.wrong)

    @property
    def report(self) -> str:
        """For people, in Markdown."""
        rows = [
            f"| `{path}` | {1000 * again:.1f} | {1000 * after:.1f} |" for path, (again, after) in self.alone.items()
        ]
        table = "\n".join(("| address | unchanged, ms | after a change, ms |", "| --- | ---: | ---: |", *rows))
        bounds = f"Missed: {', '.join(self.missed)}." if self.missed else "Every bound is kept."
        return f"{os.cpu_count()} cores. {core.told()}\n{table}\n\n{self._together} {bounds}\n"

    @property
    def _together(self) -> str:
        refused = ", ".join(f"{count} × {what}" for what, count in Counter(self.wrong).items()) or "none"
        times = f"half within {median(self.took):.2f} s, p99 {self.p99:.2f} s, the longest {max(self.took):.2f} s"
        return f"{self.readers} readers, {len(self.took)} answers: {times}; refused: {refused}."


def alone(client: httpx2.Client, change: Callable[[], None]) -> dict[str, tuple[float, float]]:
    """For each address the median of many answers while nothing changes, and the answer after a change, in seconds."""
    found = {}
    for path in (*LIGHT, *HEAVY):
        _timed(client, path)  # the first of all reads templates and modules
        change()
        after = _timed(client, path)
        found[path] = (median(_timed(client, path) for _ in range(15)), after)
    return found


def _timed(client: httpx2.Client, path: str) -> float:
    began = time.perf_counter()
    client.get(path).raise_for_status()
    return time.perf_counter() - began


def _asked(url: str, path: str) -> str:
    """The status of an answer, on a connection of its own; the error where there is none."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    try:
        connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        answer.read()
        return str(answer.status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def together(url: str, readers: int, seconds: float, change: Callable[[], None]) -> tuple[list[float], list[str]]:
    """How long each answer took from when it was due, and what was no good answer."""
    took: list[float] = []
    wrong: list[str] = []
    begun = time.perf_counter()

    def read(number: int) -> None:
        due = begun + EVERY * number / readers
        for turn in range(int(seconds / EVERY)):
            time.sleep(max(0.0, due - time.perf_counter()))
            paths = HEAVY if (number + turn) % 10 == 0 else LIGHT
            status = _asked(url, paths[(number + turn) % len(paths)])
            wrong.extend([status] if status != "200" else [])
            took.append(time.perf_counter() - due)
            due += EVERY

    threads = [threading.Thread(target=read, args=(number,)) for number in range(readers)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        change()
        time.sleep(EVERY)
    return took, wrong


def main() -> int:
    """Measure, print, and say whether the bounds are kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--attempts", type=int, default=100_000)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--write", type=Path, help="document to write the figures into, at their place")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        address = f"sqlite:///{place}/registry.db"
        with Registry.open(address) as registry:
            registry.check()
            fill(registry, options.attempts)
            registry.begin(Record(**vars(_GOING) | {"hosts": (HostRecord("web1"),)}))

            def change() -> None:
                registry.hear("going", [Event("phase", "", "web1", data={"phase": "swapped"})])

            with Served(Path(place), address) as served:
                figures = measured(served.url, options, change)
    report = figures.report
    print(report, end="")
    if options.write:
        options.write.write_text(written(options.write.read_text(), report))
    return 1 if figures.missed else 0


def measured(url: str, options: argparse.Namespace, change: Callable[[], None]) -> Figures:
    """Each address alone, then all readers."""
    print(f"The load of this machine is {os.getloadavg()[0]:.1f} before the first question.\n")
    with httpx2.Client(base_url=url, timeout=60) as client:
        found = alone(client, change)
    return Figures(found, options.readers, *together(url, options.readers, options.seconds, change))


def written(document: str, report: str) -> str:
    """A document with the figures in their place."""
    above, _, rest = document.partition(BEGIN)
    return f"{above}{BEGIN}{report}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    sys.exit(main())
