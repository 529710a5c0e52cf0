from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from oroboros_deploy.errors import InvalidInput
from oroboros_deploy.events import Event
from oroboros_deploy.records.status import Status
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


def test_a_host_that_was_not_restored_serves_nothing(registry):
    """Whatever the host named last, no release is known to serve there."""
    run(registry, record(A, host("h1", "live"), attempt="1", minute=1))
    run(registry, record(B, host("h1", "not_restored", live=B, previous=A), attempt="2", minute=2))
    assert (registry.serving(), registry.get(B)["status"]) == ({"h1": None}, "deploy_failed")


def test_a_record_whose_intent_was_lost_is_remembered_all_the_same(registry):
    """A registry that was created anew takes the outcome of an attempt it has never heard of."""
    registry.finish(record(A, host("h1", "live"), minute=1))
    assert (statuses(registry), registry.serving()) == ({A: "deployed"}, {"h1": A})


def test_the_hosts_and_environment_of_a_release_are_found(registry):
    """Where a release was ever live counts, also as the one that was left; failed attempts do not."""
    run(registry, record(B, host("old", "live", previous=A), attempt="1", environment="stage"))
    run(registry, record(B, host("h1", "live", previous=C), host("h2", "restored", previous=A), attempt="2"))
    run(registry, record(B, host("h9", "restored", previous=C), attempt="3", environment="test"))
    run(registry, record(B, host("h1", "already_live", live=B), attempt="4", environment=None))
    assert [registry.hosts_of(release) for release in (A, B, C)] == [["h2", "old"], ["h1", "old"], ["h9", "h1"]]
    assert [registry.environment_of(release) for release in (A, B, C, "d" * 40)] == ["prod", "prod", "test", None]


def test_releases_are_found_by_prefix(registry):
    """A prefix finds exactly the ids that begin with it, and its signs mean nothing else."""
    for release_id in ("abc", "abd", "b_c", "bxc"):
        registry.upsert(release_id, A, "deployed")
    found = [registry.find(prefix) for prefix in ("ab", "abc", "b_", "%", "AB", "x\0", "")]
    assert found == [["abc", "abd"], ["abc"], ["b_c"], [], [], [], ["abc", "abd", "b_c", "bxc"]]


def test_the_newest_rows_come_first(registry):
    """A release on its way up stands on top, one that never went live at its place; limit and status choose."""
    registry.upsert("r1", A, "deployed")
    registry.upsert("r2", A, "deploy_failed")
    registry.upsert("r3", A, "deployed")
    registry.upsert("r4", A, "deploying")
    registry.upsert("r1", A, "replaced")
    chosen = (
        registry.list(),
        registry.list(limit=2),
        registry.list(status="deployed"),
        registry.list(status="replaced"),
    )
    ids = [[row["release_id"] for row in rows] for rows in chosen]
    assert ids == [["r4", "r3", "r2", "r1"], ["r4", "r3"], ["r3"], ["r1"]]


def test_upsert_keeps_what_it_is_not_given(registry):
    """The first time live and the marker stay; an explicit time goes over them, in UTC."""
    assert registry.upsert(A, B, "deploying")["deployed_at"] is None
    first = registry.upsert(A, B, "deployed", migration_marker="r1")
    age = datetime.now(UTC) - datetime.fromisoformat(first["deployed_at"])
    assert (abs(age) < timedelta(seconds=5), first["deployed_at"][-6:]) == (True, "+00:00")
    assert registry.upsert(A, C, "replaced") == first | {"commit_sha": C, "status": "replaced"}
    assert registry.upsert(A, C, "rolled_back")["deployed_at"] == first["deployed_at"]
    explicit = registry.upsert(A, C, "replaced", "r2", "2001-02-03T04:05:06+02:00")
    assert (explicit["deployed_at"], explicit["migration_marker"]) == ("2001-02-03T02:05:06+00:00", "r2")
    assert registry.get(A) == explicit


def test_every_status_of_the_control_plane_is_taken(registry):
    """A row may have any status that the control plane knows."""
    assert [registry.upsert(A, A, status)["status"] for status in Status] == list(Status)


@pytest.mark.parametrize(
    "wrong",
    [{"release_id": value} for value in ("", ".", "..", "a/b", "-a", "a" * 65, "a\n", "a\0", "a b", "\u0661")]
    + [{"commit_sha": value} for value in ("", "a" * 6, "a" * 65, "A" * 40, "g" * 40, "a" * 40 + "\n", "\u0661" * 40)]
    + [{"status": value} for value in ("", "live", "DEPLOYED", "deployed ")]
    + [{"migration_marker": value} for value in ("", "r" * 129, "r\n", "r\0", "\ud800")]
    + [{"deployed_at": value} for value in ("", "now", "2030-01-01T00:00:00", "2030-13-01T00:00:00Z", "12:00Z")]
    + [{"deployed_at": "0001-01-01T00:00:00+01:00"}],
)
def test_what_does_not_fit_a_row_is_refused_and_changes_nothing(sqlite_url, wrong):
    """Each wrong value raises InvalidInput that shows it, and there is no row afterwards."""
    with Registry.open(sqlite_url) as registry:
        with pytest.raises(InvalidInput) as caught:
            registry.upsert(**{"release_id": A, "commit_sha": A, "status": "deployed"} | wrong)
        assert repr(next(iter(wrong.values()))) in caught.value.message
        assert registry.list() == []


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": -1}, {"limit": 501}, {"status": "live"}])
def test_what_cannot_be_listed_is_refused(sqlite_url, wrong):
    """A limit out of range and an unknown status raise InvalidInput."""
    with Registry.open(sqlite_url) as registry, pytest.raises(InvalidInput):
        registry.list(**wrong)


def test_an_odd_id_names_no_release(registry):
    """Whatever is asked for, the answer is that there is none."""
    for release_id in ("", "a\0", "\ud800", "a" * 1000, "'; DROP TABLE releases; --"):
        assert (registry.get(release_id), registry.hosts_of(release_id), registry.environment_of(release_id)) == (
            None,
            [],
            None,
        )


def test_an_attempt_with_ids_that_cannot_be_stored_does_not_begin(registry):
    """It is refused before a host is touched, not when it has gone live."""
    for call in (registry.begin, registry.intend):
        with pytest.raises(InvalidInput):
            call(record("a" * 65))


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
        assert abs(datetime.fromisoformat(registry.get(A)["deployed_at"]) - now) < timedelta(seconds=2)


@pytest.mark.postgres
def test_a_clock_that_is_behind_makes_no_drift(postgres_url, clock_ahead):
    """What a host said before its switch stays older than the switch."""
    behind = timedelta(seconds=20)
    clock_ahead(-behind)
    with Registry.open(postgres_url) as registry:
        ended = datetime.now(UTC) + timedelta(seconds=5) - behind
        one = record(B, host("h1", "live", previous=A), finished_at=ended.isoformat())
        registry.begin(one)
        registry.hear(one.attempt, [Event("facts.read", "", "h1", data={"live": A})])
        registry.finish(one)
        assert registry.reader.host_counts() == (1, 0)
