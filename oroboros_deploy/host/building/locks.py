"""The lock files of projects, installed as locked: the tool that wrote a lock says what is in it."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..annotations import Dict, List, Sequence, Tuple
from ..refusal import Refusal
from . import build_tools, installers
from .bench import Bench
from .inputs import Inputs, content, digest, tool

_NAMES = {"uv.lock": "uv", "poetry.lock": "poetry", "pdm.lock": "pdm"}
_WANTED = {"uv": ["uv"], "poetry": ["poetry", "poetry-plugin-export"], "pdm": ["pdm"]}  # to make one of our own
# What lies on this host and not on a package index; the project itself is `.`.
_LOCAL = re.compile(
    r'source = \{ (?:directory|editable|path|virtual) = "(?!\.")|^type = "(?:directory|file)"|^path = "', re.MULTILINE
)
# By which file and words a project says that it is none to be built: its code is run where it lies.
_UNBUILT = {
    "uv": ("uv.lock", re.compile(r'^source = \{ virtual = "\." \}', re.MULTILINE)),
    "poetry": ("pyproject.toml", re.compile(r"^[ \t]*package-mode[ \t]*=[ \t]*false", re.MULTILINE)),
    "pdm": ("pyproject.toml", re.compile(r"^[ \t]*distribution[ \t]*=[ \t]*false", re.MULTILINE)),
}
_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")


@dataclass(frozen=True)
class Lock:
    """The lock file of a project; ``file`` is relative to the release."""

    project: str
    file: str

    @property
    def tool(self) -> str:
        return _NAMES[PurePosixPath(self.file).name]

    def is_self_contained(self, release: Path) -> bool:
        """Whether all that it names is on package indexes."""
        return not _LOCAL.search((release / self.file).read_text("utf-8", "replace"))

    def is_built(self, release: Path) -> bool:
        """Whether its tool would install the project itself: of one without a build system, uv installs its needs."""
        name, unbuilt = _UNBUILT[self.tool]
        file = release / self.project / name
        return not (file.is_file() and unbuilt.search(file.read_text("utf-8", "replace")))

    def inputs(self, release: Path) -> Inputs:
        """What the environment depends on by it: its text, and the tool that reads it."""
        return {"text": content(release / self.file), "tool": tool(self.tool) or "kept"}

    def export(self, bench: Bench, part: str, extras: Sequence[str], groups: Sequence[str]) -> Path:
        """Let its tool write all that it pins to a requirements file; raises Refusal when the lock is out of date."""
        into = bench.temporary / f"{digest([part, self.file])[:32]}.txt"
        at = bench.release / self.project if self.tool == "uv" else self._copied(bench, into.with_suffix(""))
        program = _found(bench, part, self.tool)
        if self.tool == "pdm":  # alone of the three it exports from a lock that is out of date
            _refuse_groups(self.file, groups)
            bench.run(part, f"pdm lock --check of {self.file}", [program, "lock", "--check"], at, **_QUIET)
        argv = [program, *_exporting(bench, self.tool, str(into), extras, groups)]
        bench.run(part, f"{self.tool} export of {self.file}", argv, at, **_QUIET, **installers.of_uv())
        return into

    def _copied(self, bench: Bench, into: Path) -> Path:
        """A directory with what the tool reads: poetry and pdm may make an environment where they work."""
        into.mkdir(exist_ok=True)
        for name in ("pyproject.toml", PurePosixPath(self.file).name):
            shutil.copyfile(bench.release / self.project / name, into / name)
        return into


_QUIET = {"PDM_CHECK_UPDATE": "0", "PDM_IGNORE_SAVED_PYTHON": "1", "POETRY_VIRTUALENVS_CREATE": "false"}


def of(release: Path, projects: Sequence[str]) -> List[Lock]:
    """The lock files beside these projects; raises Refusal for a project with several."""
    found: List[Lock] = []
    for name in dict.fromkeys(projects):
        files = [f"{name}/{file}" for file in _NAMES if (release / name / file).is_file()]
        if len(files) > 1:
            hint = "remove one, or set build.venvs with lock: null"
            raise Refusal("build_failed", f"{name} has several lock files: {', '.join(files)}", hint=hint)
        found += [Lock(name, file) for file in files]
    return found


def installed_together(
    bench: Bench, part: str, locks: Sequence[Lock], extras: Sequence[str], groups: Sequence[str]
) -> List[Tuple[Path, List[str]]]:
    """What the calls of the installer are given, and where they run: what a lock pins, and nothing else.

    An installer that finds one hash demands one of everything, so what cannot have a hash (a directory, a commit of
    git) is apart.
    """
    pins: Dict[str, str] = {}
    calls: List[Tuple[Path, List[str]]] = []
    for lock in locks:
        exported = lock.export(bench, part, extras, groups)
        lines = exported.read_text("utf-8").replace("\\\n", " ").splitlines()
        _agree(pins, lines, lock)
        for number, hashed in enumerate((True, False)):
            some = [
                line for line in lines if line.strip() and not line.startswith("#") and ("--hash" in line) == hashed
            ]
            if some:
                file = exported.with_suffix(f".{number}.txt")
                file.write_text("\n".join([*some, ""]), "utf-8")
                calls.append((bench.release / lock.project, ["--no-deps", "--requirement", str(file)]))
    return calls


def _agree(pins: Dict[str, str], lines: Sequence[str], lock: Lock) -> None:
    """Note the pins of a lock; raises Refusal where another lock of the same environment has another version."""
    for name, version in (pin.groups() for pin in map(_PIN.match, lines) if pin):
        known = re.sub(r"[-_.]+", "-", name).lower()
        if pins.setdefault(known, version) != version:
            why = f"{lock.file} pins {name} {version}, another lock of this environment {pins[known]}"
            raise Refusal("build_failed", why, hint="lock the projects together, or give each an environment")


def _exporting(bench: Bench, tool: str, into: str, extras: Sequence[str], groups: Sequence[str]) -> List[str]:
    """The tool's arguments: without what is for development, and without the project itself."""
    if tool == "uv":
        chosen = [*(f"--extra={name}" for name in extras), *(f"--group={name}" for name in groups)]
        fixed = [
            "--locked",
            "--quiet",
            "--no-dev",
            "--no-emit-project",
            "--no-editable",
            "--no-header",
            "--no-annotate",
        ]
        return ["export", *fixed, f"--python={bench.toolchain.python}", *chosen, f"--output-file={into}"]
    if tool == "poetry":
        chosen = [*(f"--extras={name}" for name in extras), f"--only={','.join(['main', *groups])}"]
        return ["export", "--no-interaction", "--format=requirements.txt", *chosen, f"--output={into}"]
    chosen = [f"--group={name}" for name in extras]
    return ["export", "--format=requirements", "--prod", *chosen, f"--output={into}"]


def _refuse_groups(file: str, groups: Sequence[str]) -> None:
    """Raise Refusal for groups of a pdm.lock: pdm exports them with all development groups, or not at all."""
    if groups:
        hint = "make the group an extra, or set build.venvs with lock: null"
        raise Refusal("build_failed", f"{file}: pdm cannot export dependency groups ({', '.join(groups)})", hint=hint)


def _found(bench: Bench, part: str, name: str) -> str:
    """The program: the host's, else one of our own in `.deploy/tools`, made once."""
    known = bench.find(name)
    if known and (name != "poetry" or _exports(bench, known)):
        return known
    target = bench.tools.parent / "locks" / digest([name, bench.toolchain.about_python])[:32]
    build_tools.keep(
        bench, part, target, installers.install(bench, target), _WANTED[name], installers.variables(bench, target)
    )
    return str(target / "bin" / name)


def _exports(bench: Bench, poetry: str) -> bool:
    """Whether a poetry has the plugin that exports."""
    return bench.ask([poetry, "help", "export"]).ok
