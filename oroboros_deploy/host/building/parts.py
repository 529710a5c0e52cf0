"""The parts of a build: a frontend, virtual environments, steps of the user's own.

Each works inside the release directory at its final path, for a virtual environment
cannot be moved: its console scripts name the interpreter by its absolute path.
"""

from __future__ import annotations

import re
import shutil
import sys
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from .. import process
from ..annotations import Any, Callable, Dict, List, Optional, Sequence
from ..refusal import Refusal
from ..wire import Say
from . import build_tools, installed
from .inputs import Inputs, Sources, content, pip_is_configured, python, surroundings, tool

PIP = ("--disable-pip-version-check", "--no-input")
WHEELS = ".deploy-wheels"  # where a release has its projects' wheels until it is complete
_MAKING_PIP = threading.Lock()  # venvs are made side by side, and each would make it
_EPOCH = "315532800"  # 1980, where zip begins: a wheel of the same files is the same wheel
_NPM = {"npm_config_audit": "false", "npm_config_fund": "false", "npm_config_update_notifier": "false"}
# A requirement whose meaning is in its line: no other file, no directory of this host.
_PLAIN = re.compile(
    r"([A-Za-z0-9][\w.-]*\s*(\[[^\]]*\])?\s*([<>=!~;(,].*)?|--(hash|only-binary|no-binary|pre|prefer-binary)\b.*)?"
)


@dataclass(frozen=True)
class Bench:
    """What every part works with; ``deadline`` is monotonic, ``stop`` set when nobody wants the build any more.

    ``installer`` is ``pip``, ``uv`` or ``auto``; ``anew`` means that nothing is taken from earlier builds.
    """

    release: Path
    logs: Path
    tools: Path
    tmp: Path
    say: Say
    deadline: float
    stop: threading.Event
    sources: Sources = field(default_factory=Sources)
    installer: str = "auto"
    anew: bool = False
    surroundings: Inputs = field(default_factory=surroundings)
    known: Dict[str, List[str]] = field(default_factory=dict)  # what was found out once

    def run(self, part: str, what: str, argv: Sequence[str], cwd: Path, **variables: str) -> None:
        """Run one command of a part, ``what`` in words; its whole output goes to the part's log, byte for byte."""
        if not cwd.is_dir():
            raise Refusal(
                "build_failed", f"{part}: there is no directory {cwd.relative_to(self.release)} in the commit"
            )
        path = self.logs / f"{part.replace('/', '-')}.log"
        with path.open("ab") as log:

            def sink(data: bytes) -> None:
                log.write(data)
                self.say("output", level="detail", part=part, text=data.decode("utf-8", "replace"))

            env = process.environment(CI="1", DEPLOY_RELEASE=self.release.name, **variables)
            ended = process.run(argv, cwd=cwd, deadline=self.deadline, env=env, sink=sink, stop=self.stop)
        self.go_on()
        if not ended.ok:
            hint = f"fix it and deploy again; the whole log is on the host: {path}"
            raise Refusal("build_failed", f"{part}: {what} {ended.reason}", hint=hint, log=ended.tail[-4000:])

    def go_on(self) -> None:
        """Raise Refusal when nobody wants the build any more."""
        if self.stop.is_set():
            raise Refusal("cancelled", "the build was stopped; nothing was switched")

    def shell(self, part: str, line: str, cwd: Path, **variables: str) -> None:
        """Run one line of a part by bash."""
        self.run(part, repr(line), ["/bin/bash", "--noprofile", "--norc", "-c", line], cwd, **variables)


@dataclass(frozen=True)
class Layer:
    """What of a part can be kept when the rest of it changes: ``work`` makes the rest, ``own`` names it."""

    inputs: Callable[[Bench], Optional[Inputs]]
    work: Callable[[Bench], None]
    own: Callable[[Bench], Optional[List[Path]]]


@dataclass(frozen=True)
class Part:
    """One named piece of work, in directories of the release.

    ``runs_in`` are the directories where its commands may change anything, ``reads`` those
    that must not change meanwhile, ``makes`` those where its result is.  ``inputs`` is all
    that this depends on, None when it cannot be known: then the part always runs.
    """

    name: str
    work: Callable[[Bench], None]
    runs_in: Sequence[str] = ()
    reads: Sequence[str] = ()
    makes: Sequence[str] = ()
    inputs: Optional[Callable[[Bench], Optional[Inputs]]] = None
    layer: Optional[Layer] = None
    placed: bool = False  # its text names the release's path, and nothing else of it
    link: bool = True  # what it makes is left alone by the others
    elsewhere: Sequence[str] = ()  # what the others make

    def follows(self, earlier: Part) -> bool:
        """Whether it must wait for a part before it in the plan: the one reads what the other makes."""
        return _any(_within, earlier.makes, self.reads) or _any(_within, self.makes, earlier.reads)

    def disturbs(self, other: Part) -> bool:
        """Whether its commands may change what the other makes."""
        return _any(_meet, self.runs_in, other.makes)


