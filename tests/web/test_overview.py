"""What the first page says before anything else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from oroboros_deploy.outcome import Kind
from oroboros_deploy.records.record import Asked, CommitRecord, HostRecord, Record
from oroboros_deploy.web.overview import places
from oroboros_deploy.web.site import site
from tests.support.history import SUBJECTS, History, sha
from tests.support.html import Tags, headline, text
from tests.support.samples import host, record

pytestmark = pytest.mark.slow


def test_overview_says_what_matters(past: TestClient, made: dict[str, str]) -> None:
    """What runs, what drifts and what was lost stand on the first page in words."""
    page = text(past.get("/").text)
    for said in (
        f"broken lab1 serves nothing. Deploy of {sha(8)[:10]} “{SUBJECTS[4]}” in prod by ada@desk is running: "
        "gate on 1 host, build on 1 host. "
        f"How the deploy of {sha(5)[:10]} ended on lab2 is not known. "
        f"How the deploy of {sha(7)[:10]} ended on web3 is not known. "
        f"The last deploy in staging, {sha(3)[:10]} “{SUBJECTS[5]}” by ada@desk, failed before the switch on stage1: "
        "the build of 'frontend' exited 1. What served before still serves. "
        f"drift web2 serves {sha(50)[:10]} (asked ",
        f") instead of {sha(1)[:10]}, which is recorded.",
        f"since when and by whom is not recorded; {sha(1)[:10]} was recorded at ",
        "The control node was last heard of",
        "What the hosts did since is not known here: fab -H web3 registry.reconcile --environment=prod asks them.",
        "gate, now commit, ahead",
    ):
        assert said in page


def test_a_host_is_as_recorded_only_when_it_was_asked_since(tmp_path: Path) -> None:
    """What it said before the last switch says nothing of it, and during a switch it may serve what comes."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    client = TestClient(site(lambda: history.registry.reader), base_url="http://localhost")

    def shown() -> str:
        row = client.get("/").text.partition("<tbody>")[2].partition("</tbody>")[0]
        return re.sub(r"recorded at .+\)", "recorded at THEN", text(row).partition(") ")[2])

    history.attempt(sha(1), HostRecord("web1", "live", sha(1)), ago=timedelta(hours=1))
    seen = [shown()]
    history.registry.observe({"web1": sha(1)})
    seen.append(shown())
    going = history.attempt(sha(2), HostRecord("web1"), exit_code=None)
    history.registry.observe({"web1": sha(2)})
    seen.append(shown())
    history.lose(going, timedelta(minutes=5))
    seen.append(shown())
    history.attempt(sha(3), HostRecord("web1", "live", sha(3)))
    seen.append(shown())
    assert seen == [
        "not checked yet",
        "checked just now",
        f"the host served {sha(2)[:10]} when asked just now, which an attempt brings there",
        "last attempted just now since when and by whom is not recorded; "
        f"{sha(1)[:10]} was recorded at THEN drift it serves another release than the recorded one",
        "not checked since the deploy",
    ]
    history.close()


def test_the_headline_is_quiet_again(tmp_path: Path) -> None:
    """An attempt that was lost is no news any more once each of its hosts was switched by a later one."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    client = TestClient(site(lambda: history.registry.reader), base_url="http://localhost")
    lost = history.attempt(sha(1), HostRecord("web1"), HostRecord("web2"), ago=timedelta(hours=2), exit_code=None)
    history.lose(lost, timedelta(hours=2))
    history.attempt(sha(2), HostRecord("web1", "live", sha(2), None), ago=timedelta(hours=1))
    assert headline(client) == (f"How the deploy of {sha(1)[:10]} ended on web2 is not known.")
    history.attempt(sha(2), HostRecord("web2", "not_restored", None, None), ago=timedelta(minutes=50), exit_code=11)
    assert headline(client) == (
        f"broken web2 serves nothing. The last deploy in prod, {sha(2)[:10]} by ada@desk, ended broken."
    )
    history.attempt(sha(2), HostRecord("web2", "live", sha(2), None), ago=timedelta(minutes=30))
    assert headline(client) == "Nobody has checked the 2 hosts yet. Nothing is being deployed."
    history.registry.observe({"web1": sha(2)})
    quiet = "Quiet: nothing is being deployed, and nothing is known to be wrong"
    assert headline(client) == f"{quiet}; 1 of 2 hosts was not checked for a day."
    history.registry.observe({"web1": sha(2), "web2": sha(2)})
    assert headline(client) == f"{quiet}."
    history.close()


@pytest.mark.slow
def test_a_thousand_hosts(tmp_path: Path) -> None:
    """The first page has the first hundred, what differs, with its line to type, and where the others are.

    There, older walks through each of them once.
    """
    history = History(f"sqlite:///{tmp_path}/registry.db")
    names = [f"web{number:04}" for number in range(1000)]
    history.attempt(sha(1), *(HostRecord(name, "live", sha(1)) for name in names), ago=timedelta(hours=1))
    history.registry.observe({"web0777": sha(2)}, "prod")
    client = TestClient(site(lambda: history.registry.reader), base_url="http://localhost")

    def shown(html: str) -> list[str]:
        part = html[html.index('id="serving"') : html.index("</main>")].partition("</section>")[0]
        return [link.removeprefix("/hosts/") for link in Tags(part).values("href") if link.startswith("/hosts/")]

    first = client.get("/").text
    listed = ["web0777", *names[:100], "web0777"]
    assert (shown(first), "All 1000 hosts →" in text(first)) == (listed, True)
    assert f"web0777 serves {sha(2)[:10]} (asked just now) instead of {sha(1)[:10]}, which is recorded." in text(first)
    line, back = steps(history)
    again = f"If that finds nothing, to go back to {sha(1)[:10]}, which is recorded: "
    assert back.startswith(f"{again}fab -H web0777 rollback --release={sha(1)}")
    assert line.startswith(
        "To learn what was done on web0777: fab -H web0777 registry.reconcile --environment=prod It changes"
    )
    assert shown(client.get("/hosts?drift=1").text) == ["web0777"]
    assert f"/hosts?release_id={sha(1)}&after=web0099" in Tags(client.get(f"/releases/{sha(1)}").text).values("href")
    place, walked = "/hosts?prefix=web", []
    for _ in range(10):
        page = client.get(place).text
        walked += shown(page)
        place = next((attrs["href"] or "" for _, attrs in Tags(page).found if attrs.get("rel") == "next"), "")
    assert (walked, place) == (names, "")
    assert len(first) < 200_000
    history.close()


@pytest.fixture
def short(tmp_path: Path) -> Iterator[History]:
    """An empty registry to write a short past into."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    yield history
    history.close()


def steps(history: History) -> list[str]:
    """What the page says to type, directly under the headline."""
    listed = page_of(history).get("/").text.partition('id="steps"')[2].partition("</ul>")[0]
    return [text(each.partition(">")[2].partition("</li>")[0]) for each in listed.split("<li")[1:]]


def page_of(history: History) -> TestClient:
    return TestClient(site(lambda: history.registry.reader), base_url="http://localhost")


def row(history: History, host: str) -> str:
    """What the page says of a host: everything after since when it serves."""
    rows = page_of(history).get("/").text.partition("<tbody>")[2].split("</tr>")
    return text(next(each for each in rows if f">{host}<" in each)).partition(") ")[2]


@pytest.mark.parametrize("end", ["unknown", "lost"])
def test_an_end_that_nobody_knows_is_never_quiet(short: History, end: str) -> None:
    """The headline says so, and what the host said before confirms nothing, nor what it says meanwhile."""
    short.attempt(sha(1), HostRecord("w3", "live", sha(1)), ago=timedelta(hours=2))
    short.registry.observe({"w3": sha(1)})
    if end == "lost":
        short.lose(short.attempt(sha(2), HostRecord("w3"), exit_code=None), timedelta(minutes=5))
    else:
        short.attempt(sha(2), HostRecord("w3", "unknown", None, sha(1)), exit_code=40)
    said = f"{end} how its last attempt ended is not known"
    assert (headline(page_of(short)), row(short, "w3")) == (
        f"How the deploy of {sha(2)[:10]} ended on w3 is not known: it serves {sha(1)[:10]}, {sha(2)[:10]} or nothing.",
        said,
    )
    line = "fab -H w3 registry.reconcile --environment=prod"
    assert f"{said}: {line}" in text(page_of(short).get("/hosts").text)
    short.registry.observe({"w3": sha(1)})
    assert row(short, "w3") == said


