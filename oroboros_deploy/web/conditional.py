"""Answers that cost nothing when nothing has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..registry.reading import Reader

Result = TypeVar("Result")
_MOST = 64  # answers that are kept: anybody may ask for figures of anything


class Kept:
    """Answers that cost much, kept until the registry changes; each is made once, also when many ask at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._of: tuple[object, str] | None = None
        self._answers: dict[Hashable, Future[Any]] = {}

    def get(self, reader: Reader, key: Hashable, make: Callable[[], Result]) -> Result:
        """What ``make`` returns, or returned for this key since the last change."""
        of = (reader.source, reader.change_tag())
        with self._lock:
            if of != self._of or len(self._answers) >= _MOST:
                self._of, self._answers = of, {}
            answer: Future[Result] | None = self._answers.get(key)
            if answer is None:
                self._answers[key] = made = Future[Result]()
        return answer.result() if answer else self._made(made, key, make)

    def _made(self, answer: Future[Result], key: Hashable, make: Callable[[], Result]) -> Result:
        try:
            answer.set_result(make())
        except BaseException as error:
            with self._lock:  # who asks next tries again
                self._answers.pop(key, None)
            answer.set_exception(error)
        return answer.result()


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
