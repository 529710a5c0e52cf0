"""The parts of a build: a frontend, virtual environments, steps of the user's own.

Each works inside the release directory at its final path, for a virtual environment
cannot be moved: its console scripts name the interpreter by its absolute path.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from .. import trees
from ..annotations import TYPE_CHECKING, Callable, Dict, Iterable, List, Optional, Sequence, Tuple
from ..constants import FRONTEND_COMMAND
from ..refusal import Refusal
from . import git_version, installed, installers, locks, project, requirements
from .bench import ELSEWHERE, Bench
from .inputs import Inputs, content, said_by, words
from .needs import Needs
from .steps import Step
from .within import within

if TYPE_CHECKING:
    from ..contract import FrontendRecipe, Recipe, StepRecipe

WHEELS = ".deploy-wheels"  # where a release has its projects' wheels until it is complete
_EPOCH = "315532800"  # 1980, where zip begins: a wheel of the same files is the same wheel
_NPM = {"npm_config_audit": "false", "npm_config_fund": "false", "npm_config_update_notifier": "false"}
_OF_NODE = {"node", "npm", "npx", "yarn", "pnpm", "bun", "corepack"}  # a command finds them by itself, or we know them


@dataclass(frozen=True)
class Base:
    """What lies below a part's result and is kept apart: when only the rest changed, only the rest is made again.

    The base of a virtual environment is all that its projects need; the rest is the projects.  ``inputs`` is all that
    the base depends on, None when that cannot be known.  ``complete`` makes the rest upon a base that was taken from
    the cache.  ``added`` is the files of the rest, None when they cannot be told from those of the base.
    """

    inputs: Callable[[Bench], Optional[Inputs]]
    complete: Callable[[Bench], None]
    added: Callable[[Bench], Optional[List[Path]]]


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
    base: Optional[Base] = None
    may_contain_path: bool = False  # its text files may contain the release's path: they are written anew for each
    may_be_linked: bool = True  # no other part changes its output, so the files may be hard links into the cache
    always_runs: bool = False  # its result is shared with other releases by content, and never taken from one
    may_lack: Optional[Callable[[str], bool]] = None  # what names the release and is not needed in what is kept
    made_by_others: Sequence[str] = ()  # what parts make that run beside it: nothing in there is this part's output

    def follows(self, earlier: Part) -> bool:
        """Whether it must wait for a part before it in the plan: the one reads what the other makes."""
        return _any(_within, earlier.makes, self.reads) or _any(_within, self.makes, earlier.reads)

    def disturbs(self, other: Part) -> bool:
        """Whether its commands may change what the other makes."""
        return _any(_meet, self.runs_in, other.makes)


def plan(recipe: Recipe, release: Path) -> List[Part]:
    """The recipe's parts; each may run beside those before it that it does not follow."""
    planned = [frontend(recipe["frontend"])] if recipe["frontend"] else []
    venvs = {directory: Needs.of(written) for directory, written in recipe["venvs"].items()}
    wanted = {path for needs in venvs.values() for path in needs.built(release)}
    for path in projects_of(venvs.values()):
        if path in wanted and project.is_packaged(release / path):
            planned.append(wheel(path, [made for part in planned for made in part.makes if _within(made, path)]))
    planned += [venv(directory, needs, release) for directory, needs in venvs.items()]
    return _related(planned + [step(settings) for settings in recipe["steps"]])


def _related(planned: List[Part]) -> List[Part]:
    """These parts, each knowing what the others mean to it."""

    def related(number: int, part: Part) -> Part:
        ended = [other for other in planned[:number] if part.follows(other)]
        later = [other for other in planned[number + 1 :] if other.follows(part)]  # they begin when it was looked at
        others = [other for other in planned if other is not part]
        made_by_others = [made for other in others if other not in ended + later for made in other.makes]
        may_be_linked = not any(other.disturbs(part) for other in others if other not in ended)
        return replace(part, may_be_linked=may_be_linked, made_by_others=made_by_others)

    return [related(number, part) for number, part in enumerate(planned)]


