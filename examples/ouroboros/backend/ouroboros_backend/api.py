"""The HTTP API, on a unix socket behind Caddy."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

from waitress.server import create_server

from .readiness import ready
from .release import commit

SOCKET = os.environ.get("API_SOCKET", "/run/ouroboros/api.sock")
GREETING = "The serpent eats its tail."

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


def main() -> None:
    """Serve until SIGTERM, then finish the requests at hand."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    answers = {"/api/health": {"status": "ok", "commit": commit()}, "/api/greeting": {"greeting": GREETING}}
    server = create_server(application(answers), unix_socket=SOCKET, unix_socket_perms="666", threads=4)
    ready()
    server.run()


def application(answers: dict[str, dict[str, str]]) -> Application:
    """A WSGI application that gives each path its answer, and anything else a 404."""

    def respond(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        answer = answers.get(environ["PATH_INFO"])
        start_response("200 OK" if answer else "404 Not Found", [("Content-Type", "application/json")])
        return [json.dumps(answer or {"detail": "Not found"}).encode()]

    return respond
