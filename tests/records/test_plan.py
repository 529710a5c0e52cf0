"""The plan of a deploy: what is told of it, and what has changed since it was made."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from oroboros_deploy.records.plan import (
    DeployPlan,
    HostPlan,
    Refusal,
    Removed,
    brief,
    changes,
    direction,
    expected,
    expected_of_all,
    short_form,
    warnings,
    way,
)

A, B = "a" * 40, "b" * 40
NAMES = {"added": [], "changed": ["PORT"], "removed": []}


def host(name: str = "web1", **more: Any) -> HostPlan:
    values: dict[str, Any] = {"live": B, "direction": "forward", "ahead": 3, "behind": 0, "free_bytes": 9}
    return HostPlan(name, **{**values, **more})


def plan(*hosts: HostPlan, **more: Any) -> DeployPlan:
    values: dict[str, Any] = {
        "id": "1a2b3c4d",
        "application": "shop",
        "root": "/srv/shop",
        "environment": "prod",
        "sha": A,
        "subject": "a new cart",
        "actor": "ada@desk",
        "made_at": "2030-01-01T11:00:00+00:00",
        "recipe": "r",
        "services": ("api",),
        "migrate": None,
        "unpushed": False,
        "dirty": (),
        "hosts": hosts or (host(),),
    }
    return DeployPlan(**{**values, **more})


def test_it_is_kept_as_json() -> None:
    """What comes back is the same plan, with all that it says of its hosts."""
    refusal = Refusal(20, "held", "unlock")
    known = host(refusal=refusal, drift=("api is down",), parts=("venv",), names=NAMES, removes=(Removed(B, "a cart"),))
    one = plan(known, dirty=("a b",), seconds=2.5)
    told = json.loads(json.dumps(one.as_dict()))
    assert (DeployPlan.from_dict(told), told["exit_code"]) == (one, 20)
    assert DeployPlan.from_dict({**told, "of_a_later_version": 1}) == one


def test_files_that_are_not_committed() -> None:
    """Settings are used as they are in the work tree; of the rest three are named, and the others counted."""
    made = plan(dirty=("a", "apps/web/fabric.yaml", "b", "c", "d", "e"))
    assert [*warnings(made)] == [
        "apps/web/fabric.yaml is not committed: its settings are used as they are here",
        "not committed, and so not deployed: a, b, c and 2 more",
    ]
    assert [*warnings(plan(dirty=("fabric.yml",)))] == [
        "fabric.yml is not committed: its settings are used as they are here"
    ]


@pytest.mark.parametrize("told", [{}, {"hosts": 1}, {"hosts": [], "services": [], "dirty": []}])
def test_what_is_no_plan(told: dict[str, Any]) -> None:
    """Rows that somebody else wrote are refused."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        DeployPlan.from_dict(told)


def test_the_first_refusal_is_the_exit_code() -> None:
    """As a deploy ends with the error of the first host; without one it is 0."""
    refused = [host(str(code), refusal=Refusal(code, "", None)) for code in (40, 20)]
    assert (plan(host("a"), *refused).exit_code, plan().exit_code) == (40, 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sha": B}, "the commit was aaaaaaaaaa, and is bbbbbbbbbb"),
        ({"recipe": "other"}, "the settings of `build`, `shared` or `privileged` are others"),
        (
            {"settings": "other"},
            "the settings or flags of the switch (`healthcheck`, restarts, timeouts, `keep`, `parallel`, `run_as`, "
            "`privileged`, rebuild, no cache) are others: a deploy by a plan takes no flag that the plan was not made "
            "with",
        ),
        ({"application": "blog"}, "`application` was shop, and is blog"),
        ({"root": "/srv/x"}, "`root` was /srv/shop, and is /srv/x"),
        ({"environment": None}, "`environment` was prod, and is not set"),
        ({"services": ("api", "web")}, "`services` was api, and is api web"),
        ({"migrate": "./m"}, "`migrate` was not set, and is ./m"),
        ({"hosts": (host(live=A),)}, "web1 served bbbbbbbbbb, and serves aaaaaaaaaa"),
        ({"hosts": (host(live=None),)}, "web1 served bbbbbbbbbb, and serves no release"),
        ({"hosts": (host(revision="2"),)}, "web1 would get another configuration"),
        ({"hosts": (host(names=NAMES),)}, "web1 would get another configuration"),
        ({"hosts": (host(units=NAMES),)}, "web1 would have other units changed"),
        ({"hosts": (host(hold="held by bob"),)}, "web1 was not held, and is held by bob"),
        ({"hosts": (host("web2"),)}, "web2 is not in the plan"),
    ],
)
def test_a_fact_that_changed(change: dict[str, Any], said: str) -> None:
    """Each one is told."""
    assert changes(plan(), replace(plan(), **change)) == [said]


