"""A full build of the example application: ours beside the sequential script that it replaces.

    python benchmarks/build.py [--rounds N] [--installer pip|uv]

Runs on this machine, without a host: the agent's build call against the same steps as one shell script, in one deploy
root under a temporary directory. The rows are interleaved, so that what else the machine does hits them alike; each is
the median of N rounds, with its range, its CPU seconds and its ratio to the script. Package caches are warm: one round
of each runs before the first that counts. At the end, ten releases whose dependencies did not change, and what each of
them added to the disk; and each kind of build again, compared with a fresh one of the same commit at the same path.
Exits 1 when a ratio or the tenth release is above what is allowed, or a manifest differs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

from application import SOURCE, Application

from oroboros_deploy.config import load
from oroboros_deploy.control.plan import recipe
from oroboros_deploy.host import seal
from oroboros_deploy.remote import agent

# What the two scripts on the host did before, in the release's own directory.
SCRIPT = """\
set -e
git --git-dir="$1" archive "$2" | tar -x -C "$3"
cd "$3"
(cd frontend && npm ci && npm run build)
rm -rf infra/web-main && cp -r frontend/dist infra/web-main
python3 -m venv backend/.venv && backend/.venv/bin/pip install ./backend
python3 -m venv worker/.venv && worker/.venv/bin/pip install ./backend ./worker
"""
MAIN = "frontend/src/main.js"
WORKER = "worker/ouroboros_worker/heartbeat.py"
TENTH = 0.10


@dataclass
class Row:
    """One kind of build: the files that change before it, and the ratio to the script that it may not exceed."""

    name: str
    changes: tuple[str, ...] = ()
    limit: float | None = None
    anew: bool = False
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


ROWS = (
    Row("script, one step after another", ("api", MAIN, WORKER)),
    Row("everything anew (--no-cache)", ("api", MAIN, WORKER), 0.4, anew=True),
    Row("all three changed", ("api", MAIN, WORKER), 0.4),
    Row("only the backend changed", ("api",), 0.15),
    Row("only the worker changed", (WORKER,), 0.15),
    Row("only the frontend changed", (MAIN,), 0.15),
    Row("none of them changed", ("README.md",), 0.15),
)


class Site:
    """A deploy root of its own, with the example's repository as its mirror."""

    def __init__(self, root: Path, installer: str) -> None:
        self.root = root / "srv"
        self.scripted = root / "scripted"
        self.scripted.mkdir()
        self.app = Application(root / "app")
        self.files: dict[str, str] = {}
        self.count = 0
        settings = {
            "build": {"venvs": {"backend": ["backend"], "worker": ["backend", "worker"]}, "installer": installer}
        }
        self.recipe = recipe(load([("fabric.yaml", settings)], {}))

    def commit(self, changes: tuple[str, ...]) -> str:
        """A commit in which these files, and no others, are other than in the one before."""
        self.count += 1
        for name in changes:
            path = "backend/ouroboros_backend/release.py" if name == "api" else name
            original = (SOURCE / path).read_text()
            comment = "//" if path.endswith(".js") else "#"
            self.files[path] = f"{original}\n{comment} change {self.count}\n"
        sha = self.app.commit("The serpent eats its tail.", self.files)
        subprocess.run(
            ["git", "-C", self.app.path, "push", "--quiet", "--mirror", self._mirror()], check=True, capture_output=True
        )
        return sha

    def script(self, sha: str) -> None:
        release = self.scripted / sha
        release.mkdir()
        log = self.root.parent / "script.log"
        with log.open("wb") as output:
            argv = ["bash", "-c", SCRIPT, "bash", self._mirror(), sha, str(release)]
            done = subprocess.run(argv, stdout=output, stderr=output)
        if done.returncode:
            sys.exit(f"the script failed:\n{log.read_text()[-2000:]}")
        shutil.rmtree(release)

    def build(self, sha: str, anew: bool = False) -> list[dict[str, Any]]:
        """The agent's build call, as it goes over SSH; returns its events."""
        paths = {name: str(self.root / name) for name in ("releases", "current", "repo")} | {"root": str(self.root)}
        request = {
            "layout": paths,
            "attempt": uuid.uuid4().hex,
            "sha": sha,
            "source": {"kind": "mirror"},
            "recipe": self.recipe | {"anew": anew},
            "version": "benchmark",
        }
        packed = agent.packed()
        known = Path(packed.path(PurePosixPath(self.root))).exists()
        pipe, script = subprocess.PIPE, packed.script(PurePosixPath(self.root), "build", request)
        with subprocess.Popen(["/bin/sh", "-c", script], stdin=pipe, stdout=pipe) as process:
            assert process.stdin and process.stdout
            process.stdin.write(b"" if known else packed.sent())
            process.stdin.flush()
            said: list[dict[str, Any]] = []
            while not said or "event" in said[-1]:
                said += [json.loads(each) for each in [process.stdout.readline()] if each != b"wanted\n"]
        if "result" not in said[-1]:
            sys.exit(f"the build failed: {said[-1]}")
        return said

    def disk(self) -> int:
        """Bytes of the whole deploy root on the disk, each file once however many names it has."""
        told = subprocess.run(["du", "-s", "-B1", self.root], check=True, capture_output=True, text=True).stdout
        return int(told.split()[0])

    def _mirror(self) -> str:
        bare = self.root / "repo"
        if not bare.exists():
            subprocess.run(["git", "init", "--quiet", "--bare", bare], check=True)
        return str(bare)


