"""Live: what is recorded is told at once, to everybody who listens, by a server that knows only the database."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from sqlalchemy import create_engine
from starlette.testclient import TestClient

from oroboros_deploy.registry import Registry
from oroboros_deploy.registry.reading import Reader
from oroboros_deploy.web import live
from oroboros_deploy.web.site import site
from tests.support.applications import listening, mounted
from tests.support.clock import within
from tests.support.samples import A, B, host, record
from tests.support.serving import Served

pytestmark = pytest.mark.slow  # whole deploys, or servers that have to start

HARM = "red\r\n\r\nid: 99\ndata: {}\n\n<script>\u2028\u202e\x1b[31m"


@pytest.fixture
def served(tmp_path: Path, registry_url: str) -> Iterator[Served]:
    with Served(tmp_path, registry_url) as served:
        yield served


@pytest.fixture
def brief(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A client whose streams end after one look."""
    monkeypatch.setattr(live, "STREAM_SECONDS", 0.2)
    return client


def messages(lines: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The id and the data of each message, read as a browser reads them."""
    number = 0
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            number = int(value)
        elif name == "data":
            yield number, json.loads(value)


def told(answer: Any) -> list[tuple[int, str, str]]:
    return [(number, event["attempt"], event["name"]) for number, event in messages(iter(answer.text.split("\n")))]


def test_a_deploy_is_seen_soon(served: Served, registry: Registry) -> None:
    """What another process records reaches a listener with the next look, in order, as the API tells it."""
    assert live.POLL_SECONDS < 0.5
    with httpx2.stream("GET", f"{served.url}/api/live", timeout=5) as stream:
        lines = stream.iter_lines()
        assert (next(lines), stream.headers["content-type"]) == ("retry: 1000", "text/event-stream; charset=utf-8")
        assert (stream.headers["cache-control"], stream.headers["x-accel-buffering"]) == ("no-store", "no")
        new = record(B, host("web1", "live", live=B), attempt="new", minute=5)
        registry.begin(new)
        registry.finish(new)
        news = list(islice(messages(lines), 2))
    listed = httpx2.get(f"{served.url}/api/events?attempt=new").json()["items"]
    assert news == [(event["id"], event) for event in listed]
    assert [event["name"] for event in listed] == ["attempt.started", "attempt.finished"]


def test_a_listener_begins_now(brief: TestClient) -> None:
    """Who comes for the first time is told nothing old."""
    assert brief.get("/api/live").text == "retry: 1000\n\nretry: 100\n\n"


def test_a_listener_goes_on_where_it_was(brief: TestClient) -> None:
    """With the id of the last event it saw, a client that was away gets every later one once."""
    away = brief.get("/api/live", headers={"Last-Event-ID": "4"})
    assert told(away) == [(5, "three", "attempt.started"), (6, "three", "attempt.finished")]
    assert told(brief.get("/api/live?after=4")) == told(away)
    both = brief.get("/api/live?after=1", headers={"Last-Event-ID": "5"})
    assert told(both) == [(6, "three", "attempt.finished")]


def test_a_listener_of_a_registry_that_was_rebuilt(served: Served, registry: Registry) -> None:
    """An id that no event has yet is of another registry: who brings it hears what happens from now on."""
    with httpx2.stream("GET", f"{served.url}/api/live", headers={"Last-Event-ID": "60"}, timeout=5) as stream:
        lines = stream.iter_lines()
        next(lines)
        registry.finish(record(B, host("web1", "live", live=B), attempt="new", minute=5))
        assert [number for number, _ in islice(messages(lines), 2)] == [7, 8]


def test_one_attempt(brief: TestClient) -> None:
    """A stream of one attempt tells nothing of the others."""
    answer = brief.get("/api/live?after=0&attempt=two")
    assert told(answer) == [(3, "two", "attempt.started"), (4, "two", "attempt.finished")]


def test_text_cannot_end_its_message(brief: TestClient, registry: Registry) -> None:
    """Line breaks in what an event says stay inside its data."""
    registry.finish(record(A, host("web1", "live", live=A), attempt=HARM, minute=7))
    answer = brief.get("/api/live?after=6")
    assert told(answer) == [(7, HARM, "attempt.started"), (8, HARM, "attempt.finished")]
    assert {line.partition(":")[0] for line in answer.text.splitlines()} == {"retry", "id", "data", ""}


def test_more_than_one_batch(brief: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that is far behind gets everything, batch after batch, in one stream: here of three looks."""
    looks = count()
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: next(looks)))
    monkeypatch.setattr(live, "STREAM_SECONDS", 3.5)
    monkeypatch.setattr(live, "BATCH", 4)
    monkeypatch.setattr(live, "POLL_SECONDS", 0.01)
    assert [number for number, *_ in told(brief.get("/api/live?after=0"))] == [1, 2, 3, 4, 5, 6]