def test_neither_disk_nor_time_count() -> None:
    """Nor who asked, what is not committed, and what another build left."""
    now = host(free_bytes=1, needs_bytes=7, seconds=9.0, drift=("api is down",), parts=("venv",), ahead=4)
    assert changes(plan(), plan(now, id="x", made_at="later", actor="bob", dirty=("a",), unpushed=True)) == []


@pytest.mark.parametrize(
    ("live", "counts", "found", "words"),
    [
        (None, None, "first", "no release → aaaaaaaaaa, the first release here"),
        (A, None, "none", "aaaaaaaaaa → aaaaaaaaaa, which is live already"),
        (B, (0, 1), "forward", "bbbbbbbbbb → aaaaaaaaaa, 1 commit forward"),
        (B, (2, 0), "back", "bbbbbbbbbb → aaaaaaaaaa, 2 commits back"),
        (B, (2, 1), "sideways", "bbbbbbbbbb → aaaaaaaaaa, sideways: adds 1 commit, removes 2"),
        (
            B,
            None,
            "unknown",
            "bbbbbbbbbb → aaaaaaaaaa, and this repository cannot tell which of them is newer",
        ),
    ],
)
def test_where_it_goes(live: str | None, counts: tuple[int, int] | None, found: str, words: str) -> None:
    """Forward, back or sideways, by the commits that only one of the two has."""
    assert direction(live, A, counts) == found
    behind, ahead = counts or (None, None)
    assert way(host(live=live, direction=found, ahead=ahead, behind=behind), A) == words


def test_the_short_form_has_a_line_for_each_way() -> None:
    """Hosts that go the same way share it; what is built and migrated is told."""
    hosts = host("web1", parts=("frontend", "backend")), host("web2", parts=("frontend", "backend")), host("web3")
    assert short_form(plan(*hosts, migrate="./m")).splitlines() == [
        "plan: bbbbbbbbbb → aaaaaaaaaa, 3 commits forward; builds frontend, backend; migrates (web1, web2)",
        "plan: bbbbbbbbbb → aaaaaaaaaa, 3 commits forward; migrates (web3)",
    ]


def test_what_is_warned_of() -> None:
    """A way back, and a commit that nobody else has; a way forward is none."""
    back = host("web2", live="c" * 40, direction="back", ahead=0, behind=1, removes=(Removed("c" * 40, "a cart"),))
    assert [*warnings(plan(host(), back, unpushed=True))] == [
        "this deploy goes back: cccccccccc, which is live on web2, is 1 commit newer than aaaaaaaaaa",
        "cccccccccc “a cart” is live on web2 and is not in aaaaaaaaaa: this deploy takes it away",
        "aaaaaaaaaa was not pushed: no branch of a remote has it",
    ]