def plan(recipe: Dict[str, Any], release: Path) -> List[Part]:
    """The recipe's parts; each may run beside those before it that it does not follow."""
    planned = [frontend(recipe["frontend"])] if recipe["frontend"] else []
    for project in projects_of(recipe["venvs"]):
        if _packaged(release / project):
            planned.append(wheel(project, [made for part in planned for made in part.makes if _within(made, project)]))
    planned += [venv(directory, projects, release) for directory, projects in recipe["venvs"].items()]
    return _related(planned + [own_step(step) for step in recipe["steps"]])


def _related(planned: List[Part]) -> List[Part]:
    """The same parts, each knowing what the others mean to it."""

    def related(number: int, part: Part) -> Part:
        ended = [other for other in planned[:number] if part.follows(other)]
        others = [other for other in planned if other is not part]
        elsewhere = [made for other in others for made in other.makes]
        link = not any(other.disturbs(part) for other in others if other not in ended)
        return replace(part, link=link, elsewhere=elsewhere)

    return [related(number, part) for number, part in enumerate(planned)]


def projects_of(venvs: Dict[str, List[str]]) -> List[str]:
    """The projects to install, each once."""
    return list(dict.fromkeys(project for projects in venvs.values() for project in projects))


def frontend(settings: Dict[str, str]) -> Part:
    """Run the frontend's command and put its output where the web units serve it from."""

    def work(bench: Bench) -> None:
        source, into = bench.release / settings["path"], bench.release / settings["into"]
        if _lacks_npm(settings["command"]):
            if source.is_dir() and not into.exists():
                raise _no_frontend(settings["into"])
            kept = f"{settings['into']} is kept as committed" if into.exists() else f"there is no {settings['into']}"
            bench.say("warning", f"npm is not installed on this host: frontend not built, {kept}", level="warning")
            return
        bench.shell("frontend", settings["command"], source, **_NPM)
        _publish(source / settings["output"], into)

    def inputs(bench: Bench) -> Optional[Inputs]:
        if _lacks_npm(settings["command"]):
            return None
        tools = {name: tool(name) for name in sorted({"node", *re.findall(r"[\w./@+-]+", settings["command"])})}
        sources = bench.sources.of(settings["path"])
        replaced = {settings["into"]: bench.sources.name(settings["into"])}  # a cached result removes just this
        told = {"settings": settings, "sources": sources, "replaced": replaced}
        return {**told, "tools": {k: v for k, v in tools.items() if v}}

    both = (settings["path"], settings["into"])
    return Part("frontend", work, runs_in=both, makes=both, inputs=inputs)


def wheel(project: str, made: Sequence[str] = ()) -> Part:
    """Build a project, once for all environments; ``made``: what other parts put into its directory before."""
    name = f"wheel {project}"

    def work(bench: Bench) -> None:
        target = _wheelhouse(bench, project)
        uv = _uv(bench)
        if uv:
            argv = [uv, "build", "--wheel", "--python", sys.executable, "--out-dir", str(target)]
        else:
            argv = [*_builder(bench, project), *PIP, "--no-deps", "--wheel-dir", str(target)]
        what = f"{'uv build' if uv else 'pip wheel'} ./{project}"
        bench.run(name, what, [*argv, f"./{project}"], bench.release, SOURCE_DATE_EPOCH=_EPOCH)

    def inputs(bench: Bench) -> Optional[Inputs]:
        before = {path: content(bench.release / path) for path in made}
        return {"sources": bench.sources.of(project), "made before": before, **_installers(bench)}

    house = str(PurePosixPath(WHEELS, project))
    return Part(name, work, runs_in=(project,), reads=(project,), makes=(project, house), inputs=inputs)


