"""Lock files of a commit that nothing is installed from: who wrote one expects that it is, and is told."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from ..annotations import TYPE_CHECKING, Iterator, List, Optional
from . import requirements
from .inputs import words
from .needs import Needs

if TYPE_CHECKING:
    from ..contract import FrontendRecipe, Recipe

# Those of Python that no tool of ours reads, and a command by which their own tool tells what they pin.
_UNREAD = {
    "Pipfile.lock": "pipenv requirements --hash",
    "pylock.toml": "",
    "conda-lock.yml": "",
    "conda-lock.yaml": "",
    "pixi.lock": "",
    "requirements.lock": "",
}
_PYLOCK = re.compile(r"pylock\..+\.toml")
# Those that may lie above the projects which they lock.
_ABOVE = {
    "uv.lock": "uv export --package",
    "poetry.lock": "poetry export",
    "pdm.lock": "pdm export",
    "Pipfile.lock": _UNREAD["Pipfile.lock"],
}
# Those of Node, by the tool that reads them; of several of one tool the first counts.
_OF_NODE = {
    "npm": ("npm-shrinkwrap.json", "package-lock.json"),
    "pnpm": ("pnpm-lock.yaml",),
    "yarn": ("yarn.lock",),
    "bun": ("bun.lock", "bun.lockb"),
}


def said_of(recipe: Recipe, release: Path) -> Iterator[str]:
    """What is said of the lock files of a commit that is checked out."""
    if recipe["frontend"]:
        yield from of_frontend(recipe["frontend"], release)
    for directory, written in recipe["venvs"].items():
        yield from of_venv(directory, Needs.of(written), release)


def of_venv(directory: str, needs: Needs, release: Path) -> Iterator[str]:
    """What is said of the lock files of an environment's projects; nothing where the settings say what is installed."""
    if not needs.lock or needs.requirements is not None:
        return
    found = {lock.project: lock.file for lock in needs.locks(release)}
    for project in dict.fromkeys(needs.projects):
        lock = found.get(project)
        if not _is_exported(release, project):
            for file in [*_beside(release, project), *([] if lock else _above(release, project))]:
                yield _said_of(file, project, lock, release, directory)


def of_frontend(settings: FrontendRecipe, release: Path) -> Iterator[str]:
    """What is said of the lock files of a frontend that the tool in its command does not read."""
    command, path = settings["command"], settings["path"]
    tools = [tool for tool in _OF_NODE if tool in words(command)]
    there = [name for names in _OF_NODE.values() for name in names if (release / path / name).is_file()]
    read = [next((name for name in _OF_NODE[tool] if name in there), None) for tool in tools]
    for name in there:
        if tools and name not in read:
            instead = next(filter(None, read), None)
            by = f"{tools[0]} in {command!r} reads {instead or 'no lock file'}"
            hint = f"remove {name} from the commit, or set build.frontend.command to the tool that wrote {name}"
            yield f"{PurePosixPath(path, name)} is passed over: {by} ({hint})"


def _beside(release: Path, project: str) -> List[str]:
    names = sorted(path.name for path in (release / project).glob("*") if path.is_file())
    return [str(PurePosixPath(project, name)) for name in names if name in _UNREAD or _PYLOCK.fullmatch(name)]


def _above(release: Path, project: str) -> List[str]:
    """The lock files of directories above a project that name it, as that of a workspace names its members."""
    found = []
    for above in PurePosixPath(project).parents:
        inner = PurePosixPath(project).relative_to(above)
        for name in _ABOVE:
            path = release / above / name
            if path.is_file() and _naming(str(inner)).search(path.read_text("utf-8", "replace")):
                found.append(str(above / name))
    return found


def _naming(path: str) -> "re.Pattern[str]":
    return re.compile(rf'"?\b(?:editable|virtual|directory|path|url)"?\s*[=:]\s*"(?:\./)?{re.escape(path)}/?"')


def _installed(release: Path, project: str) -> str:
    """What decides instead of a lock."""
    file = next(iter(requirements.of(release, [project])), None)
    return f"what {file} says" if file else f"the newest of what {project} asks for"


def _is_exported(release: Path, project: str) -> bool:
    """Whether the project's requirements are those of a lock: nobody writes hashes by hand."""
    return requirements.are_hashed(release / file for file in requirements.of(release, [project]))


def _said_of(file: str, project: str, lock: Optional[str], release: Path, directory: str) -> str:
    if lock:
        return f"{file} is passed over: {lock} is installed (remove the one that is not meant)"
    name, into = PurePosixPath(file).name, f"{project}/{requirements.FILE}"
    command = {**_UNREAD, **_ABOVE}.get(name)
    wanted = f"let the tool that wrote it ({command}) write {into}" if command else f"write what it pins to {into}"
    if name == "requirements.lock":
        wanted = f"name it in the requirements of build.venvs.{directory}"
    quiet = f"set lock: null in build.venvs.{directory} to turn this warning off"
    return f"{file} is passed over: {_installed(release, project)} is installed ({wanted}; {quiet})"
