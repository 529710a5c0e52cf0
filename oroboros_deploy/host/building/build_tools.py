"""Environments with what projects are built with: pip alone would make one for each wheel, and throw it away."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path

from .. import seal
from ..annotations import Any, Dict, Optional, Sequence
from .bench import Bench
from .inputs import content, digest, python

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


def ready(bench: Bench, project: str, install: Sequence[str]) -> Optional[Path]:
    """The interpreter of an environment with all that the project is built with, made once.

    None when that is not declared for good: then only pip, each time, can tell.
    """
    declared = _declared(bench.release / project / "pyproject.toml")
    if declared is None:
        return None
    key = digest([declared["requires"], python(), list(install), bench.surroundings])
    target = bench.tools.parent / "build" / key[:32]
    with _MAKING:
        if seal.state_of(target) != "sealed" or seal.verify(target):
            _make(bench, f"wheel {project}", target, install, declared["requires"])
        target.touch()  # used last
        wants_more = _wants_more(bench, project, target, declared["build-backend"])
    return None if wants_more else target / "bin" / "python"


def _make(bench: Bench, part: str, target: Path, install: Sequence[str], wanted: Sequence[str]) -> None:
    seal.remove(target)
    for unused in sorted(target.parent.glob("?" * 32), key=lambda path: path.stat().st_mtime)[: -KEPT + 1]:
        seal.remove(unused)
    bench.run(part, "python3 -m venv", [sys.executable, "-m", "venv", "--without-pip", str(target)], bench.tmp)
    python = str(target / "bin" / "python")
    bench.run(part, f"pip install {' '.join(wanted)}", [python, *install, *wanted], bench.tmp)
    seal.seal(target, {})


def _wants_more(bench: Bench, project: str, target: Path, backend: str) -> bool:
    """Whether the backend asks for more than is declared; asked once for the files that can make it."""
    directory = bench.release / project
    files = [directory / name for name in ("pyproject.toml", "setup.py", "setup.cfg")]
    known = {path.name: content(path) for path in files if path.is_file()}
    answer = target.with_name(f"{target.name}.{digest(known)[:32]}")
    if not answer.is_file():
        python = str(target / "bin" / "python")
        bench.run(
            f"wheel {project}", f"its build backend {backend}", [python, "-c", _ASK, backend, str(answer)], directory
        )
    return answer.read_text() != "[]"


def _declared(pyproject: Path) -> Optional[Dict[str, Any]]:
    """A project's build system, when all of it is on package indexes."""
    if sys.version_info < (3, 11) or not pyproject.is_file():
        return None
    toml = importlib.import_module("tomllib")
    try:
        declared: Any = toml.loads(pyproject.read_text("utf-8")).get("build-system")
    except ValueError:
        return None  # pip says what is wrong with it
    return declared if _is_whole(declared) else None


def _is_whole(declared: Any) -> bool:
    """Whether it is a backend and names from package indexes, and nothing else; pip says what is wrong with it."""
    if not isinstance(declared, dict) or {"requires", "build-backend"} != set(declared):
        return False
    requires, backend = declared["requires"], declared["build-backend"]
    named = isinstance(requires, list) and all(isinstance(each, str) and "@" not in each for each in requires)
    return named and isinstance(backend, str)
