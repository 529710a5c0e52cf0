"""The rooms of the package and which way they import one another, read from the source without running it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import oroboros_deploy

PACKAGE = Path(oroboros_deploy.__file__).parent
NAME = PACKAGE.name
DOORS = ("cli", "tasks")  # what the users of `fab` see: the library never imports it
PURE = (
    *("records", "outcome", "events", "errors", "release", "version", "text", "config", "init", "setup", "doctor"),
    *("control.plan", "control.way_back", "control.looking"),
)
ACTING = ("cli", "tasks", "deployment", "testing", "control", "registry", "remote", "ssh", "web", "source", "threads")
ACTING_MODULES = {
    *("fabric", "invoke", "paramiko", "sqlalchemy", "psycopg2", "fastapi", "starlette", "uvicorn"),
    *("asyncio", "concurrent", "fcntl", "multiprocessing", "select", "shutil", "signal", "socket", "sqlite3"),
    *("subprocess", "tempfile", "threading", "urllib"),
}
FILES_IN_THE_ROOT = 14
HASHES = {"_sha256", "_sha2"}  # one until Python 3.11, the other after
UNTYPED_LINES = 25  # that hold a dictionary of anything, outside the rooms whose data are of others; 25 is the aim
UNTYPED = re.compile(r"\b(dict|Dict|Mapping)\[str, Any\]")


class Import(NamedTuple):
    """One import: ``module`` is a module of ours without the package's name, or the first name of another."""

    module: str
    ours: bool
    annotation: bool  # in `if TYPE_CHECKING:`, so that it never happens


Graph = Mapping[str, list[Import]]


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Every module by its name within the package; a room's `__init__` has the name of the room."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def graph(package: Path = PACKAGE) -> Graph:
    """All imports of all modules, those inside functions too."""
    paths = modules(package)
    return {name: [*_imports(name, path, paths)] for name, path in paths.items()}


def _imports(name: str, path: Path, paths: Mapping[str, Path]) -> Iterator[Import]:
    room = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text())
    annotations = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for each in node.body
        for inner in ast.walk(each)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _import(alias.name, paths, node in annotations)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, room)
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix(f"{NAME}.")
                yield _import(inner if inner in paths else base, paths, node in annotations)


def _base(node: ast.ImportFrom, room: str) -> str:
    """The module that names are imported from, with the package's name in front when it is ours."""
    if not node.level:
        return node.module or ""
    above = [NAME, *filter(None, room.split("."))]
    return ".".join([*above[: len(above) - node.level + 1], *filter(None, [node.module])])


def _import(name: str, paths: Mapping[str, Path], annotation: bool) -> Import:
    inner = name.removeprefix(f"{NAME}.")
    ours = name == NAME or name.startswith(f"{NAME}.") or inner in paths
    return Import("" if name == NAME else inner, True, annotation) if ours else Import(name.split(".")[0], False, False)


def arrows(found: Graph, *, annotations: bool) -> dict[str, set[str]]:
    """Which module of ours imports which; the package's own `__init__`, and a room's by its modules, are left out."""
    return {
        name: {
            each.module
            for each in imports
            if each.ours and each.module not in ("", name) and (annotations or not each.annotation)
        }
        for name, imports in found.items()
        if name
    }


def circles(edges: Mapping[str, set[str]]) -> list[set[str]]:
    """The sets of modules that all reach one another."""
    reached = {name: reach(edges, name) for name in edges}
    alike = {frozenset({name, *(other for other in reached[name] if name in reached[other])}) for name in edges}
    return [set(each) for each in alike if len(each) > 1]


def reach(edges: Mapping[str, set[str]], name: str) -> set[str]:
    """All modules that are imported by one, directly or by others."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = edges.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def within(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


@pytest.fixture(scope="module")
def found() -> Graph:
    return graph()


def test_no_circle_at_run_time(found: Graph) -> None:
    """No module needs itself when it runs, counting what is imported inside functions."""
    assert circles(arrows(found, annotations=False)) == []


def test_one_circle_of_annotations(found: Graph) -> None:
    """An error has the outcome of its attempt and an outcome raises errors; no other circle, counting annotations."""
    assert circles(arrows(found, annotations=True)) in ([], [{"errors", "outcome"}])


def test_pure_rooms_import_nothing_that_acts(found: Graph) -> None:
    """What decides and remembers imports no network, process, thread or database, also not through others."""
    edges = arrows(found, annotations=False)
    for name in filter(lambda name: within(name, PURE), edges):
        for module in {name, *reach(edges, name)}:
            acting = [each for each in [module] if within(each, ACTING) and not within(each, PURE)]
            acting += [each.module for each in found[module] if not each.ours and each.module in ACTING_MODULES]
            assert not acting, f"{name} imports {', '.join(acting)} (by {module})"


def test_the_library_imports_no_command_line(found: Graph) -> None:
    """Only the tasks and their room import what prints, asks and exits; not even for an annotation."""
    edges = arrows(found, annotations=True)
    for name in filter(lambda name: not within(name, DOORS), edges):
        assert not [each for each in edges[name] if within(each, DOORS)], name


def test_the_agent_needs_the_standard_library_alone(found: Graph) -> None:
    """What runs on a host imports nothing of ours from outside its room, and no package of others."""
    for name in filter(lambda name: within(name, ("host",)), found):
        for each in found[name]:
            known = within(each.module, ("host",)) if each.ours else each.module in {*sys.stdlib_module_names, *HASHES}
            assert known, f"{name} imports {each.module or NAME}"


@pytest.mark.parametrize(("library", "room"), [("sqlalchemy", "registry"), ("paramiko", "ssh")])
def test_a_library_stays_in_its_room(found: Graph, library: str, room: str) -> None:
    """SQLAlchemy is imported by the registry's room alone, paramiko by the SSH room."""
    users = {name for name, imports in found.items() if any(each.module == library for each in imports)}
    assert users and all(within(name, (room,)) for name in users), users


def test_few_files_lie_in_the_root() -> None:
    """The root has the doors and the values that all rooms share; everything else is in a room."""
    files = sorted(path.name for path in PACKAGE.glob("*.py"))
    assert len(files) <= FILES_IN_THE_ROOT, files


def test_few_dictionaries_are_of_anything() -> None:
    """What crosses a border has a type; registry and web have data whose shape others decide."""
    lines = [
        f"{name}:{number}"
        for name, path in modules().items()
        if not within(name, ("registry", "web"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if UNTYPED.search(line)
    ]
    assert len(lines) <= UNTYPED_LINES, lines


def test_imports_are_seen_where_they_stand(tmp_path: Path) -> None:
    """This file's own reader sees imports in functions and for annotations, of rooms, modules and names."""
    (tmp_path / "room").mkdir()
    (tmp_path / "room/__init__.py").write_text("from .one import name")
    (tmp_path / "room/one.py").write_text(
        "import os.path\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from .. import two\n"
        "def late():\n    from . import three\n    from ..room.three import name\n"
    )
    (tmp_path / "room/three.py").write_text(f"import {NAME}.room.one")
    (tmp_path / "two.py").write_text("from . import room")
    read = graph(tmp_path)
    assert [each for each in read["room.one"] if not each.ours] == [("os", False, False), ("typing", False, False)]
    assert arrows(read, annotations=True) == {
        "room": {"room.one"},
        "room.one": {"two", "room.three"},
        "room.three": {"room.one"},
        "two": {"room"},
    }
    assert circles(arrows(read, annotations=False)) == [{"room.one", "room.three"}]
    assert circles(arrows(read, annotations=True)) == [{"room", "room.one", "room.three", "two"}]
