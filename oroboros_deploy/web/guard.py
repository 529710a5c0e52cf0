"""Who may ask, and by what name: what every request passes before anything else sees it."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Collection
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .tokens import Tokens

HEALTH = "/healthz"  # what a balancer asks, by any name and without a token: whether this process answers, no more
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})

_log = logging.getLogger(__name__)
_SECRETS = {"token", "access_token", "api_key", "apikey", "key", "password", "authorization", "auth"}
_UNKNOWN = (
    "The request has no valid token: send Authorization: Bearer TOKEN "
    "(`fab token --name=NAME` on the machine that serves this makes one)"
)
_ASK = {"WWW-Authenticate": 'Basic realm="oroboros_deploy", charset="UTF-8", Bearer realm="oroboros_deploy"'}
_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",  # pages say what they need themselves
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware: refuses unknown Host headers and strangers, and sets the security headers of every answer.

    With ``tokens`` a request needs one, as ``Authorization: Bearer TOKEN`` or, for browsers,
    as the password of HTTP Basic with any user name.  ``root_path`` is where a proxy shows the application.
    """

    def __init__(
        self, app: ASGIApp, *, allowed_hosts: Collection[str], tokens: Tokens | None, root_path: str = ""
    ) -> None:
        self._app = app
        self._allowed_hosts = {name.lower() for name in allowed_hosts}
        self._tokens = tokens
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        scope["root_path"] = self._root_path or scope.get("root_path", "")
        answer = _Answer(send)
        if scope["path"].removeprefix(scope["root_path"]) == HEALTH and scope["method"] in ("GET", "HEAD"):
            return await JSONResponse({"status": "ok"})(scope, receive, answer)
        try:
            await (self._refusal(scope) or self._app)(scope, receive, answer)
        except Exception:
            # The page would show it otherwise, or a server's own error page without our headers.
            _log.exception("%s %s failed", scope["method"], scope["path"])
            if answer.started:
                raise
            await _problem(500, "Internal Server Error")(scope, receive, answer)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        if not self._knows(headers.getlist("host")):
            return _problem(400, "Unknown Host header")
        if _names(scope["query_string"]) & _SECRETS:
            return _problem(400, "A token is never part of a URL: send it as Authorization: Bearer TOKEN")
        if self._tokens and not self._tokens.accepts(_token(headers)):
            return _problem(401, _UNKNOWN, _ASK)
        return None

    def _knows(self, hosts: list[str]) -> bool:
        return len(hosts) == 1 and _without_port(hosts[0].lower()) in self._allowed_hosts


class _Answer:
    """Sends on, with our headers; remembers whether anything was sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)


def _names(query: bytes) -> set[str]:
    return {name.lower() for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)}


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isascii() and port.isdigit() else host


def _token(headers: Headers) -> bytes:
    """The token that was sent, as bytes: it may be anything, and only bytes compare in constant time."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    sent = value.strip().encode("latin-1")
    if scheme.lower() != "basic":
        return sent if scheme.lower() == "bearer" else b""
    try:
        return base64.b64decode(sent, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""
