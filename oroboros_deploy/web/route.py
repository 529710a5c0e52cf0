"""The routes of this room: they read, so GET and HEAD are all that they answer."""

from __future__ import annotations

from fastapi import HTTPException, Request
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

_HEAD = "oroboros_deploy.head"  # in the scope of a request that came as HEAD


class ReadRoute(APIRoute):
    """A GET route that answers HEAD as well, without a line of its own in the API's description.

    FastAPI handles the request, because only FastAPI knows what an application demanded
    when it included the router: to call the route's own ``app`` would pass over that.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer HEAD as GET, whose body the server leaves out; 405 to everything that is no reading."""
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET", _HEAD: True}
        elif scope["method"] != "GET":
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        await super().handle(scope, receive, send)


def wants_body(request: Request) -> bool:
    """Whether what comes after the headers is sent."""
    return _HEAD not in request.scope
