"""Answers that cost nothing when nothing has changed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..registry.reading import Reader

Result = TypeVar("Result")
_MOST = 64  # answers that are kept: anybody may ask for figures of anything
_MUCH = 0.1  # seconds of work from which on an answer may be given again although something has changed
_LONGEST = 30.0  # seconds for which an answer may be given after a change
PATIENCE = 50.0  # times the work that figures took: of 100,000 attempts they are half a minute old at most


class Kept:
    """Answers that cost much, kept until the registry changes; each is made once, also when many ask at once.

    ``patience`` is for how many times what an answer took it may be given although the registry has changed; one that
    took little is always made anew.  So what computes over a large registry is no load, however often that changes.
    """

    def __init__(self, patience: float = 0.0) -> None:
        self._patience = patience
        self._lock = Lock()
        self._answers: dict[Hashable, _Answer] = {}

    def get(self, reader: Reader, key: Hashable, make: Callable[[], Result]) -> Result:
        """What ``make`` returns, or returned for this key since the last change."""
        change = reader.change_tag()
        with self._lock:
            answer = self._answers.get(key)
            if answer is None or not answer.serves(reader.source, change):
                if len(self._answers) >= _MOST:
                    self._answers.clear()
                self._answers[key] = made = _Answer(reader.source, change)
                answer = None
        found: Result = answer.value.result() if answer else self._made(made, key, make)
        return found

    def _made(self, answer: _Answer, key: Hashable, make: Callable[[], Result]) -> Result:
        try:
            value = answer.make(make, self._patience)
        except BaseException as error:
            with self._lock:  # who asks next tries again
                if self._answers.get(key) is answer:
                    del self._answers[key]
            answer.value.set_exception(error)
            raise
        return value


class _Answer:
    """An answer, or the promise of one that is being made; of which registry, and since which of its changes."""

    def __init__(self, source: object, change: str) -> None:
        self.value: Future[Any] = Future()
        self._of = (source, change)
        self._until = 0.0

    def serves(self, source: object, change: str) -> bool:
        """Whether it may be given for a registry at a change."""
        if self._of == (source, change):
            return True
        return self._of[0] == source and time.monotonic() < self._until

    def make(self, make: Callable[[], Result], patience: float) -> Result:
        """Make it, and remember for how long it may be given after a change."""
        began = time.thread_time()
        value = make()
        cost = time.thread_time() - began
        if cost > _MUCH:
            self._until = time.monotonic() + min(patience * cost, _LONGEST)
        self.value.set_result(value)
        return value


def by_content(request: Request, content: Any) -> Response:
    """A value as JSON with an ETag of what it says; 304 when the client has just that."""
    answer = PlainJson(content)
    tag = f'W/"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    if tag in _known(request):
        return Response(status_code=304, headers={"ETag": tag})
    answer.headers["ETag"] = tag
    return answer


def tagged(request: Request, reader: Reader, make: Callable[[], Any]) -> Response:
    """What ``make`` returns, as JSON with an ETag; 304, without calling it, when the client has that already."""
    # The tag is read first: after a change in between it is too old, never too new.
    tag = _tag(request, reader.change_tag())
    if tag in _known(request):
        return Response(status_code=304, headers={"ETag": tag})
    return PlainJson(make(), headers={"ETag": tag})


class PlainJson(JSONResponse):
    """JSON in ASCII alone: what a row holds reaches into no terminal, and reorders nothing there."""

    def render(self, content: Any) -> bytes:
        """The value, without spaces."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def _tag(request: Request, change: str) -> str:
    asked = f"{request.url.path}?{request.url.query} {change}"
    return f'W/"{hashlib.sha256(asked.encode()).hexdigest()[:32]}"'


def _known(request: Request) -> list[str]:
    return [tag.strip() for tag in ",".join(request.headers.getlist("if-none-match")).split(",")]
