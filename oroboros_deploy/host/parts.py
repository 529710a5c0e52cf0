"""The parts of a build: a frontend, virtual environments, steps of the user's own.

Each works inside the release directory at its final path, for a virtual environment
cannot be moved: its console scripts name the interpreter by its absolute path.
"""

from __future__ import annotations

import shutil
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

from . import process
from .refusal import Refusal
from .wire import Say

PIP = ("--disable-pip-version-check", "--no-input")
_MAKING_PIP = threading.Lock()  # venvs are made side by side, and each would make it


@dataclass(frozen=True)
class Bench:
    """What every part works with; ``deadline`` is monotonic, ``stop`` set when nobody wants the build any more."""

    release: Path
    logs: Path
    tools: Path
    tmp: Path
    say: Say
    deadline: float
    stop: threading.Event

    def run(self, part: str, argv: Sequence[str], cwd: Path) -> None:
        """Run one command of a part; its whole output goes to the part's log, byte for byte."""
        if not cwd.is_dir():
            raise Refusal(
                "build_failed", f"{part}: there is no directory {cwd.relative_to(self.release)} in the commit"
            )
        with (self.logs / f"{part.replace('/', '-')}.log").open("ab") as log:

            def sink(data: bytes) -> None:
                log.write(data)
                self.say("output", level="detail", part=part, text=data.decode("utf-8", "replace"))

            env = process.environment(CI="1", DEPLOY_RELEASE=self.release.name)
            ended = process.run(argv, cwd=cwd, deadline=self.deadline, env=env, sink=sink, stop=self.stop)
        if self.stop.is_set():
            raise Refusal("cancelled", "the build was stopped; nothing was switched")
        if not ended.ok:
            raise Refusal("build_failed", f"{part}: {argv[-1]!r} {ended.reason}", log=ended.tail[-4000:])

    def shell(self, part: str, line: str, cwd: Path) -> None:
        """Run one line of a part by bash."""
        self.run(part, ["/bin/bash", "--noprofile", "--norc", "-c", line], cwd)


@dataclass(frozen=True)
class Part:
    """One named piece of work; parts of one stage run side by side."""

    name: str
    work: Callable[[Bench], None]


def stages(recipe: Dict[str, Any]) -> List[List[Part]]:
    """The recipe as stages: what a stage needs, the one before has made."""
    first = [wheels(shared(recipe["venvs"]))] if shared(recipe["venvs"]) else []
    side_by_side = [frontend(recipe["frontend"])] if recipe["frontend"] else []
    side_by_side += [venv(directory, projects) for directory, projects in recipe["venvs"].items()]
    own = [[Part(step["name"], _step(step))] for step in recipe["steps"]]
    return [first, side_by_side, *own]


def shared(venvs: Dict[str, List[str]]) -> List[str]:
    """The projects that more than one virtual environment installs."""
    uses = [project for projects in venvs.values() for project in dict.fromkeys(projects)]
    return sorted({project for project in uses if uses.count(project) > 1})


def wheels(projects: Sequence[str]) -> Part:
    """Build a shared project once: two pips building it in its own directory would disturb each other."""

    def work(bench: Bench) -> None:
        for project in filter(lambda project: _packaged(bench.release / project), projects):
            target = _wheelhouse(bench, project)
            argv = [*_pip(bench), "wheel", *PIP, "--no-deps", "--wheel-dir", str(target), f"./{project}"]
            bench.run("wheels", argv, bench.release)

    return Part("wheels", work)


def frontend(settings: Dict[str, str]) -> Part:
    """Run the frontend's command and put its output where the web units serve it from."""

    def work(bench: Bench) -> None:
        source, into = bench.release / settings["path"], bench.release / settings["into"]
        if _needs_npm(settings["command"]) and not _which("npm"):
            kept = f"{settings['into']} is kept as committed" if into.exists() else f"there is no {settings['into']}"
            bench.say("warning", f"npm is not installed on this host: frontend not built, {kept}", level="warning")
            return
        bench.shell("frontend", settings["command"], source)
        _publish(source / settings["output"], into)

    return Part("frontend", work)


