"""The registry over HTTP, for reading only: one router, for an application of ours or of somebody else's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import AfterValidator
from pydantic.json_schema import SkipJsonSchema

from ..errors import InvalidInput
from ..outcome import Kind
from ..records.status import Status
from ..registry.checks import parse_time
from ..registry.reading import Page, Reader
from . import live, metrics, shapes
from .conditional import PATIENCE, Kept, by_content, tagged
from .route import ApiRoute
from .spreadsheet import MEDIA_TYPE, Spreadsheet

ReaderProvider = Callable[..., Reader]


def _moment(text: str) -> str:
    """A time as the registry reads it; ValueError, which the answer tells, when it cannot."""
    try:
        return parse_time(text).isoformat()
    except InvalidInput as error:
        raise ValueError(error.message) from error


_Absent = SkipJsonSchema[None]  # a parameter may be left out, but nobody can send a null in a URL
_Limit = Annotated[int, Query(ge=1, le=500, description="how many at most")]
_Name = Annotated[str, Query(max_length=255)]
_Moment = Annotated[str, AfterValidator(_moment), Query(json_schema_extra={"format": "date-time"})]
_Cursor = Annotated[str, Query(max_length=255, description="`next` of the page before")]
_Status = Annotated[Status | Literal[""], Query(description="only those with this status")]
_Row = Annotated[int, Query(ge=1, le=2**31 - 1, description="the `id` of the last release of the page before")]
_Release = Annotated[str, Query(max_length=255, description="release id, or how it begins")]
_Sha = Annotated[str, Query(pattern=r"^[0-9a-f]{4,64}$", description="commit sha, or how it begins")]


def _attempt_filters(
    kind: Kind | _Absent = None,
    state: shapes.AttemptState | _Absent = None,
    host: _Name | _Absent = None,
    environment: _Name | _Absent = None,
    since: _Moment | _Absent = None,
    until: _Moment | _Absent = None,
    sha: _Sha | _Absent = None,
    actor: _Name | _Absent = None,
    subject: _Name | _Absent = None,
) -> dict[str, Any]:
    """The filters of every list of attempts."""
    found = {"kind": kind, "state": state, "host": host, "environment": environment, "sha": sha}
    return found | {"since": since, "until": until, "actor": actor, "subject": subject}


_Filters = Annotated[dict[str, Any], Depends(_attempt_filters)]
_Responses = dict[int | str, dict[str, Any]]
_REFUSED: _Responses = {
    422: {"model": shapes.Problem, "description": "A parameter is unknown, or its value is not valid"},
    503: {"model": shapes.Problem, "description": "The registry's database does not answer"},
}
_UNCHANGED: _Responses = {304: {"description": "What you have is still right, by its ETag"}}
_SHEET: _Responses = {200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}}
_MISSING: _Responses = {404: {"model": shapes.Problem, "description": "There is none"}}


def router(reader_provider: ReaderProvider) -> APIRouter:
    """The routes under ``/api``, and ``/metrics``.

    ``reader_provider`` returns the Reader to answer from; it is a FastAPI dependency, so it
    may depend on a session of the application's own.  The router guards nothing: who may
    ask, and security headers, are the business of the application it is included in.
    """
    api = APIRouter(
        tags=["registry"],
        responses=_REFUSED,
        route_class=ApiRoute,
        generate_unique_id_function=lambda route: f"oroboros_{route.name}",
    )
    reads = Depends(reader_provider)
    for add in (_releases, _attempts, _events, _hosts, _figures, live.add):
        add(api, reads)
    return api


def _releases(api: APIRouter, reads: Any) -> None:
    @api.get("/api/releases", response_model=list[shapes.Release], responses=_UNCHANGED)
    def releases(
        request: Request,
        reader: Reader = reads,
        limit: _Limit = 100,
        status: _Status | _Absent = None,
        after: _Row | _Absent = None,
    ) -> Response:
        """The newest releases first."""
        return tagged(request, reader, lambda: reader.releases(limit, status or None, after))

    @api.get("/api/releases/{release_id}", response_model=shapes.Release, responses=_UNCHANGED | _MISSING)
    def release(request: Request, release_id: str, reader: Reader = reads) -> Response:
        """One release."""
        return tagged(request, reader, lambda: _found(reader.release(release_id), "Release"))


def _attempts(api: APIRouter, reads: Any) -> None:
    @api.get("/api/attempts", response_model=shapes.AttemptPage, responses=_UNCHANGED)
    def attempts(
        request: Request,
        filters: _Filters,
        reader: Reader = reads,
        limit: _Limit = 50,
        after: _Cursor | _Absent = None,
    ) -> Response:
        """Deploys and rollbacks, the newest first."""
        return tagged(request, reader, lambda: _page_of_attempts(reader, limit, after, filters))

    @api.get("/api/attempts.csv", response_class=Response, responses=_SHEET)
    def sheet(filters: _Filters, reader: Reader = reads) -> Response:
        """All of them as CSV, a line for each attempt, with the names of its hosts."""
        return Spreadsheet(reader.apart().every_attempt(**filters))

    @api.get("/api/attempts/{attempt}", response_model=shapes.AttemptInFull, responses=_UNCHANGED | _MISSING)
    def attempt(request: Request, attempt: str, reader: Reader = reads) -> Response:
        """One attempt, with its hosts and its commits."""
        return tagged(request, reader, lambda: _found(reader.attempt(attempt), "Attempt"))


def _events(api: APIRouter, reads: Any) -> None:
    @api.get("/api/events", response_model=shapes.EventPage, responses=_UNCHANGED)
    def events(
        request: Request,
        reader: Reader = reads,
        after: live.EventId = 0,
        limit: _Limit = 500,
        attempt: _Name | _Absent = None,
        host: _Name | _Absent = None,
        environment: _Name | _Absent = None,
        since: _Moment | _Absent = None,
        until: _Moment | _Absent = None,
    ) -> Response:
        """What happened, in the order in which it was recorded."""
        filters = {"attempt": attempt, "host": host, "environment": environment, "since": since, "until": until}
        return tagged(request, reader, lambda: _page(reader.events(after=after, limit=limit, **filters), limit))


def _hosts(api: APIRouter, reads: Any) -> None:
    @api.get("/api/hosts", response_model=shapes.HostPage, responses=_UNCHANGED)
    def hosts(
        request: Request,
        reader: Reader = reads,
        limit: _Limit = 100,
        after: _Cursor | _Absent = None,
        environment: _Name | _Absent = None,
        prefix: Annotated[str, Query(max_length=255, description="how the hosts' names begin")] | _Absent = None,
        release_id: _Release | _Absent = None,
        drift: Annotated[bool, Query(description="only hosts that differ from the registry")] = False,
    ) -> Response:
        """What runs where, and since when, by the hosts' names."""
        filters = {"environment": environment, "prefix": prefix, "release_id": release_id}
        return tagged(
            request, reader, lambda: _page_of_hosts(reader, reader.hosts(limit, after, drift=drift, **filters))
        )

    @api.get("/api/hosts/{host}", response_model=shapes.Host, responses=_UNCHANGED | _MISSING)
    def host(request: Request, host: str, reader: Reader = reads) -> Response:
        """What runs on one host."""
        return tagged(request, reader, lambda: _told_split(reader, [_found(reader.host(host), "Host")])[0])

    @api.get("/api/environments", response_model=list[str], responses=_UNCHANGED)
    def environments(request: Request, reader: Reader = reads) -> Response:
        """The environments that were deployed to."""
        return tagged(request, reader, reader.environments)