def test_an_end_that_nobody_knows_is_never_too_old(short: History) -> None:
    """Many later ones do not push it off the headline, which names the newest and counts the others."""
    names = [f"w{at:02}" for at in range(41)]
    for at, name in enumerate(names):
        unknown = HostRecord(name, "unknown", None, sha(7))
        short.attempt(sha(at), unknown, ago=timedelta(minutes=100 - at), exit_code=40)
    ends = "".join(f"How the deploy of {sha(at)[:10]} ended on w{at} is not known. " for at in range(40, 30, -1))
    assert headline(page_of(short)) == f"{ends}31 more attempts ended in a way that is not known."
    assert "fab -H prod registry.reconcile" in steps(short)[0]
    short.attempt(sha(50), *(HostRecord(name, "live", sha(50), sha(7)) for name in names[1:]), ago=timedelta(minutes=5))
    assert headline(page_of(short)) == f"How the deploy of {sha(0)[:10]} ended on w00 is not known."
    assert [each["attempt"] for each in short.registry.reader.unanswered()] == ["2030-0001"]


@pytest.mark.parametrize("end", ["unknown", "lost"])
def test_an_end_on_a_host_that_is_forgotten_is_told_no_more(short: History, end: str) -> None:
    """It counts nowhere and the page asks the registry for it no more; the other host of its attempt stays."""
    parts = [HostRecord(name, "unknown", None, sha(7)) for name in ("w1", "w2")]
    code = None if end == "lost" else 40
    attempt = short.attempt(sha(1), *parts, ago=timedelta(minutes=5), exit_code=code)
    if end == "lost":
        short.lose(attempt, timedelta(minutes=5))
    seen = []
    for name in ("w1", "w2"):
        short.registry.forget(name, "")
        seen += [[[part["host"] for part in each["hosts"]] for each in short.registry.reader.unanswered()]]
        assert f" ended on {name} is not known" not in headline(page_of(short))
    assert (seen, headline(page_of(short)).startswith("Quiet: ")) == ([[["w2"]], []], True)


def place_of(history: History, name: str = "prod") -> str:
    """What the page says of an environment above the table of its hosts."""
    article = next(each for each in page_of(history).get("/").text.split("<article")[1:] if f"<h3><bdi>{name}" in each)
    return text(article.partition("</h3>")[2].partition("<table")[0].partition("<details")[0])


@pytest.mark.parametrize("end", ["unknown", "lost"])
def test_a_host_that_nobody_knows_of_counts_for_no_release(short: History, end: str) -> None:
    """It is named beside the count with what it may serve; its row has the release as the last that was recorded."""
    names = ("w1", "w2", "w3")
    first = [HostRecord(name, "live", sha(1), sha(7)) for name in names]
    short.attempt(sha(1), *first, ago=timedelta(hours=4), subject="Round half to even")
    parts = [HostRecord("w1", end, None, sha(1)), *(HostRecord(name, "skipped", sha(1), sha(1)) for name in names[1:])]
    if end == "lost":
        short.lose(short.attempt(sha(2), HostRecord("w1"), exit_code=None), timedelta(minutes=5))
    else:
        short.attempt(sha(2), *parts, ago=timedelta(minutes=9), exit_code=40)
    known = f"{sha(1)[:10]} Round half to even on 2 of 3 hosts, by ada@desk, went live 4 h ago"
    doubt = f"unknown What w1 serves is not known: {sha(1)[:10]}, {sha(2)[:10]} or nothing"
    assert place_of(short).startswith(f"{known} {doubt} ")
    assert (end == "unknown") == ("9 min ago; it did not touch 2 hosts" in place_of(short))
    rows = page_of(short).get("/").text.partition("<tbody>")[2].split("</tr>")
    assert text(rows[0]).startswith(f"w1 last recorded {sha(1)[:10]} recorded since ")
    assert text(rows[1]).startswith(f"w2 {sha(1)[:10]} since ")
    assert f"Last recorded {sha(1)[:10]} Recorded since " in text(page_of(short).get("/hosts/w1").text)


def test_an_environment_of_which_nothing_is_known_serves_nothing_for_sure(short: History) -> None:
    """Its only host is not known: the page counts it nowhere, and is no split of what it may serve."""
    first = HostRecord("w1", "live", sha(1), sha(7))
    short.attempt(sha(1), first, ago=timedelta(hours=4), subject="Round half to even")
    short.attempt(sha(2), HostRecord("w1", "unknown", None, sha(1)), ago=timedelta(minutes=9), exit_code=40)
    assert place_of(short).startswith(
        f"last recorded {sha(1)[:10]} Round half to even by ada@desk, went live 4 h ago "
        f"unknown What w1 serves is not known: {sha(1)[:10]}, {sha(2)[:10]} or nothing "
    )


def test_an_observation_before_the_newest_attempt_confirms_nothing(short: History) -> None:
    """A host that was asked, and then was restored by an attempt, was not asked since."""
    short.attempt(sha(1), HostRecord("w1", "live", sha(1)), ago=timedelta(hours=2))
    short.registry.observe({"w1": sha(1)})
    short.attempt(sha(2), HostRecord("w1", "restored", sha(1), sha(1)), ago=-timedelta(seconds=5), exit_code=10)
    assert row(short, "w1") == "restored not checked since"


