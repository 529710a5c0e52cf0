"""A server that many half-sent requests cannot hold."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx2
import pytest

from oroboros_deploy.registry import Registry
from oroboros_deploy.web import patience
from oroboros_deploy.web.site import site
from tests.support.applications import listening
from tests.support.watching import eventually

pytestmark = pytest.mark.slow  # whole deploys, or servers that have to start


@pytest.fixture
def url(registry: Registry) -> Iterator[str]:
    with listening(site(lambda: registry.reader), http=patience.PatientProtocol) as url:
        yield url


def connected(url: str, sent: bytes) -> socket.socket:
    place = urlsplit(url)
    connection = socket.create_connection((place.hostname, place.port), timeout=30)
    connection.sendall(sent)
    return connection


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /"],
    ids=["silent", "half", "half of the second"],
)
def test_a_request_that_does_not_end_is_not_waited_for(url: str, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """A connection that sends nothing, or half of a request, is closed when its time is over."""
    monkeypatch.setattr(patience, "HEADER_SECONDS", 0.2)
    with connected(url, sent) as connection:
        while connection.recv(1000):
            pass  # the answer to the first


def test_one_address_does_not_hold_all_connections(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections whose requests were answered count too; one that ended leaves its place."""
    monkeypatch.setattr(patience, "MOST_OPEN", 4)
    monkeypatch.setattr(patience, "HEADER_SECONDS", 100)  # longer than the test waits
    asked = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as whole:
        answered = [whole.enter_context(connected(url, asked)) for _ in range(4)]
        assert [connection.recv(12) for connection in answered] == [b"HTTP/1.1 200"] * 4
        with connected(url, b"") as more:
            assert more.recv(1) == b""
        for connection in answered:
            connection.close()
        eventually(lambda: not patience.open_connections())
        assert httpx2.get(f"{url}/healthz", timeout=30).status_code == 200


def test_one_address_holds_few_connections(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More half-sent requests of one address than are waited for are closed at once, and others are answered."""
    monkeypatch.setattr(patience, "MOST_WAITING", 4)
    monkeypatch.setattr(patience, "HEADER_SECONDS", 100)  # longer than the test waits
    with ExitStack() as half:
        waiting = [half.enter_context(connected(url, b"GET / HT")) for _ in range(4)]
        with connected(url, b"") as more:
            assert more.recv(1) == b""
        waiting.pop().close()
        for _ in range(3):
            assert httpx2.get(f"{url}/healthz", timeout=30).status_code == 200