def venv(directory: str, projects: Sequence[str], release: Path) -> Part:
    """A virtual environment with projects of the repository installed into it."""
    name = f"venv {directory}"
    target = venv_path(release, directory)

    def work(bench: Bench) -> None:
        bench.run(name, "python3 -m venv", [sys.executable, "-m", "venv", "--without-pip", str(target)], bench.release)
        locks = [word for lock in _requirements(bench.release, projects) for word in ("--requirement", lock)]
        wheels = [str(path) for path in _wheels(bench, projects)]
        # Hashes in a requirements file are demanded of all that is installed with it.
        apart = [locks, wheels] if _hashed(bench.release, projects) else [[*locks, *wheels]]
        for wanted in filter(None, apart):
            install(bench, wanted)
        finish(bench, [target / "lib"])

    def renew(bench: Bench) -> None:
        wheels = _wheels(bench, projects)
        install(bench, ["--no-deps", *map(str, wheels)])
        finish(bench, installed.files(target, wheels))

    def install(bench: Bench, wanted: Sequence[str]) -> None:
        what = "uv pip install" if _uv(bench) else "pip install"
        bench.run(name, what, [*_install(bench, target), *wanted], bench.release)

    def finish(bench: Bench, paths: Sequence[Path]) -> None:
        installed.settle(target, _wheels(bench, projects))
        bench.run(name, "compiling it", installed.compiling(target, bench.release, paths), bench.release)

    def inputs(bench: Bench) -> Optional[Inputs]:
        needs = layer(bench)
        return needs and {**needs, "projects": [content(path) for path in _wheels(bench, projects)]}

    def layer(bench: Bench) -> Optional[Inputs]:
        needs = [installed.metadata(path) for path in _wheels(bench, projects)]
        locks = {path: bench.release / path for path in _requirements(bench.release, projects)}
        if None in needs or not all(map(_is_plain, locks.values())):
            return None  # some of it lies elsewhere on this host
        requirements = {name: content(path) for name, path in locks.items()}
        return {"at": where, "projects": needs, "requirements": requirements, **_installers(bench)}

    def own(bench: Bench) -> Optional[List[Path]]:
        wheels = _wheels(bench, projects)
        return None if installed.conflict(target, wheels) else installed.files(target, wheels)

    where, locks = str(target.relative_to(release)), _requirements(release, projects)
    houses = [str(PurePosixPath(WHEELS, project)) for project in projects]
    # What is not on a package index is built where it lies.
    runs_in = () if all(_is_plain(release / path) for path in locks) else (".",)
    layers = Layer(layer, renew, own)
    return Part(name, work, runs_in, (*houses, *runs_in), (where,), inputs, layers, placed=True)


def venv_path(release: Path, directory: str) -> Path:
    """Where a venv goes: ``.venv`` inside a directory of the repository, else the directory itself."""
    target = release / directory
    return target / ".venv" if target.is_dir() else target


def own_step(step: Dict[str, str]) -> Part:
    """A command of the user's own: what it depends on is not known, so it always runs, after all before it."""
    run = lambda bench: bench.shell(step["name"], step["command"], bench.release / step["path"])  # noqa: E731
    return Part(step["name"], run, runs_in=(".",), reads=(".",), makes=(".",))


def _within(path: str, directory: str) -> bool:
    return PurePosixPath(directory) in (PurePosixPath(path), *PurePosixPath(path).parents)


def _meet(one: str, other: str) -> bool:
    return _within(one, other) or _within(other, one)


def _any(holds: Callable[[str, str], bool], some: Sequence[str], others: Sequence[str]) -> bool:
    return any(holds(one, other) for one in some for other in others)


def _publish(output: Path, into: Path) -> None:
    if not output.is_dir() or not any(output.iterdir()):
        raise Refusal("build_failed", f"frontend: its command succeeded but left nothing in {output.name}/")
    if into.is_dir() and not into.is_symlink():
        shutil.rmtree(into)
    shutil.copytree(output, into, symlinks=True)


def _requirements(release: Path, projects: Sequence[str]) -> List[str]:
    return [f"{project}/requirements.txt" for project in projects if (release / project / "requirements.txt").is_file()]


def _wheels(bench: Bench, projects: Sequence[str]) -> List[Path]:
    """The wheels of the projects that have one; the others have requirements at least."""
    for project in projects:
        directory = bench.release / project
        if not _packaged(directory) and not (directory / "requirements.txt").is_file():
            missing = "no pyproject.toml, setup.py or requirements.txt in it"
            raise Refusal("build_failed", f"{project!r} cannot be installed: {missing}")
    return [path for project in dict.fromkeys(projects) for path in sorted(_wheelhouse(bench, project).glob("*.whl"))]


