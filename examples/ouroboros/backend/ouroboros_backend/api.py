"""The HTTP API, on a unix socket behind Caddy."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from waitress.server import create_server

from .readiness import ready
from .release import commit
from .uploads import Uploads

SOCKET = os.environ.get("API_SOCKET", "/run/ouroboros/api.sock")
GREETING = "The serpent eats its tail."
UPLOADS = "/api/uploads/"

Answers = dict[str, dict[str, Any]]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


def main() -> None:
    """Serve until SIGTERM, then finish the requests at hand."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    threads, limit = asked().threads, upload_limit()
    health = {"status": "ok", "commit": commit(), "threads": threads, "upload_limit": limit}
    answers = {"/api/health": health, "/api/greeting": {"greeting": GREETING}}
    uploads = Uploads(Path.cwd().parent / "uploads", os.environ.get("UPLOAD_KEY", ""))
    server = create_server(
        application(answers, uploads),
        unix_socket=SOCKET,
        unix_socket_perms="666",
        threads=threads,
        max_request_body_size=limit,
    )
    ready()
    server.run()


def asked() -> argparse.Namespace:
    """What the unit asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=4)
    return parser.parse_args()


def upload_limit() -> int:
    """How many bytes a file may have, as the configuration says; ends the program when that is no number."""
    try:
        return int(os.environ.get("UPLOAD_LIMIT", "1000000"))
    except ValueError:
        sys.exit("UPLOAD_LIMIT is not a number of bytes")


def application(answers: Answers, uploads: Uploads) -> Application:
    """A WSGI application that gives each path its answer, takes and gives uploads, and says 404 to anything else."""

    def respond(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        status, kind, content = answer(environ, answers, uploads)
        start_response(status, [("Content-Type", kind)])
        return [content]

    return respond


def answer(environ: dict[str, Any], answers: Answers, uploads: Uploads) -> tuple[str, str, bytes]:
    """The status, the type and the content of one answer."""
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    name = path[len(UPLOADS) :] if path.startswith(UPLOADS) else ""
    if name and method == "PUT":
        status = uploads.put(name, environ["wsgi.input"].read(), environ.get("HTTP_AUTHORIZATION", ""))
        return status, "application/json", json.dumps({"detail": status}).encode()
    content = uploads.get(name) if name else None
    if content is not None:
        return "200 OK", "application/octet-stream", content
    found = answers.get(path)
    detail = found or {"detail": "Not found"}
    return "200 OK" if found else "404 Not Found", "application/json", json.dumps(detail).encode()
