"""The pages as they are served: what they say, that they harm nobody, and that their links hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi import Depends, FastAPI
from starlette.testclient import TestClient

from oroboros_deploy.errors import RegistryUnavailable
from oroboros_deploy.records.record import HostRecord
from oroboros_deploy.registry.reading import Reader
from oroboros_deploy.web import display, plots
from oroboros_deploy.web.pages import pages
from oroboros_deploy.web.site import site
from tests.support.history import HARM, History, sha, write

HARMED_HOST = f"h/{HARM}"


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.found if attribute in attrs]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    history = History(f"sqlite:///{tmp_path_factory.mktemp('pages')}/registry.db")
    yield history
    history.close()


@pytest.fixture(scope="module")
def made(history: History) -> dict[str, str]:
    return write(history)


@pytest.fixture(scope="module")
def client(history: History) -> TestClient:
    return TestClient(site(lambda: history.registry.reader), base_url="http://localhost")


def places(made: dict[str, str]) -> list[str]:
    """Every kind of page, with each kind of attempt."""
    attempts = [f"/attempts/{attempt}" for attempt in made.values()]
    hosts = [f"/hosts/{quote(host, safe='')}" for host in ("web2", "lab1", HARMED_HOST)]
    filtered = ["/?state=restored&environment=prod", "/?host=web1&kind=rollback", "/?since=2030-01-01"]
    filtered += ["/hosts", "/hosts?environment=prod&drift=1", "/hosts?prefix=web&release_id=x"]
    return ["/", *filtered, "/figures", "/figures?environment=prod&days=30", f"/releases/{sha(1)}", *attempts, *hosts]


def text(html: str) -> str:
    """What a page says, without its tags."""
    inline = re.sub(r"</?(?:a|bdi|code|span|strong|time)\b[^>]*>", "", html)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", inline)).split())


def test_every_page_is_served(client: TestClient, made: dict[str, str]) -> None:
    """Every page of every kind of attempt, release and host answers 200 with HTML."""
    answers = [client.get(place) for place in places(made)]
    assert {(answer.status_code, answer.headers["content-type"]) for answer in answers} == {
        (200, "text/html; charset=utf-8")
    }


def test_every_link_leads_somewhere(client: TestClient, made: dict[str, str]) -> None:
    """Whatever a page links to, files and API apart, answers 200."""
    links = {link for place in places(made) for link in Tags(client.get(place).text).values("href")}
    followed = sorted(link for link in links if not link.startswith("#"))
    assert {link: client.get(link).status_code for link in followed} == dict.fromkeys(followed, 200)


def test_text_from_elsewhere_is_only_text(client: TestClient, made: dict[str, str]) -> None:
    """Markup, script links, terminal colours and direction overrides in subjects, hosts and logs stay visible text."""
    for place in places(made):
        html = client.get(place).text
        tags = Tags(html)
        assert [attrs.get("src") is None for tag, attrs in tags.found if tag == "script"] == [False]
        assert not [value for value in tags.values("href") if value.lower().lstrip().startswith("javascript:")]
        assert not any(character in html for character in ("\x1b", "\u202e"))
    page = text(client.get(f"/attempts/{made['harm']}").text)
    assert "</td><script>document.title='owned'</script><b onclick=\"x()\">javascript:alert(1) red \ufffddcba" in page


def test_nothing_inline(client: TestClient, made: dict[str, str]) -> None:
    """No page has a style or a handler inline, and its policy allows neither, nor framing, nor other servers."""
    for place in places(made):
        answer = client.get(place)
        names = {name for tag, attrs in Tags(answer.text).found for name in (tag, *attrs)}
        assert not {name for name in names if name == "style" or name.startswith("on")}
        policy = answer.headers["content-security-policy"]
        assert ("unsafe" in policy, policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'")) == (
            False,
            True,
        )
        assert "frame-ancestors 'none'" in policy


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
    client: TestClient, made: dict[str, str], place: str, status: int, says: str
) -> None:
    """What names nothing is 404 and what means nothing is 400, in words, without paths, SQL or traces."""
    answer = client.get(place)
    said = text(answer.text)
    assert (answer.status_code, says in said) == (status, True)
    assert not [word for word in ("Traceback", "SELECT", "sqlite", str(Path(plots.__file__).parent)) if word in said]


def test_registry_down(monkeypatch: pytest.MonkeyPatch, client: TestClient) -> None:
    """When the database does not answer a page says so with 503, and does not say where it is."""

    def down(self: Reader, *arguments: object, **named: object) -> None:
        raise RegistryUnavailable("postgresql://web:secret@db.internal does not answer", hint="ask db.internal")

    monkeypatch.setattr(Reader, "attempts", down)
    answer = client.get("/")
    assert (answer.status_code, "The registry does not answer" in answer.text) == (503, True)
    assert ("secret" in answer.text, "db.internal" in answer.text) == (False, False)


def test_overview_says_what_matters(client: TestClient, made: dict[str, str]) -> None:
    """What runs, what drifts and what was lost stand on the first page in words."""
    page = text(client.get("/").text)
    for said in (
        f"broken lab1 serves nothing. Deploy of {sha(8)[:10]} in prod is running. "
        f"How the deploy of {sha(7)[:10]} on web3 ended is not known. 1 host of 6 differs from the registry.",
        f"drift the host served {sha(50)[:10]} when asked",
        "The control node was last heard of",
        "What the hosts did since is not known here: fab status asks them.",
        "gate, now commit, ahead",
    ):
        assert said in page


def test_a_host_is_as_recorded_only_when_it_was_asked_since(tmp_path: Path) -> None:
    """What it said before the last switch says nothing of it, and during a switch it may serve what comes."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    client = TestClient(site(lambda: history.registry.reader), base_url="http://localhost")

    def shown() -> str:
        row = client.get("/").text.partition("<tbody>")[2].partition("</tbody>")[0]
        return text(row).partition(") ")[2]

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
        "not asked yet",
        "as recorded asked just now",
        f"the host served {sha(2)[:10]} when asked just now, which an attempt brings there",
        f"drift the host served {sha(2)[:10]} when asked just now",
        "not asked since",
    ]
    history.close()


