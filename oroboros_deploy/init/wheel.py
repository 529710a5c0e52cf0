"""Whether a wheel can be built of a project of Python: many an application is described like one, and is none."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .proposal import Proposal
from .tree import Tree, below, table

# What setuptools takes for no package and no module of a project, where it looks for one itself.
_PASSED_OVER = re.compile(
    r"[._].*|ci|bin|docs?|documentation|manpages|news|changelog|tests?|unit_tests?|examples?|scripts|tools|utils?|python"
    r"|build|dist|venv|env|requirements|tasks|fabfile|site_scons|benchmarks?|exercises?|setup|conftest|toxfile|noxfile"
    r"|pavement|dodo|conanfile|manage"
)
_SETUPTOOLS = ("tool.setuptools", "py-modules = []")
_POETRY = ("tool.poetry", "package-mode = false")
_HATCHLING = ("tool.hatch.build.targets.wheel", "bypass-selection = true")


def look(tree: Tree, proposal: Proposal, place: str, lock: str | None) -> None:
    """Ask about a project of which no wheel can be built; of a locked one without a build system none is."""
    project = tree.toml(place, "pyproject.toml")
    system, tool = table(project.get("build-system")), table(project.get("tool"))
    if not project or (lock and not system) or table(tool.get("poetry")).get("package-mode") is False:
        return
    backend = str(system.get("build-backend", "setuptools")).partition(".")[0]
    if backend == "setuptools":
        _of_setuptools(tree, proposal, place, tool)
    elif backend == "poetry" and "packages" not in table(tool.get("poetry")):
        _of_its_name(tree, proposal, place, _POETRY, _name(table(project.get("project")), table(tool.get("poetry"))))
    elif backend == "hatchling" and "build" not in table(tool.get("hatch")):
        named = table(project.get("project"))
        _of_its_name(tree, proposal, place, _HATCHLING, _name(named), _name_as_written(named))


def _of_setuptools(tree: Tree, proposal: Proposal, place: str, tool: Mapping[str, object]) -> None:
    said = {"packages", "py-modules"} & {*table(tool.get("setuptools"))}
    if said or tree.first(place, "setup.py", "setup.cfg") or "src" in tree.names(place):
        return
    packages = _packages(tree, place)
    found, kind = (packages, "package") if packages else (_modules(tree, place), "module")
    if len(found) > 1:
        why = f"of {', '.join(found[:2])} and others" if len(found) > 2 else f"of {found[0]} and {found[1]}"
        _ask(proposal, place, _SETUPTOOLS, f"setuptools finds more than one {kind} in it, and builds none {why}")


def _packages(tree: Tree, place: str) -> list[str]:
    """The directories that setuptools takes for packages; what git ignores is not in a release."""
    lines = [line.strip().strip("/") for each in {place, ""} for line in tree.text(each, ".gitignore").splitlines()]
    ignored = {"node_modules", *(line.removeprefix(f"{place}/") for line in lines)}
    return [name for name in tree.directories(place) if _is_taken(name) and name not in ignored]


def _modules(tree: Tree, place: str) -> list[str]:
    files = [name for name in tree.names(place) if name.endswith(".py") and tree.has(place, name)]
    return [name for name in files if _is_taken(name.removesuffix(".py"))]


def _is_taken(name: str) -> bool:
    return name.isidentifier() and not _PASSED_OVER.fullmatch(name)


def _of_its_name(tree: Tree, proposal: Proposal, place: str, instead: tuple[str, str], *names: str) -> None:
    """Ask where no package has the name of the project, in any of its spellings."""
    there = {*tree.names(place), *tree.names(below(place, "src"))}
    if names[0] and not {*names, *(f"{name}.py" for name in names)} & there:
        _ask(proposal, place, instead, f"{names[0]} is the package that is built of it, and is not there")


def _name(*tables: Mapping[str, object]) -> str:
    name = next((str(each["name"]) for each in tables if "name" in each), "")
    return re.sub(r"[-_.]+", "_", name).lower()


def _name_as_written(project: Mapping[str, object]) -> str:
    """The name of a package in which hatchling keeps capital letters."""
    return re.sub(r"[^\w.]+", "_", str(project.get("name", "")))


def _ask(proposal: Proposal, place: str, instead: tuple[str, str], why: str) -> None:
    file, (section, line) = below(place, "pyproject.toml"), instead
    asked = f"{file}: {why}. Is it an application, and no package? Then let a build install its dependencies alone"
    proposal.ask("build.venvs", f"{asked}: write below [{section}] of {file}: {line}")
