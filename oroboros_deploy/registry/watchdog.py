"""Deadlines for who waits in a database driver: it has none for a server that takes a question and says nothing."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

_PERIOD = 0.25  # seconds between two looks


class Watchdog:
    """Takes the socket away from under a question that is over its time, which wakes the driver.

    One thread looks after all of them: a thread for each question would take as long as the question.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadlines: dict[Any, float] = {}
        self._begun = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def close(self) -> None:
        """End the thread."""
        self._ended.set()

    def watch(self, connection: Any, work: Callable[[], T]) -> T:
        """What ``work`` returns, which waits for this connection; TimeoutError when the time is over."""
        self._begin()
        self._deadlines[connection] = time.monotonic() + self._seconds
        try:
            result = work()
        except Exception:
            if self._deadlines.pop(connection, None) is None:
                raise TimeoutError from None
            raise
        self._deadlines.pop(connection, None)
        return result

    def _begin(self) -> None:
        if self._thread is None:
            with self._begun:
                self._thread = self._thread or self._started()

    def _started(self) -> threading.Thread:
        thread = threading.Thread(target=self._look, name="watchdog", daemon=True)
        thread.start()
        return thread

    def _look(self) -> None:
        while not self._ended.wait(_PERIOD):
            for connection, deadline in list(self._deadlines.items()):
                if deadline < time.monotonic() and self._deadlines.pop(connection, 0.0):
                    _cut(connection)


def _cut(connection: Any) -> None:
    with suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)
