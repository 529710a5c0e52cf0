"""What comes from outside and is not as we wrote it: values of any kind, put anywhere into what would be right."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import strategies as st

NASTY = "\x1b]52;c;cm0gLXJmIC8=\x07\x1b[2J\u202ereversed\r\x9b31m"

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 10**400, 2**63, 1e300, float("nan"), float("inf"), "", "committed", "no", NASTY]),
    st.floats(),
    st.text(max_size=8),
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
)


@st.composite
def changed(draw: st.DrawFn, right: Any) -> Any:
    """The right value with one to three things in it that are something else, gone, or more than they should be."""
    value = copy.deepcopy(right)
    for _ in range(draw(st.integers(1, 3))):
        value = _change(draw, value)
    return value


def _change(draw: st.DrawFn, value: Any) -> Any:
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or draw(st.integers(0, 5)) == 0:
        return draw(anything)
    key = draw(st.sampled_from(keys))
    match draw(st.sampled_from(["inside", "inside", "gone", "more"])):
        case "gone":
            del value[key]
        case "more" if isinstance(value, dict):
            value[draw(st.text(max_size=8))] = draw(anything)
        case _:
            value[key] = _change(draw, value[key])
    return value


def often(share: int) -> Callable[[Any], Any]:
    """So many of each hundred examples that the profile asks for."""
    return hypothesis.settings(max_examples=hypothesis.settings().max_examples * share // 100)
