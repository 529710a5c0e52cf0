"""Connections that are made ahead: who gets them, and that none is left open."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from oroboros_deploy import threads
from oroboros_deploy.errors import HostUnreachable
from oroboros_deploy.remote.dialing import Dialing


class Line:
    """A connection that only knows whether it was closed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


class Switchboard:
    """Opens lines, each when it is let."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.free = threading.Event()

    def __call__(self, name: str) -> Line:
        line = Line(name)
        self.lines.append(line)
        assert self.free.wait(10)
        return line

    @property
    def dialled(self) -> list[str]:
        return sorted(line.name for line in self.lines)


def soon(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 10
    while not condition() and time.monotonic() < until:
        time.sleep(0.005)
    return condition()


def test_each_line_is_given_once() -> None:
    """Who asks gets the connection that is being made; who asks again, another; all are theirs to close."""
    board = Switchboard()
    with Dialing(board, ["web1", "web2"]) as dialing:  # type: ignore[arg-type]
        assert soon(lambda: board.dialled == ["web1", "web2"])
        board.free.set()
        first = dialing("web1")
        assert first in board.lines and first.name == "web1"  # type: ignore[comparison-overlap,attr-defined]
        assert dialing("web1") is not first
        assert dialing("web3").name == "web3"  # type: ignore[attr-defined]
        dialing("web2")
    assert [line.name for line in board.lines if line.closed.is_set()] == []


def test_what_nobody_asked_for_is_closed() -> None:
    """Leaving does not wait for a connection that is still being made; it is closed as soon as it is there."""
    board = Switchboard()
    with Dialing(board, ["web1"]):  # type: ignore[arg-type]
        assert soon(lambda: board.dialled == ["web1"])
    assert not board.lines[0].closed.is_set()
    board.free.set()
    assert board.lines[0].closed.wait(10)


def test_an_error_is_told_to_who_asks() -> None:
    """It is raised where the connection was wanted; where it was not, nobody hears of it."""

    def refuse(name: str) -> Line:
        raise HostUnreachable("no route", host=name)

    with Dialing(refuse, ["web1", "web2"]) as dialing, pytest.raises(HostUnreachable, match="web1: no route"):  # type: ignore[arg-type]
        dialing("web1")


def test_what_comes_before_connecting_is_done_at_once() -> None:
    """It is not left to a thread, which has to wait for its turns; an error of it is told to who asks for the host."""
    begun: list[tuple[str, threading.Thread]] = []

    def begin(name: str) -> Callable[[], Line]:
        begun.append((name, threading.current_thread()))
        if name == "web2":
            raise HostUnreachable("no such name", host=name)
        return lambda: Line(f"{name} ahead")

    with Dialing(Line, ["web1", "web2"], begin) as dialing:  # type: ignore[arg-type]
        assert begun == [(name, threading.current_thread()) for name in ("web1", "web2")]
        assert dialing("web1").name == "web1 ahead"  # type: ignore[attr-defined]
        with pytest.raises(HostUnreachable, match="web2: no such name"):
            dialing("web2")


def test_no_more_at_once_than_hosts_are_worked_on() -> None:
    """sshd's MaxStartups on a shared gateway counts these too."""
    board = Switchboard()
    names = [f"web{number:02}" for number in range(threads.AT_ONCE + 5)]
    with Dialing(board, names):  # type: ignore[arg-type]
        assert soon(lambda: len(board.lines) == threads.AT_ONCE)
        time.sleep(0.05)
        assert board.dialled == names[: threads.AT_ONCE]
    board.free.set()
