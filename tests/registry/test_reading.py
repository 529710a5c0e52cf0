"""What an API and a page are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from oroboros_deploy.errors import InvalidInput
from oroboros_deploy.events import Event
from oroboros_deploy.record import CommitRecord
from oroboros_deploy.registry import Registry, reading
from oroboros_deploy.registry.reading import Page
from oroboros_deploy.registry.schema import attempts
from tests.registry.samples import A, B, C, host, record

DAY = "2020-01-{:02}T{:02}:00:00+00:00"


def put(registry: Registry, number: int, *hosts, **more):  # type: ignore[no-untyped-def]
    """An attempt of day ``number``, from 11 to 12 o'clock."""
    times = {"started_at": DAY.format(number, 11), "finished_at": DAY.format(number, 12)}
    one = record(more.pop("release_id", A), *hosts, attempt=f"attempt-{number}", **{**times, **more})
    registry.begin(one)
    registry.finish(one)


def names(page: Page) -> list[str]:
    return [item["attempt"] for item in page.items]


@pytest.fixture
def filled(registry: Registry) -> Registry:
    """Five attempts of different kinds, on different days and hosts."""
    put(registry, 1, host("h1", "live"))
    put(registry, 2, host("h1", "restored", previous=A), release_id=B, exit_code=10)
    put(registry, 3, host("h2", "live"), host("h1", "live", previous=A), release_id=B, environment="staging")
    put(registry, 4, host("h2", "not_switched"), release_id=C, exit_code=30, environment=None)
    put(registry, 5, host("h1", "live", previous=B), kind="rollback")
    return registry


def test_the_newest_attempts_come_first_a_page_at_a_time(filled):
    """The cursor of a page leads to the next one, and the last page has none; nothing is shown twice."""
    shown, after = [], None
    for _ in range(3):
        page = filled.reader.attempts(2, after)
        shown.append(names(page))
        after = page.next
    assert (shown, after) == ([["attempt-5", "attempt-4"], ["attempt-3", "attempt-2"], ["attempt-1"]], None)


def test_a_cursor_stays_where_it_is_while_attempts_are_added(filled):
    """What begins meanwhile does not move what is still to come."""
    after = filled.reader.attempts(2).next
    put(filled, 6, host("h1", "live"))
    assert names(filled.reader.attempts(2, after)) == ["attempt-3", "attempt-2"]


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({"kind": "rollback"}, [5]),
        ({"kind": "deploy"}, [4, 3, 2, 1]),
        ({"state": "live"}, [5, 3, 1]),
        ({"state": "restored"}, [2]),
        ({"state": "failed"}, [4]),
        ({"state": "lost"}, []),
        ({"state": "running"}, []),
        ({"host": "h2"}, [4, 3]),
        ({"host": "nowhere"}, []),
        ({"host": "h1\0"}, []),
        ({"environment": "\ud800'; DROP TABLE releases"}, []),
        ({"environment": "prod"}, [5, 2, 1]),
        ({"environment": "staging"}, [3]),
        ({"since": DAY.format(3, 11)}, [5, 4, 3]),
        ({"until": DAY.format(3, 11)}, [2, 1]),
        ({"since": "2020-01-02T13:00:00+02:00", "until": "2020-01-03T11:00:00Z"}, [2]),
        ({"sha": "bbbb"}, [3, 2]),
        ({"sha": B}, [3, 2]),
        ({"sha": "bbbc"}, []),
        ({"host": "h1", "state": "live", "until": DAY.format(5, 0), "kind": "deploy", "environment": "prod"}, [1]),
    ],
    ids=str,
)
def test_attempts_are_filtered(filled, filters, numbers):
    """Each filter alone, and several together, also page by page."""
    expected = [f"attempt-{number}" for number in numbers]
    assert names(filled.reader.attempts(**filters)) == expected
    one_by_one, after = [], None
    for _ in expected:
        page = filled.reader.attempts(1, after, **filters)
        one_by_one += names(page)
        after = page.next
    assert (one_by_one, after) == (expected, None)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "destroy"}, "no kind of attempt"),
        ({"state": "alive"}, "no state of an attempt"),
        ({"sha": "abc"}, "no beginning of a sha"),
        ({"sha": "%' OR 1=1"}, "no beginning of a sha"),
        ({"since": "yesterday"}, "no time"),
        ({"since": ""}, "no time"),
        ({"until": "2020-01-01T00:00:00"}, "no time"),
        ({"limit": 0}, "no number of rows"),
        ({"limit": 10**9}, "no number of rows"),
        ({"after": ""}, "cursor"),
        ({"after": "-1"}, "cursor"),
        ({"after": "ü"}, "cursor"),
        ({"after": "MjAyMC0wMS0wMVQwMDowMDowMCswMDowMCA5OTk5OTk5OTk5OTk"}, "cursor"),
    ],
    ids=str,
)
def test_arguments_that_name_nothing_are_refused(registry, wrong, message):
    """InvalidInput, and no query."""
    with pytest.raises(InvalidInput, match=message):
        registry.reader.attempts(**wrong)