def _is_plain(requirements: Path) -> bool:
    lines = requirements.read_text("utf-8", "replace").replace("\\\n", " ").splitlines()
    bare = [re.sub(r"(^|\s)#.*", "", line).strip() for line in lines]
    return all(_PLAIN.fullmatch(line) and "@" not in line for line in bare)


def _hashed(release: Path, projects: Sequence[str]) -> bool:
    return any("--hash" in (release / path).read_text("utf-8", "replace") for path in _requirements(release, projects))


def _packaged(directory: Path) -> bool:
    return (directory / "pyproject.toml").is_file() or (directory / "setup.py").is_file()


def _wheelhouse(bench: Bench, project: str) -> Path:
    return bench.release / WHEELS / project


def _install(bench: Bench, target: Path) -> List[str]:
    """The command that installs into an environment, without bytecode; uv must copy, for releases lose write bits."""
    python = str(target / "bin" / "python")
    uv = _uv(bench)
    if uv:
        return [uv, "pip", "install", "--python", python, "--link-mode", "copy"]
    return [python, _pip_at(bench), "install", *PIP, "--no-compile"]


def _installers(bench: Bench) -> Inputs:
    """What makes environments here."""
    uv = _uv(bench)
    return {"python": python(), "installer": tool(uv) if uv else _told_by_pip(bench, "__version__")}


def _uv(bench: Bench) -> Optional[str]:
    """uv, when it is wanted or found; not beside a configured pip, whose package indexes uv would not know."""
    found = process.find("uv") if bench.installer != "pip" else None
    if bench.installer == "uv" and found is None:
        raise Refusal(
            "build_failed", "uv is not installed on this host", hint="install it there, or set build.installer"
        )
    return None if bench.installer == "auto" and pip_is_configured() else found


def _builder(bench: Bench, project: str) -> List[str]:
    """The command that builds a wheel: with tools made before when they can be known, else with pip's own each time."""
    tools = None if bench.anew else build_tools.ready(bench, project, [_pip_at(bench), "install", *PIP])
    return [str(tools), _pip_at(bench), "wheel", "--no-build-isolation"] if tools else [*_pip(bench), "wheel"]


def _pip(bench: Bench) -> List[str]:
    """A pip that can install into another environment (22.3 or later): the host's, else one of our own made once.

    The environments themselves are made without pip: that costs 3 s each and nobody runs it.
    """
    with _MAKING_PIP:
        if "pip" not in bench.known:
            bench.known["pip"] = _find_pip(bench)
    return bench.known["pip"]


def _pip_at(bench: Bench) -> str:
    """What another environment's interpreter runs to be served by our pip: ``--python`` does the same, after a start
    of its own."""
    return str(Path(_told_by_pip(bench, "__file__")).with_name("__pip-runner__.py"))


def _find_pip(bench: Bench) -> List[str]:
    own = str(bench.tools / "bin" / "python")
    serving = next((each for each in (sys.executable, own) if _pip_serves(each, bench)), None)
    if serving:
        return [serving, "-m", "pip"]
    bench.run("pip", "python3 -m venv", [sys.executable, "-m", "venv", "--clear", str(bench.tools)], bench.release)
    if not _pip_serves(own, bench):
        newer = "pip>=22.3"
        upgrade = [own, "-m", "pip", "install", *PIP, "--upgrade", newer]
        bench.run("pip", f"pip install {newer}", upgrade, bench.release)
    return [own, "-m", "pip"]


def _pip_serves(python: str, bench: Bench) -> bool:
    version = _ask_pip(python, bench, "__version__") if Path(python).exists() else ""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= (22, 3)


def _told_by_pip(bench: Bench, name: str) -> str:
    if name not in bench.known:
        bench.known[name] = [_ask_pip(_pip(bench)[0], bench, name)]
    return bench.known[name][0]


def _ask_pip(python: str, bench: Bench, name: str) -> str:
    """What ``pip --version`` would tell, in a tenth of the time; nothing when there is no pip."""
    ask = [python, "-c", f"import pip; print(pip.{name})"]
    asked = process.run(ask, cwd=bench.tmp, deadline=bench.deadline)
    return asked.tail.splitlines()[-1] if asked.ok else ""


def _no_frontend(into: str) -> Refusal:
    """Sealed like that it would stay without one, also when npm is there later."""
    why = f"frontend: npm is not installed on this host, and the commit has no {into}"
    return Refusal("build_failed", why, hint=f"install npm there, commit {into}, or set build.frontend: null")


def _lacks_npm(command: str) -> bool:
    return "npm" in command.split() and not process.find("npm")
