"""Which releases stay: decided by their order in the journal, never by a clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oroboros_deploy.host.retention import Release, built_after, judge, sequences, served

HELD = {"r9": "live", "r8": "served before the live one"}


def good(number: int) -> Release:
    return Release(f"r{number}", "sealed", False, number)


def bad(number: int) -> Release:
    return Release(f"r{number}", "sealed", True, number)


def unsealed(number: int) -> Release:
    return Release(f"r{number}", "unsealed", False, number)


def kept(releases: list[Release], keep: int = 3, held: Any = HELD, others: Any = None) -> str:
    return " ".join(each.id for each in judge(releases, keep, held, others or {}) if each.stays)


@pytest.mark.parametrize(
    ("releases", "keep", "others", "stays"),
    [
        ([good(n) for n in range(1, 10)], 3, {}, "r9 r8 r7"),
        ([good(n) for n in range(1, 10)], 2, {}, "r9 r8"),
        ([good(n) for n in range(5, 10)], 5, {}, "r9 r8 r7 r6 r5"),
        ([good(n) for n in range(1, 10)], 3, {"r2": "pinned", "r1": "in use"}, "r9 r8 r7 r2 r1"),
        ([good(n) for n in range(1, 10)], 3, {"r7": "pinned"}, "r9 r8 r7"),
        ([good(9), good(8), bad(7), bad(6), good(5), good(4)], 3, {}, "r9 r8 r7 r5"),
        ([good(9), good(8), bad(7), bad(6), good(5)], 3, {"r6": "pinned"}, "r9 r8 r7 r6 r5"),
        ([good(9), good(8), unsealed(7), good(5)], 3, {}, "r9 r8 r5"),
        ([good(9), good(8), unsealed(7)], 3, {"r7": "in use"}, "r9 r8 r7"),
        ([bad(9), good(8), good(7), good(6), good(5)], 3, {}, "r9 r8 r7 r6"),
        ([unsealed(9), bad(8), good(7), good(6), good(5), good(4)], 3, {}, "r9 r8 r7 r6 r5"),
    ],
    ids=[
        *("the newest", "never less than two", "all there are", "others stay beside", "others among the newest"),
        *("one that failed", "failed and pinned", "incomplete", "incomplete but used", "live though bad", "both odd"),
    ],
)
def test_what_stays(releases: list[Release], keep: int, others: dict[str, str], stays: str) -> None:
    """Live and the way back always; the newest good ones up to the number; one failed; what somebody needs."""
    assert kept(releases, keep, HELD, others) == stays


def test_each_is_told_why() -> None:
    """The strongest reason there is, and of what goes the reason too."""
    releases = [good(9), good(8), good(7), bad(6), good(5), bad(4), unsealed(3), good(2)]
    told = {each.id: each.why for each in judge(releases, 3, HELD, {"r9": "pinned by ada", "r2": "pinned by ada"})}
    assert told == {
        "r9": "live",
        "r8": "served before the live one",
        "r7": "one of the 3 newest good releases",
        "r6": "the newest that failed here: to be looked at",
        "r5": "older than the 3 good releases that stay",
        "r4": "failed here",
        "r3": "its build was never completed",
        "r2": "pinned by ada",
    }


def entry(seq: int, target: str, source: str | None, outcome: str = "committed") -> dict[str, Any]:
    return {"seq": seq, "target": target, "source": source, "outcome": outcome, "at": 0.0}


def test_the_order_is_that_of_the_journal() -> None:
    """Last live is what counts: gone back to is new again; what failed has no place; what was built has its own."""
    places = sequences(
        [
            entry(1, "a", "adopted"),
            entry(2, "b", "a"),
            entry(3, "x", "b", "restored"),
            entry(5, "c", "b"),
            entry(6, "a", "c"),
        ]
    )
    places["built after 5"] = built_after(5)
    assert sorted(places, key=places.__getitem__) == ["adopted", "b", "built after 5", "c", "a"]


def test_what_served() -> None:
    """Newest first: what the last activation began from, then every release that was live."""
    entries = [entry(1, "a", "adopted"), entry(2, "b", "a"), entry(3, "x", "b", "restored")]
    assert list(served(entries, "b")) == ["b", "b", "a", "a", "adopted"]
    assert list(served([], None)) == [None]


RELEASES = st.lists(
    st.builds(
        Release,
        st.integers(1, 30).map("r{}".format),
        st.sampled_from(["sealed", "adopted", "unsealed"]),
        st.booleans(),
        st.integers(0, 20),
    ),
    unique_by=lambda release: release.id,
)


@given(RELEASES, st.integers(2, 8), st.sets(st.integers(1, 30)), st.data())
def test_whatever_there_is(releases: list[Release], keep: int, needed: set[int], data: st.DataObject) -> None:
    """Every release is judged once; what is held or needed stays; nothing newer than a good one that stays goes."""
    ids = [release.id for release in releases]
    held = dict.fromkeys(data.draw(st.lists(st.sampled_from(ids), max_size=2)) if ids else [], "held")
    others = {f"r{number}": "needed" for number in needed}
    verdicts = {each.id: each.stays for each in judge(releases, keep, held, others)}
    fine = [release for release in releases if release.good]
    beside = [release for release in fine if release.id not in held and release.id not in others]
    stay = [release.sequence for release in beside if verdicts[release.id]]
    go = [release.sequence for release in beside if not verdicts[release.id]]
    assert sorted(verdicts) == sorted(ids)
    assert all(verdicts[release_id] for release_id in ids if release_id in held or release_id in others)
    assert sum(verdicts[release.id] for release in fine) >= min(keep, len(fine))
    assert not stay or not go or min(stay) >= max(go)
    assert sum(verdicts[each.id] for each in releases if each.bad and each.id not in {**held, **others}) <= 1
