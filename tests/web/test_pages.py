"""The pages as they are served: what they say, that they harm nobody, and that their links hold."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from oroboros_deploy.errors import RegistryUnavailable
from oroboros_deploy.events import Event
from oroboros_deploy.host.contract import Changes
from oroboros_deploy.records.record import Asked, CommitRecord, HostRecord
from oroboros_deploy.registry import Registry
from oroboros_deploy.registry.reading import Reader
from oroboros_deploy.web import plots
from oroboros_deploy.web.site import site
from tests.support.history import SUBJECTS, History, sha
from tests.support.html import Tags, places, text
from tests.support.samples import A, B, host, record


def test_every_page_is_served(past: TestClient, made: dict[str, str]) -> None:
    """Every page of every kind of attempt, release and host answers 200 with HTML."""
    answers = [past.get(place) for place in places(made)]
    assert {(answer.status_code, answer.headers["content-type"]) for answer in answers} == {
        (200, "text/html; charset=utf-8")
    }


@pytest.mark.slow
def test_every_link_leads_somewhere(past: TestClient, made: dict[str, str]) -> None:
    """Whatever a page links to, files and API apart, answers 200."""
    links = {link for place in places(made) for link in Tags(past.get(place).text).values("href")}
    followed = sorted(link for link in links if not link.startswith("#"))
    assert {link: past.get(link).status_code for link in followed} == dict.fromkeys(followed, 200)


@pytest.mark.parametrize(
    ("place", "status", "says"),
    [
        ("/attempts/none", 404, "knows no attempt none"),
        ("/releases/none", 404, "knows no release none"),
        ("/releases/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404, "Not Found"),
        ("/releases/" + "0" * 40, 404, "knows no release"),
        ("/hosts/none", 404, "knows no host none"),
        ("/hosts/../../etc/passwd", 404, ""),
        ("/hosts/%00", 404, "knows no host"),
        ("/static/../pages.py", 404, ""),
        ("/static/pages.py", 404, "knows no file pages.py"),
        ("/?state=;drop", 400, "';drop' is no"),
        ("/?kind=<script>", 400, "'<script>' is no"),
        ("/?after=-1", 400, "names no place in the list"),
        ("/?after=%00%ff", 400, "names no place in the list"),
        ("/?sha=zz", 400, "is no beginning of a"),
        ("/?since=yesterday", 400, "is no time in ISO 8601"),
        ("/?since=9999-99-99", 400, "is no time in ISO 8601"),
        ("/figures?days=1e9", 400, "days='1e9' is no number"),
        ("/figures?days=99999", 400, "99999 is no number of days"),
        ("/figures?days=-1", 400, "days='-1' is no number"),
        ("/figures?days=٣", 400, "is no number"),
        ("/attempts/x?events_after=x", 400, "events_after='x' is no number"),
        ("/attempts/x?events_after=" + "9" * 40, 400, "is no number"),
    ],
)
def test_bad_input_is_answered_in_words(
    past: TestClient, made: dict[str, str], place: str, status: int, says: str
) -> None:
    """What names nothing is 404 and what means nothing is 400, in words, without paths, SQL or traces."""
    answer = past.get(place)
    said = text(answer.text)
    assert (answer.status_code, says in said) == (status, True)
    assert not [word for word in ("Traceback", "SELECT", "sqlite", str(Path(plots.__file__).parent)) if word in said]


def test_registry_down(monkeypatch: pytest.MonkeyPatch, past: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """When the database does not answer a page says so with 503; only the server's output says where it is and why."""

    def down(self: Reader, *arguments: object, **named: object) -> None:
        raise RegistryUnavailable("postgresql://web:secret@db.internal does not answer", hint="ask db.internal")

    monkeypatch.setattr(Reader, "last_event", down)
    answer = past.get("/")
    assert (answer.status_code, "The registry does not answer" in answer.text) == (503, True)
    assert ("secret" in answer.text, "db.internal" in answer.text) == (False, False)
    assert "The output of the server says why" in answer.text
    assert "db.internal does not answer" in caplog.text