def test_an_attempt_is_shown_whole(registry):
    """One attempt has everything that was recorded, with times in UTC and the phases' seconds."""
    new = CommitRecord(B, "fix <script>", "Zoë", "2020-01-01T10:00:00+02:00")
    part = host("h1", "restored", previous=A, message="bad", seconds={"facts": 0.5, "activate": 3.0}, log="502")
    put(
        registry,
        1,
        part,
        release_id=B,
        exit_code=10,
        subject="fix <script>",
        committed_at=new.committed_at,
        commits=(new,),
        migration_marker="4f2a",
    )
    shown = registry.reader.attempt("attempt-1")
    assert shown is not None
    seen = datetime.fromisoformat(shown.pop("seen_at"))
    assert abs(seen - datetime.now(UTC)) < timedelta(minutes=1)
    assert shown == {
        "attempt": "attempt-1",
        "kind": "deploy",
        "release_id": B,
        "commit_sha": B,
        "subject": "fix <script>",
        "environment": "prod",
        "actor": "ada",
        "control_node": "laptop",
        "tool_version": "0.1.0",
        "started_at": "2020-01-01T11:00:00+00:00",
        "finished_at": "2020-01-01T12:00:00+00:00",
        "seconds": 3600.0,
        "exit_code": 10,
        "state": "restored",
        "migration_marker": "4f2a",
        "hosts": [
            {
                "host": "h1",
                "state": "restored",
                "phase": None,
                "live": A,
                "previous": A,
                "message": "bad",
                "log": "502",
                "seconds": {"facts": 0.5, "activate": 3.0},
            }
        ],
        "commits": [
            {"sha": B, "subject": "fix <script>", "author": "Zoë", "committed_at": "2020-01-01T10:00:00+02:00"}
        ],
    }
    assert registry.reader.attempt("nothing") is None


def test_the_tag_changes_when_an_attempt_is_lost(registry, monkeypatch):
    """Nothing is written then: only time passes."""
    registry.begin(record(A, host("h1", "running"), finished_at=None, exit_code=None))
    tag = registry.reader.change_tag()
    monkeypatch.setattr(reading, "LOST_AFTER", timedelta(seconds=-1))
    assert registry.reader.change_tag() != tag


def test_an_attempt_without_a_sign_of_life_is_lost(registry):
    """It runs while its control node is heard of, and is lost 30 s after that; its end ends both."""
    one = record(A, host("h1", "running"), finished_at=None, exit_code=None)
    registry.begin(one)

    def states() -> list[list[str]]:
        reader = registry.reader
        lists = [reader.attempts(), reader.attempts(state="running"), reader.attempts(state="lost")]
        return [[item["state"] for item in page.items] for page in lists]

    assert states() == [["running"], ["running"], []]
    long_ago = datetime.now(UTC) - timedelta(seconds=31)
    registry._database.write(lambda db: db.execute(attempts.update().values(seen_at=long_ago)))
    assert states() == [["lost"], [], ["lost"]]
    registry.hear("attempt", [])
    assert states() == [["running"], ["running"], []]
    registry.finish(record(A, host("h1", "live")))
    assert states() == [["live"], [], []]


def test_events_are_read_in_order_from_any_place(registry):
    """All of them, those of one attempt, and only those that came after one."""
    put(registry, 1, host("h1", "live"))
    registry.begin(record(B, host("h1", "running"), attempt="attempt-2"))
    phase = Event("phase", "current switched", "h1", "info", {"phase": "swapped"}, at=1577880000.25)
    registry.hear("attempt-2", [phase])
    reader = registry.reader
    told = [(each["attempt"], each["name"]) for each in reader.events()]
    assert told == [
        ("attempt-1", "attempt.started"),
        ("attempt-1", "attempt.finished"),
        ("attempt-2", "attempt.started"),
        ("attempt-2", "phase"),
    ]
    last = reader.last_event()
    assert reader.events(attempt="attempt-2", after=last - 1) == [
        {
            "id": last,
            "attempt": "attempt-2",
            "host": "h1",
            "at": "2020-01-01T12:00:00.250000+00:00",
            "name": "phase",
            "level": "info",
            "message": "current switched",
            "data": {"phase": "swapped"},
        }
    ]
    with pytest.raises(InvalidInput, match="id of no event"):
        reader.events(after=2**64)
    assert (reader.events(after=last), reader.events(attempt="nothing"), reader.events(limit=1)[0]["id"]) == ([], [], 1)
    assert [item["hosts"][0]["phase"] for item in reader.attempts(1, host="h1", since=DAY.format(2, 0)).items] == [
        "swapped"
    ]


