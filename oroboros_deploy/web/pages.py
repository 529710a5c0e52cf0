"""The registry as pages that people read; the script only keeps them fresh."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..errors import DeployError, InvalidInput, RegistryUnavailable
from ..records.record import AttemptState
from ..registry.reading import Page, Reader
from . import display
from .plots import plots
from .route import ReadRoute

# For the HTML alone: nothing inline, nothing from elsewhere, no framing.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_HERE = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FILTERS = {
    "kind": "Kind",
    "state": "Outcome",
    "environment": "Environment",
    "host": "Host",
    "sha": "Commit",
    "since": "From",
    "until": "To",
}
_TRAIL = 30  # pages that "newer" finds its way back through
_HOST_FILTERS = ("environment", "prefix", "release_id", "drift")
_PAGE = 30
_HOSTS = 100
_EVENTS = 500
_DAYS = (30, 90, 365)


def pages(reader_provider: Callable[..., Reader]) -> APIRouter:
    """The pages, as a router for any FastAPI application.

    ``reader_provider`` is a FastAPI dependency that gives a `Reader`.  The script listens
    at ``api/live`` beside the overview; without that route the pages stay as they were served.
    """
    router = APIRouter(route_class=_PageRoute, include_in_schema=False, default_response_class=HTMLResponse)
    given = Depends(reader_provider)

    @router.get("/", name="oroboros_overview")
    def overview(request: Request, reader: Reader = given) -> Response:
        asked = _asked(request, _FILTERS)
        after, trail = request.query_params.get("after"), request.query_params.getlist("trail")
        found, wrong = _attempts_that(reader, asked, after)
        hosts = reader.hosts(_HOSTS)
        known, drifting = reader.host_counts()
        return _page(
            request,
            "overview",
            status=400 if wrong else 200,
            wrong=wrong,
            running=reader.attempts(_PAGE, state=AttemptState.RUNNING).items,
            lost=_unanswered(reader.attempts(_PAGE, state=AttemptState.LOST).items, hosts.items),
            broken=[host for host in reader.broken_hosts() if not host["drift"]],
            known=known,
            drifting=drifting,
            environments=_by_environment(hosts.items),
            more_hosts=hosts.next and urlencode({"after": hosts.next}),
            names={"environment": reader.environments(), "host": [host["host"] for host in hosts.items]},
            attempts=found.items,
            asked=asked,
            without={name: urlencode({key: asked[key] for key in asked if key != name}) for name in asked},
            older=_older(asked, found.next, after, trail),
            newer=_newer(asked, after, trail),
            labels=_FILTERS,
            states=list(AttemptState),
        )

    @router.get("/attempts/{attempt}")
    def attempt(request: Request, attempt: str, reader: Reader = given) -> Response:
        after = _number(request, "events_after", 0)
        events = reader.events(attempt=attempt, after=after, limit=_EVENTS)
        found = _found(reader.attempt(attempt), f"attempt {attempt}")
        more = events[-1]["id"] if len(events) == _EVENTS else None
        return _page(request, "attempt", attempt=found, events=events, more=more)

    @router.get("/releases/{release_id}")
    def release(request: Request, release_id: str, reader: Reader = given) -> Response:
        attempts = _attempts_of(reader, release_id)
        newest = reader.attempt(attempts[0]["attempt"]) if attempts else None
        row = reader.release(release_id)
        serving = reader.hosts(_HOSTS, release_id=release_id)
        _found(row or newest, f"release {release_id}")
        return _page(
            request,
            "release",
            release_id=release_id,
            row=row,
            newest=newest,
            attempts=attempts,
            serving=serving.items,
            more_hosts=serving.next and urlencode({"release_id": release_id, "after": serving.next}),
        )

    @router.get("/hosts")
    def hosts(request: Request, reader: Reader = given) -> Response:
        asked = _asked(request, _HOST_FILTERS)
        after, trail = request.query_params.get("after"), request.query_params.getlist("trail")
        names = {name: asked.get(name) for name in ("environment", "prefix", "release_id")}
        found = reader.hosts(_HOSTS, after, drift="drift" in asked, **names)
        return _page(
            request,
            "hosts",
            environments=_by_environment(found.items),
            names=reader.environments(),
            asked=asked,
            older=_older(asked, found.next, after, trail),
            newer=_newer(asked, after, trail),
        )

    @router.get("/hosts/{host:path}")
    def host(request: Request, host: str, reader: Reader = given) -> Response:
        after, trail = request.query_params.get("after"), request.query_params.getlist("trail")
        found = reader.attempts(_PAGE, after, host=host)
        serving = reader.host(host)
        _found(serving or found.items or None, f"host {host}")
        return _page(
            request,
            "host",
            host=host,
            serving=serving,
            attempts=found.items,
            older=_older({}, found.next, after, trail),
            newer=_newer({}, after, trail),
        )

    @router.get("/figures")
    def figures(request: Request, reader: Reader = given) -> Response:
        environment = request.query_params.get("environment") or None
        days = _number(request, "days", 90)
        found = reader.figures(environment=environment, days=days)
        return _page(
            request,
            "figures",
            figures=found,
            plots=plots(found.series),
            names=reader.environments(),
            choices=_DAYS,
            query=urlencode,
        )

    @router.get("/static/{name}")
    async def static(name: str) -> Response:  # in no thread: those may all wait for a slow database
        data, media_type, _ = _found(_STATIC.get(name), f"file {name}")
        return Response(data, media_type=media_type, headers={"Cache-Control": "public, max-age=31536000, immutable"})

    return router


class _PageRoute(ReadRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_or_explain(request: Request) -> Response:
            try:
                return await handle(request)
            except InvalidInput as error:
                return _error(request, 400, "That cannot be shown", error.message, error)
            except RegistryUnavailable as error:
                return _error(request, 503, "The registry does not answer", "Its database could not be read.", error)
            except HTTPException as error:
                return _error(request, error.status_code, "Not found", str(error.detail))

        return handle_or_explain


def _error(request: Request, status: int, title: str, message: str, error: DeployError | None = None) -> Response:
    """``error`` gives the hint, but only where whoever asked can act on it."""
    hint = error.hint if isinstance(error, InvalidInput) else None
    return _page(request, "error", status=status, title=title, message=message, hint=hint)


def missing(request: Request) -> Response:
    """The answer to a path that leads nowhere."""
    return _error(request, 404, "Not found", "There is no such page.")


def _page(request: Request, name: str, status: int = 200, **values: Any) -> Response:
    base = request.url_for("oroboros_overview").path.rstrip("/")
    html = _templates.get_template(f"{name}.html").render(page=name, base=base, **values)
    return HTMLResponse(html, status, headers=_HEADERS)


def _found(value: Any, what: str) -> Any:
    if value is None:
        raise HTTPException(404, f"The registry knows no {what}.")
    return value


def _attempts_of(reader: Reader, release_id: str) -> list[dict[str, Any]]:
    """The newest attempts of exactly that release; a release id written by other programs may be no sha at all."""
    try:
        return [row for row in reader.attempts(sha=release_id).items if row["release_id"] == release_id]
    except InvalidInput:
        return []


def _asked(request: Request, filters: Iterable[str]) -> dict[str, str]:
    return {name: value for name in filters if (value := request.query_params.get(name, "").strip())}


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InvalidInput(f"{name}={text!r} is no number", hint=f"such as {name}={default}")
    return int(text)


def _attempts_that(reader: Reader, asked: Mapping[str, str], after: str | None) -> tuple[Page, InvalidInput | None]:
    """A page of those that pass the filters; none, and why, when one of the filters means nothing."""
    try:
        return reader.attempts(_PAGE, after, **_meant(asked)), None
    except InvalidInput as error:
        return Page([], None), error


def _meant(asked: Mapping[str, str]) -> dict[str, str]:
    """The filters with days, as a date field gives them, made the moments they begin and end with, and a sha's case."""
    edges = {"since": "T00:00:00+00:00", "until": "T23:59:59.999999+00:00"}
    days = {name: value + edges[name] for name, value in asked.items() if name in edges and len(value) == 10}
    return {**asked, **days, **{name: value.lower() for name, value in asked.items() if name == "sha"}}


