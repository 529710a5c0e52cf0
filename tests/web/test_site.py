"""The whole application: nothing that is sent can do more than read."""

from __future__ import annotations

import re
import socket
import sqlite3
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from oroboros_deploy.registry import Registry
from oroboros_deploy.web.site import site
from oroboros_deploy.web.tokens import Tokens
from tests.support.html import Tags, text
from tests.support.samples import A, host, record

SCRIPT = "</script><script>alert(1)</script>\njavascript:alert(1)\x1b[31m\u202e\ndata: x\n\n"


def test_what_the_guard_refuses_is_described(closed: TestClient, tokens: Tokens) -> None:
    """Every route of the API may answer 400 and 401, which its description says."""
    with_token = {"authorization": f"Bearer {tokens.add('ada')}"}
    described = closed.get("/api/openapi.json", headers=with_token).json()
    schemes = {name: scheme["scheme"] for name, scheme in described["components"]["securitySchemes"].items()}
    assert (schemes, described["security"]) == (
        {"token": "bearer", "password": "basic"},
        [{"token": []}, {"password": []}],
    )
    paths = described["paths"]
    for path, methods in paths.items():
        assert {"400", "401"} <= set(methods["get"]["responses"]), path
        refused = closed.get(f"{path}?password=x", headers=with_token)
        assert (refused.status_code, closed.get(path).status_code) == (400, 401), path


def test_a_path_that_is_not_there(client: TestClient) -> None:
    """A browser gets a page for it, everything else what the API says."""
    shown = client.get("/nope", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (shown.status_code, "There is no such page" in text(shown.text)) == (404, True)
    assert client.get("/nope").json() == {"detail": "Not Found"}
    asked = client.get("/api/releases/none", headers={"Accept": "text/html"})
    assert (asked.status_code, asked.json()) == (404, {"detail": "Release not found"})


@pytest.mark.parametrize(
    "name",
    [
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "%252e%252e%252fetc",
        "%00",
        f"{A}%00",
        "%ff",
        "';drop table releases;--",
        "a" * 10_000,
        "%0d%0aSet-Cookie:x=1",
    ],
)
def test_ids_are_only_names(client: TestClient, name: str) -> None:
    """(101) An id that is a path, holds NUL or is none at all names nothing; no file is read."""
    for resource in ("/api/releases", "/api/attempts", "/api/hosts", "/static", "/releases"):
        answer = client.get(f"{resource}/{name}", follow_redirects=False)
        assert answer.status_code in (404, 307, 400), (resource, answer.text)
        assert "root:" not in answer.text and "set-cookie" not in answer.headers


def test_texts_stay_texts(client: TestClient, registry: Registry) -> None:
    """(102) What a host wrote is a JSON string under nosniff, and a script or a second event in it stays inside."""
    bad = host("web1", "restored", previous=A, message=SCRIPT)
    registry.finish(record(A, bad, attempt="bad", minute=3, environment=SCRIPT, actor=SCRIPT))
    answer = client.get("/api/attempts/bad")
    assert answer.headers["content-type"] == "application/json"
    assert [answer.json()[name] for name in ("actor", "environment")] == [SCRIPT, SCRIPT]
    assert answer.json()["hosts"][0]["message"] == SCRIPT
    for path in ("/", "/attempts/bad", "/hosts/web1", "/figures"):
        page = client.get(path)
        assert page.status_code == 200
        assert "<script>alert" not in page.text and 'href="javascript:' not in page.text, path


def test_the_server_asks_nobody(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """(105) Whatever URL a client gives, no connection goes out."""

    def refuse(_: socket.socket, address: object) -> None:
        raise AssertionError(f"a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    url = "http://169.254.169.254/latest"
    query = "&".join(f"{name}={url}" for name in ("url", "host", "environment", "next", "redirect", "callback"))
    for path in ("/", "/api/releases", "/api/attempts", "/api/figures"):
        answer = client.get(f"{path}?{query}", headers={"Referer": url, "X-Forwarded-For": url, "Via": url})
        assert answer.status_code == (422 if path.startswith("/api/") else 200), path


@pytest.mark.parametrize("path", ["/", "/api/releases", "/api/attempts", "/metrics", "/api/live", f"/releases/{A}"])
def test_without_its_database(tmp_path: Path, path: str) -> None:
    """(107) A registry that does not answer is 503, and no answer says where it is or why."""
    (tmp_path / "registry.db").write_bytes(b"not a database, but " * 100)
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as registry:
        answer = TestClient(site(lambda: registry.reader), base_url="http://localhost").get(path)
    assert answer.status_code == 503
    assert not re.search(r"sqlite|registry\.db|Traceback|not a database|SELECT|oroboros_attempts", answer.text)


def test_nothing_writes(client: TestClient, registry_url: str) -> None:
    """(108) No request writes: asking everything by every method leaves the database as it was."""
    file = Path(registry_url.removeprefix("sqlite:///"))
    before = _rows(file)
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for path in ("/api/releases", f"/api/releases/{A}", "/api/attempts", "/api/hosts", "/metrics"):
            client.request(method, path, json={"release_id": A, "status": "replaced"})
    assert _rows(file) == before


def _rows(file: Path) -> str:
    with sqlite3.connect(file) as db:
        dump = "\n".join(db.iterdump())
    db.close()
    return dump


def test_answers_are_compressed(client: TestClient) -> None:
    """What is not short goes compressed to who takes that, and says what it depends on."""
    plain = client.get("/", headers={"Accept-Encoding": "identity"})
    packed = client.get("/", headers={"Accept-Encoding": "gzip"})
    assert (packed.headers["content-encoding"], packed.text) == ("gzip", plain.text)
    assert ("content-encoding" in plain.headers, "Accept-Encoding" in packed.headers["vary"]) == (False, True)
    assert int(packed.headers["content-length"]) < len(plain.content) / 2


@pytest.mark.parametrize("sent", ["", "/deploys"])
def test_under_a_path_of_a_proxy(registry: Registry, sent: str) -> None:
    """Every link has the proxy's path, whether the proxy sends that path on or takes it away."""
    client = TestClient(site(lambda: registry.reader, root_path="/deploys"), base_url="http://localhost")
    page = Tags(client.get(f"{sent}/").text)
    links = [link for name in ("href", "src", "action", "data-events") for link in page.values(name)]
    assert [link for link in links if not link.startswith(("/deploys/", "#"))] == []
    for path in ("/hosts", "/api/releases", "/healthz", "/api/openapi.json"):
        assert client.get(f"{sent}{path}").status_code == 200, path