def test_the_headline_is_quiet_again(tmp_path: Path) -> None:
    """An attempt that was lost is no news any more once each of its hosts was switched by a later one."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    client = TestClient(site(lambda: history.registry.reader), base_url="http://localhost")
    lost = history.attempt(sha(1), HostRecord("web1"), HostRecord("web2"), ago=timedelta(hours=2), exit_code=None)
    history.lose(lost, timedelta(hours=2))
    history.attempt(sha(2), HostRecord("web1", "live", sha(2), None), ago=timedelta(hours=1))
    assert headline(client) == f"How the deploy of {sha(1)[:10]} on web1, web2 ended is not known."
    history.attempt(sha(2), HostRecord("web2", "not_restored", None, None), ago=timedelta(minutes=50), exit_code=11)
    assert headline(client) == "broken web2 serves nothing."
    history.attempt(sha(2), HostRecord("web2", "live", sha(2), None), ago=timedelta(minutes=30))
    quiet = "Quiet: nothing is being deployed, and no host is known to differ from the registry."
    assert headline(client) == quiet
    history.close()


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
    assert text(html.split('<p class="verdict">')[1].split("</p>")[0]).split(" ", 1)[1] == said
    history.close()


def test_a_lost_attempt_looks_lost(client: TestClient, made: dict[str, str]) -> None:
    """Its last step is called the last that was heard of, not what it does now, and nobody knows how long it took."""
    html = client.get(f"/attempts/{made['lost']}").text
    assert ("restart, last heard of" in text(html), "now" in text(html.split('class="way"')[1].split("</ol>")[0])) == (
        True,
        False,
    )
    assert "Took not known" in text(html)


def test_a_wrong_filter_keeps_its_form(client: TestClient, made: dict[str, str]) -> None:
    """What cannot be understood is said at the top, the form keeps every value, and each of them can be removed."""
    answer = client.get("/?environment=prod&since=2026-13-01")
    assert (answer.status_code, "is no time in ISO 8601" in text(answer.text)) == (400, True)
    assert {"2026-13-01", "prod"} <= {*Tags(answer.text).values("value")}
    assert "/?environment=prod" in Tags(answer.text).values("href")


def test_a_commit_may_be_written_in_capitals(client: TestClient, made: dict[str, str]) -> None:
    """A sha is found as it is pasted, whatever its case."""
    assert client.get(f"/?sha={sha(1)[:8].upper()}").text.count('<li class="attempt') == 1


def test_a_path_that_is_not_there(client: TestClient) -> None:
    """A browser gets a page for it, everything else what the API says."""
    shown = client.get("/nope", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (shown.status_code, "There is no such page" in text(shown.text)) == (404, True)
    assert client.get("/nope").json() == {"detail": "Not Found"}
    asked = client.get("/api/releases/none", headers={"Accept": "text/html"})
    assert (asked.status_code, asked.json()) == (404, {"detail": "Release not found"})


def headline(client: TestClient) -> str:
    return text(client.get("/").text.split('id="headline"')[1].split(">", 1)[1].split("</p>")[0])


def test_phases_are_said_in_words_too(client: TestClient, made: dict[str, str]) -> None:
    """The bar of an attempt tells a screen reader every phase with its time."""
    labels = Tags(client.get(f"/?sha={sha(2)[:8]}").text).values("aria-label")
    assert "connect 0.5 s, facts 0.2 s, build 33 s, switch 0.1 s, restart 2.4 s, gate 1 min, restore 3.1 s" in labels


def test_release_shows_commits_and_gate(client: TestClient, made: dict[str, str]) -> None:
    """A release has its new commits, its hosts, what the gate said, and every attempt to deploy it."""
    page = text(client.get(f"/releases/{sha(1)}").text)
    for said in ("Search understands umlauts", "Ada Lovelace, 31 Jan 2030, 11:00", "HTTP 200 in 12 ms", "web3"):
        assert said in page


def test_pages_of_the_stream_meet(client: TestClient, made: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Older walks the whole stream, each attempt once, and newer walks back over the same pages."""
    monkeypatch.setattr("oroboros_deploy.web.pages._PAGE", 12)

    def walk(place: str, rel: str) -> Iterator[tuple[str, list[str]]]:
        for _ in range(10):
            page = Tags(client.get(place).text.split('id="stream"')[1])
            yield place, [link.removeprefix("/attempts/") for link in page.values("href") if "/attempts/" in link]
            links = [attrs["href"] or "" for _, attrs in page.found if attrs.get("rel") == rel]
            if not links:
                return
            place = links[0]

    there = list(walk("/", "next"))
    back = list(walk(there[-1][0], "prev"))
    every = [attempt for _, attempts in there for attempt in attempts]
    assert sorted(every) == [f"2030-{number:04}" for number in range(1, len(made) + 32)]
    assert back == there[::-1]


