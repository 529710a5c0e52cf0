"""The page, the API and the metrics over a registry of 100,000 attempts, alone and with 200 readers.

    python benchmarks/page_load.py [--attempts N] [--readers N] [--seconds N]

`fab serve` runs as a process of its own over SQLite.  First each address is asked alone: again and again while nothing
changes, and right after a change of the registry, when nothing that was kept can be given.  Then the readers come, each
of whom asks once in five seconds, nine in ten for a light page and one in ten for the figures or the metrics, while an
attempt goes on whose control node gives a sign of life every five seconds.

Kept: figures and metrics, unchanged, take at most three times the first page; p99 of all readers stays below 1.5 s, and
every answer is 200.  Exits 1 when one of these is missed.
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
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlsplit

import httpx2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.registry_at_size import fill
from oroboros_deploy.events import Event
from oroboros_deploy.records.record import HostRecord, Record
from oroboros_deploy.registry import Registry
from tests.support.serving import Served

LIGHT = ("/", "/api/attempts", "/hosts", "/api/hosts", "/releases")
HEAVY = ("/figures", "/api/figures", "/metrics")
EVERY, P99, TIMES_LIGHT = 5.0, 1.5, 3.0
_GOING = Record("going", "deploy", "a" * 40, "a" * 40, "prod", "ada", "desk", "1", "2030-01-01T12:00:00+00:00")


def core_speed() -> float:
    """How many milliseconds this core takes for a fixed amount of Python: lower is faster."""
    began = time.perf_counter()
    sum(number * number for number in range(1_000_000))
    return 1000 * (time.perf_counter() - began)


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
                return measured(served.url, options, change)


def measured(url: str, options: argparse.Namespace, change: Callable[[], None]) -> int:
    """Print the figures; 1 when a bound is missed."""
    print(f"{os.cpu_count()} cores, a million squares in {core_speed():.0f} ms, load {os.getloadavg()[0]:.1f}")
    with httpx2.Client(base_url=url, timeout=60) as client:
        found = alone(client, change)
    print("address           again, ms   after a change, ms")
    for path, (again, after) in found.items():
        print(f"{path:<16} {1000 * again:>10.1f} {1000 * after:>20.1f}")
    took, wrong = together(url, options.readers, options.seconds, change)
    told = f"{Counter(wrong)}" if wrong else "none"
    p99 = quantiles(took, n=100)[98]
    told = f"p50 {median(took):.2f} s, p99 {p99:.2f} s, longest {max(took):.2f} s, refused: {told}"
    print(f"{options.readers} readers, {len(took)} answers: {told}")
    light = found["/"][0]
    missed = [path for path in HEAVY if found[path][0] > TIMES_LIGHT * light]
    missed += ["p99"] if p99 > P99 else []
    missed += ["answers"] if wrong else []
    print(f"missed: {', '.join(missed)}" if missed else "every bound is kept")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