def venv(directory: str, projects: Sequence[str]) -> Part:
    """A virtual environment with projects of the repository installed into it."""

    def work(bench: Bench) -> None:
        target = venv_path(bench.release, directory)
        name = f"venv {directory}"
        bench.run(name, [sys.executable, "-m", "venv", "--without-pip", str(target)], bench.release)
        install = [*_pip(bench), "--python", str(target / "bin" / "python"), "install", *PIP]
        for lock in _requirements(bench.release, projects):
            bench.run(name, [*install, "--requirement", lock], bench.release)
        targets = [target for project in projects for target in _installable(bench, project)]
        if targets:
            bench.run(name, [*install, *targets], bench.release)

    return Part(f"venv {directory}", work)


def venv_path(release: Path, directory: str) -> Path:
    """Where a venv goes: ``.venv`` inside a directory of the repository, else the directory itself."""
    target = release / directory
    return target / ".venv" if target.is_dir() else target


def _step(step: Dict[str, str]) -> Callable[[Bench], None]:
    return lambda bench: bench.shell(step["name"], step["command"], bench.release / step["path"])


def _publish(output: Path, into: Path) -> None:
    if not output.is_dir() or not any(output.iterdir()):
        raise Refusal("build_failed", f"frontend: its command succeeded but left nothing in {output.name}/")
    if into.is_dir() and not into.is_symlink():
        shutil.rmtree(into)
    shutil.copytree(output, into, symlinks=True)


def _requirements(release: Path, projects: Sequence[str]) -> List[str]:
    return [f"{project}/requirements.txt" for project in projects if (release / project / "requirements.txt").is_file()]


def _installable(bench: Bench, project: str) -> List[str]:
    """What to hand to pip for a project: its wheel when one was built, else its directory."""
    built = [str(wheel) for wheel in _wheelhouse(bench, project).glob("*.whl")]
    directory = bench.release / project
    if built:
        return built
    if _packaged(directory):
        return [f"./{project}"]
    if (directory / "requirements.txt").is_file():
        return []
    raise Refusal(
        "build_failed", f"{project!r} cannot be installed: no pyproject.toml, setup.py or requirements.txt in it"
    )


def _packaged(directory: Path) -> bool:
    return (directory / "pyproject.toml").is_file() or (directory / "setup.py").is_file()


def _wheelhouse(bench: Bench, project: str) -> Path:
    return bench.tmp / "wheels" / project.replace("/", "-")


def _pip(bench: Bench) -> List[str]:
    """A pip that can install into another environment (22.3 or later): the host's, else one of our own made once.

    The environments themselves are made without pip: that costs 3 s each and nobody runs it.
    """
    own = str(bench.tools / "bin" / "python")
    with _MAKING_PIP:
        for python in (sys.executable, own):
            if _pip_serves(python, bench):
                return [python, "-m", "pip"]
        bench.run("pip", [sys.executable, "-m", "venv", "--clear", str(bench.tools)], bench.release)
        if not _pip_serves(own, bench):
            bench.run("pip", [own, "-m", "pip", "install", *PIP, "--upgrade", "pip>=22.3"], bench.release)
        return [own, "-m", "pip"]


def _pip_serves(python: str, bench: Bench) -> bool:
    if not Path(python).exists():
        return False
    asked = process.run([python, "-m", "pip", "--version"], cwd=bench.release, deadline=bench.deadline)
    version = asked.tail.split()[1] if asked.ok else "0"
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= (22, 3)


def _needs_npm(command: str) -> bool:
    return "npm" in command.split()


def _which(tool: str) -> Optional[str]:
    return shutil.which(tool, path=process.environment()["PATH"])