def test_newer_finds_the_page_it_came_from(client: TestClient, made: dict[str, str]) -> None:
    """The way back keeps its filters and ends one page before."""
    page = Tags(client.get("/?kind=deploy&after=MjAzMC0wMS0wMVQwMDowMDowMCswMDowMCA5&trail=one&trail=two").text)
    back = [attrs["href"] for _, attrs in page.found if attrs.get("rel") == "prev"]
    assert back == ["/?kind=deploy&after=two&trail=one"]


def test_days_include_their_edges(client: TestClient, made: dict[str, str]) -> None:
    """From and to name whole days, both included, and stand in the form again."""
    today = display.moment(f"{display.datetime.now(display.UTC).isoformat()}", "%Y-%m-%d")
    page = client.get(f"/?since={today}&until={today}").text
    assert f"/attempts/{made['running']}" in page
    assert Tags(page).values("value").count(today) == 2


def test_static_files_are_named_by_their_content(client: TestClient) -> None:
    """A page names its files with a hash of what is in them, so that they may be kept for ever."""
    named = [link for link in Tags(client.get("/").text).values("href") if link.startswith("/static/page.css?v=")]
    answer = client.get(named[0])
    assert (answer.headers["content-type"], "immutable" in answer.headers["cache-control"]) == (
        "text/css; charset=utf-8",
        True,
    )


