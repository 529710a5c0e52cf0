from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from oroboros_deploy.events import Event
from oroboros_deploy.registry import Registry
from tests.support.samples import A, B, C, host, record


def statuses(registry):
    """The status of every release."""
    return {row["release_id"]: row["status"] for row in registry.list()}


def run(registry, one):
    """An attempt as a deploy makes it: intent, status, outcome."""
    registry.begin(one)
    registry.intend(one)
    registry.finish(one)


def test_an_attempt_is_remembered_from_its_intent_to_its_outcome(registry):
    """The row shows the deploy while it goes on, and afterwards that it is live, since when, and its migration."""
    one = record(A, host("h1", "live"), minute=5, migration_marker="rev1")
    registry.begin(one)
    assert registry.list() == []
    registry.intend(one)
    row = {"id": 1, "release_id": A, "commit_sha": A, "migration_marker": None, "status": "deploying"}
    assert registry.list() == [row | {"deployed_at": None}]
    registry.finish(one)
    after = row | {"migration_marker": "rev1", "status": "deployed", "deployed_at": "2030-01-01T12:05:00+00:00"}
    assert (registry.list(), registry.get(A)) == ([after], after)
    assert list(registry.get(A)) == ["id", "release_id", "commit_sha", "migration_marker", "status", "deployed_at"]


def test_two_deploys_and_a_rollback_leave_every_row_and_host_right(registry):
    """Each release has its status, its first time live and its marker; each host the release it serves."""
    run(registry, record(A, host("h1", "live"), host("h2", "live"), attempt="1", minute=1, migration_marker="r1"))
    both = (host("h1", "live", previous=A), host("h2", "live", previous=A))
    run(registry, record(B, *both, attempt="2", minute=2))
    back = (host("h1", "live", previous=B), host("h2", "live", previous=B))
    run(registry, record(A, *back, attempt="3", minute=3, kind="rollback"))
    assert statuses(registry) == {A: "rolled_back", B: "replaced_by_rollback"}
    assert registry.get(A)["deployed_at"] == "2030-01-01T12:01:00+00:00"
    assert registry.get(A)["migration_marker"] == "r1"
    assert registry.serving() == {"h1": A, "h2": A}


def test_a_deploy_that_was_restored_ends_with_the_previous_release_deployed(registry):
    """The failed release is marked, was never live, and the host is known to serve the previous one."""
    run(registry, record(A, host("h1", "live"), attempt="1", minute=1))
    run(registry, record(B, host("h1", "restored", previous=A), attempt="2", minute=2))
    assert statuses(registry) == {A: "deployed", B: "deploy_failed"}
    assert registry.get(B)["deployed_at"] is None
    assert registry.serving() == {"h1": A}


@pytest.mark.parametrize("before", [None, "replaced", "rolled_back"])
def test_an_attempt_that_touched_nothing_puts_the_status_back(registry, before):
    """A release that found the host busy has the status it had; a new one is marked as failed."""
    if before:
        registry.upsert(A, A, before)
    run(registry, record(A, host("h1", "busy")))
    assert statuses(registry) == {A: before or "deploy_failed"}


def test_an_attempt_that_never_intended_adds_no_row(registry):
    """A deploy refused before it showed on the release's row leaves the rows alone; the attempt is remembered."""
    one = record(A, host("h1", "unreachable"))
    registry.begin(one)
    registry.finish(one)
    assert (registry.list(), registry.hosts_of(A)) == ([], [])


def test_a_missing_rollback_target_is_marked_without_an_intent(registry):
    """The host said that it does not have the release before anything was shown on its row."""
    registry.upsert(A, A, "replaced")
    one = record(A, host("h1", "refused", target_missing=True), kind="rollback")
    registry.begin(one)
    registry.finish(one)
    assert statuses(registry) == {A: "rollback_target_missing"}


def test_an_unknown_outcome_is_repaired_by_finishing_again(registry):
    """The row keeps saying that it is deploying until the host has told; then once is enough."""
    run(registry, record(A, host("h1", "unknown"), minute=1, finished_at=None, exit_code=None))
    assert statuses(registry) == {A: "deploying"}
    registry.finish(record(A, host("h1", "live"), minute=2))
    registry.finish(record(A, host("h1", "unknown"), minute=3))
    assert (statuses(registry), registry.serving()) == ({A: "deployed"}, {"h1": A})


def test_what_is_done_twice_counts_once(registry):
    """Repeating an intent or an outcome changes nothing, also when the row has changed since."""
    registry.upsert(A, A, "replaced")
    one = record(A, host("h1", "busy"))
    registry.begin(one)
    registry.begin(one)
    registry.intend(one)
    registry.intend(one)
    registry.finish(one)
    assert statuses(registry) == {A: "replaced"}
    registry.upsert(A, A, "deployed")
    registry.intend(one)
    registry.finish(one)
    assert statuses(registry) == {A: "deployed"}


def test_a_live_outcome_told_twice_counts_once(registry):
    """What was written on the row since the first time stays."""
    one = record(A, host("h1", "live"))
    run(registry, one)
    registry.upsert(A, A, "replaced")
    registry.finish(one)
    assert statuses(registry) == {A: "replaced"}


