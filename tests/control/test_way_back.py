"""Which release a rollback without an id goes to."""

from __future__ import annotations

from typing import Any, cast

import pytest

from oroboros_deploy.control.way_back import Kept, Place, choose, listed, place_of
from oroboros_deploy.host.contract import Facts


def place(live: str | None, *names: str, bad: str = "", never: str = "") -> Place:
    """A host that committed releases in this order; ``bad`` are not to go to, ``never`` are there and never served."""
    kept = [Kept(name, 2 * number, name not in bad) for number, name in enumerate(names, 1)]
    return Place(live, (*kept, *(Kept(name, None, False) for name in never)))


@pytest.mark.parametrize(
    ("places", "chosen"),
    [
        ([place("c", "a", "b", "c")], "b"),
        ([place("b", "a", "b", "c")], "a"),
        ([place("a", "a", "b", "c")], None),
        ([place("c", "a", "b", "c", bad="b")], "a"),
        ([place("c", "a", "b", "c", bad="ab")], None),
        ([place("b", "a", "b", bad="b")], "a"),
        ([place("b", "a", "b", never="c")], "a"),
        ([place("x", "a", "b")], "b"),
        ([place(None, "a", "b")], None),
        ([place(None)], None),
        ([place("a", "a")], None),
        ([place("c", "a", "b", "c"), place("c", "a", "b", "c")], "b"),
        ([place("c", "a", "b", "c"), place("c", "a", "c")], "a"),
        ([place("c", "a", "b", "c"), place("c", "a", "b", "c", bad="b")], "a"),
        ([place("c", "a", "c"), place("c", "b", "c")], None),
        ([place("b", "a", "b"), place("c", "a", "b", "c")], "b"),
        ([place("c", "a", "b", "c"), place("b", "a", "b")], "b"),
        ([place("a", "a", "b"), place("b", "a", "b")], "a"),
        ([place("a", "a", "b", "c"), place("c", "a", "b", "c")], "b"),
        ([place("c", "a", "b", "c"), place(None, "a", "b")], "b"),
        ([place("c", "a", "b", "c"), place(None)], None),
        ([place("c", "a", "b", "c"), place("c", "b", "a", "c")], "b"),
        ([place("c", "b", "a", "c"), place("c", "a", "b", "c")], "a"),
    ],
    ids=[
        *("the one before", "asked twice it goes two back", "nothing before the first", "a bad one is left out"),
        *("none that is good", "away from a bad one", "one that never served", "live by another hand"),
        *("nothing live", "an empty host", "one release alone"),
        *("hosts alike", "one host lacks it", "bad on one host", "nothing in common"),
        *("one host is behind", "the first host is ahead", "one host went back", "as far back as the letter says"),
        *("nothing live on one", "one empty host", "the first host orders", "and so it does here"),
    ],
)
def test_the_choice(places: list[Place], chosen: str | None) -> None:
    """The newest release that is good everywhere, and on one host came before what is live there."""
    assert choose(places) == chosen


def release(name: str, **changes: Any) -> dict[str, Any]:
    return {"id": name * 40, "state": "sealed", "built_at": None, "bad": False, "gate": "passed", "first": 2, **changes}


@pytest.mark.parametrize(
    ("changes", "asks", "words"),
    [
        ({}, True, "passed its gate"),
        ({"gate": "skipped"}, True, "its gate was skipped"),
        ({"gate": "skipped"}, False, "passed its gate"),
        ({"gate": "never", "first": None}, True, "never served here"),
        ({"bad": True}, True, "failed here"),
        ({"state": "unsealed", "first": None}, True, "not complete"),
        ({"state": "adopted", "gate": "never", "first": 1}, True, "served before"),
        ({"state": "adopted", "gate": "skipped"}, True, "served before"),
        ({"state": "adopted", "gate": "never", "first": None}, True, "never served here"),
        ({"state": "adopted", "bad": True}, True, "failed here"),
    ],
)
def test_what_may_be_gone_to(changes: dict[str, Any], asks: bool, words: str) -> None:
    """It passed its gate (adopted: it served), and is not bad; where no command is asked, services are the gate."""
    facts = cast("Facts", {"live": None, "releases": [release("a", **changes)]})
    [kept] = place_of(facts, asks=asks).kept
    assert (kept.words, kept.good) == (words, words in ("passed its gate", "served before"))


def test_what_a_host_has_is_told_on_a_line() -> None:
    """The newest first, then what never served; each with what it is."""
    releases = [release("a"), release("b", first=None, gate="never"), release("c", first=6, bad=True)]
    place = place_of(cast("Facts", {"live": "a" * 40, "releases": releases}), asks=True)
    told = "web1: cccccccccc (failed here), aaaaaaaaaa (live, passed its gate), bbbbbbbbbb (never served here)"
    assert (listed("web1", place), listed("web2", Place(None, ()))) == (told, "web2: no release")