def projects_of(venvs: Iterable[Needs]) -> List[str]:
    """The projects to install, each once."""
    return list(dict.fromkeys(path for needs in venvs for path in needs.projects))


def frontend(settings: FrontendRecipe) -> Part:
    """Run the frontend's command and put its output where the web units serve it from."""
    made = Frontend(settings)
    both = tuple(dict.fromkeys((settings["path"], made.into)))
    return Part("frontend", made.work, runs_in=both, makes=both, inputs=made.inputs)


@dataclass(frozen=True)
class Frontend:
    """The frontend of a release, made by a command.

    A command that was configured always runs.  The default one is left out on a host without npm.
    """

    settings: FrontendRecipe

    @property
    def output(self) -> str:
        """The directory that the command fills."""
        return str(PurePosixPath(self.settings["path"], self.settings["output"]))

    @property
    def into(self) -> str:
        """The directory that the output is served from."""
        return self.settings["into"] or self.output

    def work(self, bench: Bench) -> None:
        """Run the command and publish its output; where the command is left out, keep what was committed."""
        source = within(bench.release, self.settings["path"])
        if self._is_left_out(bench):
            self._keep_committed(bench, source, within(bench.release, self.into))
        else:
            bench.shell("frontend", self.settings["command"], source, **_NPM)
            _publish(within(bench.release, self.output), within(bench.release, self.into))  # the command may make links

    def inputs(self, bench: Bench) -> Optional[Inputs]:
        """The settings, the sources, the tools that the command names, and what its output replaces.

        None when the command names a tool of Node that is not found here: the command finds the tool somewhere else.
        """
        named = words(self.settings["command"])
        tools = bench.programs({"node", *named, *said_by(bench.release / self.settings["path"])})
        if not named & _OF_NODE <= tools.keys():
            return None
        return {
            "settings": self.settings,
            "sources": bench.sources.of(self.settings["path"]),
            "replaced": {self.into: bench.sources.name(self.into)},  # removed with a cached one
            "tools": tools,
        }

    def _is_left_out(self, bench: Bench) -> bool:
        return self.settings["command"] == FRONTEND_COMMAND and not bench.find("npm")

    def _keep_committed(self, bench: Bench, source: Path, into: Path) -> None:
        """A release sealed without its frontend would stay without one, also when npm is installed later."""
        name, without = self.into, "npm is not installed on this host"
        if self.settings.get("required"):
            hint = "install npm there, or set build.frontend.required: false"
            raise Refusal("build_failed", f"frontend: {without}, and build.frontend.required is set", hint=hint)
        if source.is_dir() and not into.exists():
            why = f"frontend: {without}, and the commit has no {name}"
            raise Refusal("build_failed", why, hint=f"install npm there, commit {name}, or set build.frontend: null")
        kept = f"{name} is kept as committed" if into.exists() else f"there is no {name}"
        bench.left_out.append("frontend")
        bench.say("part.left_out", f"{without}: frontend not built, {kept}", level="warning", part="frontend")


def wheel(project: str, made: Sequence[str] = ()) -> Part:
    """Build a project, once for all environments; ``made``: what other parts put into its directory before."""
    built = Wheel(project, made)
    makes = (project, str(PurePosixPath(WHEELS, project)))
    return Part(built.name, built.work, runs_in=(project,), reads=(project,), makes=makes, inputs=built.inputs)


