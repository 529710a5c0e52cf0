"""Who gets in, what gets out, and that nothing that is sent can do more than read."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert
from starlette.testclient import TestClient

from oroboros_deploy.errors import InvalidInput
from oroboros_deploy.registry import Registry
from oroboros_deploy.registry.schema import releases
from oroboros_deploy.web.serve import guarded, listen
from oroboros_deploy.web.site import site
from oroboros_deploy.web.tokens import Tokens
from tests.support.clock import SLOW
from tests.support.samples import A, host, record

HARM = "</script><script>alert(1)</script>\njavascript:alert(1)\x1b[31m\u202e\ndata: x\n\n"
PATHS = ["/", "/api/releases", "/api/openapi.json", "/metrics", "/api/live", "/static/page.css", "/nothing"]


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / "tokens")


@pytest.fixture
def closed(registry: Registry, tokens: Tokens) -> TestClient:
    """A client of an application that asks for a token."""
    return TestClient(site(lambda: registry.reader, tokens=tokens), base_url="http://localhost")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listen("0.0.0.0", 0) as listener:
        yield listener


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"ada:{password}".encode()).decode()


def test_what_the_guard_refuses_is_described(closed: TestClient, tokens: Tokens) -> None:
    """Every route of the API may answer 400 and 401, which its description says."""
    with_token = {"authorization": f"Bearer {tokens.add('ada')}"}
    paths = closed.get("/api/openapi.json", headers=with_token).json()["paths"]
    for path, methods in paths.items():
        assert {"400", "401"} <= set(methods["get"]["responses"]), path
        refused = closed.get(f"{path}?password=x", headers=with_token)
        assert (refused.status_code, closed.get(path).status_code) == (400, 401), path


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_shown_without_a_token(closed: TestClient, tokens: Tokens, path: str) -> None:
    """(95) Every path, also one that is not there, answers 401 and says how to ask, and no more."""
    tokens.add("ada")
    answer = closed.get(path)
    assert (answer.status_code, answer.json()) == (401, {"detail": "A token is needed: Authorization: Bearer TOKEN"})
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


def test_tokens_are_kept_as_hashes(tokens: Tokens, tmp_path: Path) -> None:
    """(97) The files hold the hash and not the token, for their owner alone."""
    token = tokens.add("ada")
    file = tmp_path / "tokens" / "ada"
    assert file.read_text() == hashlib.sha256(token.encode()).hexdigest()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)] == [0o600, 0o700]
    assert (len(token) >= 43, token != tokens.add("grace"), tokens.names()) == (True, True, ["ada", "grace"])


def test_a_revoked_token_opens_nothing(closed: TestClient, tokens: Tokens) -> None:
    """(97) A token that is revoked is refused by the next request to a server that runs; the others go on."""
    gone, kept = tokens.add("ada"), tokens.add("grace")
    tokens.revoke("ada")
    statuses = [
        closed.get("/api/releases", headers={"Authorization": f"Bearer {token}"}).status_code for token in (gone, kept)
    ]
    assert statuses == [401, 200]
    tokens.revoke("grace")
    assert closed.get("/api/releases").status_code == 401


@pytest.mark.parametrize("name", ["", "../ada", "a/b", ".hidden", "a" * 65, "a\0b", "ä"])
def test_token_names_are_plain(tokens: Tokens, name: str, tmp_path: Path) -> None:
    """(97) A name that is no plain file name is refused, and nothing is written."""
    with pytest.raises(InvalidInput):
        tokens.add(name)
    with pytest.raises(InvalidInput):
        tokens.revoke(name)
    assert not (tmp_path / "tokens").exists()


def test_a_token_is_made_once(tokens: Tokens) -> None:
    """(97) A name that has a token keeps it; one that has none cannot be revoked."""
    token = tokens.add("ada")
    with pytest.raises(InvalidInput, match="has a token already"):
        tokens.add("ada")
    with pytest.raises(InvalidInput, match="has no token"):
        tokens.revoke("grace")
    assert tokens.accepts(token.encode())


def test_other_addresses_need_a_token(registry: Registry, tokens: Tokens, listener: socket.socket) -> None:
    """(98) On any address but loopback nothing is served before there is a token, and then only with it."""
    with pytest.raises(InvalidInput, match="there is no token"):
        guarded(lambda: registry.reader, listener, tokens, allowed_hosts=["deploys.example.org"])
    tokens.add("ada")
    with pytest.raises(InvalidInput, match="by what name"):
        guarded(lambda: registry.reader, listener, tokens)
    app = guarded(lambda: registry.reader, listener, tokens, allowed_hosts=["deploys.example.org"])
    assert TestClient(app, base_url="http://deploys.example.org").get("/api/releases").status_code == 401


def test_loopback_needs_none_unless_asked(registry: Registry, tokens: Tokens) -> None:
    """(98) On loopback no token is needed, or one is with --authenticate."""
    with listen("127.0.0.1", 0) as listener:
        app = guarded(lambda: registry.reader, listener, tokens)
        assert TestClient(app, base_url="http://127.0.0.1").get("/api/releases").status_code == 200
        with pytest.raises(InvalidInput, match="there is no token"):
            guarded(lambda: registry.reader, listener, tokens, authenticate=True)
        tokens.add("ada")
        app = guarded(lambda: registry.reader, listener, tokens, authenticate=True)
        assert TestClient(app, base_url="http://127.0.0.1").get("/api/releases").status_code == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/", "/api/releases", f"/api/releases/{A}", "/api/attempts", "/api/live", "/metrics"])
def test_there_is_only_get(client: TestClient, method: str, path: str) -> None:
    """(99) Every method that does not read is 405, whatever path it is for."""
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "body",
    [b"x" * 5_000_000, b"[" * 100_000, b'{"limit": 1, "limit": 2}', b'{"limit": NaN}', b"\xff\xfe", b""],
    ids=["large", "deep", "twice", "nan", "not text", "empty"],
)
def test_bodies_are_not_read(client: TestClient, body: bytes) -> None:
    """(99) A body of any size or shape changes nothing: with GET it is not read, with POST there is no route."""
    headers = {"Content-Type": "application/json"}
    plain = client.get("/api/releases").json()
    assert client.request("GET", "/api/releases", content=body, headers=headers).json() == plain
    assert client.post("/api/releases", content=body, headers=headers).status_code == 405


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=501",
        "limit=1e9",
        "limit=1000000000",
        "limit=NaN",
        "limit=Infinity",
        "limit=",
        "limit=%00",
        "limit=9" + "9" * 5000,
        "limit=1&limit=-1",
    ],
)
def test_limits_are_kept(client: TestClient, query: str) -> None:
    """(99, 100) A limit that is no number from 1 to 500 is 422."""
    for path in ("/api/releases", "/api/attempts", "/api/events"):
        assert client.get(f"{path}?{query}").status_code == 422, path


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/releases?page=-1", 200),
        ("/api/releases?sort=%3Bdrop+table+releases", 200),
        ("/api/releases?status=';drop+table+releases;--", 200),
        ("/api/attempts?sha=';drop", 422),
        ("/api/attempts?sha=%25%25%25%25", 422),
        ("/api/attempts?state=nothing", 422),
        ("/api/attempts?kind=", 422),
        ("/api/attempts?since=yesterday", 422),
        ("/api/attempts?since=2030-01-01T00:00:00", 422),
        ("/api/attempts?since=99999-01-01T00:00:00Z", 422),
        ("/api/attempts?after=';drop", 404),
        ("/api/attempts?after=AAAA", 404),
        ("/api/attempts?after=" + "A" * 256, 422),
        ("/api/attempts?host=" + "h" * 256, 422),
        ("/api/attempts?host=';drop", 200),
        ("/api/events?after=-1", 422),
        ("/api/events?after=2147483647", 200),
        ("/api/events?after=2147483648", 422),
        ("/api/figures?days=0", 422),
        ("/api/figures?days=1000000", 422),
        ("/api/figures?environment=%ff%fe", 200),
    ],
)
def test_odd_parameters(client: TestClient, path: str, status: int) -> None:
    """(100) What no filter knows is ignored, what one cannot mean is refused, and the rows are still there."""
    before = client.get("/api/releases").json()
    assert client.get(path).status_code == status
    assert client.get("/api/releases").json() == before


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
    bad = host("web1", "restored", previous=A, message=HARM)
    registry.finish(record(A, bad, attempt="bad", minute=3, environment=HARM, actor=HARM))
    answer = client.get("/api/attempts/bad")
    assert answer.headers["content-type"] == "application/json"
    assert [answer.json()[name] for name in ("actor", "environment")] == [HARM, HARM]
    assert answer.json()["hosts"][0]["message"] == HARM
    for path in ("/", "/attempts/bad", "/hosts/web1", "/figures"):
        page = client.get(path)
        assert page.status_code == 200
        assert "<script>alert" not in page.text and 'href="javascript:' not in page.text, path


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


def test_the_server_asks_nobody(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """(105) Whatever URL a client gives, no connection goes out."""

    def refuse(_: socket.socket, address: object) -> None:
        raise AssertionError(f"a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    url = "http://169.254.169.254/latest"
    query = "&".join(f"{name}={url}" for name in ("url", "host", "environment", "next", "redirect", "callback"))
    for path in ("/", "/api/releases", "/api/attempts", "/api/figures"):
        answer = client.get(f"{path}?{query}", headers={"Referer": url, "X-Forwarded-For": url, "Via": url})
        assert answer.status_code == 200, path


@pytest.mark.slow
def test_ten_thousand_releases(registry: Registry, registry_url: str, client: TestClient) -> None:
    """(106) Ten thousand releases are answered 500 at most at a time, by one request without a wait."""
    engine = create_engine(registry_url)
    rows = [{"release_id": f"{n:040x}", "commit_sha": f"{n:040x}", "status": "replaced"} for n in range(10_000)]
    with engine.begin() as db:
        db.execute(insert(releases), rows)
    engine.dispose()
    answers = [client.get("/api/releases"), client.get("/api/releases?limit=500")]
    assert [len(answer.json()) for answer in answers] == [100, 500]
    assert answers[0].json()[0]["release_id"] == f"{9999:040x}"
    assert max(answer.elapsed.total_seconds() for answer in answers) < 5 * SLOW


def test_errors_show_no_internals(registry: Registry, capfd: pytest.CaptureFixture[str]) -> None:
    """(107) A defect is a bare 500, with the security headers; what it was is only in the server's log."""

    def broken() -> None:
        raise RuntimeError("secret at /srv/app: SELECT password FROM users")

    client = TestClient(site(broken), base_url="http://localhost")  # type: ignore[arg-type]
    for path in ("/api/releases", "/metrics", "/"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (500, {"detail": "Internal Server Error"})
        assert answer.headers["x-content-type-options"] == "nosniff"


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
