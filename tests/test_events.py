"""Events reach every listener, in order."""

from __future__ import annotations

import time

from oroboros_deploy.events import Event, fan_out


def test_all_listeners_hear_every_event_in_order() -> None:
    """Each event goes to all listeners before the next one goes to any."""
    heard: list[tuple[str, str]] = []
    tell = fan_out(lambda event: heard.append(("one", event.name)), lambda event: heard.append(("two", event.name)))
    tell(Event("build.started"))
    tell(Event("release.sealed"))
    assert heard == [
        ("one", "build.started"),
        ("two", "build.started"),
        ("one", "release.sealed"),
        ("two", "release.sealed"),
    ]


def test_an_event_knows_when_it_happened() -> None:
    """An event carries the time it was made at and shares no data with others."""
    before = time.time()
    event = Event("warning", "disk is nearly full", level="warning")
    assert before <= event.at <= time.time()
    assert (event.host, event.data) == (None, {})