@pytest.mark.parametrize(
    ("states", "exit_code", "said"),
    [
        (("live", "busy"), 20, "Live on web1; not on web2: the hosts may serve different releases."),
        (("already_live", "restored"), 10, "Live on web1; not on web2: the hosts may serve different releases."),
        (
            ("live", "not_restored"),
            11,
            "It was not restored on web2: no release is known to serve there, a person has to look. "
            "Live on web1; not on web2: the hosts may serve different releases.",
        ),
        (("restored", "skipped"), 10, "It failed after the switch; the previous release was restored."),
        (("not_switched", "skipped"), 30, "It failed and switched nothing: what served before went on serving."),
    ],
)
def test_the_verdict_of_each_end(tmp_path: Path, states: tuple[str, str], exit_code: int, said: str) -> None:
    """What an attempt came to is said of all its hosts: where it is live, it is not said that nothing happened."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    client = TestClient(site(lambda: history.registry.reader), base_url="http://localhost")
    parts = [HostRecord(f"web{at}", state) for at, state in enumerate(states, start=1)]
    attempt = history.attempt(sha(1), *parts, exit_code=exit_code)
    html = client.get(f"/attempts/{attempt}").text
    assert text(html.split('<p class="verdict">')[1].split("</p>")[0].partition("</span>")[2]) == said
    history.close()


def test_a_lost_attempt_looks_lost(past: TestClient, made: dict[str, str]) -> None:
    """Its last step is called the last that was heard of, not what it does now, and nobody knows how long it took."""
    html = past.get(f"/attempts/{made['lost']}").text
    assert ("restart, last heard of" in text(html), "now" in text(html.split('class="way"')[1].split("</ol>")[0])) == (
        True,
        False,
    )
    unknown = past.get(f"/attempts/{made['unknown']}").text
    assert ["Took not known" in text(each) for each in (html, unknown)] == [True, True]


def test_phases_are_said_in_words_too(past: TestClient, made: dict[str, str]) -> None:
    """The bar of an attempt tells a screen reader every phase with its time."""
    labels = Tags(past.get(f"/?sha={sha(2)[:8]}").text).values("aria-label")
    assert "connect 0.5 s, facts 0.2 s, build 33 s, switch 0.1 s, restart 2.4 s, gate 1 min, restore 3.1 s" in labels


def test_release_shows_commits_and_gate(past: TestClient, made: dict[str, str]) -> None:
    """A release has its new commits, its hosts, what the gate said, and every attempt to deploy it."""
    page = text(past.get(f"/releases/{sha(1)}").text)
    for said in ("Search understands umlauts", "Ada Lovelace, 31 Jan 2030, 11:00", "HTTP 200 in 12 ms", "web3"):
        assert said in page


def test_the_configuration_of_each_host(tmp_path: Path) -> None:
    """An attempt and its hosts have the revision, short, and the names that were changed: in pages and API alike."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    client = TestClient(site(lambda: history.registry.reader), base_url="http://localhost")
    names: Changes = {"added": ["SIZE"], "changed": ["PASSWORD"], "removed": ["PORT"]}
    pushed = HostRecord("web1", "live", sha(1), sha(1), configuration="0123456789abcdef", names=names)
    refused = HostRecord("web2", "restored", sha(1), sha(1), configuration=None, names=names)
    attempt = history.attempt(sha(1), pushed, refused, kind="env", exit_code=10)
    page = text(client.get(f"/attempts/{attempt}").text)
    assert page.count("(+SIZE ~PASSWORD -PORT)") == 2
    assert ("Configuration 0123456789 (+SIZE" in page, f"Configuration push to {sha(1)[:10]}" in page) == (True, True)
    assert "Configuration 0123456789 (+SIZE ~PASSWORD -PORT)" in text(client.get("/hosts/web1").text)
    part = client.get(f"/api/attempts/{attempt}").json()["hosts"][0]
    listed = client.get("/api/hosts").json()["items"][0]
    told = ("0123456789abcdef", {"added": ["SIZE"], "changed": ["PASSWORD"], "removed": ["PORT"]})
    assert [(each["configuration"], each["names"]) for each in (part, listed)] == [told, told]
    assert [each["attempt"] for each in client.get("/api/attempts?kind=env").json()["items"]] == [attempt]
    history.close()