@dataclass(frozen=True)
class Wheel:
    """The wheel of a project, from which it is installed into every environment."""

    project: str
    made_before: Sequence[str]

    @property
    def name(self) -> str:
        return f"wheel {self.project}"

    def work(self, bench: Bench) -> None:
        """Build it."""
        what = f"{'uv build' if installers.uv(bench) else 'pip wheel'} ./{self.project}"
        argv = installers.build_wheel(bench, self.project, _wheelhouse(bench, self.project))
        variables = {**self._version(bench), **installers.variables(bench)}
        bench.run(self.name, what, argv, bench.release, SOURCE_DATE_EPOCH=_EPOCH, **variables)

    def inputs(self, bench: Bench) -> Optional[Inputs]:
        """The sources, what other parts put beside them, and the installer."""
        before = {path: content(bench.release / path) for path in self.made_before}
        version = self._version(bench)
        told: Inputs = {"version": version} if version else {}
        told["tools"] = bench.programs(said_by(bench.release / self.project))
        return {"sources": bench.sources.of(self.project), "made before": before, **told, **installers.inputs(bench)}

    def _version(self, bench: Bench) -> Dict[str, str]:
        return git_version.variables(bench.release / self.project, bench.described)


def venv(directory: str, needs: Needs, release: Path) -> Part:
    """Make a virtual environment with projects of the repository installed into it."""
    made = Venv(f"venv {directory}", venv_path(release, directory), needs)
    where = str(made.path.relative_to(release))
    houses = [str(PurePosixPath(WHEELS, path)) for path in needs.projects]
    # What is not on a package index is built where it lies.
    runs_in = () if needs.are_self_contained(release) else (".",)
    base = Base(made.base_inputs, made.complete, made.added)
    return Part(made.name, made.work, runs_in, (*houses, *runs_in), (where,), made.inputs, base, may_contain_path=True)


@dataclass(frozen=True)
class Venv:
    """A virtual environment: its base is what the projects need, upon which the projects' wheels are installed."""

    name: str
    path: Path
    needs: Needs

    def work(self, bench: Bench) -> None:
        """Make all of it."""
        make = [bench.toolchain.python, "-m", "venv", "--without-pip", str(self.path)]
        bench.run(self.name, "python3 -m venv", make, ELSEWHERE)
        for place, wanted in self._installed_together(bench):
            self._install(bench, wanted, place)
        self._finish(bench, [self.path / "lib"])

    def complete(self, bench: Bench) -> None:
        """Install the projects upon a base that was taken from the cache."""
        wheels = _wheels(bench, self.needs)
        self._install(bench, ["--no-deps", *map(str, wheels)], bench.release)
        self._finish(bench, installed.files(self.path, wheels))

    def inputs(self, bench: Bench) -> Optional[Inputs]:
        """What the whole environment depends on: its base, and the wheels of the projects."""
        base = self.base_inputs(bench)
        return base and {**base, "projects": [content(path) for path in _wheels(bench, self.needs)]}

    def base_inputs(self, bench: Bench) -> Optional[Inputs]:
        """What the base depends on; None when some of it lies elsewhere on this host."""
        told = [installed.metadata(path) for path in _wheels(bench, self.needs)]
        if None in told or not self.needs.are_self_contained(bench.release):
            return None
        at = str(self.path.relative_to(bench.release))
        return {"at": at, "projects": told, **self.needs.inputs(bench.release), **installers.inputs(bench)}

    def added(self, bench: Bench) -> Optional[List[Path]]:
        """The files of the projects; None when another distribution brought one of them as well."""
        wheels = _wheels(bench, self.needs)
        return None if installed.conflict(self.path, wheels) else installed.files(self.path, wheels)

    def _installed_together(self, bench: Bench) -> List[Tuple[Path, List[str]]]:
        """What each call of the installer is given, and where it runs: paths in a requirements file count from there.

        Hashes are demanded of all that is installed with them, so the wheels of the projects are then apart.
        """
        files = [bench.release / file for file in self.needs.files(bench.release)]
        calls: Dict[Path, List[str]] = {}
        for file in files:
            place = requirements.place(file, bench.release)
            calls.setdefault(place, []).extend(["--requirement", os.path.relpath(file, place)])
        locked, wheels = self._locked(bench)
        more = [*wheels, *self.needs.requirements_of(bench.release)]
        if calls and not requirements.are_hashed(files):
            list(calls.values())[-1].extend(more)
            more = []
        return [*locked, *calls.items(), *([(bench.release, more)] if more else [])]

    def _locked(self, bench: Bench) -> Tuple[List[Tuple[Path, List[str]]], List[str]]:
        """What is installed as locked, the wheels of its projects included, and the wheels of the other projects."""
        found = self.needs.locks(bench.release)
        others = replace(self.needs, projects=self.needs.unlocked(bench.release), lock=None)
        rest = self.needs.with_extras(_wheels(bench, others)) if others.projects else []
        if not found:
            return [], rest
        theirs = [str(path) for path in _wheels(bench, replace(self.needs, projects=[lock.project for lock in found]))]
        calls = locks.installed_together(bench, self.name, found, self.needs.extras, self.needs.groups)
        return [*calls, *([(bench.release, ["--no-deps", *theirs])] if theirs else [])], rest

    def _install(self, bench: Bench, wanted: Sequence[str], place: Path) -> None:
        what = "uv pip install" if installers.uv(bench) else "pip install"
        argv = [*installers.install(bench, self.path, place), *wanted]
        bench.run(self.name, what, argv, place, **installers.variables(bench, self.path))

    def _finish(self, bench: Bench, compiled: Sequence[Path]) -> None:
        installed.settle(self.path, _wheels(bench, self.needs))
        compiling = installed.compiling(self.path, bench.release, compiled)
        bench.run(self.name, "compiling it", compiling, ELSEWHERE)


