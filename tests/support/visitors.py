"""Visitors of an application: so many requests a second, whatever becomes of the ones before."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

SLOW = 1.0  # seconds after which an answer is slow
_PATIENCE = 20.0
_THREADS = 128  # requests that may wait at once; more come late, and are counted from when they were due


@dataclass(frozen=True)
class Visit:
    """One request: the seconds it took from when it was due, the answer's status and body; without one, 0 and why."""

    path: str
    seconds: float
    status: int
    body: str

    @property
    def lost(self) -> bool:
        """Whether it got no answer, or not the one that was asked for."""
        return self.status != 200


class Visitors:
    """Requests to a server while its ``with`` block runs, each on a connection of its own."""

    def __init__(self, host: str, port: int, paths: Sequence[str], rate: float = 120) -> None:
        self.visits: list[Visit] = []
        self._address = (host, port)
        self._turns = enumerate(itertools.cycle(paths))
        self._rate = rate
        self._next = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(_THREADS)]

    def __enter__(self) -> Visitors:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self._began

    @property
    def lost(self) -> list[Visit]:
        """The requests without the answer that was asked for."""
        return [visit for visit in self.visits if visit.lost]

    @property
    def slow(self) -> list[Visit]:
        """The requests that were answered, but late."""
        return [visit for visit in self.visits if not visit.lost and visit.seconds > SLOW]

    def commits(self) -> set[str]:
        """The commits that the API named."""
        healthy = [visit for visit in self.visits if visit.path == "/api/health" and not visit.lost]
        return {json.loads(visit.body)["commit"] for visit in healthy}

    def report(self) -> str:
        """The counts, in a line."""
        longest = max(visit.seconds for visit in self.visits)
        return (
            f"{len(self.visits)} requests in {self.seconds:.0f} s ({len(self.visits) / self.seconds:.0f} a second): "
            f"{len(self.lost)} lost, {len(self.slow)} slower than {SLOW:g} s, the longest {longest:.2f} s"
        )

    def _visit(self) -> None:
        while not self._over.is_set():
            with self._next:
                number, path = next(self._turns)
            due = self._began + number / self._rate
            if self._over.wait(max(0.0, due - time.monotonic())):
                return
            status, body = self.ask(path)
            self.visits.append(Visit(path, time.monotonic() - due, status, body))

    def ask(self, path: str) -> tuple[int, str]:
        """One request: its status and body, or 0 and the error."""
        connection = http.client.HTTPConnection(*self._address, timeout=_PATIENCE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)
        finally:
            connection.close()
