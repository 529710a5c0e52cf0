"""HEAD: what GET would answer, of which the server sends the headers alone."""

from __future__ import annotations

from fastapi import HTTPException
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

_READS = ("GET", "HEAD")


class HeadRoute(APIRoute):
    """A GET route that answers HEAD as well, without a line of its own in the API's description."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; 405 to everything that is no reading."""
        if scope["method"] not in _READS:
            raise HTTPException(405, headers={"Allow": ", ".join(_READS)})
        await self.app(scope, receive, send)
