"""A line for each request that was answered: who asked for what, what came of it, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class AccessLog:
    """ASGI middleware; ``show`` gets the lines. They have no query and no headers, where a token might be."""

    def __init__(self, app: ASGIApp, *, show: Callable[[str], None]) -> None:
        self._app = app
        self._show = show

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status, began = 0, time.monotonic()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            self._show(_line(scope, status, time.monotonic() - began))
        return None


def _line(scope: Scope, status: int, seconds: float) -> str:
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    asker = scope["client"][0] if scope.get("client") else "-"
    return f"{at} {asker} {scope['method']} {quote(scope['path'])} {status or '-'} {seconds * 1000:.0f} ms"
