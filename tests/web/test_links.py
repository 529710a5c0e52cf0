"""Where the page leads for commits."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from starlette.testclient import TestClient

from oroboros_deploy.records.record import CommitRecord, HostRecord
from oroboros_deploy.web.links import Links
from oroboros_deploy.web.site import site
from tests.support.history import History, sha
from tests.support.html import Tags

LINKS = Links("https://forge.example/commit/{sha}", "https://forge.example/compare/{before}...{after}")


def test_commits_lead_where_the_settings_say(tmp_path: Path) -> None:
    """Attempt and release lead to each commit and to what is new; without the settings no page leads elsewhere."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    new = CommitRecord(sha(9), "A change", "Ada", "2030-01-31T12:00:00+01:00")
    went = HostRecord("web1", "live", sha(2), sha(1))
    attempt = history.attempt(sha(2), went, ago=timedelta(hours=2), commits=(new,))

    def elsewhere(links: Links | None, path: str) -> list[str]:
        client = TestClient(site(lambda: history.registry.reader, links=links), base_url="http://localhost")
        return [each for each in Tags(client.get(path).text).values("href") if each.startswith("http")]

    compare = f"https://forge.example/compare/{sha(1)}...{sha(2)}"
    news = f"https://forge.example/commit/{sha(9)}"
    assert elsewhere(LINKS, f"/attempts/{attempt}") == [compare, news]
    assert elsewhere(LINKS, f"/releases/{sha(2)}") == [f"https://forge.example/commit/{sha(2)}", compare, news]
    assert [elsewhere(None, path) for path in (f"/attempts/{attempt}", f"/releases/{sha(2)}")] == [[], []]
    history.close()


def test_a_sha_is_quoted() -> None:
    """A release id that other programs wrote may be anything."""
    assert LINKS.commit('"><b>') == "https://forge.example/commit/%22%3E%3Cb%3E"
    assert (LINKS.compare(None, "b"), LINKS.compare("b", "b")) == (None, None)
