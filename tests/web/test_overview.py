"""What the first page says before anything else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from starlette.testclient import TestClient

from oroboros_deploy.records.record import HostRecord
from oroboros_deploy.web.site import site
from tests.support.history import History, sha
from tests.support.html import Tags, headline, text


def test_overview_says_what_matters(past: TestClient, made: dict[str, str]) -> None:
    """What runs, what drifts and what was lost stand on the first page in words."""
    page = text(past.get("/").text)
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
