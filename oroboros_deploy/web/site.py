"""The registry as an application of its own: the API and the page, behind the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exception_handlers import http_exception_handler
from starlette.middleware.gzip import GZipMiddleware

from ..registry import Registry
from ..version import __version__
from .api import ReaderProvider, router
from .guard import LOOPBACK, Guard
from .links import Links
from .pages import pages
from .rendering import missing
from .route import only_known_parameters
from .shapes import Problem
from .tokens import Tokens

_SMALL = 1000  # bytes that are sent as they are
_OPENAPI = "/api/openapi.json"
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The Host header is not a name of this server, or a token is in the URL"},
    401: {"model": Problem, "description": "A token is needed"},
}


def application(
    registry_url: str, *, tokens: Tokens | None = None, allowed_hosts: Collection[str] = LOOPBACK
) -> FastAPI:
    """An ASGI application over one registry; ConfigError when the URL is wrong.

    With ``tokens`` every request needs one of them; ``allowed_hosts`` are the names, without a
    port, that a request may use for this server.  The registry is closed when the server ends (ASGI's lifespan).
    """
    registry = Registry.open(registry_url, owner="theirs")  # who reads makes no table of others
    app = site(lambda: registry.reader, tokens=tokens, allowed_hosts=allowed_hosts)
    app.router.lifespan_context = _closing(registry)
    return app


def site(
    reader_provider: ReaderProvider,
    *,
    tokens: Tokens | None = None,
    allowed_hosts: Collection[str] = LOOPBACK,
    root_path: str = "",
    links: Links | None = None,
    program: str = "fab",
) -> FastAPI:
    """`application`, over a registry that is open already.

    ``root_path`` is where a proxy shows it, ``links`` say where people read commits, ``program`` is what they type.
    """
    # No pages of API documentation: they load scripts from other servers.
    app = FastAPI(title="oroboros_deploy", version=__version__, openapi_url=_OPENAPI, docs_url=None, redoc_url=None)
    app.include_router(router(reader_provider), responses=_REFUSALS, dependencies=[Depends(only_known_parameters)])
    app.include_router(pages(reader_provider, links, program))
    if tokens:
        app.openapi = lambda: _with_schemes(app)  # type: ignore[method-assign]
    app.add_exception_handler(404, _not_found)  # type: ignore[arg-type]
    app.add_middleware(GZipMiddleware, minimum_size=_SMALL)
    app.add_middleware(Guard, allowed_hosts=allowed_hosts, tokens=tokens, root_path=root_path)
    return app


def _closing(registry: Registry) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """The life of an application that has a registry of its own: it is closed at the end."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            registry.close()

    return life


def _with_schemes(app: FastAPI) -> dict[str, Any]:
    """The API's description, with the ways in which the guard takes a token."""
    described = FastAPI.openapi(app)
    described["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "password": {"type": "http", "scheme": "basic", "description": "any user name, and a token"},
    }
    described["security"] = [{"token": []}, {"password": []}]
    return described


async def _not_found(request: Request, error: HTTPException) -> Response:
    """A page where a browser asks for one."""
    wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
    return missing(request) if wants_page else await http_exception_handler(request, error)
