"""What is written of each request."""

from __future__ import annotations

import re

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from oroboros_deploy.web.access_log import AccessLog


def test_a_line_for_each_request_without_its_secrets() -> None:
    """A line has time, asker, method, path, status and duration; a query, where a token may be, is in none."""
    lines: list[str] = []
    client = TestClient(Starlette(middleware=[Middleware(AccessLog, show=lines.append)]))
    client.get("/a%0Ab?token=secret", headers={"Authorization": "Bearer secret"})
    form = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ testclient GET /a%0Ab 404 \d+ ms"
    assert (len(lines), bool(re.fullmatch(form, lines[0]))) == (1, True), lines
