"""Serve the registry: on loopback for anybody there, elsewhere only for who has a token."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Collection
from contextlib import suppress
from ipaddress import ip_address
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from ..errors import InvalidInput
from .access_log import AccessLog
from .api import ReaderProvider
from .guard import LOOPBACK
from .links import Links
from .patience import PatientProtocol
from .site import site
from .tokens import Tokens

_MOST_CONNECTIONS = 256
_ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


def listen(address: str, port: int) -> socket.socket:
    """A socket that listens; InvalidInput when that is not possible there."""
    try:
        family = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((address, port), family=family)
    except (OSError, OverflowError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise InvalidInput(
            f"cannot listen on {address} port {port}: {cause.partition(' (while')[0]}",
            hint="another --address or --port",
        ) from error
    # Connections inherit it: without it the body of an answer waits 40 ms for the acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def guarded(
    reader_provider: ReaderProvider,
    listener: socket.socket,
    tokens: Tokens,
    *,
    name: str = "localhost",
    authenticate: bool = False,
    allowed_hosts: Collection[str] = (),
    root_path: str = "",
    links: Links | None = None,
    program: str = "fab",
    show: Callable[[str], None] | None = None,
) -> FastAPI:
    """The application for a listener; InvalidInput when others could reach it and no token keeps them out.

    ``name`` is what the address was given as: a request may use it too; ``root_path`` where a proxy shows it;
    ``links`` say where people read commits, ``program`` what they type; ``show`` gets a line for each request that
    was answered.
    """
    address = listener.getsockname()[0]
    own = ip_address(address)
    needed = authenticate or not own.is_loopback
    if needed and not tokens.names():
        raise InvalidInput(
            f"nothing is served: on {address} everybody who reaches it could read, and there is no token",
            hint="fab token --name=NAME  makes one",
        )
    if own.is_unspecified and not allowed_hosts:
        raise InvalidInput(
            f"nothing is served: {address} is every address of this machine, so name the host in the page's URL",
            hint="--allowed-hosts='deploys.example.org'",
        )
    names = {*LOOPBACK, *allowed_hosts, name, f"[{address}]" if own.version == 6 else address}
    only = tokens if needed else None
    shown: dict[str, Any] = {"root_path": _path(root_path), "links": links, "program": program}
    app = site(reader_provider, tokens=only, allowed_hosts=names, **shown)
    if show:
        app.add_middleware(AccessLog, show=show)
    return app


def _path(text: str) -> str:
    if text and not _ROOT_PATH.fullmatch(text):
        raise InvalidInput(f"{text[:80]!r} is no path", hint="--root-path=/deploys")
    return text


def run(app: FastAPI, listener: socket.socket) -> None:
    """Serve until a signal ends it; Ctrl-C is the ordinary end."""
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        lifespan="off",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=2,
    )
    with suppress(KeyboardInterrupt):
        _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that tells the streams when it ends: it would wait for them, and they for news."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by a signal."""
        self.config.app.state.ending = True  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def url(listener: socket.socket) -> str:
    """Where a listener is reached."""
    address, port = listener.getsockname()[:2]
    return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"
