"""What the library says of itself: each public class and function, what it raises, and examples that are run."""

from __future__ import annotations

import ast
import doctest
import inspect
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from types import FunctionType

import pytest

import oroboros_deploy
from oroboros_deploy import Config, DeployError, Deployment, Event, Outcome, Registry, SshOptions

PUBLIC = {name: getattr(oroboros_deploy, name) for name in oroboros_deploy.__all__ if not name.startswith("_")}
WITH_EXAMPLES = [Config, DeployError, Deployment, Event, Outcome, Registry, SshOptions]


def functions() -> Iterator[tuple[str, Callable[..., object]]]:
    """The public functions, and the public methods of public classes, by their names."""
    for name, thing in PUBLIC.items():
        if isinstance(thing, FunctionType):
            yield name, thing
        elif isinstance(thing, type):
            yield from ((f"{name}.{key}", each) for key, each in _methods(thing))


def _methods(kind: type) -> Iterator[tuple[str, Callable[..., object]]]:
    for key, value in vars(kind).items():
        method = value.__func__ if isinstance(value, classmethod) else value
        if isinstance(method, FunctionType) and not key.startswith("_"):
            yield key, method


def raised(function: Callable[..., object]) -> set[str]:
    """The classes that the function itself raises by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = (each.exc for each in ast.walk(tree) if isinstance(each, ast.Raise) and isinstance(each.exc, ast.Call))
    return {call.func.id for call in calls if isinstance(call.func, ast.Name)}


@pytest.mark.parametrize("name", [name for name, _ in functions()])
def test_what_is_raised_is_named(name: str) -> None:
    """Every public function says what it does, and names each error that it raises itself."""
    function = dict(functions())[name]
    told = inspect.getdoc(function) or ""
    assert told.split("\n")[0].endswith((".", ":")), name
    assert [error for error in raised(function) if error not in told] == []


@pytest.mark.parametrize("name", [name for name, _ in _methods(Deployment) if name != "with_config"])
def test_what_asks_hosts_or_the_registry_says_what_it_raises(name: str) -> None:
    """Every method of Deployment that does something has a sentence that begins with Raises."""
    assert "Raises " in (inspect.getdoc(getattr(Deployment, name)) or "")


@pytest.mark.parametrize("name", [name for name, thing in PUBLIC.items() if isinstance(thing, type)])
def test_every_public_class_is_described(name: str) -> None:
    """No public class has the docstring of its parent, or that of dataclasses, or none."""
    told = vars(PUBLIC[name]).get("__doc__") or ""
    assert told and not told.startswith(f"{name}("), name


@pytest.mark.parametrize("kind", WITH_EXAMPLES, ids=lambda kind: str(kind.__name__))
def test_examples(kind: type) -> None:
    """The classes that a program begins with have examples, and each example prints what it shows."""
    module = import_module(kind.__module__)
    tests = doctest.DocTestFinder(recurse=True).find(kind, kind.__name__, module=module)
    ran = [doctest.DocTestRunner(verbose=False).run(test) for test in tests]
    assert (sum(result.failed for result in ran), sum(result.attempted for result in ran) > 0) == (0, True)
