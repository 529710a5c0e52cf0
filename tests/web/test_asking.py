"""What a page is asked for: filters that keep their form, and lists whose pages meet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from oroboros_deploy.web import display
from tests.support.history import sha
from tests.support.html import Tags, text


@pytest.mark.slow
def test_a_wrong_filter_keeps_its_form(past: TestClient, made: dict[str, str]) -> None:
    """What cannot be understood is said at the top, the form keeps every value, and each of them can be removed."""
    answer = past.get("/?environment=prod&since=2026-13-01")
    assert (answer.status_code, "is no time in ISO 8601" in text(answer.text)) == (400, True)
    assert Tags(answer.text).values("action") == ["/#stream-title"]
    assert {"2026-13-01", "prod"} <= {*Tags(answer.text).values("value")}
    assert "/?environment=prod#stream-title" in Tags(answer.text).values("href")


def test_a_commit_may_be_written_in_capitals(past: TestClient, made: dict[str, str]) -> None:
    """A sha is found as it is pasted, whatever its case."""
    assert past.get(f"/?sha={sha(1)[:8].upper()}").text.count('<li class="attempt') == 1


def test_pages_of_the_stream_meet(past: TestClient, made: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Older walks the whole stream, each attempt once, and newer walks back over the same pages."""
    monkeypatch.setattr("oroboros_deploy.web.pages.PAGE", 12)

    def walk(place: str, rel: str) -> Iterator[tuple[str, list[str]]]:
        for _ in range(10):
            page = Tags(past.get(place).text.split('id="stream"')[1])
            yield place, [link.removeprefix("/attempts/") for link in page.values("href") if "/attempts/" in link]
            links = [attrs["href"] or "" for _, attrs in page.found if attrs.get("rel") == rel]
            if not links:
                return
            assert links[0].endswith("#stream-title")  # not the top of the page, which is the same on each
            place = links[0].removesuffix("#stream-title")

    there = list(walk("/", "next"))
    back = list(walk(there[-1][0], "prev"))
    every = [attempt for _, attempts in there for attempt in attempts]
    assert sorted(every) == [f"2030-{number:04}" for number in range(1, len(made) + 32)]
    assert back == there[::-1]


def test_newer_finds_the_page_it_came_from(past: TestClient, made: dict[str, str]) -> None:
    """The way back keeps its filters and ends one page before."""
    page = Tags(past.get("/?kind=deploy&after=MjAzMC0wMS0wMVQwMDowMDowMCswMDowMCA5&trail=one&trail=two").text)
    back = [attrs["href"] for _, attrs in page.found if attrs.get("rel") == "prev"]
    assert back == ["/?kind=deploy&after=two&trail=one#stream-title"]


def test_days_include_their_edges(past: TestClient, made: dict[str, str]) -> None:
    """From and to name whole days, both included, and stand in the form again."""
    today = display.moment(f"{display.datetime.now(display.UTC).isoformat()}", "%Y-%m-%d")
    page = past.get(f"/?since={today}&until={today}").text
    assert f"/attempts/{made['running']}" in page
    assert Tags(page).values("value").count(today) == 2
