"""Probes: what is asked by HTTP and TCP, of servers on the loopback."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import probes
from oroboros_deploy.host.masking import Mask
from oroboros_deploy.host.probes import Tried
from tests.support.answering import Server, answer, certificate_of, free_port, serving
from tests.support.clock import within

NAME = "shop.internal"


def http(url: str, **more: Any) -> dict[str, Any]:
    return {"url": url, "status": 200, "timeout": 20.0, **more}


def ask(request: dict[str, Any], mask: Mask | None = None, seconds: float = 60) -> list[Tried]:
    """What came of each probe of a gate, without the time that it took."""
    found = probes.Asking(probes.of(request), time.monotonic() + seconds, mask)  # type: ignore[arg-type]
    return [tried._replace(seconds=0) for _, tried in found.tries()]


def one(url: str, mask: Mask | None = None, seconds: float = 60, **more: Any) -> Tried:
    return ask({"http": [http(url, **more)]}, mask, seconds)[0]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_of(NAME, tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def secure(certificate: Path) -> Iterator[Server]:
    with serving(certificate=certificate) as server:
        yield server


def test_the_right_status_passes() -> None:
    """What was answered is told; the request names the host and asks for one answer."""
    with serving(answer(200, "all is well\n")) as server:
        assert one(f"{server.url}?deep=1") == Tried(True, "answered 200", status=200, text="all is well")
    assert server.heard == [
        f"GET /health?deep=1 HTTP/1.1\r\nAccept-Encoding: identity\r\nHost: 127.0.0.1:{server.port}\r\n"
        "User-Agent: oroboros_deploy\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    ]


def test_a_wrong_status_does_not() -> None:
    """It settles, unless a start gives it and it passes by itself; another one may be what is wanted."""
    with serving(answer(404, "nothing"), answer(503, "starting"), answer(401)) as server:
        assert one(server.url) == Tried(False, "answered 404; 200 is wanted", status=404, text="nothing", settles=True)
        assert one(server.url) == Tried(False, "answered 503; 200 is wanted", status=503, text="starting")
        assert one(server.url, status=401) == Tried(True, "answered 401", status=401)


def test_what_an_answer_has_to_contain() -> None:
    """The right status with other words does not pass, nor does it settle anything."""
    with serving(answer(200, "version 2")) as server:
        assert one(server.url, contains="version 2").ok
        assert one(server.url, contains="version 3") == Tried(
            False, "answered 200 without 'version 3'", status=200, text="version 2"
        )


def test_a_redirect_is_not_followed() -> None:
    """It is a failure that says where it points; who wants it says so by its status."""
    with serving(answer(301, Location="https://shop.example.org/health\x1b[2J")) as server:
        said = "answered 301, a redirect to https://shop.example.org/health [2J, which is not followed"
        assert one(server.url) == Tried(False, f"{said}; 200 is wanted", status=301, settles=True)
        assert one(server.url, status=301) == Tried(True, said, status=301)
    assert len(server.heard) == 2


def test_a_host_and_headers_of_ones_own() -> None:
    """`host` is the name that is asked for; headers are sent as they are written, also in the place of ours."""
    with serving() as server:
        assert one(server.url, host=NAME, header={"X-Forwarded-Proto": "https", "user-agent": "probe"}).ok
    assert server.heard[0].split("\r\n")[2:-2] == [
        f"Host: {NAME}", "Accept: */*", "X-Forwarded-Proto: https", "user-agent: probe", "Connection: close",
    ]  # fmt: skip


def test_a_certificate_of_a_private_name(secure: Server, certificate: Path) -> None:
    """`host` is the name that it has to be of, and `ca` vouches for it; both are needed."""
    url = secure.url.replace("http:", "https:")
    assert one(url, host=NAME, ca=str(certificate)) == Tried(True, "answered 200", status=200, text="ok")
    assert f"Host: {NAME}\r\n" in secure.heard[0]
    other = one(url, host="other.internal", ca=str(certificate))
    assert other.said.startswith("has no certificate of other.internal that is trusted here: ")
    assert one(url, host=NAME).said.startswith(f"has no certificate of {NAME} that is trusted here: ")
    missing = certificate.parent / "missing.pem"
    said = f"cannot be asked: this host has no {missing}, which `ca` names"
    assert one(url, host=NAME, ca=str(missing)) == Tried(False, said)
    assert len(secure.heard) == 1


def test_the_name_is_told_before_the_certificate_is_chosen(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of several names knows by SNI which one is asked for."""
    asked: list[str] = []
    wrap = ssl.SSLContext.wrap_socket

    def noted(self: Any, *given: Any, server_hostname: Any = None, **more: Any) -> Any:
        asked.extend([server_hostname] if server_hostname else [])
        return wrap(self, *given, server_hostname=server_hostname, **more)

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", noted)
    with serving(certificate=certificate) as server:
        assert one(server.url.replace("http:", "https:"), host=NAME, ca=str(certificate)).ok
    assert asked == [NAME]


def test_a_server_that_does_not_speak_tls() -> None:
    """It is told as a failure, and nothing is asked without encryption."""
    with serving() as server:
        tried = one(server.url.replace("http:", "https:"), host=NAME)
    assert (tried.ok, tried.said.split(":")[0]) == (False, "did not answer")


