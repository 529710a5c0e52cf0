"""What is told while an attempt goes on reaches the registry soon, and never costs the attempt anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

from oroboros_deploy.errors import RegistryUnavailable
from oroboros_deploy.events import Event
from oroboros_deploy.registry import Registry, recorder
from oroboros_deploy.registry.recorder import Recorder
from tests.support.clock import within
from tests.support.postgres import PostgresServer, started
from tests.support.samples import A, B, host, record


class Unable:
    """A registry that does not take anything; it says so at once, or hangs until it is released."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.released = threading.Event()
        self.asked = 0
        if not hangs:
            self.released.set()

    def hear(self, _attempt: str, _heard: Sequence[Event], _said: Mapping[str, str], root: str) -> None:
        self.asked += 1
        self.released.wait(60)
        raise RegistryUnavailable("the database is gone")


class Counting:
    """A registry that remembers the batches it is given."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def hear(self, _attempt: str, heard: Sequence[Event], _said: Mapping[str, str], root: str) -> None:
        self.batches.append([event.message for event in heard])


def told(name: str, message: str = "", host: str | None = "h1", **data: object) -> Event:
    return Event(name, message, host, data=data)


def eventually(found: Callable[[], object], seconds: float) -> object:
    """What is found, once it is something, within this time."""
    until = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < until:
        time.sleep(0.01)
    return value


@pytest.fixture
def running(registry: Registry) -> Registry:
    """A registry with an attempt that has begun on two hosts."""
    registry.begin(record(A, host("h1", "running"), host("h2", "running"), finished_at=None, exit_code=None))
    return registry


def phases(registry: Registry) -> dict[str, str | None]:
    return {part["host"]: part["phase"] for part in registry.reader.attempts().items[0]["hosts"]}


@pytest.mark.slow
def test_a_phase_is_seen_while_the_attempt_goes_on(running):
    """Soon, and not only when the attempt has ended."""
    listener = Recorder("attempt", lambda _: None)
    with listener.writing(running):
        for event, expected in (
            (told("host.connected"), "connect"),
            (told("facts.read", live=B), "facts"),
            (told("build.started"), "build"),
            (told("phase", phase="prepared"), "prepared"),
            (told("phase", phase="restoring"), "restoring"),
        ):
            listener(event)
            assert eventually(lambda expected=expected: phases(running) == {"h1": expected, "h2": None}, 30.0)
    running.finish(record(A, host("h1", "restored", previous=B), host("h2", "skipped")))
    assert phases(running) == {"h1": "restoring", "h2": None}
    assert [(each["host"], each["observed_release"]) for each in running.reader.hosts().items] == [("h1", B)]


def test_what_builds_print_is_not_kept(running):
    """Output is no event, and so is what follows the first line of a message; with the end its last lines go."""
    listener = Recorder("attempt", lambda _: None)
    with listener.writing(running):
        listener(told("output", text="password=hunter2"))
        listener(told("host.finished", "compile exited 7\npassword=hunter2\n", state="not_switched"))
    kept = running.reader.events()[-1]
    assert (kept["name"], kept["message"], kept["data"]) == (
        "host.finished",
        "compile exited 7",
        {"state": "not_switched"},
    )
    running.finish(record(A, host("h1", "live", live=A), host("h2", "live", live=A)))
    assert "hunter2" not in str(running.reader.events()) + str(running.reader.attempt("attempt"))


def test_the_last_lines_of_a_build_are_seen_while_it_goes_on(running):
    """With the part that printed them, and no more than a few."""
    listener = Recorder("attempt", lambda _: None)

    def said() -> str | None:
        return running.reader.attempts().items[0]["hosts"][0]["log"]

    with listener.writing(running):
        for number in range(30):
            listener(told("output", part="frontend", text=f"[{number}/100] Compiling\n\n"))
        listener(told("step"))
        assert eventually(lambda: said() == "\n".join(f"frontend │ [{at}/100] Compiling" for at in range(25, 30)), 30.0)


def test_what_parts_usually_take_is_told_when_a_build_begins(running):
    """The time of the newest build that made the part, not one that took it from an earlier build; once."""
    before = [
        told("part.finished", part="frontend", seconds=70.0, cached=False),
        told("part.finished", part="frontend", seconds=40.2, cached=False),
        told("part.finished", part="frontend", seconds=0.1, cached=True),
    ]
    running.hear("attempt", before)
    heard: list[Event] = []
    listener = Recorder("attempt", heard.append, ["h1", "h2"])
    with listener.writing(running):
        for name in ("build.started", "build.started"):
            listener(told(name))
            assert eventually(lambda: heard, 30.0)
    assert [(each.name, each.data) for each in heard] == [("build.usual", {"seconds": {"h1": {"frontend": 40.2}}})]


def test_what_was_heard_before_and_at_the_end_is_written(running):
    """Events that come before the registry is there wait for it; at the end nothing is left unwritten."""
    listener = Recorder("attempt", lambda _: None)
    listener(told("host.connected", "before"))
    with listener.writing(running):
        for number in range(300):
            listener(told("step", str(number)))
    assert [each["message"] for each in running.reader.events()] == ["", "before", *map(str, range(300))]


def test_a_quiet_attempt_gives_signs_of_life(running, monkeypatch):
    """Without events the attempt's `seen_at` moves on all the same."""
    monkeypatch.setattr(recorder, "BEAT", 0.05)

    def seen() -> str:
        return str(running.reader.attempts().items[0]["seen_at"])

    began = seen()
    with Recorder("attempt", lambda _: None).writing(running):
        first = eventually(lambda: seen() if seen() > began else None, 30.0)
        assert eventually(lambda: seen() > str(first), 30.0)


