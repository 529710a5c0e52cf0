"""Who gets in, by what name, and what every answer carries."""

from __future__ import annotations

import base64

import pytest
from starlette.testclient import TestClient

from oroboros_deploy.registry import Registry
from oroboros_deploy.web.site import site
from oroboros_deploy.web.tokens import Tokens

PATHS = ["/", "/api/releases", "/api/openapi.json", "/metrics", "/api/live", "/static/page.css", "/nothing"]


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"ada:{password}".encode()).decode()


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_shown_without_a_token(closed: TestClient, tokens: Tokens, path: str) -> None:
    """(95) Every path, also one that is not there, answers 401 and says how to ask, and no more."""
    tokens.add("ada")
    answer = closed.get(path)
    detail = (
        "The request has no valid token: send Authorization: Bearer TOKEN "
        "(`fab token --name=NAME` on the machine that serves this makes one)"
    )
    assert (answer.status_code, answer.json()) == (401, {"detail": detail})
    assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "authorization",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer wrong",
        b"Bearer \xff\xfe\xc3\xa9",
        "Bearer пароль".encode(),
        b"Bearer " + b"x" * 5000,
        b"Basic",
        b"Basic !!!",
        b"Basic " + base64.b64encode(b"\xff:\xff"),
        b"Basic \xff",
        b"Digest x",
        b"\xff",
    ],
)
def test_wrong_tokens(closed: TestClient, tokens: Tokens, authorization: bytes) -> None:
    """(95) A token that is wrong, empty, not ASCII, too long or of another scheme is 401, never an error."""
    tokens.add("ada")
    answer = closed.get("/api/releases", headers=[(b"authorization", authorization)])
    assert answer.status_code == 401


def test_a_token_opens(closed: TestClient, tokens: Tokens) -> None:
    """(95) The token is taken from the Bearer scheme, or as the password that a browser asks for."""
    token = tokens.add("ada")
    assert closed.get("/api/releases", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert closed.get("/", headers={"Authorization": basic(token)}).status_code == 200
    assert closed.get("/", headers={"Authorization": basic(token + "x")}).status_code == 401


@pytest.mark.parametrize("name", ["token", "access_token", "Token", "api_key", "password"])
def test_a_token_in_the_url_is_refused(closed: TestClient, tokens: Tokens, name: str) -> None:
    """(96) A request with a token in its URL is refused, also when it has the right one in its header."""
    token = tokens.add("ada")
    answer = closed.get(f"/api/releases?{name}={token}", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, token in answer.text) == (400, False)
    assert closed.get(f"/api/releases?{name}={token}").status_code == 400


@pytest.mark.parametrize("path", [*PATHS, "/api/releases?limit=0", "/api/releases?token=x"])
def test_security_headers(client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """(102) Every answer, good or bad, allows no framing, no sniffing, no script of others and no inline script."""
    monkeypatch.setattr("oroboros_deploy.web.live.STREAM_SECONDS", 0.0)
    headers = client.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert (policy["default-src"], policy["frame-ancestors"]) == ("'none'", "'none'")
    assert "unsafe" not in headers["content-security-policy"] and "http" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "cache-control" in headers


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8300", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8300", 200),
        ("deploys.example.org", 200),
        ("evil.example.org", 400),
        ("localhost.evil.example.org", 400),
        ("127.0.0.1.evil.example.org:8300", 400),
        ("localhost:8300:80", 400),
        ("localhost:", 400),
        ("evil.example.org#localhost", 400),
        ("", 400),
        ("*", 400),
    ],
)
def test_host_header(registry: Registry, name: str, status: int) -> None:
    """(103) Only the server's own names are answered, so that another site cannot be made to point here."""
    app = site(lambda: registry.reader, allowed_hosts=["localhost", "127.0.0.1", "[::1]", "deploys.example.org"])
    answer = TestClient(app).get("/api/releases", headers={"Host": name})
    assert (answer.status_code, "etag" in answer.headers) == (status, status == 200)


def test_two_host_headers(client: TestClient) -> None:
    """(103) Of two Host headers neither is believed, nor is one that a proxy forwards."""
    twice = [("host", "localhost"), ("host", "evil.example.org")]
    assert client.get("/api/releases", headers=twice).status_code == 400
    forwarded = {"X-Forwarded-Host": "evil.example.org", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "//evil"}
    for path in ("/", "/api/releases"):
        answer = client.get(path, headers=forwarded)
        assert answer.status_code == 200 and "evil" not in answer.text


def test_other_sites_are_kept_out(client: TestClient) -> None:
    """(104) No answer lets another site read it, a preflight is refused, and so is a cross-site POST."""
    other = {"Origin": "https://evil.example.org", "Sec-Fetch-Site": "cross-site"}
    preflight = client.options("/api/releases", headers=other | {"Access-Control-Request-Method": "GET"})
    answers = [client.get("/api/releases", headers=other), preflight, client.post("/api/releases", headers=other)]
    assert [answer.status_code for answer in answers] == [200, 405, 405]
    assert [name for answer in answers for name in answer.headers if name.startswith("access-control")] == []


def test_errors_show_no_internals(registry: Registry, capfd: pytest.CaptureFixture[str]) -> None:
    """(107) A defect is a bare 500, with the security headers; what it was is only in the server's log."""

    def broken() -> None:
        raise RuntimeError("secret at /srv/app: SELECT password FROM users")

    client = TestClient(site(broken), base_url="http://localhost")  # type: ignore[arg-type]
    for path in ("/api/releases", "/metrics", "/"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (500, {"detail": "Internal Server Error"})
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_balancer_needs_neither_token_nor_name(closed: TestClient, tokens: Tokens) -> None:
    """Whether the process answers is no secret; everything else is, and nothing is written there."""
    tokens.add("ada")
    asked = {"Host": "10.0.0.7"}
    answer = closed.get("/healthz", headers=asked)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert (closed.head("/healthz").status_code, closed.post("/healthz").status_code) == (200, 401)
    assert closed.get("/healthz/x", headers=asked).status_code == 400
