"""The order in which the workers get the files of tests."""

from __future__ import annotations

from pathlib import Path

from tests.support import spread


class Collected:
    """What the order depends on of a collected test."""

    def __init__(self, nodeid: str, *marks: str) -> None:
        self.nodeid = nodeid
        self.marks = marks

    def get_closest_marker(self, name: str) -> bool:
        return name in self.marks


def test_files_that_wait_are_spread_among_those_that_work() -> None:
    """Each file stays whole and in its order, every test is there once, and quick files come last."""
    quick, slow = {"a": (3, ""), "d": (1, "")}, {"b": (2, "slow"), "c": (2, "slow")}
    counts = {**quick, **slow, "host": (1, "host"), "page": (3, "browser")}
    items = [Collected(f"{name}::{number}", mark) for name, (count, mark) in counts.items() for number in range(count)]
    given = [item.nodeid for item in items]
    spread.pytest_collection_modifyitems(items)  # type: ignore[arg-type]
    ordered = [item.nodeid for item in items]
    assert list(dict.fromkeys(name.partition("::")[0] for name in ordered)) == ["page", "b", "c", "host", "a", "d"]
    assert sorted(ordered, key=given.index) == given


def test_the_whole_run_uses_it() -> None:
    """And pytest-xdist leaves its order as it is."""
    script = (Path(spread.__file__).parents[1] / "run.sh").read_text()
    assert "-p tests.support.spread" in script and "--no-loadscope-reorder" in script
