"""A step of the user's own: a command, what it reads and what it makes, as far as the recipe says it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from .. import seal
from ..annotations import TYPE_CHECKING, Dict, List, Optional, Tuple
from ..refusal import Refusal
from .bench import Bench
from .inputs import Inputs, content, is_readable, said_by, words
from .within import within

if TYPE_CHECKING:
    from ..contract import StepRecipe

_BYTECODE = re.compile(r"(.*/)?__pycache__/[^/]*\.pyc")


@dataclass(frozen=True)
class Step:
    """What it makes is known where it has ``outputs``; what that depends on is known where it has ``inputs`` too.

    Without outputs it may make anything anywhere, and always runs.
    """

    settings: StepRecipe

    @property
    def name(self) -> str:
        return self.settings["name"]

    @property
    def outputs(self) -> List[str]:
        return self.settings.get("outputs", [])

    @property
    def always_runs(self) -> bool:
        """Whether its result is never taken from an earlier build."""
        return not self.settings.get("inputs")

    def may_lack(self, path: str) -> bool:
        """Whether an output that names the release may be missing in what is kept.

        What is only shared may be kept in part. Python makes bytecode again, in memory, when it has to.
        """
        return self.always_runs or _BYTECODE.fullmatch(path) is not None

    def work(self, bench: Bench) -> None:
        """Run the command; raises Refusal when it does not make what was declared."""
        for path in self.outputs:
            self._refuse_link(bench.release, path)
        before = {} if self.always_runs else self._others(bench.release)
        seen = bench.for_reading() if self.settings.get("once") else bench
        seen.shell(self.name, self.settings["command"], within(bench.release, self.settings["path"]))
        for path in self.outputs:
            self._refuse_missing(bench.release, path)
        self._tell_of_others(bench, before)

    def inputs(self, bench: Bench) -> Optional[Inputs]:
        """The line, what it names and is said to read, and what it replaces; None where no output is known."""
        if not self.outputs:
            return None
        if self.always_runs:
            return {"shared": "by content"}  # one entry for each step: what the last build made
        place, named = within(bench.release, self.settings["path"]), words(self.settings["command"])
        relative = (path for path in sorted(named) if not path.startswith(("/", "-")))
        files = [path for path in relative if is_readable(place / path)]
        said = (words((place / path).read_text("utf-8", "replace")) for path in files)
        return {
            "step": {name: self.settings.get(name) for name in ("command", "path", "outputs")},
            "inputs": {path: self._content(bench, path) for path in self.settings["inputs"]},
            "files named": {path: self._told(bench.release, place / path) for path in files},
            "replaced": {path: self._replaced(bench.release, path) for path in self.outputs},
            "tools": bench.programs(named.union(said_by(place), *said)),
        }

    def _content(self, bench: Bench, path: str) -> str:
        found = within(bench.release, path)
        if not os.path.lexists(found):
            why = f"{self.name}: its input {path} is not in the commit, and no part before it made it"
            raise Refusal("build_failed", why, hint="correct the inputs in build.steps: paths in the repository")
        return self._told(bench.release, found)

    def _replaced(self, release: Path, path: str) -> str:
        self._refuse_link(release, path)
        return self._told(release, release / path) if os.path.lexists(release / path) else "none"

    def _told(self, release: Path, path: Path) -> str:
        """A digest of what an earlier part may have written with the path of this release in it."""
        return content(path, besides=os.fsencode(release))

    def _refuse_link(self, release: Path, path: str) -> None:
        """Raise Refusal for an output that lies behind a link: what is written there is no part of that path."""
        for place in [release / path, *(release / path).parents]:
            if place == release:
                return
            if place.is_symlink():
                link = place.relative_to(release)
                why = f"{self.name}: its output {path} is or lies behind a link, {link} -> {os.readlink(place)}"
                raise Refusal("build_failed", why, hint="name the place where it is made in the outputs of build.steps")

    def _refuse_missing(self, release: Path, path: str) -> None:
        self._refuse_link(release, path)
        if not os.path.lexists(release / path):
            why = f"{self.name}: its command succeeded but made no {path}"
            raise Refusal("build_failed", why, hint="correct the outputs in build.steps: paths in the repository")

    def _others(self, release: Path) -> Dict[str, Tuple[int, ...]]:
        """What tells that a file beside the outputs was touched."""
        found: Dict[str, Tuple[int, ...]] = {}
        outputs = tuple(f"{path}/" for path in self.outputs)
        for path in seal.walk(release):
            name, status = os.path.relpath(path, release), path.lstat()
            if not f"{name}/".startswith(outputs) and not path.is_dir():
                found[name] = (status.st_ino, status.st_size, status.st_mtime_ns)
        return found

    def _tell_of_others(self, bench: Bench, before: Dict[str, Tuple[int, ...]]) -> None:
        """Tell what it wrote beside its outputs, which a result that is taken again would lack: it is not kept then."""
        after = {} if self.always_runs else self._others(bench.release)
        written = sorted({name for name, _ in before.items() ^ after.items()})
        if written:
            why = f"its command wrote {written[0]}, which is in none of its outputs"
            message = f"the result of {self.name} is not kept for later builds: {why}"
            bench.say("cache.refused", message, level="warning")
            bench.unkept.append(self.name)