def _figures(api: APIRouter, reads: Any) -> None:
    kept = Kept(PATIENCE)

    @api.get("/api/figures", response_model=shapes.FigureSet, responses=_UNCHANGED)
    def figures(
        request: Request,
        reader: Reader = reads,
        environment: _Name | _Absent = None,
        days: Annotated[int, Query(ge=1, le=3650, description="how many days back")] = 90,
        every: Annotated[bool, Query(alias="all", description="of all environments, not of production alone")] = False,
    ) -> Response:
        """The four DORA measures: of one environment, or of those named prod and production; of all where none is."""

        def make() -> dict[str, Any]:
            return asdict(reader.figures(environment=environment, days=days, production=not every))

        return by_content(request, kept.get(reader, (environment, days, every), make))

    @api.get("/metrics", response_class=Response, responses=metrics.DESCRIBED)
    def prometheus(reader: Reader = reads) -> metrics.MetricsResponse:
        """The figures and what runs where, for Prometheus."""
        return metrics.MetricsResponse(kept.get(reader, "metrics", lambda: metrics.exposition(reader)))


def _found(row: dict[str, Any] | None, what: str) -> dict[str, Any]:
    if row is None:
        raise HTTPException(404, f"{what} not found")
    return row


def _page_of_attempts(reader: Reader, limit: int, after: str | None, filters: dict[str, Any]) -> dict[str, Any]:
    try:
        return asdict(reader.attempts(limit, after, **filters))
    except InvalidInput as error:  # everything else was checked: it is the cursor
        raise InvalidInput(f"after: {error.message}; begin again without after") from error


def _page_of_hosts(reader: Reader, page: Page) -> dict[str, Any]:
    return {"items": _told_split(reader, page.items), "next": page.next}


def _told_split(reader: Reader, hosts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The hosts, each with whether others of its application and environment serve another release."""
    serving = Counter((each["environment"], each["application"]) for each in reader.serving())
    return [{**host, "split": serving[host["environment"], host["application"]] > 1} for host in hosts]


def _page(events: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    return {"items": events, "next": events[-1]["id"] if len(events) == limit else None}
