"""What an API and a page are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from oroboros_deploy.errors import InvalidInput
from oroboros_deploy.events import Event
from oroboros_deploy.records.record import CommitRecord
from oroboros_deploy.registry import Registry, reading
from oroboros_deploy.registry.reading import Page
from oroboros_deploy.registry.schema import attempts
from tests.support.databases import bare
from tests.support.samples import A, B, C, host, record

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


def test_attempts_are_found_by_a_part_of_their_subject(registry):
    """In capitals or not; a per cent sign, an underscore, a slash and a backslash stand for themselves; none is all."""
    for number, subject in enumerate((r"Round 100% of a/b\_totals", "round invoices", None), 1):
        put(registry, number, host("h1", "live"), subject=subject)
    asked = ("ROUND", "0% of", r"A/B\_t", "%", "_", "/", "nowhere", "")
    found = {each: names(registry.reader.attempts(subject=each)) for each in asked}
    first = ["attempt-1"]
    assert found == {
        "ROUND": ["attempt-2", *first],
        "0% of": first,
        r"A/B\_t": first,
        "%": first,
        "_": first,
        "/": first,
        "nowhere": [],
        "": ["attempt-3", "attempt-2", *first],
    }


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
    said: dict[str, Any] = {"message": "bad", "seconds": {"facts": 0.5, "activate": 3.0}, "log": "502"}
    said |= {"configuration": "0123456789abcdef", "names": {"added": ["A"], "changed": ["B"], "removed": []}}
    part = host("h1", "restored", previous=A, **said)
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
        "application": "",
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
                "configuration": "0123456789abcdef",
                "names": {"added": ["A"], "changed": ["B"], "removed": []},
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
    registry.database.write(lambda db: db.execute(attempts.update().values(seen_at=long_ago)))
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
            "environment": "prod",
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
    shown = {each["host"]: each for each in registry.reader.hosts().items}
    seen_at = [shown[name].pop("observed_at") for name in ("h1", "h2", "h3", "seen-only")]
    assert [at is None for at in seen_at] == [False, False, True, False]
    at = "2020-01-01T12:00:00+00:00"
    common = {"application": "", "environment": "prod", "release_id": A, "since": at, "attempt": "attempt-1"}
    common |= {"last_attempt": "attempt-1", "last_state": "live", "last_at": at, "configuration": None, "names": None}
    common |= {"configured_at": None, "hold": None}
    unknown = {"application": None, "environment": "staging", "release_id": None, "since": None, "attempt": None}
    unknown |= dict.fromkeys(("last_attempt", "last_state", "last_at", "configuration", "names"))
    unknown |= {"configured_at": None, "hold": None}
    assert shown == {
        "h1": {"host": "h1", **common, "observed_release": A, "drift": False},
        "h2": {"host": "h2", **common, "observed_release": B, "drift": True},
        "h3": {"host": "h3", **common, "observed_release": None, "drift": False},
        "seen-only": {"host": "seen-only", **unknown, "observed_release": C, "drift": True},
    }
    now = datetime.now(UTC) + timedelta(seconds=1)
    put(registry, 2, host("h2", "live"), finished_at=now.isoformat())
    assert [each["drift"] for each in registry.reader.hosts().items] == [False, False, False, True]


def test_a_host_that_is_being_switched_has_not_drifted(registry, monkeypatch):
    """While an attempt brings a release there, seeing that release is no drift; when the attempt is lost, it is."""
    put(registry, 1, host("h1", "live"), host("h2", "live"))
    registry.begin(record(B, host("h1", "running"), host("h3", "running"), attempt="now"))
    registry.observe({"h1": B, "h2": B, "h3": C})
    assert [each["drift"] for each in registry.reader.hosts().items] == [False, True, True]
    assert [each["host"] for each in registry.reader.hosts(drift=True).items] == ["h2", "h3"]
    assert registry.reader.host_counts() == (3, 2)
    monkeypatch.setattr(reading, "LOST_AFTER", timedelta(seconds=-1))
    assert (registry.reader.host("h1")["drift"], registry.reader.host_counts()) == (True, (3, 3))


@pytest.fixture
def fleet(registry: Registry) -> Registry:
    """Seven hosts in two environments, one of them only ever seen, two of them drifted."""
    put(registry, 1, *(host(f"web-{n}", "live") for n in range(4)))
    put(registry, 2, host("stage", "live"), host("Ütz%", "live"), release_id=B, environment="staging")
    registry.observe({"web-0": A, "web-1": B}, "prod")
    registry.observe({"alone": C}, "staging")
    return registry


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["alone", "stage", "web-0", "web-1", "web-2", "web-3", "Ütz%"]),
        ({"environment": "prod"}, ["web-0", "web-1", "web-2", "web-3"]),
        ({"environment": "staging"}, ["alone", "stage", "Ütz%"]),
        ({"environment": "lab"}, []),
        ({"prefix": "web-"}, ["web-0", "web-1", "web-2", "web-3"]),
        ({"prefix": "Ütz%"}, ["Ütz%"]),
        ({"prefix": "%"}, []),
        ({"prefix": ""}, ["alone", "stage", "web-0", "web-1", "web-2", "web-3", "Ütz%"]),
        ({"release_id": B}, ["stage", "Ütz%"]),
        ({"drift": True}, ["alone", "web-1"]),
        ({"drift": True, "environment": "prod", "prefix": "w", "release_id": A}, ["web-1"]),
        ({"environment": "\0'; DROP TABLE releases"}, []),
    ],
    ids=str,
)
def test_hosts_are_filtered(fleet, filters, found):
    """Each filter alone and several together, all at once and one by one."""
    assert [each["host"] for each in fleet.reader.hosts(**filters).items] == found
    one_by_one, after = [], None
    for _ in found:
        page = fleet.reader.hosts(1, after, **filters)
        one_by_one += [each["host"] for each in page.items]
        after = page.next
    assert (one_by_one, after) == (found, None)


def test_one_host_and_how_many_there_are(fleet):
    """A host by its name is its line of the list; the counts are those of all."""
    assert fleet.reader.host("web-1") == fleet.reader.hosts(prefix="web-1").items[0]
    assert (fleet.reader.host("web"), fleet.reader.host("web-\0")) == (None, None)
    assert fleet.reader.host_counts() == (7, 2)


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"host": "h1"}, [1, 5]),
        ({"host": "h1\0"}, []),
        ({"environment": "prod"}, [1, 2, 5]),
        ({"environment": "staging"}, [3]),
        ({"environment": "lab"}, []),
        ({"since": DAY.format(3, 13)}, [3, 4, 5]),
        ({"until": DAY.format(3, 13)}, [1, 2]),
        ({"since": "2020-01-02T15:00:00+02:00", "until": "2020-01-04T13:00:00Z"}, [2, 3]),
        ({"environment": "prod", "since": DAY.format(2, 0)}, [2, 5]),
        ({"host": "h1", "until": DAY.format(2, 0)}, [1]),
        ({"host": "h1", "environment": "prod", "attempt": "attempt-5", "since": DAY.format(1, 0)}, [5]),
        ({"attempt": "nothing", "since": DAY.format(1, 0)}, []),
    ],
    ids=str,
)
def test_events_are_filtered(filled, filters, numbers):
    """Each filter alone and several together, all at once and one by one, in the order in which they were recorded."""
    at = datetime.fromisoformat(DAY.format(1, 13)).timestamp()
    for number, name in ((2, "h2"), (1, "h1"), (5, "h1"), (3, "h2"), (4, "h2")):
        filled.hear(f"attempt-{number}", [Event("phase", "here", name, at=at + (number - 1) * 86400)])
    expected = [f"attempt-{number}" for number in sorted(numbers, key=[2, 1, 5, 3, 4].index)]
    last = max(each["id"] for each in filled.reader.events() if each["name"] != "phase")
    found = filled.reader.events(after=last, **filters)
    assert [each["attempt"] for each in found] == expected
    one_by_one, after = [], last
    while some := filled.reader.events(after=after, limit=1, **filters):
        one_by_one, after = one_by_one + some, some[0]["id"]
    assert one_by_one == found


@pytest.mark.parametrize("wrong", [{"since": "yesterday"}, {"until": ""}, {"limit": 0}, {"after": -1}], ids=str)
def test_events_of_no_time_are_refused(registry, wrong):
    """InvalidInput, as for attempts."""
    with pytest.raises(InvalidInput):
        registry.reader.events(**wrong)


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


def test_a_deploy_that_is_live_on_some_hosts_lasts_until_the_next_that_is_live_everywhere(registry):
    """What was restored on one host and is live on another is not over with its activation."""
    now = datetime.now(UTC).replace(microsecond=0)
    for number, second in ((1, host("h2", "restored", previous=A)), (2, host("h2", "live", previous=A))):
        ended = (now - timedelta(hours=4 - 2 * number)).isoformat()
        put(registry, number, host("h1", "live"), second, release_id=B, started_at=ended, finished_at=ended)
    found = registry.reader.figures(days=2)
    assert (found.failures, found.time_to_restore_seconds) == (1, 7200.0)


def test_one_application_of_several(registry):
    """Its attempts, figures and releases are its own; so are releases of which no attempt tells whose they are."""
    now = datetime.now(UTC).replace(microsecond=0).isoformat()
    for number, (release_id, name) in enumerate(((A, "shop"), (B, "wiki")), 1):
        part = host("h1", "live", seconds={"activate": 4.5})
        put(registry, number, part, release_id=release_id, application=name, started_at=now, finished_at=now)
    registry.upsert(C, C, "replaced")
    reader = registry.reader
    assert names(reader.attempts(application="shop")) == ["attempt-1"]
    counts = [reader.figures(environment=place, application="shop").deployments for place in (None, "prod")]
    assert (counts, reader.figures().deployments) == ([1, 1], 2)
    assert [row["release_id"] for row in registry.list(application="shop")] == [C, A]
    assert [row["release_id"] for row in registry.list()] == [C, B, A]


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
    leads = registry.database.read(
        lambda db: bare(db).exec_driver_sql("SELECT lead_seconds FROM oroboros_attempts ORDER BY id").scalars().all()
    )
    assert leads == [3600.0, None, 3600.0, None, None, None, None, 3600.0]
    for wrong in (0, 10**6):
        with pytest.raises(InvalidInput, match="number of days"):
            registry.reader.figures(days=wrong)


def test_a_push_does_not_make_a_release_newer(registry):
    """A host serves its release since that came there, and is configured since the push; the next deploy ends both."""
    put(registry, 1, host("h1", "live", live=A))
    put(registry, 2, host("h1", "live", live=A, previous=A), kind="env")
    told = [(row["since"], row["configured_at"]) for row in registry.reader.hosts().items]
    put(registry, 3, host("h1", "live", live=B, previous=A), release_id=B)
    told += [(row["since"], row["configured_at"]) for row in registry.reader.hosts().items]
    days = [f"2020-01-0{day}T12:00:00+00:00" for day in (1, 2, 3)]
    assert told == [(days[0], days[1]), (days[2], None)]


def test_the_latest_attempt_of_each_kind(registry):
    """The newest attempt of an environment, of no environment, one that was to bring a release, and one that did."""
    put(registry, 1, host("h1", "live", live=A))
    put(registry, 2, host("h1", "restored", live=A, previous=A), release_id=B)
    put(registry, 3, host("h1", "live", live=A, previous=A), kind="env")
    put(registry, 4, host("h2", "live", live=C), release_id=C, environment=None)
    latest = registry.reader.latest
    found = [latest("prod"), latest("prod", moves=True), latest("prod", brought=A), latest("prod", brought=B)]
    found += [latest(None), latest("qa"), latest("prod", "shop")]
    names = [each and each["attempt"] for each in found]
    assert names == ["attempt-3", "attempt-2", "attempt-1", None, "attempt-4", None, "attempt-3"]


def test_a_hold_that_means_nothing_is_none(registry):
    """What a host says of a hold may be anything; only a person, a time and a reason together are kept as one."""
    hold = {"actor": "ada", "at": 0.0, "reason": "why"}
    for said in (hold, {}, {"actor": "ada"}, {**hold, "at": "soon"}, {**hold, "at": 1e300}, None):
        registry.observe({"h1": A}, "prod", {"h1": said})
        told = (registry.reader.host("h1") or {})["hold"]
        assert told == ({**hold, "at": "1970-01-01T00:00:00+00:00"} if said is hold else None)
    assert registry.reader.held() == []