def test_a_unix_socket(tmp_path: Path) -> None:
    """The URL says what is asked for there, the socket where; one that is missing is told."""
    with serving(at=tmp_path / "app.sock") as server:
        assert one("http://localhost/health", unix=str(tmp_path / "app.sock")).ok
    assert "Host: localhost\r\n" in server.heard[0]
    said = f"cannot be asked: this host has no {tmp_path}/other.sock"
    assert one("http://localhost/health", unix=f"{tmp_path}/other.sock") == Tried(False, said)


def test_where_nobody_listens() -> None:
    """Neither an HTTP nor a TCP probe passes, and both say why."""
    port = free_port()
    refused = Tried(False, "refused the connection")
    assert ask({"http": [http(f"http://127.0.0.1:{port}/")], "tcp": [f"127.0.0.1:{port}"]}) == [refused, refused]


def test_a_port_that_takes_connections() -> None:
    """That is all that a TCP probe asks; localhost and an address of six are places, too."""
    with serving() as server:
        assert (
            ask({"tcp": [f"127.0.0.1:{server.port}", f"localhost:{server.port}"]})
            == [Tried(True, "took the connection")] * 2
        )
    assert probes.of({"tcp": ["[::1]:80"]})[0] == probes.Tcp("::1", 80)
    assert probes.of({"tcp": ["[::1]:80"]})[0].name == "tcp [::1]:80"


@pytest.mark.slow
@pytest.mark.parametrize(
    "answers", [["HTTP/1.1 200 OK\r\n", *["X: y\r\n"] * 1000], [answer(200, "x" * 1000)[:-990], *"x" * 990]]
)
def test_an_answer_that_drips_ends_in_time(answers: list[str]) -> None:
    """Neither headers nor a body that come letter by letter keep anybody for longer than was said."""
    with serving(answers, pause=0.05) as server, within(15):
        assert one(server.url, timeout=0.5) == Tried(False, "did not answer within 0.5 s")
        assert "probe" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.slow
def test_the_end_of_the_gate_ends_a_probe() -> None:
    """Also when its own time goes on."""
    with serving(["HTTP/1.1 200 OK\r\n", "\r\n"], pause=3) as server, within(15):
        assert one(server.url, seconds=0.3) == Tried(False, "did not answer within 0.3 s")


def test_an_answer_without_an_end_is_read_in_part() -> None:
    """So much is searched and no more; one that breaks off is no answer."""
    length = f"HTTP/1.1 200 OK\r\nContent-Length: {10**9}\r\n\r\n"
    with serving(length + "x" * probes.BODY, length + "short", "HTTP/1.1 200 OK\r\n\r\n" + "é" * 500) as server:
        assert one(server.url).ok
        assert one(server.url) == Tried(False, "answered 200, but the answer was cut off", status=200, text="short")
        assert one(server.url).text == "é" * probes.FIRST + "…"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, "gave no whole HTTP answer: RemoteDisconnected Remote end closed connection without response"),
        ("SSH-2.0-x\r\n", "gave no whole HTTP answer: BadStatusLine SSH-2.0-x"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "gave no whole HTTP answer: IncompleteRead"),
    ],
)
def test_what_is_no_http(said: str | None, expected: str) -> None:
    """Whatever listens there, its words are told and nothing is raised."""
    with serving(said) as server:
        tried = one(server.url)
    assert (tried.ok, tried.said.startswith(expected)) == (False, True), tried.said


def test_what_is_told_is_clean_and_without_secrets() -> None:
    """No control character, no secret, also where a cut would leave the first half of one."""
    secret = "s3cret-" + "x" * 40
    body = "\x1b[31m" + "a" * 150 + secret
    with serving(answer(500, body), answer(302, Location=f"/login?token={secret}")) as server:
        mask = Mask([secret])
        assert one(server.url, mask).text == "[31m" + "a" * 150 + "***"
        assert one(server.url, mask).said.startswith("answered 302, a redirect to /login?…, which")


def test_probes_are_asked_side_by_side() -> None:
    """Each of them waits for an answer that comes after the other one was asked."""
    with serving(["HTTP/1.1 200 OK\r\n", "\r\n"], pause=0.4) as server, serving() as quick:
        asking = probes.Asking(probes.of({"http": [http(server.url), http(quick.url)]}), time.monotonic() + 60)  # type: ignore[list-item]
        deadline = time.monotonic() + 30
        while not quick.heard and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [tried.ok for _, tried in asking.tries()] == [True, True]


def test_the_names_of_probes() -> None:
    """The URL without its query, with what tells it from others; those that have one name are numbered."""
    found = probes.of(
        {
            "http": [
                {"url": "https://127.0.0.1/a?token=1", "status": 200, "timeout": 1, "host": NAME},
                {"url": "http://localhost/a", "status": 200, "timeout": 1, "unix": "/run/a"},
                {"url": "http://127.0.0.1/", "status": 200, "timeout": 1},
                {"url": "http://127.0.0.1/", "status": 200, "timeout": 1, "contains": "x"},
            ],
            "tcp": ["db:5432"],
        }
    )
    assert [probe.name for probe in found] == [
        f"https://127.0.0.1/a as {NAME}", "http://localhost/a at /run/a", "http://127.0.0.1/ (number 3)",
        "http://127.0.0.1/ (number 4)", "tcp db:5432",
    ]  # fmt: skip