def test_pages_in_an_application_of_ones_own(history: History, made: dict[str, str]) -> None:
    """Under a prefix, with a reader from the application's own dependency, every link stays under that prefix."""

    def session() -> str:
        return "a session"

    def reader(session: str = Depends(session)) -> Reader:
        assert session == "a session"
        return history.registry.reader

    app = FastAPI()
    app.include_router(pages(reader), prefix="/ops/deploys")
    client = TestClient(app, base_url="http://localhost")
    tags = Tags(client.get("/ops/deploys/").text)
    links = [link for name in ("href", "src", "action", "data-events") for link in tags.values(name)]
    assert [link for link in links if not link.startswith(("/ops/deploys/", "#"))] == []


def test_an_empty_registry(tmp_path: Path) -> None:
    """Before the first deploy the overview says how to begin, and the figures say that there is nothing."""
    empty = History(f"sqlite:///{tmp_path}/registry.db")
    client = TestClient(site(lambda: empty.registry.reader), base_url="http://localhost")
    assert "No host serves anything yet" in text(client.get("/").text)
    assert "0 deployments and 0 failures in 90 days" in text(client.get("/figures").text)
    empty.close()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0.04, "40 ms"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (192, "3 min 12 s"),
        (7260, "2 h 1 min"),
        (187200, "2 d 4 h"),
    ],
)
def test_durations(seconds: float | None, said: str) -> None:
    """A duration reads in at most two units."""
    assert display.duration(seconds) == said


@pytest.mark.parametrize(
    ("per_day", "said"), [(2.34, ("2.3", "a day")), (0.5, ("3.5", "a week")), (0.0, ("0.0", "a month"))]
)
def test_frequencies(per_day: float, said: tuple[str, str]) -> None:
    """A frequency reads in the smallest unit in which it is not below one."""
    assert display.frequency(per_day) == said


def test_spans_follow_one_another() -> None:
    """Hosts work side by side until they are switched in turn: the slowest counts before, the sum after."""
    one = {"seconds": {"connect": 1.0, "build": 5.0, "activate": 9.9, "activate.gating": 2.0}}
    other = {"seconds": {"connect": 2.0, "build": 4.0, "activate.gating": 3.0}}
    assert display.spans([one, other]) == [
        display.Span("connect", 0.0, 2.0),
        display.Span("build", 2.0, 5.0),
        display.Span("gate", 7.0, 5.0),
    ]


def test_plots_scale_to_round_numbers() -> None:
    """The top of a plot is a round number, days without a value have no bar, and words tell the same."""
    nothing = {"lead_time_seconds": None, "time_to_restore_seconds": None}
    series = [
        {"day": "2030-01-01", "deployments": 0, "failures": 0, **nothing},
        {"day": "2030-01-02", "deployments": 4, "failures": 1, **nothing, "lead_time_seconds": 1500.0},
    ]
    drawn = plots.plots(series)
    bar = plots.Bar("2 Jan 2030", "4", 80.0, 20.0, 1)
    summary = "Deployments by day, 1 Jan 2030 to 2 Jan 2030: on 1 day, at most 4, on 2 Jan 2030"
    assert drawn["deployments"] == plots.Plot({1: bar}, 2, "1 Jan 2030", "2 Jan 2030", "5", summary)
    assert (drawn["lead_time"].top, drawn["lead_time"].bars[1].height) == ("30 min", 83.33)
    assert drawn["restore_time"].bars == {}


@pytest.mark.slow
def test_a_thousand_hosts(tmp_path: Path) -> None:
    """The overview shows the first hundred and where the others are; there, older walks through each of them once."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    names = [f"web{number:04}" for number in range(1000)]
    history.attempt(sha(1), *(HostRecord(name, "live", sha(1)) for name in names), ago=timedelta(hours=1))
    history.registry.observe({"web0777": sha(2)}, "prod")
    client = TestClient(site(lambda: history.registry.reader), base_url="http://localhost")

    def shown(html: str) -> list[str]:
        part = html[html.index('id="serving"') : html.index("</main>")].partition("</section>")[0]
        return [link.removeprefix("/hosts/") for link in Tags(part).values("href") if link.startswith("/hosts/")]

    first = client.get("/").text
    assert (shown(first), "The other 900 hosts" in text(first)) == (names[:100], True)
    assert "1 host of 1000 differs from the registry" in text(first)
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