def timed(row: Row, act: Callable[[], object]) -> None:
    """Add the wall and CPU seconds of an act, its child processes' included, to its row."""
    wall, cpu = time.perf_counter(), _cpu()
    act()
    row.seconds.append(time.perf_counter() - wall)
    row.cpu.append(_cpu() - cpu)


def rounds(site: Site, count: int) -> None:
    """All rows once to warm up, then ``count`` times, one after another."""
    for number in range(count + 1):
        for row in ROWS:
            sha = site.commit(row.changes)
            timed(row, lambda: site.script(sha) if row is ROWS[0] else site.build(sha, row.anew))  # noqa: B023
        print(f"round {number} of {count}", file=sys.stderr)
    for row in ROWS:
        del row.seconds[0], row.cpu[0]


def ten_releases(root: Path, installer: str) -> list[int]:
    """What each of ten releases added to the disk, each with all three sources changed, no dependency."""
    root.mkdir()
    site = Site(root, installer)
    sizes = []
    for _ in range(10):
        sha = site.commit(("api", MAIN, WORKER))
        before = site.disk()
        site.build(sha)
        sizes.append(site.disk() - before)
    return sizes


def as_fresh(root: Path, installer: str) -> list[str]:
    """The kinds of build, after one that filled the cache, whose release is not what a fresh build makes of it."""
    root.mkdir()
    site = Site(root, installer)
    site.build(site.commit(("api", MAIN, WORKER)))
    different = []
    for row in ROWS[2:]:
        sha = site.commit(row.changes)
        release = site.root / "releases" / sha
        site.build(sha)
        taken = manifest(release)
        seal.remove(release)
        site.build(sha, anew=True)
        if manifest(release) != taken:
            different.append(row.name)
    return different


def manifest(release: Path) -> dict[str, tuple[Any, ...]]:
    """What a release consists of, but for times, which no two builds share."""
    rows = map(json.loads, (release / seal.MANIFEST).read_bytes().splitlines())
    return {path: (kind, mode, size, content) for path, kind, mode, size, _, content in rows}


def table() -> tuple[str, bool]:
    base = median(ROWS[0].seconds)
    lines = ["| build | median s | range | CPU s | ratio | allowed |", "|---|---|---|---|---|---|"]
    good = True
    for row in ROWS:
        took = median(row.seconds)
        spread = f"{min(row.seconds):.2f} to {max(row.seconds):.2f}"
        lines.append(
            f"| {row.name} | {took:.2f} | {spread} | {median(row.cpu):.2f} | {took / base:.2f} | {row.limit or ''} |"
        )
        good = good and (row.limit is None or took / base <= row.limit)
    return "\n".join(lines), good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--installer", choices=("pip", "uv"), default="pip")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="build-", dir="/var/tmp") as directory:
        os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
        rounds(Site(Path(directory), options.installer), options.rounds)
        sizes = ten_releases(Path(directory, "ten"), options.installer)
        different = as_fresh(Path(directory, "fresh"), options.installer)
        subprocess.run(["chmod", "-R", "u+w", directory], check=True)
    text, good = table()
    share = sizes[-1] / sizes[0]
    print(f"installer: {options.installer}, {options.rounds} rounds, {os.cpu_count()} processors\n\n{text}\n")
    first, tenth = (f"{size / 1e6:.2f} MB" for size in (sizes[0], sizes[-1]))
    print(f"disk: the first release costs {first}, the tenth {tenth}: {share:.1%} (allowed {TENTH:.0%})")
    print(f"not equal to a fresh build: {', '.join(different) or 'none'}")
    return 0 if good and share < TENTH and not different else 1


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
