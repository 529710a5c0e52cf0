"""What a commit costs that changes nothing of a large part: an application with thousands of files in node_modules.

    python benchmarks/large.py [--rounds N] [--files N] [--step]

Runs on this machine, without a host: the agent's build call in a deploy root under a temporary directory. A frontend
makes the files once; each round then changes README.md alone, so the frontend is taken from the cache. Told are the
seconds of the frontend, and of the whole call, with the CPU seconds of the agent; medians of the rounds. With
--step a step of the user's own follows, upon which the frontend's files are copied and not linked. Exits 1 when the
frontend takes longer than is allowed.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.local_agent import LocalAgent
from tests.support.repository import Repository

LIMIT = 1.0  # seconds
MAKE = """\
import pathlib, sys
for number in range(int(sys.argv[1])):
    path = pathlib.Path("node_modules", f"package-{number // 20}", "lib", f"module-{number % 20}.js")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"module.exports = {number};\\n" * (number % 200 + 1))
pathlib.Path("dist").mkdir()
pathlib.Path("dist", "index.html").write_text("page")
"""


def measured(host: LocalAgent, repository: Repository, recipe: dict[str, Any], number: int) -> tuple[float, ...]:
    """Seconds of the frontend, of the whole build, and of the processors, for one more README.md."""
    sha = repository.commit(**{"README.md": f"{number}"})
    host.mirror(repository)
    before, began = _cpu(), time.perf_counter()
    answer = host.build(sha, recipe)
    whole = time.perf_counter() - began
    if answer.refusal:
        sys.exit(f"the build failed: {answer.refusal}")
    (frontend,) = (each["data"] for each in answer.events if each["event"] == "part.finished" and _is_frontend(each))
    if frontend["cached"] != (number > 0):
        sys.exit(f"the frontend was {'cached' if frontend['cached'] else 'built'}")
    return frontend["seconds"], whole, _cpu() - before


def _is_frontend(event: dict[str, Any]) -> bool:
    return bool(event["data"]["part"] == "frontend")


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=6000)
    parser.add_argument("--step", action="store_true")
    options = parser.parse_args()
    command = f"python3 make.py {options.files}"
    frontend = {"path": "frontend", "command": command, "output": "dist", "into": "infra/web"}
    steps = [{"name": "step", "path": ".", "command": "true"}] if options.step else []
    with tempfile.TemporaryDirectory(prefix="large-", dir="/var/tmp") as directory:
        os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
        host, repository = LocalAgent(Path(directory, "srv")), Repository(Path(directory, "source"))
        (repository.path / "frontend").mkdir()
        (repository.path / "frontend" / "make.py").write_text(MAKE)
        rows = [
            measured(host, repository, {"frontend": frontend, "steps": steps}, number)
            for number in range(options.rounds + 1)
        ]
        subprocess.run(["chmod", "-R", "u+w", directory], check=True)
    part, whole, cpu = (median(column) for column in zip(*rows[1:], strict=True))
    print(f"{options.files} files, {options.rounds} rounds, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    print(f"frontend, taken again: {part:.2f} s (allowed {LIMIT:.1f}); whole call: {whole:.2f} s, CPU {cpu:.2f} s")
    return 0 if part <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