def test_an_old_observation_confirms_nothing(short: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a host said long ago is said with its age, in no green; where all are so, the headline begins with that."""
    short.attempt(sha(1), HostRecord("w1", "live", sha(1)), ago=timedelta(days=200))
    short.registry.observe({"w1": sha(1)})
    assert row(short, "w1") == "checked just now"
    for module in ("web.overview", "registry.reading"):
        monkeypatch.setattr(f"oroboros_deploy.{module}.LATELY", timedelta(microseconds=1))
    assert row(short, "w1") == "checked just now: too old to rely on"
    line = "fab -H w1 status --environment=prod"
    assert f"checked just now: too old to rely on, {line} asks again" in text(page_of(short).get("/hosts").text)
    assert steps(short) == ["To check what serves: fab -H prod status It changes nothing."]
    said = r"Nobody has checked the host since .+ \(just now\): "
    said += r"whether something is wrong now is not known\. Nothing is being deployed\."
    assert re.fullmatch(said, headline(page_of(short)))
    assert place_of(short).startswith(
        f"{sha(1)[:10]} deploy of {sha(1)[:10]} just now, when last asked: on 1 of 1 host, by ada@desk, "
    )
    assert re.search(r"went live \d+ \w{3}( \d{4})?, \d\d:\d\d( If|$)", place_of(short))


def test_a_split_environment_is_named(short: History) -> None:
    """Hosts of one environment that serve different releases are counted by release, unless an attempt goes on."""
    short.attempt(sha(1), *(HostRecord(f"w{at}", "live", sha(1)) for at in range(1, 7)), ago=timedelta(hours=3))
    short.attempt(sha(2), *(HostRecord(f"w{at}", "live", sha(2), sha(1)) for at in range(1, 3)), ago=timedelta(hours=2))
    said = f"4 hosts serve {sha(1)[:10]} (old), 2 serve {sha(2)[:10]} (new)."
    assert headline(page_of(short)) == f"prod is split: {said}"
    shown = text(page_of(short).get("/").text)
    first = f"old release 4 of 6 serve {sha(1)[:10]} by ada@desk, went live 3 h ago: w3, w4, w5, w6"
    assert f"{first} new release 2 of 6 serve {sha(2)[:10]} by ada@desk, went live 2 h ago: w1, w2" in shown
    back = f"fab -H prod rollback --release={sha(1)}"
    assert f"Either put all hosts back on the old release {sha(1)[:10]}: {back}" in shown
    ends = [f" {word} deploy of {sha(at)[:10]} deploy of" for at, word in ((1, "live on some"), (2, "live"))]
    assert [each for each in ends if each not in shown] == []
    short.attempt(sha(2), HostRecord("w3"), exit_code=None)
    assert "split" not in headline(page_of(short))
    assert steps(short) == ["Nothing to type, the deploy goes on."]


@pytest.mark.parametrize(
    ("state", "exit_code", "said"),
    [
        ("restored", 10, f", {sha(2)[:10]} by ada@desk, was undone on w1. What served before serves again."),
        (
            "not_switched",
            30,
            f", {sha(2)[:10]} by ada@desk, failed before the switch on w1. What served before still serves.",
        ),
        ("not_restored", 11, f", {sha(2)[:10]} by ada@desk, ended broken."),
    ],
)
def test_a_last_attempt_that_is_not_live_is_named(short: History, state: str, exit_code: int, said: str) -> None:
    """It is in the headline and beside what serves, until one that is live follows."""
    short.attempt(sha(1), HostRecord("w1", "live", sha(1)), ago=timedelta(hours=3), subject="Round half to even")
    short.attempt(sha(2), HostRecord("w1", state, sha(1), sha(1)), ago=timedelta(hours=2), exit_code=exit_code)
    assert headline(page_of(short)).endswith(f"The last deploy in prod{said}")
    told = text(page_of(short).get("/").text)
    assert f"the last attempt: deploy of {sha(2)[:10]}" in told
    serves = f"{sha(1)[:10]} Round half to even on 1 of 1 host, by ada@desk, went live 3 h ago"
    assert serves in told or state == "not_restored"
    short.attempt(sha(3), HostRecord("w1", "live", sha(3), sha(1)), ago=timedelta(hours=1))
    assert headline(page_of(short)) == "Nobody has checked the host yet. Nothing is being deployed."


def test_an_environment_says_what_serves_who_brought_it_and_the_way_back(short: History) -> None:
    """One line has release, subject, hosts and person, below is a command to copy; equal hosts are folded."""
    names = [f"w{at:02}" for at in range(1, 13)]
    short.attempt(sha(1), *(HostRecord(name, "live", sha(1)) for name in names), ago=timedelta(hours=3))
    second = [HostRecord(name, "live", sha(2), sha(1)) for name in names]
    short.attempt(sha(2), *second, ago=timedelta(hours=2), subject="Accept <script>", actor="ci@runner")
    html = page_of(short).get("/").text
    assert f"{sha(2)[:10]} Accept <script> on 12 of 12 hosts, by ci@runner, went live 2 h ago" in text(html)
    way = f"If you must go back to {sha(1)[:10]}, which served before: fab -H prod rollback --release={sha(1)}"
    assert way in text(html)
    assert "<details><summary>12 hosts</summary>" in html
    assert html.index("which served before") < html.index("<summary>12 hosts")


@pytest.mark.parametrize(
    ("parts", "exit_code", "word", "said"),
    [
        ({"w1": "busy", "w2": "skipped"}, 20, "held", "was refused by a hold on w1"),
        ({"w1": "unreachable", "w2": "skipped"}, 50, "unreachable", "did not reach w1"),
        ({"w1": "not_switched", "w2": "skipped"}, 30, "not switched", "failed before the switch on w1"),
        ({"w1": "refused", "w2": "refused"}, 2, "refused", "was refused on w1, w2"),
        ({"w1": "interrupted", "w2": "skipped"}, 130, "interrupted", "was interrupted on w1"),
        ({"w1": "live", "w2": "restored"}, 10, "live on some", "failed on w2"),
    ],
)
def test_failed_is_said_in_its_own_word(
    short: History, parts: dict[str, str], exit_code: int, word: str, said: str
) -> None:
    """What was refused, held, stopped or half live has its own word in the headline, beside what serves and below."""
    short.attempt(sha(1), *(HostRecord(name, "live", sha(1)) for name in parts), ago=timedelta(hours=3))
    reason = "this host is held by bo@desk since 2030-01-01 10:00:00 UTC: the database moves"
    ends = [HostRecord(name, state, None, sha(1), reason) for name, state in parts.items()]
    short.attempt(sha(2), *ends, ago=timedelta(hours=2), exit_code=exit_code)
    page = text(page_of(short).get("/").text)
    assert f"The last deploy in prod, {sha(2)[:10]} by ada@desk, {said}: {reason}." in headline(page_of(short))
    assert f"{word} the last attempt: deploy of {sha(2)[:10]}" in page
    worst = next(name for name, state in parts.items() if state not in ("live", "skipped"))
    assert f"by ada@desk, begun 2 h ago, failed on {worst}" in page
    assert f": {reason}" in page
    assert f"{word} deploy of {sha(2)[:10]} deploy of" in page
    free = "Nothing to type until whoever holds it is done. Then the holder, or whoever takes the hold over, types: "
    free += "fab -H w1 unlock --environment=prod"
    assert (free in page) == (word == "held")


def test_a_deploy_of_what_is_live_did_nothing(short: History) -> None:
    """It does not look like one that brought something."""
    short.attempt(sha(1), HostRecord("w1", "already_live", sha(1), sha(1)), ago=timedelta(hours=3))
    assert "already live deploy of" in text(page_of(short).get("/").text)


def test_production_comes_first_and_a_large_environment_is_folded(short: History) -> None:
    """Only hosts that need to be looked at are shown of many, and the way back stands above them."""
    for name in ("alpha", "production"):
        hosts = [f"{name}{at}" for at in range(8)]
        short.attempt(
            sha(1), *(HostRecord(each, "live", sha(1)) for each in hosts), ago=timedelta(hours=1), environment=name
        )
    short.registry.observe({"production3": sha(9)}, "production")
    html = page_of(short).get("/").text.partition('id="serving"')[2]
    assert html.index("<bdi>production</bdi>") < html.index("<bdi>alpha</bdi>")
    unasked = html.partition("<details>")[0]
    assert (Tags(unasked).values("href").count("/hosts/production3"), "production4" in unasked) == (1, False)
    assert ("All 8 hosts" in html, "<summary>8 hosts" in html) == (True, True)


def test_what_changed_is_one_click_away(short: History) -> None:
    """The line of an environment says how many commits came with what serves, and leads to them."""
    news = tuple(CommitRecord(sha(90 + at), "A change", "Ada", "2030-01-31T12:00:00+01:00") for at in range(3))
    short.attempt(sha(2), HostRecord("w1", "live", sha(2), sha(1)), ago=timedelta(hours=2), commits=news)
    html = page_of(short).get("/").text
    assert f'<a href="/releases/{sha(2)}#commits-title">3 commits in it</a>' in html


def test_an_environment_beyond_the_first_hundred_hosts_is_there(short: History) -> None:
    """That it is split is in the headline, though none of its hosts is among those of the page."""
    many = [HostRecord(f"a{at:03}", "live", sha(1)) for at in range(101)]
    short.attempt(sha(1), *many, ago=timedelta(hours=3), environment="alpha")
    short.attempt(sha(2), HostRecord("w1", "live", sha(2)), ago=timedelta(hours=2))
    short.attempt(sha(3), HostRecord("w2", "live", sha(3)), ago=timedelta(hours=1))
    assert "prod is split: 1 host serves" in headline(page_of(short))
    assert "/hosts?environment=prod" in Tags(page_of(short).get("/").text).values("href")


def test_a_split_says_what_each_release_is(short: History) -> None:
    """Each share has its subject, and its hosts in the order in which people count them."""
    names = [f"w{at}" for at in (1, 2, 10, 11)]
    first = [HostRecord(name, "live", sha(1)) for name in names]
    short.attempt(sha(1), *first, ago=timedelta(hours=3), subject="Round half to even")
    second = [HostRecord(name, "live", sha(2), sha(1)) for name in names[1:3]]
    short.attempt(sha(2), *second, ago=timedelta(hours=2), subject="Accept <script>")
    told = text(page_of(short).get("/").text)
    old = f"old release 2 of 4 serve {sha(1)[:10]} “Round half to even” by ada@desk, went live 3 h ago: w1, w11"
    new = f"new release 2 of 4 serve {sha(2)[:10]} “Accept <script>” by ada@desk, went live 2 h ago: w2, w10"
    assert f"{old} {new}" in told


def test_what_is_not_on_the_page_is_counted(short: History) -> None:
    """An environment of more hosts than the page has says how many there are, and how many of them it lists."""
    many = [HostRecord(f"a{at:03}", "live", sha(1)) for at in range(120)]
    short.attempt(sha(1), *many, ago=timedelta(hours=3))
    html = page_of(short).get("/").text
    assert "<summary>Show 100 of 120 hosts</summary>" in html
    assert '<p class="all"><a href="/hosts">All 120 hosts →</a></p>' in html
    unfolded = text(html.partition("</details>")[2])
    assert "20 more hosts are in the list: all 120 hosts of prod →" in unfolded
    assert "/hosts?environment=prod" in Tags(html).values("href")


def test_a_split_tells_the_release_from_before_first(short: History) -> None:
    """Also where more hosts serve the new one; it says where it failed, what came of that host, and why."""
    names = [f"w{at:02}" for at in range(1, 13)]
    short.attempt(sha(1), *(HostRecord(name, "live", sha(1)) for name in names), ago=timedelta(hours=3))
    ends = [HostRecord(name, "live", sha(2), sha(1)) for name in names[:7]]
    ends += [HostRecord("w08", "restored", sha(1), sha(1), "the gate was not passed")]
    ends += [HostRecord(name, "skipped", sha(1), sha(1)) for name in names[8:]]
    short.attempt(sha(2), *ends, ago=timedelta(minutes=9), exit_code=10)
    assert headline(page_of(short)) == (
        f"prod is split: 5 hosts serve {sha(1)[:10]} (old), 7 serve {sha(2)[:10]} (new). "
        "The last deploy in prod failed on w08: the health gate was not passed."
    )
    said = place_of(short)
    old = f"old release 5 of 12 serve {sha(1)[:10]} by ada@desk, went live 3 h ago: w08 to w12"
    assert said.startswith(f"{old} new release 7 of 12 ")
    forward = f"fab -H prod deploy --sha={sha(2)} {SWITCHES} It may fail again where it failed."
    assert steps(short) == [
        f"The safer way now is to put all hosts back on the old release {sha(1)[:10]}: {BACK}",
        f"After you have mended the cause, bring {sha(2)[:10]} (ada@desk, 8 min ago) to all hosts: {forward}",
    ]
    why = f"failed on w08, which was put back to {sha(1)[:10]}: the gate was not passed"
    assert said.endswith(f"by ada@desk, begun 9 min ago, {why}; it is live on 7 hosts and did not touch 4 hosts")


HOLD = {"actor": "grace@laptop", "at": 1_900_000_000.0, "reason": "the database is moved"}


def test_a_hold_that_nobody_ran_into_is_shown(short: History) -> None:
    """Who holds a host, why, and what frees it stand on the first page and on the host's; freed, all is quiet."""
    short.attempt(sha(1), *(HostRecord(name, "live", sha(1)) for name in ("w1", "w2")), ago=timedelta(hours=1))
    short.registry.observe({"w1": sha(1), "w2": sha(1)}, "prod", {"w1": HOLD, "w2": None})
    client = page_of(short)
    assert headline(client) == (
        "Deploys to w1 (prod) are held by grace@laptop since 17 Mar 2030, 17:46: the database is moved. "
        f"w1 serves {sha(1)[:10]}."
    )
    shown = text(client.get("/").text)
    for said in ("Held · Overview", "held w1 by grace@laptop,"):
        assert said in shown
    free = "fab -H w1 unlock --environment=prod It ends the hold, so that deploys are possible again."
    assert steps(short) == [
        "Nothing to type until grace@laptop is done. Then grace@laptop, or whoever takes the hold over, types: "
        f"{free} No host is switched. Nobody is known to hold the other host.",
        "Nothing is known to be wrong.",
    ]
    assert "frees it: fab -H w1 unlock --environment=prod" in text(client.get("/hosts/w1").text)
    short.registry.hold({"w1": None})
    assert headline(client).startswith("Quiet:")


def test_two_who_hold_hosts_are_both_named(short: History) -> None:
    """The line to type waits for both, and the other hosts are free."""
    names = ("w1", "w2", "w3", "w4")
    short.attempt(sha(1), *(HostRecord(name, "live", sha(1)) for name in names), ago=timedelta(hours=1))
    holds = {"w1": HOLD, "w2": {**HOLD, "actor": "bo@desk"}}
    short.registry.observe(dict.fromkeys(names, sha(1)), "prod", holds)
    both = "grace@laptop and bo@desk"
    assert steps(short)[0] == (
        f"Nothing to type until {both} are done. Then {both}, or whoever takes the hold over, types: "
        "fab -H w1,w2 unlock --environment=prod It ends the hold, so that deploys are possible again. "
        "No host is switched. Nobody is known to hold the other 2 hosts."
    )


def test_a_hold_is_of_one_application(short: History) -> None:
    """Of two that share a host, the one that somebody holds is named, and the command frees just that."""
    for name, at in (("shop", 2), ("blog", 1)):
        more = {"attempt": name, "application": name, "root": f"/srv/{name}", "minute": at}
        short.registry.finish(record(sha(1), host("w1", "live", live=sha(1)), **more))
        held = {"w1": HOLD if name == "shop" else None}
        short.registry.observe({"w1": sha(1)}, "prod", held, Asked(name, f"/srv/{name}"))
    client = page_of(short)
    shown = text(client.get("/hosts/w1").text)
    assert "held shop on w1 by grace@laptop," in shown
    assert "frees it: fab -H w1 unlock --environment=prod --root=/srv/shop" in shown
    assert "blog on w1 by" not in shown
    places = text(client.get("/").text).partition("Serving now")[2].split("prod of ")
    assert [each.split()[0] for each in places if "held w1 by grace@laptop" in each] == ["shop"]


def test_an_attempt_without_an_environment_is_told_too(short: History) -> None:
    """Where nobody named an environment, a last attempt that is not live is in the headline as anywhere."""
    short.attempt(sha(1), HostRecord("w1", "live", sha(1)), ago=timedelta(hours=2), environment=None)
    ends = HostRecord("w1", "restored", sha(1), sha(1), "the gate was not passed")
    short.attempt(sha(2), ends, ago=timedelta(hours=1), environment=None, exit_code=10)
    said = f"The last deploy, {sha(2)[:10]} by ada@desk, was undone on w1: the health gate was not passed. "
    said += "What served before serves again."
    assert headline(page_of(short)) == said
    assert steps(short) == [
        f"Nothing has to be typed now, the hosts go on with {sha(1)[:10]}.",
        f"{MENDED}fab -H w1 deploy --sha=HEAD {HEAD}",
    ]


LOOKS = "It changes nothing on the hosts: it reads their journals, and the registry then has what they say."
BY_HAND = "A switch by hand is in no journal: the registry then stays as it is."
SWITCHES = "It changes which release the hosts serve."
MENDED = "After you have read what the deploy said and mended the cause: "
HEAD = f"{SWITCHES} HEAD is the commit that is checked out where you type it."
BACK = f"fab -H prod rollback --release={sha(1)} {SWITCHES}"
AGAIN = f"{SWITCHES} It may fail again: {sha(1)[:10]} did not pass when it was to be restored."
ASIDE = f"fab -H w1 rollback --release={sha(1)} --environment=prod {SWITCHES}"
STEPS = {
    "well": ["To check what serves: fab -H prod status It changes nothing."],
    "asked": ["Nothing to type."],
    "running": ["Nothing to type, the deploy goes on.", "Nothing is known to be wrong."],
    "unknown": [f"To learn how it ended on w1: fab -H w1 registry.reconcile --environment=prod {LOOKS}"],
    "restored": [
        f"Nothing has to be typed now: prod goes on with {sha(1)[:10]}.",
        f"{MENDED}fab -H w1 deploy --sha=HEAD --environment=prod {HEAD}",
    ],
    "not_restored": [
        "To see why nothing serves on w1: fab -H w1 logs --since=-1h --environment=prod It changes nothing.",
        f"To try {sha(1)[:10]}, the release from before, again on w1: "
        f"fab -H w1 rollback --release={sha(1)} --environment=prod {AGAIN}",
    ],
    "live": [
        f"Either put all hosts back on the old release {sha(1)[:10]}: {BACK}",
        f"Or bring {sha(2)[:10]} (ada@desk, just now) to all hosts: fab -H prod deploy --sha={sha(2)} {SWITCHES}",
    ],
    "drift": [
        f"To learn what was done on w1: fab -H w1 registry.reconcile --environment=prod {LOOKS} {BY_HAND}",
        f"If that finds nothing, to go back to {sha(1)[:10]}, which is recorded: {ASIDE}",
    ],
}


@pytest.mark.parametrize("state", STEPS)
def test_what_to_type_stands_under_the_headline(short: History, state: str) -> None:
    """With what it does: first what only looks, then what changes something; where there is nothing, that is said."""
    first = [HostRecord(name, "live", sha(1)) for name in ("w1", "w2")]
    short.attempt(sha(1), *first, ago=timedelta(hours=3))
    code = {"running": None, "live": 0}.get(state, 10)
    if state in ("asked", "drift"):
        short.registry.observe({"w1": sha(9 if state == "drift" else 1), "w2": sha(1)}, "prod")
    elif state != "well":
        part = HostRecord("w1", state, {"live": sha(2), "restored": sha(1)}.get(state), sha(1))
        short.attempt(sha(2), part, ago=timedelta(seconds=5), exit_code=code)
    assert steps(short) == STEPS[state]


def test_a_host_that_drifts_counts_for_no_release(short: History) -> None:
    """It served something else when asked: the environment is one host short, and the headline names that host."""
    parts = [HostRecord(name, "live", sha(1), sha(7)) for name in ("w1", "w2", "w3")]
    short.attempt(sha(1), *parts, ago=timedelta(hours=3), subject="Bump")
    short.registry.observe({"w1": sha(9), "w2": sha(1), "w3": sha(1)}, "prod")
    said = f"drift w1 serves {sha(9)[:10]} (asked just now) instead of {sha(1)[:10]}, which is recorded."
    said += " Since when, by whom and what is in it is not recorded."
    assert headline(page_of(short)) == said
    assert place_of(short).startswith(f"{sha(1)[:10]} Bump on 2 of 3 hosts, by ada@desk, ")
    short.registry.observe({"w2": sha(8)}, "prod")
    said = "drift 2 hosts of 3 serve another release than the registry has: w1, w2."
    assert headline(page_of(short)) == f"{said} Since when and by whom is not recorded."
    short.registry.observe({"w3": sha(8)}, "prod")
    assert place_of(short).startswith(f"w1, w2, w3 serve other releases last recorded {sha(1)[:10]} Bump by ada@desk, ")


def test_nothing_is_said_to_go_on_where_a_host_drifts(short: History) -> None:
    """After a deploy that failed, that goes on alone which every host serves."""
    parts = [HostRecord(name, "live", sha(1), sha(7)) for name in ("w1", "w2")]
    short.attempt(sha(1), *parts, ago=timedelta(hours=3))
    failed = HostRecord("w1", "not_switched", sha(1), sha(1))
    short.attempt(sha(2), failed, ago=timedelta(minutes=9), exit_code=30)
    again = f"{MENDED}fab -H w1 deploy --sha=HEAD --environment=prod {HEAD}"
    assert steps(short) == [f"Nothing has to be typed now: prod goes on with {sha(1)[:10]}.", again]
    short.registry.observe({"w2": sha(9)}, "prod")
    learn = f"To learn what was done on w2: fab -H w2 registry.reconcile --environment=prod {LOOKS} {BY_HAND}"
    assert steps(short) == [again, learn]


def test_a_host_that_serves_nothing_is_no_split(short: History) -> None:
    """The others are said to serve, and by whom it came, also where more hosts serve nothing."""
    names = ("w1", "w2", "w3")
    parts = [HostRecord(name, "live", sha(1), sha(7)) for name in names]
    short.attempt(sha(1), *parts, ago=timedelta(hours=3), subject="Bump")
    ends = [HostRecord(name, "not_restored", None, sha(1), "no service runs") for name in names[:2]]
    short.attempt(sha(2), *ends, ago=timedelta(minutes=9), exit_code=11)
    assert headline(page_of(short)) == (
        f"broken w1, w2 serve nothing. The last deploy in prod, {sha(2)[:10]} by ada@desk, ended broken: "
        "no service runs."
    )
    assert f"{sha(1)[:10]} Bump on 1 of 3 hosts, by ada@desk" in place_of(short)
    back = f"fab -H w1,w2 rollback --release={sha(1)} --environment=prod"
    assert steps(short) == [
        "To see why nothing serves on w1, w2: fab -H w1,w2 logs --since=-1h --environment=prod It changes nothing.",
        f"To try {sha(1)[:10]}, the release from before, again on w1, w2: {back} {AGAIN}",
    ]


def test_a_well_environment_is_folded_while_another_is_not(short: History) -> None:
    """Then its way back is no remedy: the line to type is that of the troubled one, whose hosts are unfolded."""
    for name, count in (("prod", 7), ("staging", 2)):
        hosts = [HostRecord(f"{name}{at}", "live", sha(1), sha(7)) for at in range(count)]
        short.attempt(sha(1), *hosts, ago=timedelta(hours=3), environment=name)
    unfolded = [place_of(short, name) for name in ("prod", "staging")]
    assert [f"fab -H {name} rollback" in said for name, said in zip(("prod", "staging"), unfolded, strict=True)] == [
        True,
        True,
    ]
    ends = HostRecord("prod3", "restored", sha(1), sha(1))
    short.attempt(sha(2), ends, ago=timedelta(hours=1), exit_code=10)
    assert steps(short) == [
        f"prod: nothing has to be typed now, it goes on with {sha(1)[:10]}.",
        f"prod: a{MENDED[1:]}fab -H prod3 deploy --sha=HEAD --environment=prod {HEAD}",
    ]
    shown = page_of(short).get("/").text.partition('id="serving"')[2].partition("</section>")[0]
    folded = [text(each.partition("</details>")[0]) for each in shown.split("<details>")[1:]]
    assert [("prod6" in each, "staging1" in each, "fab -H staging rollback" in each) for each in folded] == [
        (True, False, False),
        (False, True, True),
    ]
    assert shown.partition("<details>")[0].count('<th scope="row">') == 1
    assert '<th scope="row"><a class="name" href="/hosts/prod3">' in shown.partition("<details>")[0]
    assert text(shown).count("rollback --release") == 1


def test_of_two_applications_the_well_one_shows_its_hosts_and_folds_its_way_back(short: History) -> None:
    """The line to type names the application that is not well; the hosts of both stand in their environment."""
    for at, (name, ends, release) in enumerate(
        (("shop", "live", 1), ("shop", "live", 2), ("blog", "live", 3), ("blog", "restored", 4)), start=1
    ):
        part = host(name, ends, live=sha(3 if ends == "restored" else release), previous=sha(release - 1))
        more: dict[str, Any] = {"attempt": f"a{at}", "application": name, "root": f"/srv/{name}", "minute": at}
        short.registry.finish(record(sha(release), part, **more, exit_code=0 if ends == "live" else 10))
    assert steps(short) == [
        f"prod (blog): nothing has to be typed now, it goes on with {sha(3)[:10]}.",
        f"prod (blog): a{MENDED[1:]}fab -H prod deploy --sha=HEAD --root=/srv/blog {HEAD}",
    ]
    shown = page_of(short).get("/").text.partition('id="serving"')[2].partition("</section>")[0]
    folded = [text(each.partition("</details>")[0]) for each in shown.split("<details>")[1:]]
    way = f"fab -H prod rollback --release={sha(1)} --root=/srv/shop"
    assert folded == [f"The way back If you must go back to {sha(1)[:10]}, which served before: {way}"]


def test_no_way_back_is_offered_that_a_hold_refuses(short: History) -> None:
    """While somebody holds a host, the page says the line that frees it, and none that is refused there."""
    short.attempt(sha(1), *(HostRecord(name, "live", sha(1), sha(7)) for name in ("w1", "w2")), ago=timedelta(hours=1))
    assert "rollback --release" in text(page_of(short).get("/").text)
    short.registry.observe({"w1": sha(1)}, "prod", {"w1": HOLD})
    assert "rollback --release" not in text(page_of(short).get("/").text)
    reader = short.registry.reader
    assert [each.back for each in places(reader, reader.hosts().items, reader.held())] == [None]
    short.registry.observe({"w1": sha(9)}, "prod", {"w1": HOLD})
    told = text(page_of(short).get("/hosts/w1").text)
    assert ("drift The registry says" in told, "rollback --release" in told) == (True, False)


@pytest.mark.parametrize(
    ("kind", "verb", "doing"),
    [
        ("deploy", "deploying", "deploying"),
        ("rollback", "rolling back", "rolling back to"),
        ("restart", "restarting", "restarting"),
    ],
)
def test_what_goes_on_is_told_as_what_is_done(short: History, kind: Kind, verb: str, doing: str) -> None:
    """Beside what serves stands what is done now and for how long, and beside each host the same in a word."""
    short.attempt(sha(1), *(HostRecord(name, "live", sha(1)) for name in ("w1", "w2")), ago=timedelta(hours=3))
    told: dict[str, Any] = {"ago": timedelta(minutes=3, seconds=12), "subject": "Bump", "exit_code": None}
    short.lose(short.attempt(sha(2), HostRecord("w1"), kind=kind, **told), timedelta())  # heard of just now
    assert re.search(rf"now: {doing} {sha(2)[:10]} Bump by ada@desk, for 3 min \d\d s$", place_of(short))
    assert f"on 2 of 2 hosts when the {kind} began, by ada@desk, went live 3 h ago" in place_of(short)
    assert row(short, "w1") == f"{verb} see its steps"


def test_what_nobody_serves_any_more_is_not_called_live(short: History) -> None:
    """Of the attempts that ended well those alone are live whose release serves in their environment."""
    for at, name in ((1, "prod"), (2, "prod"), (1, "staging")):
        short.attempt(sha(at), HostRecord(name, "live", sha(at)), ago=timedelta(hours=9), environment=name)
    shown = re.findall(r'class="badge (\w+)">', page_of(short).get("/").text.partition('id="stream"')[2])
    assert shown == ["live", "live", "replaced"]
    there = re.findall(r'class="badge (\w+)">', page_of(short).get("/hosts/prod").text.partition('id="stream"')[2])
    assert there == ["live", "replaced"]
    assert {each["state"] for each in short.registry.reader.attempts().items} == {"live"}


@pytest.mark.parametrize("state", ["unknown", "running"])
def test_no_way_back_is_offered_while_nobody_knows_what_serves(short: History, state: str) -> None:
    """While an attempt goes on, or its end is not known, the page says no rollback to type."""
    short.attempt(sha(1), HostRecord("w1", "live", sha(1), sha(7)), ago=timedelta(hours=2))
    assert "rollback --release" in text(page_of(short).get("/").text)
    code = None if state == "running" else 40
    short.attempt(sha(2), HostRecord("w1", state, None, sha(1)), ago=timedelta(seconds=5), exit_code=code)
    assert "rollback --release" not in text(page_of(short).get("/").text)
    reader = short.registry.reader
    assert [each.back for each in places(reader, reader.hosts().items)] == [None]


def test_since_when_after_a_push(short: History) -> None:
    """A push makes the release no newer: the page says since when it serves, and when it was configured."""
    short.attempt(sha(1), HostRecord("w1", "live", sha(1), sha(7)), ago=timedelta(hours=5))
    short.attempt(sha(1), HostRecord("w1", "live", sha(1), sha(1)), ago=timedelta(hours=2), kind="env")
    shown = text(page_of(short).get("/").text)
    assert "(5 h ago) configured 2 h ago" in shown
    assert "by ada@desk, went live 5 h ago, another configuration 2 h ago" in shown


def test_applications_of_one_environment_are_told_apart(short: History) -> None:
    """Two applications are no split of one; that one of them is split is said of that one."""
    own = {"root": "", "finished_at": "2030-01-01T12:00:00+00:00", "exit_code": 0}
    told = {"shop": [("w1", sha(1)), ("w2", sha(2))], "blog": [("w3", sha(3)), ("w4", sha(3))]}
    for application, serving in told.items():
        for at, (name, release) in enumerate(serving):
            record = Record(
                attempt=f"{application}-{at}",
                application=application,
                kind="deploy",
                release_id=release,
                commit_sha=release,
                environment="prod",
                actor="ada",
                control_node="desk",
                tool_version="1",
                started_at="2030-01-01T12:00:00+00:00",
                hosts=(HostRecord(name, "live", release),),
                **own,  # type: ignore[arg-type]
            )
            short.registry.finish(record)
    said = headline(page_of(short))
    assert said == f"prod (shop) is split: 1 host serves {sha(1)[:10]} (old), 1 serves {sha(2)[:10]} (new)."
    assert "prod of blog" in text(page_of(short).get("/").text)


def test_many_hosts_at_work_are_not_all_shown(short: History) -> None:
    """Of many hosts that build the list shows the first five and where the others are."""
    short.attempt(sha(1), *(HostRecord(f"w{at:02}") for at in range(20)), exit_code=None)
    html = page_of(short).get("/").text
    assert (html.count('class="way"'), "and 15 more" in text(html)) == (5, True)


def test_a_page_is_new_as_soon_as_something_happens(short: History) -> None:
    """The page is kept between two requests, never beyond a change of the registry."""
    client = page_of(short)
    assert headline(client) == "Quiet: nothing is being deployed."
    short.attempt(sha(1), HostRecord("w1"), exit_code=None)
    assert headline(client).startswith("Deploy of")
    short.registry.observe({"w1": sha(1)}, "prod", {"w1": HOLD})
    assert "Deploys to w1 (prod) are held by grace@laptop" in headline(client)


def test_what_brings_a_broken_host_back(short: History) -> None:
    """Where no release serves any more, the page says the line that brings the one from before back."""
    short.attempt(sha(1), HostRecord("w1", "live", sha(1)), ago=timedelta(hours=2))
    ends = HostRecord("w1", "not_restored", None, sha(1), "not healthy")
    short.attempt(sha(2), ends, ago=timedelta(hours=1), exit_code=11)
    shown = text(page_of(short).get("/").text)
    assert (
        f"To try {sha(1)[:10]}, the release from before, again on w1: fab -H prod rollback --release={sha(1)} {AGAIN}"
        in shown
    )
    assert "mended the cause" not in shown


def test_what_failed_is_no_way_back(short: History) -> None:
    """What served before, and failed when it was last to be brought, is offered by no line of the page."""
    short.attempt(sha(1), HostRecord("w1", "not_restored", None, None), ago=timedelta(hours=3), exit_code=11)
    short.attempt(sha(2), HostRecord("w1", "live", sha(2), sha(1)), ago=timedelta(hours=2))
    assert "rollback --release" not in text(page_of(short).get("/").text)
    short.attempt(sha(3), HostRecord("w1", "live", sha(3), sha(2)), ago=timedelta(hours=1))
    assert f"rollback --release={sha(2)}" in text(page_of(short).get("/").text)


def test_what_failed_otherwise_is_a_way_back(short: History) -> None:
    """An attempt of another environment, a restart and a push say nothing of whether a release can be gone back to."""
    failed = HostRecord("w1", "not_restored", None, None)
    short.attempt(sha(1), failed, ago=timedelta(hours=5), kind="restart", exit_code=11)
    short.attempt(sha(1), failed, ago=timedelta(hours=4), kind="env", exit_code=11)
    short.attempt(sha(1), failed, ago=timedelta(hours=3), environment=None, exit_code=11)
    short.attempt(
        sha(1), HostRecord("w9", "not_restored", None, None), ago=timedelta(hours=2), environment="lab", exit_code=11
    )
    short.attempt(sha(2), HostRecord("w1", "live", sha(2), sha(1)), ago=timedelta(hours=1))
    assert f"rollback --release={sha(1)}" in text(page_of(short).get("/").text)


def test_a_drifting_host_says_what_is_not_recorded(short: History) -> None:
    """Not since when or by whom; what is known of its release is told, and the recorded one is not called live."""
    short.attempt(sha(9), HostRecord("w2", "live", sha(9)), ago=timedelta(hours=9), subject="Bump", environment="qa")
    short.attempt(sha(1), HostRecord("w1", "live", sha(1)), ago=timedelta(hours=3))
    rows, served, told = [], [], []
    for number in (9, 8):
        short.registry.observe({"w1": sha(number)}, "prod")
        told.append(headline(page_of(short)).partition("which is recorded. ")[2])
        served.append(place_of(short).partition(" by ada@desk, ")[0])
        html = page_of(short).get("/").text
        found = text(html.partition('<tr class="drift">')[2].partition("</tr>")[0])
        rows.append(re.sub(r"at .+ \(3 h", "at THEN (3 h", found))
    shared = f"since when and by whom is not recorded; {sha(1)[:10]} was recorded at THEN (3 h ago)"
    mark = "drift it serves another release than the recorded one"
    assert rows == [
        f"w1 {sha(9)[:10]} (asked just now) “Bump”, last attempted 9 h ago {shared} {mark}",
        f"w1 {sha(8)[:10]} (asked just now) no attempt of it is recorded {shared} {mark}",
    ]
    recorded = f"last recorded {sha(1)[:10]} deploy of {sha(1)[:10]}"
    assert served == [
        f"w1 serves {sha(9)[:10]} “Bump”, last attempted 9 h ago {recorded}",
        f"w1 serves {sha(8)[:10]}, of which nothing is recorded {recorded}",
    ]
    assert told == [
        "Since when and by whom is not recorded.",
        "Since when, by whom and what is in it is not recorded.",
    ]
    assert '<p class="brought unserved">' in html
    assert f" drifted deploy of {sha(1)[:10]} " in text(html)
    reader = short.registry.reader
    [prod] = [each for each in places(reader, reader.hosts().items) if each.name == "prod"]
    assert (prod.became(sha(1)), prod.became(sha(9)), prod.well) == ("drifted", "", False)


def test_an_unknown_end_says_its_cause(short: History) -> None:
    """The headline has it where it is known, and that the host may serve nothing."""
    short.attempt(sha(1), HostRecord("w1", "live", sha(1)), ago=timedelta(hours=3))
    ends = HostRecord("w1", "unknown", None, sha(1), "the link was lost; the host finishes alone")
    short.attempt(sha(2), ends, ago=timedelta(hours=1), exit_code=40)
    may = f"it serves {sha(1)[:10]}, {sha(2)[:10]} or nothing."
    said = f"How the deploy of {sha(2)[:10]} ended on w1 is not known (the link was lost): {may}"
    assert headline(page_of(short)) == said


def test_a_host_that_was_put_back_says_so(short: History) -> None:
    """Its row has the time at which it was put back, and a mark; the others have since when they serve."""
    short.attempt(sha(1), *(HostRecord(name, "live", sha(1)) for name in ("w1", "w2")), ago=timedelta(hours=3))
    short.attempt(sha(2), HostRecord("w1", "restored", sha(1), sha(1)), ago=timedelta(hours=1), exit_code=10)
    rows = page_of(short).get("/").text.partition("<tbody>")[2].split("</tr>")[:2]
    assert [("put back" in row, "badge restored" in row, ">since<" in row) for row in rows] == [
        (True, True, False),
        (False, False, True),
    ]


@pytest.mark.parametrize("end", ["refused", "unreachable", "not_switched"])
def test_an_environment_where_nothing_ever_served_has_a_page(short: History, end: str) -> None:
    """Its first deploy ended broken and the next one before the switch: nothing goes on, and nothing served before."""
    short.attempt(sha(1), HostRecord("w1", "not_restored", None, None), ago=timedelta(hours=2), exit_code=11)
    code = {"refused": 2, "unreachable": 50, "not_switched": 30}[end]
    short.attempt(sha(2), HostRecord("w1", end, None, None, "no"), ago=timedelta(hours=1), exit_code=code)
    said = {"refused": "was refused on", "unreachable": "did not reach", "not_switched": "failed before the switch on"}
    assert (headline(page_of(short)), steps(short)) == (
        f"broken w1 serves nothing. The last deploy in prod, {sha(2)[:10]} by ada@desk, {said[end]} w1: no.",
        [
            "To see why nothing serves on w1: fab -H prod logs --since=-3h It changes nothing.",
            f"{MENDED}fab -H prod deploy --sha=HEAD {HEAD}",
        ],
    )


@pytest.mark.parametrize("kind", ["rollback", "deploy"])
@pytest.mark.parametrize("end", ["restored", "unreachable"])
def test_a_way_back_that_ended_halfway_is_gone_to_its_end(short: History, kind: Kind, end: str) -> None:
    """The release that people left is not called the safer one, and the one that they go back to is not the new one."""
    short.attempt(sha(1), *(HostRecord(name, "live", sha(1)) for name in ("w1", "w2")), ago=timedelta(hours=3))
    second = [HostRecord(name, "live", sha(2), sha(1)) for name in ("w1", "w2")]
    short.attempt(sha(2), *second, ago=timedelta(hours=2))
    ends = [HostRecord("w1", "live", sha(1), sha(2)), HostRecord("w2", end, sha(2), sha(2), "no")]
    code = 10 if end == "restored" else 50
    short.attempt(sha(1), *ends, ago=timedelta(hours=1), kind=kind, exit_code=code)
    said, _, why = headline(page_of(short)).partition(f" The last {kind} in prod ")
    assert said == f"prod is split: 1 host serves {sha(2)[:10]}, 1 serves {sha(1)[:10]}."
    assert why.partition(" ")[2].endswith("w2: no.")
    assert steps(short) == [f"To put all hosts back on {sha(1)[:10]}: {BACK}"]
    assert place_of(short).startswith(f"split 1 of 2 serves {sha(2)[:10]} by ada@desk, went live 2 h ago: w2 split")


@pytest.mark.parametrize("end", ["unreachable", "interrupted", "busy", "env"])
def test_the_old_release_is_no_safer_where_the_new_one_did_not_fail(short: History, end: str) -> None:
    """A host that was not reached, was held or was pushed a configuration says nothing against the new release."""
    short.attempt(sha(1), *(HostRecord(name, "live", sha(1)) for name in ("w1", "w2")), ago=timedelta(hours=3))
    live, skipped = HostRecord("w1", "live", sha(2), sha(1)), HostRecord("w2", "skipped", sha(1), sha(1))
    part = skipped if end == "env" else HostRecord("w2", end, sha(1), sha(1), "no")
    code = {"unreachable": 50, "busy": 20}.get(end, 130)
    short.attempt(sha(2), live, part, ago=timedelta(hours=2), exit_code=code)
    if end == "env":
        pushed = HostRecord("w1", "restored", sha(2), sha(2), "no")
        short.attempt(sha(2), pushed, ago=timedelta(hours=1), kind="env", exit_code=10)
    again = "" if end == "env" else " It may fail again where it failed."
    forward = f"fab -H prod deploy --sha={sha(2)} {SWITCHES}{again}"
    assert steps(short) == [
        f"Either put all hosts back on the old release {sha(1)[:10]}: {BACK}",
        f"Or bring {sha(2)[:10]} (ada@desk, 2 h ago) to all hosts: {forward}",
    ]


def test_nobody_is_said_to_hold_what_was_freed(short: History) -> None:
    """The refused deploy told of the hold, and an unlock that it is gone: the deploy can be made again."""
    short.attempt(sha(1), HostRecord("w1", "live", sha(1), sha(7)), ago=timedelta(hours=3))
    busy = HostRecord("w1", "busy", None, sha(1), "this host is held by bo@desk: the database moves")
    short.attempt(sha(2), busy, ago=timedelta(minutes=9), exit_code=20)
    free = "Nothing to type until whoever holds it is done. Then the holder, or whoever takes the hold over, types: "
    frees = "It ends the hold, so that deploys are possible again. No host is switched."
    told = [steps(short)]
    short.registry.observe({"w1": sha(1)}, "prod", {"w1": HOLD})
    told.append([each.partition(" until ")[2].partition(" is done")[0] for each in steps(short)])
    short.registry.hold({"w1": None})
    assert [*told, steps(short)] == [
        [f"{free}fab -H prod unlock {frees}"],
        ["grace@laptop"],
        [
            f"Nothing has to be typed now: prod goes on with {sha(1)[:10]}.",
            f"{MENDED}fab -H prod deploy --sha=HEAD {HEAD}",
        ],
    ]


def test_a_place_is_checked_when_each_host_said_what_serves_since(short: History) -> None:
    """What a host said before the deploy says nothing of the release that came with it."""
    short.attempt(sha(1), *(HostRecord(name, "live", sha(1)) for name in ("w1", "w2")), ago=timedelta(hours=3))
    told = [place_of(short)]
    short.registry.observe({"w1": sha(1)}, "prod")
    told.append(place_of(short))
    short.registry.observe({"w2": sha(1)}, "prod")
    told.append(place_of(short))
    short.asked({"w1": sha(1), "w2": sha(1)}, "prod", timedelta(hours=4))
    told.append(place_of(short))
    assert [each.partition(", went live 3 h ago, ")[2] for each in told] == [
        "not checked yet",
        "not all checked yet",
        "all checked just now",
        "not checked since",
    ]


def test_the_hosts_beside_those_that_are_held_are_counted(short: History) -> None:
    """Also beyond the first hundred holds, and none that serves nothing from here; where all are held, none is left."""
    names = [f"w{at:03}" for at in range(150)]
    short.attempt(sha(1), *(HostRecord(name, "live", sha(1)) for name in names), ago=timedelta(hours=3))
    frees = "It ends the hold, so that deploys are possible again. No host is switched."
    short.registry.observe({"x1": sha(1)}, "prod", {"x1": HOLD})
    short.registry.observe({"w000": sha(1)}, "prod", {"w000": HOLD})
    some = steps(short)[0].partition("types: ")[2]
    assert some == (f"fab -H w000,x1 unlock --environment=prod {frees} Nobody is known to hold the other 149 hosts.")
    short.registry.observe(dict.fromkeys(names, sha(1)), "prod", dict.fromkeys(names, HOLD))
    assert steps(short)[0].partition("types: ")[2] == f"fab -H prod unlock {frees}"
    assert "148 more are held." in place_of(short)


def test_nothing_is_said_to_go_on_where_a_host_was_not_reached(short: History) -> None:
    """Whether it still serves is not known."""
    short.attempt(sha(1), *(HostRecord(name, "live", sha(1)) for name in ("w1", "w2")), ago=timedelta(hours=3))
    ends = [HostRecord("w1", "unreachable", None, sha(1), "no"), HostRecord("w2", "skipped", sha(1), sha(1))]
    short.attempt(sha(2), *ends, ago=timedelta(minutes=9), exit_code=50)
    assert steps(short) == [f"{MENDED}fab -H prod deploy --sha=HEAD {HEAD}"]


def test_a_drifting_host_is_no_part_of_a_split(short: History) -> None:
    """Neither the headline nor the share counts it, and the share names no hosts among which it would be."""
    names = ("w1", "w2", "w3", "w4")
    short.attempt(sha(1), *(HostRecord(name, "live", sha(1)) for name in names), ago=timedelta(hours=3))
    second = [HostRecord(name, "live", sha(2), sha(1)) for name in names[2:]]
    short.attempt(sha(2), *second, ago=timedelta(hours=2))
    short.registry.observe({"w1": sha(9)}, "prod")
    said = headline(page_of(short)).partition(" drift ")[0]
    assert said == f"prod is split: 1 host serves {sha(1)[:10]} (old), 2 serve {sha(2)[:10]} (new)."
    assert place_of(short) == (
        f"old release 1 of 4 serves {sha(1)[:10]} by ada@desk, went live 3 h ago "
        f"new release 2 of 4 serve {sha(2)[:10]} by ada@desk, went live 2 h ago: w3, w4"
    )


def test_what_became_of_an_attempt_is_told_of_its_own_application(short: History) -> None:
    """One that still serves is not called replaced since another of its environment serves something else."""
    for at, name, release in ((1, "shop", 1), (2, "shop", 2), (3, "blog", 1)):
        more: dict[str, Any] = {"attempt": f"a{at}", "application": name, "root": f"/srv/{name}", "minute": at}
        short.registry.finish(record(sha(release), host(name, "live", live=sha(release)), **more))
    html = page_of(short).get("/").text.partition('id="stream"')[2].partition("</ol>")[0]
    told = [each.partition('"')[0] for each in html.split('href="/attempts/')[1:]]
    assert sorted(zip(told, re.findall(r'class="badge (\w+)">', html), strict=True)) == [
        ("a1", "replaced"),
        ("a2", "live"),
        ("a3", "live"),
    ]


def test_hosts_beyond_the_page_can_be_asked(short: History) -> None:
    """Where those on the page were checked and others were not, there is something to type."""
    names = [f"w{at:03}" for at in range(150)]
    short.attempt(sha(1), *(HostRecord(name, "live", sha(1)) for name in names), ago=timedelta(hours=3))
    short.attempt(sha(1), HostRecord("z1", "live", sha(1)), ago=timedelta(hours=3), environment="lab")
    short.registry.observe(dict.fromkeys(names[:100], sha(1)), "prod")
    assert headline(page_of(short)).endswith("; 51 of 151 hosts were not checked for a day.")
    asks = [f"{name}: to check what serves: fab -H {name} status It changes nothing." for name in ("prod", "lab")]
    assert steps(short) == asks
    short.registry.observe(dict.fromkeys(names[100:], sha(1)), "prod")
    short.registry.observe({"z1": sha(1)}, "lab")
    assert steps(short) == ["Nothing to type."]


def test_a_place_beyond_the_page_without_an_attempt_of_its_own_has_a_page(short: History) -> None:
    """Whose these hosts are is not known, and they serve two releases: no command is known about them."""
    many = [HostRecord(f"a{at:03}", "live", sha(1)) for at in range(101)]
    short.attempt(sha(1), *many, ago=timedelta(hours=3), environment="alpha")
    for at, name in enumerate(("shop", "blog", "", "")):
        more: dict[str, Any] = {"attempt": f"z{at}", "application": name, "root": "", "minute": at}
        short.registry.finish(record(sha(at + 2), host(f"z{at}", "live", live=sha(at + 2)), **more))
    said = f"prod is split: 1 host serves {sha(5)[:10]}, 1 serves {sha(4)[:10]}."
    assert (headline(page_of(short)), steps(short)) == (said, [])