def test_events_that_come_together_are_written_together():
    """A burst is a few writes, not one an event."""
    registry = Counting()
    listener = Recorder("attempt", lambda _: None)
    with listener.writing(registry):  # type: ignore[arg-type]
        for number in range(500):
            listener(told("step", str(number)))
    assert [message for batch in registry.batches for message in batch] == [str(number) for number in range(500)]
    assert len(registry.batches) < 10


def test_a_registry_that_fails_is_told_of_once():
    """The attempt goes on; its listener hears one warning, however much is lost."""
    heard: list[Event] = []
    registry = Unable()
    listener = Recorder("attempt", heard.append)
    with listener.writing(registry):  # type: ignore[arg-type]
        for asked in range(3):
            listener(told("step"))
            assert eventually(lambda asked=asked: registry.asked > asked, 30.0)
    assert [(event.name, event.level) for event in heard] == [("warning", "warning")]
    assert "the database is gone" in heard[0].message


def test_a_registry_that_hangs_delays_the_end_by_two_seconds_at_most():
    """Telling it takes no time at all; the end waits a bounded time."""
    listener, registry = Recorder("attempt", lambda _: None), Unable(hangs=True)
    with within(30), listener.writing(registry):  # type: ignore[arg-type]
        listener(told("step"))
        assert eventually(lambda: registry.asked, 10.0)
        with within(10):
            for _ in range(20_000):
                listener(told("step"))
    assert not registry.released.is_set()
    registry.released.set()
    for thread in threading.enumerate():
        if thread.name == "recorder":
            thread.join(10)


@pytest.fixture
def breakable() -> Iterator[PostgresServer]:
    """A server of the test's own."""
    yield from started()


@pytest.mark.postgres
def test_a_database_that_comes_back_is_written_again(breakable: PostgresServer):
    """What happened while it was gone is lost; what happens afterwards is not."""
    heard: list[Event] = []
    with Registry.open(breakable.database()) as registry:
        registry.begin(record(A, host("h1", "running"), finished_at=None, exit_code=None))
        listener = Recorder("attempt", heard.append)
        with listener.writing(registry):
            listener(told("step", "one"))
            assert eventually(lambda: len(registry.reader.events()) == 2, 30.0)
            breakable.kill()
            listener(told("step", "two"))
            assert eventually(lambda: heard, 5.0)
            breakable.start()
            listener(told("step", "three"))
        assert [each["message"] for each in registry.reader.events()] == ["", "one", "three"]
    assert len(heard) == 1
