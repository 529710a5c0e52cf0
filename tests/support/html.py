"""Pages read as people and browsers read them."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import quote

from starlette.testclient import TestClient

from tests.support.history import HARM, sha

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


def headline(client: TestClient) -> str:
    return text(client.get("/").text.split('id="headline"')[1].split(">", 1)[1].split("</p>")[0])
