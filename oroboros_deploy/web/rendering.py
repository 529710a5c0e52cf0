"""Answers that people read: the templates, what they need, and the files beside them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..errors import DeployError, InvalidInput
from ..text import UNITS, changed_names
from . import display, ending
from .links import Links
from .overview import put_back, seen

OVERVIEW = "oroboros_overview"  # the route whose path all others begin with

# For the HTML alone: nothing inline, nothing from elsewhere, no framing.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_HERE = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


def page(request: Request, name: str, status: int = 200, **values: Any) -> Response:
    """A template's page."""
    base = request.url_for(OVERVIEW).path.rstrip("/")
    links = getattr(request.state, "links", Links())
    heard, program = getattr(request.state, "heard", None), getattr(request.state, "program", "fab")
    told = {"page": name, "base": base, "links": links, "heard": heard, "program": program}
    html = _templates.get_template(f"{name}.html").render(**told, **values)
    return HTMLResponse(html, status, headers=HEADERS)


def error_page(request: Request, status: int, title: str, message: str, error: DeployError | None = None) -> Response:
    """``error`` gives the hint, but only where whoever asked can act on it."""
    hint = error.hint if isinstance(error, InvalidInput) else None
    return page(request, "error", status=status, title=title, message=message, hint=hint)


def missing(request: Request) -> Response:
    """The answer to a path that leads nowhere."""
    return error_page(request, 404, "Not found", "There is no such page.")


def found(value: Any, what: str) -> Any:
    """What was found; 404 for None, which names ``what`` there is none of."""
    if value is None:
        raise HTTPException(404, f"The registry knows no {what}.")
    return value


def static_file(name: str) -> Response:
    """A file that pages name by its content, so that it may be kept for ever."""
    data, media_type, _ = found(_STATIC.get(name), f"file {name}")
    return Response(data, media_type=media_type, headers=_FOR_EVER)


def _read_static() -> dict[str, tuple[bytes, str, str]]:
    files = sorted((_HERE / "static").iterdir())
    read = {path.name: (path.read_bytes(), _TYPES[path.suffix]) for path in files if path.suffix in _TYPES}
    return {name: (data, kind, hashlib.sha256(data).hexdigest()[:12]) for name, (data, kind) in read.items()}


def _make_templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=display.readable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = (
        "ago",
        "at_work",
        "doing",
        "duration",
        "elapsed",
        "looks",
        "moment",
        "frequency",
        "reaching",
        "short",
        "spans",
        "steps",
        "stretch",
        "terse",
        "when",
    )
    made.filters |= {name: getattr(display, name) for name in names}
    ends = (
        "called",
        "came_of",
        "came_to",
        "cause",
        "does",
        "failing",
        "going",
        "lost_by",
        "said",
        "serves_then",
        "spread",
    )
    made.filters |= {name: getattr(ending, name) for name in (*ends, "stands", "why", "worst_first")}
    made.filters |= {"seen": seen, "put_back": put_back}
    made.filters["changed_names"] = changed_names
    made.filters["part"] = lambda text: quote(text, safe="")
    made.globals["units"] = UNITS
    made.globals["version_of"] = lambda name: _STATIC[name][2]
    return made


_STATIC = _read_static()
_templates = _make_templates()
