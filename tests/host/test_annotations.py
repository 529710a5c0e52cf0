"""The agent's named tuples do what those of ``typing`` do, of which mypy believes that they are."""

from __future__ import annotations

import copy
import typing
from typing import Any

import pytest

from oroboros_deploy.host import annotations


class Ours(annotations.NamedTuple):
    """As the agent makes it."""

    one: str
    two: int = 2
    three: tuple[str, ...] = ()

    @property
    def both(self) -> str:
        return f"{self.one}{self.two}"


class Theirs(typing.NamedTuple):
    """The same by ``typing``."""

    one: str
    two: int = 2
    three: tuple[str, ...] = ()


class Further(Ours):
    """One that is made of it."""

    __slots__ = ()

    @property
    def both(self) -> str:
        return "another"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (("a",), {}),
        ((), {"one": "a"}),
        (("a", 3), {"three": ("b",)}),
        (("a", 3, ("b",)), {}),
        ((), {"three": ("b",), "one": "a"}),
    ],
)
def test_values_by_place_and_by_name(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Each has its place or its name, or is what the class says."""
    ours, theirs = Ours(*values, **named), Theirs(*values, **named)
    assert (tuple(ours), ours._asdict(), hash(ours)) == (tuple(theirs), theirs._asdict(), hash(theirs))
    assert (ours.one, ours.two, ours.three, ours.both) == (*theirs, f"{theirs.one}{theirs.two}")
    assert repr(ours).removeprefix("Ours") == repr(theirs).removeprefix("Theirs")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((), {}),
        ((), {"two": 3}),
        (("a", 3, (), "more"), {}),
        (("a",), {"one": "b"}),
        (("a",), {"four": 4}),
        (("a", 3, ()), {"two": 3}),
        (("a", 3, ()), {"four": 4}),
    ],
)
def test_values_that_do_not_fit(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    """What is missing, too much, unknown or there twice is an error of type, as what reads a state goes by."""
    for each in (Ours, Theirs):
        with pytest.raises(TypeError):
            each(*values, **named)


def test_another_value_keeps_the_class() -> None:
    """A copy, and one with another value, are of the class that they are made of."""
    found = Further("a")._replace(two=3)
    assert (type(found), tuple(found), found.both) == (Further, ("a", 3, ()), "another")
    assert (type(copy.deepcopy(found)), copy.deepcopy(found), copy.copy(found)) == (Further, found, found)
    unknown: dict[str, Any] = {"four": 4}
    with pytest.raises(TypeError):
        found._replace(**unknown)


def test_a_value_cannot_be_changed() -> None:
    """It is a tuple: neither its values nor others can be set."""
    for name in ("one", "four"):
        with pytest.raises(AttributeError):
            setattr(Ours("a"), name, "b")
