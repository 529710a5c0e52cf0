"""The second table of docs/machines.md, seen again: each signal in each stage of the demonstration, on this machine.

    python benchmarks/signals.py --here         for whoever types it
    python benchmarks/signals.py --booted       as root; with an empty cache, so that the host's image is built as well

SIGINT and SIGHUP go to all processes of the terminal, SIGTERM to the demonstration alone.  Each end has to have the
exit code of its signal, and nothing may stay of what was begun.  Exits 1 when something is otherwise.  The seconds
beside each exit code are mostly those in which the files of the releases are removed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

DEMO = Path(__file__).resolve().parents[1] / "examples/demo.sh"
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
IMAGE = "the host's image is built"
BOOTS = "the host boots"
STAGES = {  # each begins after this line, or when there is this path in the cache
    IMAGE: "building the host image",
    "the environment is made": "installing oroboros_deploy into",
    BOOTS: "hosts/demo-*",
    "first deploy": "v1: ",
    "second deploy": "v2: ",
    "the deploy that fails": "v3: ",
    "rollback": "rollback to v1",
    "status and registry": "what the host says",
}
OF_BOOTED = (IMAGE, BOOTS)
LATER = 0.5  # seconds after the stage began


class Demo:
    """One demonstration with a cache and a place for temporary files, up to a stage."""

    def __init__(self, way: str, cache: Path, scratch: Path) -> None:
        self.scratch, self.cache = scratch, cache
        environment = {**os.environ, "OROBOROS_CACHE": str(cache), "TMPDIR": str(scratch)}
        self.said = scratch.with_suffix(".log")
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                ["sh", str(DEMO), way], env=environment, stdout=said, stderr=said, process_group=0
            )

    def reaches(self, begins: str) -> bool:
        """Wait for a stage; False when the demonstration ended before."""
        while not (begins in self.said.read_text() or ("*" in begins and [*self.cache.glob(begins)])):
            if self.process.poll() is not None:
                return False
            time.sleep(0.02)
        time.sleep(LATER)
        return self.process.poll() is None

    def end(self, number: signal.Signals) -> tuple[int | None, float]:
        """Its exit code, None when it did not end, and how long its end took."""
        began = time.monotonic()
        (os.kill if number == signal.SIGTERM else os.killpg)(self.process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(120)
        return self.process.poll(), time.monotonic() - began

    def left(self) -> list[str]:
        """What is there of it: temporary files, processes, hosts, mounts, an environment that is only partly made."""
        places = (str(self.scratch), f"{self.cache}/hosts/demo-")
        named = [subprocess.run(["pgrep", "-af", place], capture_output=True, text=True).stdout for place in places]
        mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if f"{self.cache}/hosts/demo-" in line]
        partly = [
            str(path) for path in self.cache.glob("demo-*") if path.is_dir() and not (path / "made-from").exists()
        ]
        hosts = map(str, self.cache.glob("hosts/demo-*"))
        return [*os.listdir(self.scratch), *"".join(named).splitlines(), *mounts, *partly, *hosts]


def tried(way: str, cache: Path, stage: str, number: signal.Signals) -> tuple[str, bool]:
    """The cell of the table, and whether it is as it should be."""
    with tempfile.TemporaryDirectory(prefix="signals-") as place:
        scratch = Path(place) / "t"
        scratch.mkdir()
        demo = Demo(way, cache, scratch)
        try:
            if not demo.reaches(STAGES[stage]):
                return f"it never came to that: {demo.said.read_text()[-300:]}", False
            code, seconds = demo.end(number)
        finally:
            demo.process.kill()
            demo.process.wait()
        time.sleep(0.2)  # the kernel takes away what has ended
        left = demo.left()
        cell = f"{code}, {seconds:.1f} s" + (f" and left {left}" if left else "")
        return cell, code == SIGNALS[number] and not left


def cache_of(stage: str, caches: Callable[[], Path], warm: Path) -> Path:
    """An empty cache for what is made once, another for the rest."""
    return caches() if stage in (IMAGE, "the environment is made") else warm


def main() -> int:
    """Try each; 1 when something was otherwise."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    ways = parser.add_mutually_exclusive_group(required=True)
    ways.add_argument("--here", action="store_const", const="--here", dest="way")
    ways.add_argument("--booted", action="store_const", const="--booted", dest="way")
    way, wrong = parser.parse_args().way, 0
    print("| stage | SIGINT | SIGTERM | SIGHUP |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="signals-cache-") as place:

        def empty() -> Path:
            return Path(tempfile.mkdtemp(dir=place))

        warm = Path(place) / "warm"
        for stage in (stage for stage in STAGES if way == "--booted" or stage not in OF_BOOTED):
            cells = [tried(way, cache_of(stage, empty, warm), stage, number) for number in SIGNALS]
            wrong += sum(not right for _, right in cells)
            print(f"| {stage} | {' | '.join(cell for cell, _ in cells)} |", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
