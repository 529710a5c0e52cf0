"""Tells the registry what happens during an attempt, while it happens, from a thread of its own."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, Full, Queue
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING

from ..errors import RegistryUnavailable
from ..events import Event, Listener

if TYPE_CHECKING:
    from .registry import Registry

BEAT = 5.0  # seconds between two signs of life when nothing happens
_GATHERED = 0.1  # seconds in which what happens is written together
_LAST_WRITE = 2.0  # seconds that the end of an attempt waits for what is not written yet
_AT_MOST = 10_000  # events that wait, when the database is slower than the deploy
_LEFT_OUT = {"output"}  # what builds print: too much
_LINES = 5  # the last ones of what a host's builds print, which are shown while they go on
_WIDTH = 300  # characters of such a line


class Recorder:
    """A listener for one attempt.  It never slows or fails the attempt: what the registry does not take is dropped.

    ``listener`` is told once, by a warning, when that happens.
    """

    def __init__(self, attempt: str, listener: Listener, hosts: Sequence[str] = (), root: str = "") -> None:
        self._attempt = attempt
        self._root = root
        self._hosts = hosts
        self._listener = listener
        self._waiting: Queue[Event | None] = Queue(_AT_MOST)
        self._closing = Flag()
        self._warned = False
        self._expected = False
        self._last: dict[str, deque[str]] = {}
        self._fresh: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Take an event, to be written soon."""
        if event.name in _LEFT_OUT:
            self._remember(event)
            return
        with suppress(Full):
            self._waiting.put_nowait(event)

    @contextmanager
    def writing(self, registry: Registry) -> Iterator[None]:
        """Write to this registry what was and will be heard; at the end, what is left, for a bounded time."""
        thread = Thread(target=self._write, args=(registry,), name="recorder", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._closing.set()
            with suppress(Full, KeyboardInterrupt):  # whoever presses Ctrl-C now does not want to wait for this
                self._waiting.put_nowait(None)
                thread.join(_LAST_WRITE)

    def _write(self, registry: Registry) -> None:
        while not (self._closing.is_set() and self._waiting.empty()):
            batch = self._batch()
            try:
                registry.hear(self._attempt, batch, self._said(), root=self._root)
                self._tell_usual(registry, batch)
            except RegistryUnavailable as error:
                self._warn(error)
                if self._closing.is_set():
                    return

    def _batch(self) -> list[Event]:
        """What happens within a moment; nothing when it was quiet until the next sign of life is due."""
        batch: list[Event] = []
        until = time.monotonic() + BEAT
        with suppress(Empty):
            while (event := self._waiting.get(timeout=max(0.0, until - time.monotonic()))) is not None:
                until = until if batch else time.monotonic() + _GATHERED
                batch.append(event)
        return batch

    def _remember(self, event: Event) -> None:
        """Of what builds print the last lines are kept, until the attempt ends: they say what a long build is at."""
        lines = [line for line in str(event.data.get("text", "")).splitlines() if line.strip()]
        part = f"{event.data.get('part', '')} │ "
        self._last.setdefault(event.host or "", deque(maxlen=_LINES)).extend(part + line[:_WIDTH] for line in lines)
        self._fresh.add(event.host or "")

    def _said(self) -> dict[str, str]:
        """The last lines of the hosts that printed something since they were asked for."""
        fresh = [self._fresh.pop() for _ in range(len(self._fresh))]
        return {host: "\n".join([*self._last[host]]) for host in fresh}

    def _tell_usual(self, registry: Registry, batch: Sequence[Event]) -> None:
        """Once, when the first host builds, tell how long the parts took there before."""
        building = any(event.name == "build.started" for event in batch)
        if building and not self._expected:
            self._expected = True
            found = registry.reader.part_seconds(self._hosts)
            self._listener(Event("build.usual", level="detail", data={"seconds": found}))

    def _warn(self, error: RegistryUnavailable) -> None:
        if not self._warned:
            self._warned = True
            message = f"live progress cannot be written to the registry; the attempt goes on: {error.message}"
            self._listener(Event("warning", message, level="warning"))