def test_silence_is_broken(brief: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream with nothing to tell says so now and then, so that nobody between closes it."""
    monkeypatch.setattr(live, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(live, "POLL_SECONDS", 0.05)
    assert ": nothing new\n\n" in brief.get("/api/live").text


def test_a_stream_ends_with_its_database(served: Served, registry_url: str) -> None:
    """When the database is gone the stream ends, and who comes again is told 503."""
    with httpx2.stream("GET", f"{served.url}/api/live", timeout=5) as stream:
        lines = stream.iter_lines()
        next(lines)
        Path(registry_url.removeprefix("sqlite:///")).write_bytes(b"gone, and not a database any more" * 1000)
        assert list(messages(lines)) == []
    assert httpx2.get(f"{served.url}/api/live").status_code == 503


def test_ctrl_c_ends_open_streams(served: Served) -> None:
    """The server ends at once and quietly, with exit code 0, also while somebody listens."""
    with httpx2.stream("GET", f"{served.url}/api/live", timeout=5) as stream:
        lines = stream.iter_lines()  # kept: without it the stream is closed
        next(lines)
        with within(10):
            assert served.stop() == (0, "")


def test_a_stream_is_as_short_as_the_page_about_it_says() -> None:
    """A revoked token hears no more than one stream: it ends, and a new one needs a token."""
    page = (Path(__file__).parents[2] / "docs" / "page.md").read_text()
    assert f"receives events for at most {live.STREAM_SECONDS:.0f} s more" in " ".join(page.split())


def test_streams_that_wait_hold_up_nobody_else(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database says nothing to many listeners, files and pages are served as before."""
    silent = threading.Event()
    monkeypatch.setattr(Reader, "events", lambda *_, **__: silent.wait(20) and [])
    with listening(site(lambda: registry.reader)) as url, ExitStack() as streams:
        for _ in range(45):
            next(streams.enter_context(httpx2.stream("GET", f"{url}/api/live", timeout=5)).iter_lines())
        found = [httpx2.get(f"{url}{path}", timeout=5).status_code for path in ("/static/page.css", "/hosts")]
        silent.set()
    assert found == [200, 200]


def test_streams_leave_the_sessions_of_others_alone(registry: Registry, registry_url: str) -> None:
    """With a session of an application's own, open streams keep none of its connections, and hear all the same."""
    engine = create_engine(registry_url, pool_size=1, max_overflow=0, pool_timeout=5)
    with listening(mounted(engine)) as url, ExitStack() as streams:
        opened = [streams.enter_context(httpx2.stream("GET", f"{url}/api/live", timeout=10)) for _ in range(4)]
        lines = [stream.iter_lines() for stream in opened]
        assert [next(each) for each in lines] == ["retry: 1000"] * 4
        assert httpx2.get(f"{url}/api/releases", timeout=10).status_code == 200
        registry.begin(record(B, host("web1", "live", live=B), attempt="new", minute=5))
        assert [next(messages(each))[1]["attempt"] for each in lines] == ["new"] * 4
    engine.dispose()
