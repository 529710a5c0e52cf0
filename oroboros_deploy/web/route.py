"""The routes of this room: they read, so GET and HEAD are all that they answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from ..errors import InvalidInput, RegistryUnavailable

_log = logging.getLogger(__name__)
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


class ApiRoute(ReadRoute):
    """A route whose refusals all have one shape, and name neither the database nor what was sent to it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_or_refuse(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                return _refusal(422, _in_words(error.errors()))
            except InvalidInput as error:
                return _refusal(422, error.message)
            except RegistryUnavailable as error:
                log_cause(error)
                return _refusal(503, "The registry does not answer", {"Retry-After": "5"})

        return handle_or_refuse


def log_cause(error: RegistryUnavailable) -> None:
    """Say to whoever reads the server's output why the registry does not answer; the answer itself names no cause."""
    _log.error("%s", error)


def only_known_parameters(request: Request) -> None:
    """A dependency that refuses a parameter that the route does not have: a filter with a typo would filter nothing.

    It is for an application of ours: in another one, a parameter may be that application's.
    """
    known = {*_parameters(request.scope["route"].dependant)}
    message = f"no such parameter; there is {', '.join(sorted(known)) or 'none'}"
    if unknown := sorted({*request.query_params} - known):
        raise RequestValidationError([{"loc": ("query", name), "msg": message} for name in unknown])


def wants_body(request: Request) -> bool:
    """Whether what comes after the headers is sent."""
    return _HEAD not in request.scope


def _parameters(dependant: Dependant) -> Iterator[str]:
    yield from (each.alias for each in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _parameters(inner)


def _in_words(errors: Sequence[dict[str, Any]]) -> str:
    """Each parameter with what is wrong with it, without the names of our types."""
    told: dict[str, str] = {}
    for error in errors:  # that it might have been left out is the last thing told of a parameter
        told.setdefault(": ".join(map(str, error["loc"][1:2])), str(error["msg"]).removeprefix("Value error, "))
    return "; ".join(f"{name}: {message}" if name else message for name, message in told.items())


def _refusal(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)