def test_a_record_that_comes_late_does_not_undo_a_newer_attempt(registry):
    """A spooled outcome adds what it knows, but the hosts and rows that changed since stay as they are."""
    run(registry, record(A, host("h1", "live"), attempt="1", minute=1))
    late = record(B, host("h1", "live", previous=A), attempt="2", minute=2, migration_marker="r2")
    registry.begin(late)
    registry.intend(late)
    run(registry, record(C, host("h1", "live", previous=B), attempt="3", minute=3))
    registry.finish(late)
    assert statuses(registry) == {A: "replaced", B: "replaced", C: "deployed"}
    assert registry.serving() == {"h1": C}
    assert (registry.get(B)["deployed_at"], registry.get(B)["migration_marker"]) == ("2030-01-01T12:02:00+00:00", "r2")


def test_a_late_failure_does_not_undo_a_newer_success_of_the_same_release(registry):
    """The first try failed and was spooled, the second went live: the release stays deployed, or replaced."""
    late = record(A, host("h1", "not_restored"), attempt="1", minute=1)
    registry.begin(late)
    registry.intend(late)
    run(registry, record(A, host("h1", "live"), attempt="2", minute=2))
    run(registry, record(B, host("h1", "live", previous=A), attempt="3", minute=3))
    registry.finish(late)
    assert (statuses(registry), registry.serving()) == ({A: "replaced", B: "deployed"}, {"h1": B})


def test_two_attempts_at_one_release_end_right_in_either_order(registry):
    """The one that found the host busy gives the row back to the one that goes on."""
    first = record(A, host("h1", "live"), attempt="1", minute=2)
    second = record(A, host("h1", "busy"), attempt="2", minute=1)
    for one in (first, second):
        registry.begin(one)
        registry.intend(one)
    registry.finish(second)
    assert statuses(registry) == {A: "deploying"}
    registry.finish(first)
    assert statuses(registry) == {A: "deployed"}


def test_a_rollback_that_found_the_host_busy_leaves_what_the_other_attempt_wrote(registry):
    """The release that a deploy made live meanwhile stays deployed."""
    back = record(A, host("h1", "busy"), attempt="1", kind="rollback", minute=2)
    registry.begin(back)
    registry.intend(back)
    run(registry, record(A, host("h1", "live"), attempt="2", minute=1))
    registry.finish(back)
    assert statuses(registry) == {A: "deployed"}


def test_a_record_whose_intent_was_lost_is_remembered_all_the_same(registry):
    """A registry that was created anew takes the outcome of an attempt it has never heard of."""
    registry.finish(record(A, host("h1", "live"), minute=1))
    assert (statuses(registry), registry.serving()) == ({A: "deployed"}, {"h1": A})


def test_whatever_a_host_says_can_be_stored(registry):
    """NUL, lone surrogates and a marker that is too long do not keep an outcome out of the registry."""
    odd = "\0\ud800\u2192" * 100
    said = host("h1", "live", message=odd, seconds={"build": 0.1}, migration_marker=odd)
    run(registry, record(A, said, migration_marker=odd, actor=odd))
    assert (statuses(registry), registry.get(A)["migration_marker"]) == ({A: "deployed"}, ("??\u2192" * 100)[:128])


@pytest.fixture
def clock_ahead(monkeypatch):
    """Makes this machine's clock differ from the database's by so much."""

    def set_ahead(by):
        class Ahead(datetime):
            """Such a clock."""

            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz) + by

        monkeypatch.setattr("oroboros_deploy.registry.database.datetime", Ahead)

    return set_ahead


@pytest.mark.postgres
@pytest.mark.parametrize("ahead", [timedelta(seconds=40), timedelta(days=3650)], ids=str)
def test_clocks_that_disagree_do_not_decide_which_attempt_is_newer(postgres_url, clock_ahead, ahead):
    """A control node whose clock is ahead, by seconds or by years, does not hide what later attempts did."""
    now = datetime.now(UTC)
    with Registry.open(postgres_url) as registry:
        clock_ahead(ahead)
        run(registry, record(A, host("h1", "live"), attempt="1", finished_at=(now + ahead).isoformat()))
        clock_ahead(timedelta())
        ended = (now + timedelta(seconds=5)).isoformat()
        run(registry, record(B, host("h1", "live", previous=A), attempt="2", finished_at=ended))
        assert (statuses(registry), registry.serving()) == ({A: "replaced", B: "deployed"}, {"h1": B})
        assert abs(datetime.fromisoformat(registry.get(A)["deployed_at"]) - now) < timedelta(
            seconds=30
        )  # less than the clock was ahead


@pytest.mark.postgres
def test_a_clock_that_is_behind_makes_no_drift(postgres_url, clock_ahead):
    """What a host said before its switch stays older than the switch."""
    behind = timedelta(seconds=20)
    clock_ahead(-behind)
    with Registry.open(postgres_url) as registry:
        asked = datetime.now(UTC) - behind
        ended = asked + timedelta(seconds=5)
        one = record(B, host("h1", "live", previous=A), finished_at=ended.isoformat())
        registry.begin(one)
        read = {"live": A, "asked_at": asked.timestamp()}
        registry.hear(one.attempt, [Event("facts.read", "", "h1", data=read, at=asked.timestamp())])
        registry.finish(one)
        assert registry.reader.host_counts() == (1, 0)
