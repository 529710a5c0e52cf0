"""Each module has its tests at the same place below tests/, and tests use what the package offers to everybody."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "oroboros_deploy"

# Modules without a test file of their own, and why.
ELSEWHERE: dict[str, str] = {}

OPEN = ("_replace", "_asdict", "_fields", "_exit")  # of named tuples and os: their underscore says something else


def untested() -> list[str]:
    """The modules that have no tests/<room>/test_<name>.py."""
    names = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    return sorted(str(name) for name in names if not (TESTS / name.parent / f"test_{name.name}").exists())


def private(path: Path) -> Iterator[str]:
    """The lines of a file that take, set or import a private name of somebody else's."""
    text = path.read_text()
    lines = {node.lineno for node in ast.walk(ast.parse(text)) if any(map(_is_private, _names(node)))}
    for number in sorted(lines):
        yield f"{path.relative_to(TESTS)}:{number}: {text.splitlines()[number - 1].strip()}"


def _names(node: ast.AST) -> list[str]:
    """The names that are reached for."""
    match node:
        case ast.Attribute(value=ast.Name("self" | "cls")):
            return []  # of the test's own classes
        case ast.Attribute(attr=name):
            return [name]
        case ast.Call(func=ast.Attribute(attr="setattr" | "setitem")) | ast.Call(func=ast.Name("setattr" | "getattr")):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
            return [text.rpartition(".")[2] for text in texts if isinstance(text, str)]
        case ast.ImportFrom(names=names):
            return [each.name for each in names]
    return []


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in OPEN


def test_each_module_has_its_tests_at_its_place() -> None:
    """One that is tested elsewhere is listed here with its reason, and no other is."""
    assert untested() == sorted(ELSEWHERE)


@pytest.mark.slow
def test_tests_use_open_doors() -> None:
    """A private name may change at any time, and what it does is no promise."""
    found = [line for path in sorted(TESTS.rglob("*.py")) for line in private(path)]
    assert found == []


def test_private_names_are_seen() -> None:
    """However they are reached; a class's own and Python's are none."""
    seen = {
        "value._hidden": 1,
        "value.shown._hidden()": 1,
        "patch.setattr(module, '_HIDDEN', 1)": 1,
        "patch.setattr('package.module._HIDDEN', 1)": 1,
        "from package.module import _hidden": 1,
        "self._own.shown": 0,
        "value.__class__": 0,
        "unit._replace(name=1)": 0,
        "patch.setattr(module, 'SHOWN', 1)": 0,
    }
    for text, number in seen.items():
        found = [node for node in ast.walk(ast.parse(text)) if any(map(_is_private, _names(node)))]
        assert len({node.lineno for node in found}) == number, text