def venv_path(release: Path, directory: str) -> Path:
    """Where a venv goes: ``.venv`` inside a directory of the repository, else the directory itself."""
    target = release / directory
    return target / ".venv" if target.is_dir() else target


def step(settings: StepRecipe) -> Part:
    """A command of the user's own, which runs after all before it: it may read all that they made."""
    own = Step(settings)
    return Part(
        own.name,
        own.work,
        runs_in=(".",),
        reads=(".",),
        makes=tuple(own.outputs) or (".",),
        inputs=own.inputs,
        may_contain_path=True,
        always_runs=own.always_runs,
        may_lack=own.may_lack,
    )


def _within(path: str, directory: str) -> bool:
    return PurePosixPath(directory) in (PurePosixPath(path), *PurePosixPath(path).parents)


def _meet(one: str, other: str) -> bool:
    return _within(one, other) or _within(other, one)


def _any(holds: Callable[[str, str], bool], some: Sequence[str], others: Sequence[str]) -> bool:
    return any(holds(one, other) for one in some for other in others)


def _publish(output: Path, into: Path) -> None:
    if not output.is_dir() or not any(output.iterdir()):
        what = f"frontend: its command succeeded but left nothing in {output.name}/"
        raise Refusal("build_failed", what, hint="set build.frontend.output to the directory that the command fills")
    if into == output:
        return
    if into in output.parents or output in into.parents:  # a link of the commit may lead there
        what = f"a symbolic link puts the output ({output.name}/) and `into` ({into.name}/) one inside the other"
        hint = (
            "take the link out of the commit, or have the build not make it, or name other directories in "
            "build.frontend; the links of the commit: git ls-files -s | grep ^120000"
        )
        raise Refusal("build_failed", f"frontend: {what}", hint=hint)
    if into.is_dir() and not into.is_symlink():
        trees.remove(into)
    trees.copy(output, into)


def _wheels(bench: Bench, needs: Needs) -> List[Path]:
    """The wheels of the projects that have one; the others have requirements at least."""
    needs.refuse_empty(bench.release)
    return [path for name in dict.fromkeys(needs.projects) for path in sorted(_wheelhouse(bench, name).glob("*.whl"))]


def _wheelhouse(bench: Bench, project: str) -> Path:
    return bench.release / WHEELS / project
