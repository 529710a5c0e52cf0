"""Who waits for a server that says nothing is woken when its time is over."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from oroboros_deploy.registry.watchdog import Watchdog
from tests.support.clock import within


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


@pytest.fixture
def brief() -> Iterator[Watchdog]:
    watchdog = Watchdog(0.3)
    yield watchdog
    watchdog.close()


def read(near: socket.socket) -> bytes:
    """As a driver does, which takes the end of the connection for an error."""
    if not (answer := near.recv(10)):
        raise OSError("server closed the connection unexpectedly")
    return answer


@pytest.mark.slow
def test_a_silent_server_is_a_timeout(brief: Watchdog, pair: tuple[socket.socket, socket.socket]) -> None:
    """The driver's own words about a connection that we cut ourselves are not told."""
    with within(10), pytest.raises(TimeoutError) as caught:
        brief.watch(pair[0], lambda: read(pair[0]))
    assert caught.value.__cause__ is None


def test_other_errors_stay_what_they_are(brief: Watchdog, pair: tuple[socket.socket, socket.socket]) -> None:
    """A server that ends the connection in time is no timeout."""
    pair[1].close()
    with pytest.raises(OSError, match="unexpectedly"):
        brief.watch(pair[0], lambda: read(pair[0]))


def test_answers_in_time_are_given(pair: tuple[socket.socket, socket.socket]) -> None:
    """And what is not watched any more is not cut."""
    patient = Watchdog(60)
    pair[1].sendall(b"answer")
    assert patient.watch(pair[0], lambda: read(pair[0])) == b"answer"
    pair[1].sendall(b"more")
    assert read(pair[0]) == b"more"
    patient.close()