def test_an_empty_registry(tmp_path: Path) -> None:
    """Before the first deploy the overview says how to begin, and the figures say that there is nothing."""
    empty = History(f"sqlite:///{tmp_path}/registry.db")
    client = TestClient(site(lambda: empty.registry.reader), base_url="http://localhost")
    assert "No host serves anything yet" in text(client.get("/").text)
    assert "0 deployments and 0 failures in 90 days" in text(client.get("/figures").text)
    empty.close()


def test_a_release_keeps_its_commits(tmp_path: Path) -> None:
    """What was new in it is told by its first deploy, also after it was rolled back to or deployed again."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    news = (CommitRecord(sha(1), "Search understands umlauts", "Ada", "2030-01-31T12:00:00+01:00"),)
    history.attempt(sha(1), HostRecord("w1", "live", sha(1)), ago=timedelta(hours=3), commits=news)
    history.attempt(sha(2), HostRecord("w1", "live", sha(2), sha(1)), ago=timedelta(hours=2))
    history.attempt(sha(1), HostRecord("w1", "live", sha(1), sha(2)), ago=timedelta(hours=1), kind="rollback")
    page = TestClient(site(lambda: history.registry.reader), base_url="http://localhost").get(f"/releases/{sha(1)}")
    assert "Search understands umlauts" in text(page.text)
    history.close()


def test_whose_a_thing_is_is_told_where_applications_share_a_registry(client: TestClient, registry: Registry) -> None:
    """An attempt names its application, a host all that serve on it; with one application alone neither does."""

    def put(name: str, release: str, minute: int) -> None:
        more = {"attempt": name, "application": name, "root": f"/srv/{name}", "minute": minute}
        registry.finish(record(release, host("shared", "live", live=release), **more))

    put("shop", A, 3)
    alone = client.get("/attempts/shop").text, client.get("/hosts/shared").text
    put("blog", B, 4)
    both = client.get("/attempts/shop").text, client.get("/hosts/shared").text
    assert ["for <bdi>shop</bdi>" in alone[0], "<bdi>shop</bdi> in" in alone[1]] == [False, False]
    assert "for <bdi>shop</bdi> in <bdi>prod</bdi>" in both[0]
    assert ["<bdi>shop</bdi> in <bdi>/srv/shop</bdi>: " in both[1], "<bdi>blog</bdi> in" in both[1]] == [True, True]
    shown = {each["attempt"]: each["application"] for each in client.get("/api/attempts").json()["items"]}
    assert (shown["shop"], shown["blog"], shown["one"]) == ("shop", "blog", "")
    assert client.get("/api/hosts/shared").json()["application"] == "blog"


def test_who_holds_a_host_is_told_however_many_hosts_are_held(client: TestClient, registry: Registry) -> None:
    """The page of a host says who holds it, also where a hundred others come before it."""
    hold = {"actor": "ada", "at": 1_900_000_000.0, "reason": "the fair"}
    names = [f"held{number:03}" for number in range(101)]
    registry.observe(dict.fromkeys(names, A), "prod", dict.fromkeys(names, hold), Asked("shop", "/srv/shop"))
    assert "the fair" in text(client.get("/hosts/held100").text)


@pytest.mark.slow
def test_the_list_of_releases(tmp_path: Path) -> None:
    """Each with its subject, who brought it and when, its status and where it serves; older ones are a link away."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    client = TestClient(site(lambda: history.registry.reader), base_url="http://localhost")
    for number in range(1, 34):
        went = HostRecord("web1", "live", sha(number), sha(number - 1))
        history.attempt(sha(number), went, ago=timedelta(hours=40 - number), subject=f"Change {number}")
    first = client.get("/releases").text
    assert f"{sha(33)[:10]} Change 33 deployed serves in prod 7 h ago by ada@desk" in text(first)
    assert f"{sha(32)[:10]} Change 32 replaced 8 h ago by ada@desk" in text(first)
    older = next(attrs["href"] for _, attrs in Tags(first).found if attrs.get("rel") == "next")
    second = client.get(older or "").text
    shown = [re.findall(r"Change (\d+)", text(page)) for page in (first, second)]
    assert [int(each) for each in shown[0] + shown[1]] == list(range(33, 0, -1))
    assert "Change 33" in client.get("/releases?status=deployed").text
    assert "Change 32" not in client.get("/releases?status=deployed").text
    assert client.get("/releases?status=bogus").status_code == 400
    history.close()


