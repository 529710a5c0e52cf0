"""How attempts ended, in a word."""

from __future__ import annotations

from typing import get_args

from oroboros_deploy.outcome import Kind, State
from oroboros_deploy.web.ending import (
    came_of,
    came_to,
    cause,
    going,
    lost_by,
    said,
    serves_then,
    stands,
    why,
    worst_first,
)


def test_hosts_that_need_a_person_come_first() -> None:
    """Then those at work, last those that are live."""
    parts = [
        {"host": state, "state": state} for state in ("live", "running", "skipped", "not_restored", "already_live")
    ]
    assert [part["host"] for part in worst_first(parts)] == [
        "not_restored",
        "skipped",
        "running",
        "live",
        "already_live",
    ]


def test_what_came_of_the_hosts_where_it_failed() -> None:
    """They were put back or still serve what served; where they differ, or nobody knows, nothing is said."""
    restored = {"state": "restored", "live": "a", "previous": "a"}
    stayed = {"state": "not_switched", "live": None, "previous": "a"}
    said = [came_of(parts) for parts in ([restored], [restored] * 2, [stayed], [stayed] * 2)]
    assert said == [
        ("which was put back to", "a"),
        ("which were put back to", "a"),
        ("which still serves", "a"),
        ("which still serve", "a"),
    ]
    unknown = ([restored, {**restored, "live": "b"}], [{**stayed, "previous": None}], [{**stayed, "state": "busy"}])
    assert [came_of(parts) for parts in unknown] == [("", None)] * 3


def test_what_is_said_of_an_attempt_that_went_wrong() -> None:
    """Where it went worst, why, and what serves then; of one that is live on some hosts, how far it came."""
    parts = [
        {"host": "w1", "state": "live", "message": ""},
        {"host": "w2", "state": "restored", "message": "a was restored and is live; b failed: the gate"},
        {"host": "w3", "state": "skipped", "message": ""},
    ]
    some = {"kind": "deploy", "state": "failed", "release_id": "b", "hosts": parts}
    none = {**some, "state": "restored", "hosts": parts[1:]}
    assert [(said(each), cause(each), serves_then(each)) for each in (some, none)] == [
        ("failed on", "the gate", "The deploy is live on 1 host and did not touch 1 host."),
        ("was undone on", "the gate", "What served before serves again."),
    ]
    assert (said({**some, "hosts": []}), cause({**some, "hosts": []})) == ("failed", "")


def test_the_cause_is_what_the_health_gate_found() -> None:
    """Where that is known, it stands alone; that a restore failed, too, is said by the state."""
    gate = "the gate was not passed: exit 1"
    told = (gate, "the gate was not passed", f"a is not healthy: {gate}; and the restore failed: {gate}", "no disk")
    hosts = [[{"host": "w1", "state": "not_restored", "message": each}] for each in told]
    causes = [cause({"state": "broken", "release_id": "b", "hosts": each}) for each in hosts]
    assert causes == ["exit 1", "the health gate was not passed", "exit 1", "no disk"]


def test_why_nobody_knows_how_hosts_ended() -> None:
    """Said where all say the same, by its first words; otherwise nothing is."""
    lost, other = {"message": "the link was lost; it finishes alone\nmore"}, {"message": "time is up"}
    assert [lost_by(parts) for parts in ([lost], [lost, lost], [lost, other], [])] == ["the link was lost"] * 2 + [
        ""
    ] * 2


def test_what_was_live_and_serves_no_more_is_replaced() -> None:
    """No other end has another word because of what came later."""
    live, failed = {"state": "live", "hosts": []}, {"state": "restored", "hosts": []}
    said = [stands(attempt, became) for attempt in (live, failed) for became in ("", "replaced")]
    assert said == ["live", "replaced", "restored", "restored"]


def test_every_kind_of_attempt_does_something() -> None:
    """While it goes on, it is called by what it does."""
    assert [going(kind) for kind in get_args(Kind)] == ["deploying", "rolling back", "configuring", "restarting"]


def test_every_state_has_a_word() -> None:
    """Also an attempt without a host; the reason is the first line of the worst host's."""
    for state in State:
        parts = [{"state": str(state), "message": f"because\n{state}"}]
        assert came_to({"state": "failed", "hosts": parts})
        assert why({"state": "failed", "hosts": parts}) == ("" if state.ok else "because")
    assert came_to({"state": "failed", "hosts": []}) == "failed"
