"""What was measured, a file for each step, so that a run that was ended is gone on with where it was."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.section import Section

CHECKOUT = Path(__file__).resolve().parents[1]
MEASURED = ("oroboros_deploy", "benchmarks")  # what changes the figures when it is changed


@dataclass(frozen=True)
class Step:
    """Some sections that are measured in one go, the plot that they make, and the seconds that they took."""

    sections: Sequence[Section]
    seconds: float
    drawn: str = ""


class Kept:
    """The steps of one state of the source, with so many runs of each."""

    def __init__(self, directory: Path, state: str, repeats: int) -> None:
        self._directory = directory
        self._of = {"state": state, "repeats": repeats}

    def take(self, name: str) -> Step | None:
        """A step that was measured of the same source with as many runs; None when there is none."""
        path = self._path(name)
        told = json.loads(path.read_text()) if path.is_file() else {}
        if told.get("of") != self._of:
            return None
        sections = [Section(**each) for each in told["sections"]]
        return Step(sections, told["seconds"], told["drawn"])

    def put(self, name: str, step: Step) -> None:
        """Keep a step, in the place of an earlier one of its name."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._path(name).write_text(json.dumps({"of": self._of, **asdict(step)}))

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.json"


def state() -> str:
    """What tells one state of the measured source from another: that of the commit, and what was changed since."""
    trees = _git("rev-parse", *(f"HEAD:{name}" for name in MEASURED))
    return hashlib.sha256((trees + _git("diff", "HEAD", "--", *MEASURED)).encode()).hexdigest()


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