def test_attempts_are_found_by_text_and_come_before_their_legend(past: TestClient, made: dict[str, str]) -> None:
    """The form takes a part of a subject; what the colours of the phases mean stands below the list."""
    html = past.get(f"/?subject={SUBJECTS[0][:9].upper()}").text
    stream = html.split('id="stream"')[1]
    assert (SUBJECTS[0] in stream, SUBJECTS[4] in stream) == (True, False)
    assert "Colours of the phases" in stream and 'name="subject"' in html


def test_figures_of_time_say_how_they_are_drawn_and_called(past: TestClient, made: dict[str, str]) -> None:
    """The axis of times is logarithmic, which the plot says; the figure has the name that DORA gave it since."""
    html = past.get("/figures?all=1").text
    said = text(html)
    assert "half (logarithmic): " in said
    assert [
        link for link in Tags(html).values("href") if link.startswith("/?") and "since=" in link and "until=" in link
    ]
    assert "DORA calls it failed deployment recovery time" in said


def test_the_hosts_that_failed_come_first(tmp_path: Path) -> None:
    """Of many hosts those that went well are folded, and so are the events that warn of nothing."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    client = TestClient(site(lambda: history.registry.reader), base_url="http://localhost")
    parts = [HostRecord(f"web{at}", "live", sha(2), sha(1)) for at in range(8)]
    parts[5] = HostRecord("web5", "restored", sha(1), sha(1), "the gate failed", log="    ^ here")
    attempt = history.attempt(sha(2), *parts, exit_code=10)
    history.hear(attempt, Event("part.started", "frontend begins", "web1"), Event("warning", "look", "web2", "warning"))
    html = client.get(f"/attempts/{attempt}").text
    hosts, went = html.split('id="hosts"')[1].split('id="went"')
    assert ("web5" in hosts, "web1" in hosts, "7 hosts where it is live" in went) == (True, False, True)
    unfolded, folded = html.split('id="events"')[1].split("<details>")
    assert ("look" in unfolded, "frontend begins" in unfolded, "frontend begins" in folded) == (True, False, True)
    history.close()


def test_an_attempt_that_builds_says_which_part_and_what_it_prints(tmp_path: Path) -> None:
    """The part that runs, what it usually takes and its last lines stand with its host while it goes on."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    client = TestClient(site(lambda: history.registry.reader), base_url="http://localhost")
    before = history.attempt(sha(1), HostRecord("web1", "live", sha(1)), ago=timedelta(hours=1))
    made = {"part": "frontend", "seconds": 40.2, "cached": False}
    history.hear(before, Event("part.finished", "", "web1", data=made))
    attempt = history.attempt(sha(2), HostRecord("web1"), exit_code=None)
    events = [Event("build.started", "", "web1"), *(_part("started", name) for name in ("frontend", "backend"))]
    said = {"web1": "frontend │ [42/100] Compiling"}
    history.registry.hear(attempt, [*events, _part("finished", "backend")], said)
    card = text(client.get(f"/attempts/{attempt}").text.split('id="hosts"')[1].split("</article>")[0])
    assert "builds frontend (usually 40 s)" in card
    assert ("builds backend" in card, "[42/100] Compiling" in card) == (False, True)
    history.registry.hear(attempt, [_part("failed", "backend")], {})
    assert "builds " not in text(client.get(f"/attempts/{attempt}").text.split('id="hosts"')[1].split("</article>")[0])
    history.close()


def _part(what: str, name: str) -> Event:
    return Event(f"part.{what}", "", "web1", data={"part": name, "seconds": 9.0})
