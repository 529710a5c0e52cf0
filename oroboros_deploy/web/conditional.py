"""Answers that cost nothing when nothing has changed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..registry.reading import Reader

Result = TypeVar("Result")
_MOST = 64  # answers that are kept: anybody may ask for figures of anything
MUCH = 0.1  # seconds of work from which on an answer may be given again although something has changed
_LONGEST = 30.0  # seconds for which an answer may be given after a change
PATIENCE = 50.0  # times the work that figures took: of 100,000 attempts they are half a minute old at most


class Kept:
    """Answers that cost much, kept until the registry changes; each is made by one of those who ask at once.

    The others wait for it, and take it when it was begun after they asked: then it tells all that they may know of,
    also while the registry changes with every question.

    ``patience`` is for how many times what an answer took it may be given although the registry has changed; one that
    took little is always made anew.  So what computes over a large registry is no load, however often that changes.
    """

    def __init__(self, patience: float = 0.0) -> None:
        self._patience = patience
        self._lock = Lock()
        self._answers: dict[Hashable, _Answer] = {}

    def get(self, reader: Reader, key: Hashable, make: Callable[[], Result]) -> Result:
        """What ``make`` returns, or returned for this key since the last change."""
        asked = time.monotonic()
        of = (reader.source, reader.change_tag())
        found: Result = self._answer(key).give(of, asked, make, self._patience)
        return found

    def _answer(self, key: Hashable) -> _Answer:
        with self._lock:
            if key not in self._answers and len(self._answers) >= _MOST:
                self._answers.clear()
            return self._answers.setdefault(key, _Answer())


class _Answer:
    """An answer, of which registry and since which of its changes it is, and when it was begun."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._of: tuple[object, str] | None = None
        self._value: Any = None
        self._error: Exception | None = None
        self._began = self._until = 0.0

    def give(self, of: tuple[object, str], asked: float, make: Callable[[], Any], patience: float) -> Any:
        """The answer for who asked then about a registry at a change; what went wrong is raised."""
        with self._lock:
            if not self._serves(of, asked):
                self._make(of, make, patience)
            if self._error:
                raise self._error
            return self._value

    def _serves(self, of: tuple[object, str], asked: float) -> bool:
        if self._of is None or self._of[0] != of[0]:
            return False
        if self._began > asked:
            return True
        return not self._error and (self._of == of or time.monotonic() < self._until)

    def _make(self, of: tuple[object, str], make: Callable[[], Any], patience: float) -> None:
        """Make it, and remember for how long it may be given after a change."""
        self._of, self._error, self._value = None, None, None
        self._began, self._until, worked = time.monotonic(), 0.0, time.thread_time()
        try:
            self._value = make()
        except Exception as error:
            self._error = error
        self._of = of
        if (cost := time.thread_time() - worked) > MUCH and not self._error:
            self._until = time.monotonic() + min(patience * cost, _LONGEST)


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
