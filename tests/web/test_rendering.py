"""Pages are drawn so that text from elsewhere is only text, and links hold wherever they are."""

from __future__ import annotations

from fastapi import Depends, FastAPI
from starlette.testclient import TestClient

from oroboros_deploy.registry.reading import Reader
from oroboros_deploy.web.pages import pages
from tests.support.history import History
from tests.support.html import Tags, places, text


def test_text_from_elsewhere_is_only_text(past: TestClient, made: dict[str, str]) -> None:
    """Markup, script links, terminal colours and direction overrides in subjects, hosts and logs stay visible text."""
    for place in places(made):
        html = past.get(place).text
        tags = Tags(html)
        assert [attrs.get("src") is None for tag, attrs in tags.found if tag == "script"] == [False]
        assert not [value for value in tags.values("href") if value.lower().lstrip().startswith("javascript:")]
        assert not any(character in html for character in ("\x1b", "\u202e"))
    page = text(past.get(f"/attempts/{made['harm']}").text)
    assert "</td><script>document.title='owned'</script><b onclick=\"x()\">javascript:alert(1) red \ufffddcba" in page


def test_nothing_inline(past: TestClient, made: dict[str, str]) -> None:
    """No page has a style or a handler inline, and its policy allows neither, nor framing, nor other servers."""
    for place in places(made):
        answer = past.get(place)
        names = {name for tag, attrs in Tags(answer.text).found for name in (tag, *attrs)}
        assert not {name for name in names if name == "style" or name.startswith("on")}
        policy = answer.headers["content-security-policy"]
        assert ("unsafe" in policy, policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'")) == (
            False,
            True,
        )
        assert "frame-ancestors 'none'" in policy


def test_static_files_are_named_by_their_content(past: TestClient) -> None:
    """A page names its files with a hash of what is in them, so that they may be kept for ever."""
    named = [link for link in Tags(past.get("/").text).values("href") if link.startswith("/static/page.css?v=")]
    answer = past.get(named[0])
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