def test_hosts_show_what_they_serve_and_what_they_said(registry):
    """A host that was seen serving something else after the registry's last change has drifted."""
    put(registry, 1, host("h1", "live"), host("h2", "live"), host("h3", "live"))
    registry.observe({"h1": A, "h2": B, "seen-only": C}, "staging")
    shown = {each["host"]: each for each in registry.reader.hosts()}
    seen_at = [shown[name].pop("observed_at") for name in ("h1", "h2", "h3", "seen-only")]
    assert [at is None for at in seen_at] == [False, False, True, False]
    common = {"environment": "prod", "release_id": A, "since": "2020-01-01T12:00:00+00:00", "attempt": "attempt-1"}
    unknown = {"environment": "staging", "release_id": None, "since": None, "attempt": None}
    assert shown == {
        "h1": {"host": "h1", **common, "observed_release": A, "drift": False},
        "h2": {"host": "h2", **common, "observed_release": B, "drift": True},
        "h3": {"host": "h3", **common, "observed_release": None, "drift": False},
        "seen-only": {"host": "seen-only", **unknown, "observed_release": C, "drift": True},
    }
    now = datetime.now(UTC) + timedelta(seconds=1)
    put(registry, 2, host("h2", "live"), finished_at=now.isoformat())
    assert [each["drift"] for each in registry.reader.hosts()] == [False, False, False, True]


def test_environments_are_listed_once(filled):
    """Sorted, and attempts without one add none."""
    assert filled.reader.environments() == ["prod", "staging"]


def test_releases_are_those_of_the_registry(filled):
    """The contract's rows, the newest first; an unknown status or number is refused."""
    reader = filled.reader
    assert reader.releases() == filled.list(100)
    assert reader.releases(1, "deploy_failed") == filled.list(1, "deploy_failed")
    assert (reader.release(A), reader.release("nothing")) == (filled.get(A), None)
    for wrong in ({"limit": 501}, {"status": "gone"}):
        with pytest.raises(InvalidInput):
            reader.releases(**wrong)


def test_the_tag_changes_with_every_write_and_only_then(registry, url):
    """Also with what another program writes into the control plane's own table."""
    reader = registry.reader
    put(registry, 1, host("h1", "live"))
    tags = [reader.change_tag(), reader.change_tag()]
    assert tags[0] == tags[1]
    for write in (
        lambda other: other.upsert(A, A, "replaced"),
        lambda other: other.hear("attempt-1", []),
        lambda other: other.observe({"h1": A}),
    ):
        with Registry.open(url) as other:
            write(other)
        registry.observe({"h2": A})
        tags.append(reader.change_tag())
    assert len(set(tags)) == 4


def test_figures_count_what_reached_the_users(registry):
    """From recorded attempts: what was switched counts, by environment, and lead time once for each release."""
    now = datetime.now(UTC).replace(microsecond=0)

    def ended(number, release_id, state, **more):  # type: ignore[no-untyped-def]
        times = {
            "started_at": (now - timedelta(minutes=10 - number)).isoformat(),
            "finished_at": (now - timedelta(minutes=9 - number)).isoformat(),
            "committed_at": (now - timedelta(minutes=69 - number)).isoformat(),
        }
        seconds = {} if state == "not_switched" else {"activate": 4.5}
        part = host("h1", state, previous=more.pop("previous", None), seconds=seconds)
        put(registry, number, part, release_id=release_id, **{**times, **more})

    ended(1, A, "live")
    ended(2, B, "restored", previous=A)
    ended(3, B, "live", previous=A)
    ended(4, A, "live", previous=B, kind="rollback")
    ended(5, B, "live", previous=A)  # not the first time: no lead time
    ended(6, C, "not_switched", previous=B)
    ended(7, C, "already_live")
    ended(8, C, "live", environment="staging")
    found = registry.reader.figures(days=2)
    assert (found.deployments, found.failures, found.change_failure_rate) == (5, 2, 0.4)
    assert (found.lead_time_seconds, found.time_to_restore_seconds) == (3600.0, (4.5 + 60) / 2)
    assert registry.reader.figures(environment="staging").deployments == 1
    assert registry.reader.figures(environment="nowhere").change_failure_rate is None
    leads = registry._database.read(
        lambda db: db.exec_driver_sql("SELECT lead_seconds FROM oroboros_attempts ORDER BY id").scalars().all()
    )
    assert leads == [3600.0, None, 3600.0, None, None, None, None, 3600.0]
    for wrong in (0, 10**6):
        with pytest.raises(InvalidInput, match="number of days"):
            registry.reader.figures(days=wrong)