def _unanswered(lost: Iterable[dict[str, Any]], hosts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The lost attempts with a host that no later one has switched: there, nobody knows what serves."""
    since = {host["host"]: host["since"] or "" for host in hosts}
    return [each for each in lost if any(since.get(part["host"], "") < each["started_at"] for part in each["hosts"])]


def _older(asked: Mapping[str, str], following: str | None, after: str | None, trail: Sequence[str]) -> str | None:
    """The query for the page after this one; ``trail`` remembers the way back."""
    if following is None:
        return None
    back = [*trail, after][-_TRAIL:] if after else []
    return urlencode({**asked, "after": following, "trail": back}, doseq=True)


def _newer(asked: Mapping[str, str], after: str | None, trail: Sequence[str]) -> str | None:
    """The query for the page before this one: "" is the first page, None when this is the first."""
    if after is None:
        return None
    back = {"after": trail[-1], "trail": trail[:-1]} if trail else {}
    return urlencode({**asked, **back}, doseq=True)


def _by_environment(hosts: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    def environment(host: Mapping[str, Any]) -> str:
        return host["environment"] or ""

    ordered = sorted(hosts, key=lambda host: (not environment(host), environment(host), host["host"]))
    return [(name, list(group)) for name, group in groupby(ordered, environment)]


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
    made.filters |= {
        "ago": display.ago,
        "doing": display.doing,
        "duration": display.duration,
        "looks": display.looks,
        "moment": display.moment,
        "frequency": display.frequency,
        "part": lambda text: quote(text, safe=""),
        "short": display.short,
        "spans": display.spans,
        "steps": display.steps,
        "terse": display.terse,
    }
    made.globals["version_of"] = lambda name: _STATIC[name][2]
    return made


_STATIC = _read_static()
_templates = _make_templates()
