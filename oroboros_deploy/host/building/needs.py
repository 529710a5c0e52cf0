"""What is installed into one virtual environment, as its recipe says it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..annotations import TYPE_CHECKING, Dict, List, Optional, Sequence, Union
from ..refusal import Refusal
from . import installed, locks, project, requirements
from .inputs import content
from .locks import Lock
from .within import within

if TYPE_CHECKING:
    from ..contract import VenvRecipe

_NO_EXTRA = "correct the name in `extras`, or declare it in the pyproject.toml of a project of that environment"
_NO_PROJECT = (
    "name the directories of your projects in build.venvs (by default backend and worker; "
    "without any virtual environment: build.venvs: {})"
)


@dataclass(frozen=True)
class Needs:
    """Projects, and what is installed with them; ``requirements`` is None where each project's own file counts."""

    projects: Sequence[str]
    requirements: Optional[Sequence[str]] = None
    packages: Sequence[str] = ()
    extras: Sequence[str] = ()
    groups: Sequence[str] = ()
    lock: Optional[str] = "auto"

    @classmethod
    def of(cls, written: Union[List[str], VenvRecipe]) -> Needs:
        """The needs that a recipe tells: project directories, or all of it by name."""
        if isinstance(written, list):
            return cls(written)
        named = (written["projects"], written["requirements"], written["packages"])
        return cls(*named, written["extras"], written["groups"], written["lock"])

    def locks(self, release: Path) -> List[Lock]:
        """The lock files that count; none where they are to be ignored."""
        return locks.of(release, self.projects) if self.lock else []

    def unlocked(self, release: Path) -> List[str]:
        """The projects without a lock file."""
        locked = [lock.project for lock in self.locks(release)]
        return [each for each in self.projects if each not in locked]

    def built(self, release: Path) -> List[str]:
        """The projects of which a wheel is wanted: all but those that a lock's tool would not build either."""
        unbuilt = [lock.project for lock in self.locks(release) if not lock.is_built(release)]
        return [each for each in self.projects if each not in unbuilt]

    def files(self, release: Path) -> List[str]:
        """The requirements files, relative to the release; raises Refusal for a named one that is not there."""
        if self.requirements is None:
            return requirements.of(release, self.unlocked(release))  # a lock has what they say
        for name in self.requirements:
            if not within(release, name).is_file():
                missing = f"the requirements file {name} is not in the commit"
                raise Refusal("build_failed", missing, hint="commit it, or correct `requirements` in build.venvs")
        return list(self.requirements)

    def requirements_of(self, release: Path) -> List[str]:
        """The requirements that stand in no file: packages, and the members of dependency groups."""
        directories = [within(release, each) for each in self.unlocked(release)]
        if not directories:  # the tools of the locks know the groups
            return list(self.packages)
        return [*self.packages, *project.grouped(directories, self.groups)]

    def are_self_contained(self, release: Path) -> bool:
        """Whether all that is installed beside the projects is on package indexes."""
        files = requirements.are_self_contained(release / name for name in self.files(release))
        locked = all(lock.is_self_contained(release) for lock in self.locks(release))
        return files and locked and all(map(requirements.is_self_contained, self.requirements_of(release)))

    def with_extras(self, wheels: Sequence[Path]) -> List[str]:
        """What the installer is given for these wheels; raises Refusal for an extra that none of them has."""
        had = {wheel: installed.extras(wheel) for wheel in wheels} if self.extras else {}
        for name in self.extras:
            if not any(name in extras for extras in had.values()):
                what = f"build.venvs: no project of the virtual environment has the extra {name!r}"
                raise Refusal("build_failed", what, hint=_NO_EXTRA)
        wanted = {wheel: ",".join(name for name in self.extras if name in had.get(wheel, [])) for wheel in wheels}
        return [f"{wheel}[{extras}]" if extras else str(wheel) for wheel, extras in wanted.items()]

    def inputs(self, release: Path) -> Dict[str, object]:
        """What the environment depends on beside the wheels of its projects."""
        files: Dict[str, object] = {"requirements": {name: content(release / name) for name in self.files(release)}}
        more: Dict[str, object] = {"packages": self.requirements_of(release), "extras": list(self.extras)}
        found = {lock.file: lock.inputs(release) for lock in self.locks(release)}
        more.update({"locks": found, "groups": list(self.groups) if found else []})
        return {**files, **{name: value for name, value in more.items() if value}}

    def refuse_empty(self, release: Path) -> None:
        """Raise Refusal for a project of which nothing can be installed, where nothing else is asked for either."""
        for name in self.projects:
            directory = within(release, name)
            more = directory.is_dir() and (self.requirements or self.packages or self.groups or self.locks(release))
            if not (more or project.is_packaged(directory) or (directory / requirements.FILE).is_file()):
                missing = "it has no setup.py, no requirements.txt, and no pyproject.toml that describes a project"
                what = f"build.venvs: the directory {name!r} of the commit cannot be installed: {missing}"
                raise Refusal("build_failed", what, hint=_NO_PROJECT)
