"""Answers that cost nothing when nothing has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..registry.reading import Reader


def tagged(request: Request, reader: Reader, make: Callable[[], Any]) -> Response:
    """What ``make`` returns, as JSON with an ETag; 304, without calling it, when the client has that already."""
    # The tag is read first: after a change in between it is too old, never too new.
    tag = _tag(request, reader.change_tag())
    if tag in _known(request):
        return Response(status_code=304, headers={"ETag": tag})
    return JSONResponse(make(), headers={"ETag": tag})


def _tag(request: Request, change: str) -> str:
    asked = f"{request.url.path}?{request.url.query} {change}"
    return f'W/"{hashlib.sha256(asked.encode()).hexdigest()[:32]}"'


def _known(request: Request) -> list[str]:
    return [tag.strip() for tag in ",".join(request.headers.getlist("if-none-match")).split(",")]
