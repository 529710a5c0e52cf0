"""Environments with what projects are built with: pip alone would make one for each wheel, and throw it away."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path

from .. import durable, kept_tools, seal
from ..annotations import Callable, Dict, List, NamedTuple, Optional, Sequence
from . import git_version
from .bench import ELSEWHERE, Bench
from .inputs import content, digest

KEPT = 4  # environments; each has some 15 MB
_MAKING = threading.Lock()
# What a backend wants beyond what is declared, written to a file, for backends print.
_ASK = """\
import importlib, json, sys
backend, answer = sys.argv[1:]
module, _, name = backend.partition(":")
backend = importlib.import_module(module)
for part in filter(None, name.split(".")):
    backend = getattr(backend, part)
wanted = getattr(backend, "get_requires_for_build_wheel", lambda: [])()
open(answer, "w").write(json.dumps(wanted))
"""


class BuildSystem(NamedTuple):
    """What a project says that it is built with: names from package indexes, and a backend."""

    requires: List[str]
    backend: str


def ready(
    bench: Bench, project: str, install: Sequence[str], variables: Callable[[Path], Dict[str, str]]
) -> Optional[Path]:
    """The interpreter of an environment with all that the project is built with, made once by the command ``install``.

    None when that is not declared for good: then only pip, each time, can tell.
    """
    system = declared(bench.release / project / "pyproject.toml")
    if system is None or bench.toolchain.version < (3, 11):  # it is asked with an option of 3.11
        return None
    key = digest([system.requires, bench.toolchain.about_python, list(install), bench.surroundings])
    target = bench.tools.parent / "build" / key[:32]
    command = [str(target / "bin" / "python"), *install]
    keep(bench, f"wheel {project}", target, command, system.requires, variables(target))
    with _MAKING:
        wants_more = _wants_more(bench, project, target, system.backend)
    return None if wants_more else target / "bin" / "python"


def keep(
    bench: Bench,
    part: str,
    target: Path,
    install: Sequence[str],
    wanted: Sequence[str],
    variables: Dict[str, str],
) -> None:
    """Make an environment with what is wanted, by the command ``install``, unless it is there and whole."""
    with _MAKING:
        if seal.state_of(target) != "sealed" or seal.compare(target) != seal.WHOLE:
            _make_room(target)
            tools, venv = bench.for_tools(), [bench.toolchain.python, "-m", "venv", "--without-pip", str(target)]
            tools.run(part, "python3 -m venv", venv, ELSEWHERE)
            tools.run(part, f"pip install {' '.join(wanted)}", [*install, *wanted], ELSEWHERE, **variables)
            seal.seal(target, {})
        kept_tools.mark(target)
        bench.kept.append(target)


def _make_room(target: Path) -> None:
    seal.remove(target)
    for unused in sorted(target.parent.glob("?" * 32), key=lambda path: path.stat().st_mtime)[: -KEPT + 1]:
        seal.remove(unused)


def declared(pyproject: Path) -> Optional[BuildSystem]:
    """A project's build system; None when not all of it is on package indexes: pip says what is wrong with it."""
    if sys.version_info < (3, 11) or not pyproject.is_file():
        return None
    toml = importlib.import_module("tomllib")
    try:
        return _whole(toml.loads(pyproject.read_text("utf-8")).get("build-system"))
    except ValueError:
        return None


def _whole(system: object) -> Optional[BuildSystem]:
    """A backend and names from package indexes, when that is all that is declared."""
    if not isinstance(system, dict) or {"requires", "build-backend"} != set(system):
        return None
    requires, backend = system["requires"], system["build-backend"]
    named = isinstance(requires, list) and all(isinstance(each, str) and "@" not in each for each in requires)
    return BuildSystem(requires, backend) if named and isinstance(backend, str) else None


def _wants_more(bench: Bench, project: str, target: Path, backend: str) -> bool:
    """Whether the backend asks for more than is declared; asked once for the files that can make it."""
    directory = bench.release / project
    files = [directory / name for name in ("pyproject.toml", "setup.py", "setup.cfg")]
    known = {path.name: content(path) for path in files if path.is_file()}
    answer = target.with_name(f"{target.name}.{digest(known)[:32]}")
    if not answer.is_file():
        python, told = str(target / "bin" / "python"), bench.temporary / answer.name
        asking = [python, "-P", "-c", _ASK, backend, str(told)]
        variables = git_version.variables(directory, bench.described)
        bench.run(f"wheel {project}", f"its build backend {backend}", asking, directory, **variables)
        durable.write(answer, told.read_bytes())
    return answer.read_text() != "[]"
