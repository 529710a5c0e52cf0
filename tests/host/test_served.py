"""When each release served here first, and whether it passed its gate."""

from __future__ import annotations

from typing import Any, cast

import pytest

from oroboros_deploy.host.contract import JournalEntry
from oroboros_deploy.host.served import first_commits, first_left, rolled_back
from tests.support.local_agent import LocalAgent


def entries(*ends: tuple[str | None, str, str]) -> list[JournalEntry]:
    """A journal of attempts: what each left, what it went to, and how it ended."""
    made = [
        {"seq": number, "source": source, "target": target, "outcome": outcome}
        for number, (source, target, outcome) in enumerate(ends, 1)
    ]
    return cast("list[JournalEntry]", made)


def test_the_first_commit_counts() -> None:
    """A release that is gone back to does not become a newer one; what was restored is not committed."""
    told = entries((None, "a", "committed"), ("a", "b", "committed"), ("b", "c", "restored"), ("b", "a", "committed"))
    assert first_commits(told) == {"a": 2, "b": 4}


def test_what_was_left_served_before() -> None:
    """One that another tool switched to is known by the attempt that found it live, and comes right before that."""
    told = entries(("x", "a", "restored"), ("x", "b", "committed"), ("b", "c", "committed"))
    assert first_left(told) == {"x": 1, "b": 5}


def test_what_a_rollback_left_was_left_for_a_reason() -> None:
    """Until somebody makes it live again; what a deploy replaced, or a rollback that failed left, does not count."""
    told = entries((None, "a", "committed"), ("a", "b", "committed"), ("b", "a", "committed"), ("a", "b", "restored"))
    for kind, at, entry in zip(("deploy", "deploy", "rollback", "rollback"), (1.0, 2.0, 3.0, 4.0), told, strict=True):
        entry.update(cast("Any", {"kind": kind, "at": at}))
    assert rolled_back(told) == {"b": 3.0}
    again = cast("JournalEntry", {"kind": "deploy", "at": 5.0, "source": "a", "target": "b", "outcome": "committed"})
    assert rolled_back([*told, again]) == {}


@pytest.mark.slow
def test_the_facts_say_how_each_release_served(host: LocalAgent) -> None:
    """Only where that is asked for: which came first, which passed its gate, and which never served."""
    one, two, three = (host.sealed(name) for name in ("one", "two", "three"))
    host.activate_here(one)
    host.activate_here(two, healthcheck={"command": None})
    host.activate_here(one)
    told = {each["id"]: (each["gate"], each["first"]) for each in host.facts(served=True)["releases"]}
    assert told == {one: ("passed", 2), two: ("skipped", 4), three: ("never", None)}
    unasked: list[dict[str, Any]] = host.facts()["releases"]
    assert {frozenset(each) for each in unasked} == {frozenset({"id", "state", "built_at", "bad"})}
