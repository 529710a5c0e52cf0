"""Answers that cost nothing when nothing has changed."""

from __future__ import annotations

from starlette.testclient import TestClient

from oroboros_deploy.registry import Registry
from tests.support.samples import A, host, record


def test_what_has_not_changed_is_not_sent_again(client: TestClient, registry: Registry) -> None:
    """With the ETag of the last answer the next is an empty 304, until something changes."""
    url = "/api/attempts?limit=1"
    first = client.get(url)
    seen = {"If-None-Match": f'"other", {first.headers["etag"]}'}
    again = client.get(url, headers=seen)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert client.get("/api/attempts?limit=2", headers=seen).status_code == 200
    registry.finish(record(A, host("web1", "live", live=A), attempt="four", minute=3))
    assert client.get(url, headers=seen).status_code == 200