def test_live_commits_that_go_are_named() -> None:
    """Each by its id and subject with the hosts that serve it, sideways and back; beyond three they are counted."""
    gone = tuple(Removed(letter * 40, f"change {letter}") for letter in "cde")
    aside = [host(name, direction="sideways", ahead=1, behind=5, removes=gone) for name in ("web1", "web2")]
    back = host("web3", live="f" * 40, direction="back", ahead=0, behind=1, removes=(Removed("f" * 40, "a cart"),))
    assert [*warnings(plan(*aside, back))] == [
        *(
            f"{letter * 10} “change {letter}” is live on web1, web2 and is not in aaaaaaaaaa: this deploy takes it away"
            for letter in "cde"
        ),
        "2 more commits are live on web1, web2 and are not in aaaaaaaaaa: this deploy takes them away",
        "this deploy goes back: ffffffffff, which is live on web3, is 1 commit newer than aaaaaaaaaa",
        "ffffffffff “a cart” is live on web3 and is not in aaaaaaaaaa: this deploy takes it away",
    ]


def test_one_more_commit_that_goes() -> None:
    """It is counted as one."""
    [*_, last] = warnings(plan(host(direction="sideways", behind=2, removes=(Removed(B, "a cart"),))))
    assert last == "1 more commit is live on web1 and is not in aaaaaaaaaa: this deploy takes it away"


def test_a_host_that_switches_nothing_is_not_warned_of() -> None:
    """Nothing is taken away there."""
    gone = {"behind": 1, "removes": (Removed(B, "a cart"),), "rolled_back": "at 2026-11-30 17:08 UTC by root@desk"}
    assert [*warnings(plan(host(direction="sideways", activates=False, **gone)))] == []


def test_a_release_that_failed_before() -> None:
    """Whoever asks what a deploy would do hears on which hosts the release failed, and why."""
    why = "the gate was not passed"
    made = plan(host(failed=why, parts=("release",)), host("web2"), host("web3", failed=why, parts=()))
    assert [*warnings(made)] == [
        f"aaaaaaaaaa failed on web1 before, and is built again: {why}",
        f"aaaaaaaaaa failed on web3 before: {why}",
    ]


def test_a_release_that_was_rolled_back_from() -> None:
    """When and by whom is told once for all hosts where it is the same; it refuses nothing."""
    first, later = (f"at 2026-11-30 17:0{minute} UTC by root@desk" for minute in (8, 9))
    made = plan(host(rolled_back=first), host("web2", rolled_back=first), host("web3", rolled_back=later))
    assert ([*warnings(made)], made.exit_code) == (
        [
            f"aaaaaaaaaa was live on web1, web2 until the rollback {first}",
            f"aaaaaaaaaa was live on web3 until the rollback {later}",
        ],
        0,
    )


def test_warnings_are_in_the_json_of_a_plan() -> None:
    """The sentences that people read."""
    assert plan(unpushed=True).as_dict()["warnings"] == ["aaaaaaaaaa was not pushed: no branch of a remote has it"]


def attempt(name: str = "web1", **seconds: float) -> dict[str, Any]:
    return {"hosts": [{"host": "other", "seconds": {"build": 99, "activate": 99}}, {"host": name, "seconds": seconds}]}


def test_what_it_would_take() -> None:
    """The median of the host's deploys, with a build only where one is needed; without any nobody knows."""
    done = [attempt(build=30, activate=2), attempt(activate=1), attempt(build=10, activate=3), attempt("web2", build=1)]
    assert expected(done, host(parts=("venv",))) == 32
    assert expected(done, host()) == 2
    assert (expected([], host()), expected(done, host(activates=False))) == (None, None)


def test_what_all_take() -> None:
    """So many at a time as switch at once; one that nobody knows makes the whole unknown."""
    hosts = [host(str(number), seconds=10.0) for number in range(3)]
    assert (expected_of_all(hosts, 1), expected_of_all(hosts, 2), expected_of_all(hosts, 9)) == (30, 15, 10)
    assert (expected_of_all([*hosts, host()], 1), expected_of_all([host(activates=False)], 1)) == (None, None)


def test_what_is_told_in_short() -> None:
    """No more than facts that a deploy has anyway."""
    assert brief(host(parts=("venv",))) == {
        "host": "web1",
        "live": B,
        "direction": "forward",
        "ahead": 3,
        "behind": 0,
        "parts": ["venv"],
        "activates": True,
    }
