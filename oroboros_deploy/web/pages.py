"""The registry as pages that people read; the script only keeps them fresh."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from time import time
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

from ..errors import InvalidInput, RegistryUnavailable
from ..records.environments import reading_order
from ..records.figures import Figures
from ..records.record import AttemptState
from ..records.status import Status
from ..registry.reading import Page, Reader
from .asking import Place, asked, meant, number
from .bands import SOURCE, bands
from .conditional import PATIENCE, Kept
from .ending import REPLACED
from .links import Links
from .overview import HOSTS, attempts_of, by_environment, standing
from .plots import plots
from .rendering import HEADERS, OVERVIEW, error_page, found, page, static_file
from .route import ReadRoute, log_cause
from .typeable import Commands

_FILTERS = {
    "kind": "Kind",
    "state": "Outcome",
    "subject": "Subject",
    "actor": "Person",
    "environment": "Environment",
    "host": "Host",
    "sha": "Commit",
    "since": "From",
    "until": "To",
}
_HOST_FILTERS = ("environment", "prefix", "release_id", "drift")
PAGE = 30
_EVENTS = 500
_DAYS = (30, 90, 365)
_DAILY = 45  # days at most whose plots have a bar a day; of more, a bar a week


def pages(reader_provider: Callable[..., Reader], links: Links | None = None, program: str = "fab") -> APIRouter:
    """The pages, as a router for any FastAPI application.

    ``reader_provider`` is a FastAPI dependency that gives a `Reader`.  The script listens
    at ``api/live`` beside the overview; without that route the pages stay as they were served.
    ``links`` say where people read commits, ``program`` is what they type.
    """

    def lead(request: Request) -> None:
        request.state.links = links or Links()
        request.state.program = program

    leads = [Depends(lead)]
    router = APIRouter(
        route_class=_PageRoute, include_in_schema=False, default_response_class=HTMLResponse, dependencies=leads
    )

    reads = Depends(reader_provider)

    def heard(request: Request, reader: Reader = reads) -> Reader:
        request.state.heard = reader.last_event()  # before anything else is read: what comes later, the script hears
        return reader

    given = Depends(heard)
    for add in (_overview, _attempt, _releases, _release, _hosts, _host, _figures):
        add(router, given)

    @router.get("/static/{name}")
    async def static(name: str) -> Response:  # in no thread: those may all wait for a slow database
        return static_file(name)

    return router


def _overview(router: APIRouter, given: Any) -> None:
    kept = Kept()

    @router.get("/", name=OVERVIEW)
    def overview(request: Request, reader: Reader = given) -> Response:
        # Times are told by the minute, so a page is as good as new within one, while nothing happens.
        key = (request.url_for(OVERVIEW).path, request.url.query, int(time() // 60))
        made = kept.get(reader, key, lambda: _overview_page(request, reader))
        return HTMLResponse(made.body, made.status_code, headers=HEADERS)


def _overview_page(request: Request, reader: Reader) -> Response:
    filters, place = asked(request, _FILTERS), Place.of(request)
    shown, wrong = _attempts_that(reader, filters, place.after)
    return page(
        request,
        "overview",
        status=400 if wrong else 200,
        wrong=wrong,
        attempts=shown.items,
        asked=filters,
        without={name: urlencode({key: filters[key] for key in filters if key != name}) for name in filters},
        sheet=urlencode(meant(filters)),
        labels=_FILTERS,
        states=list(AttemptState),
        people=sorted({each["actor"] for each in shown.items}),
        typed=Commands(reader.targets, request.state.program),
        **standing(reader),
        **place.links(filters, shown.next),
    )


def _attempt(router: APIRouter, given: Any) -> None:
    @router.get("/attempts/{attempt}")
    def attempt(request: Request, attempt: str, reader: Reader = given) -> Response:
        after = number(request, "events_after", 0)
        events = reader.events(attempt=attempt, after=after, limit=_EVENTS)
        shown = found(reader.attempt(attempt), f"attempt {attempt}")
        more = events[-1]["id"] if len(events) == _EVENTS else None
        targets = reader.targets()
        building = _building(events) if shown["state"] == AttemptState.RUNNING else {}
        return page(
            request,
            "attempt",
            attempt=shown,
            events=events,
            more=more,
            building=building,
            usual=reader.part_seconds(building),
            shared=_shared(targets),
            typed=Commands(lambda: targets, request.state.program),
        )


_BUILT = ("part.failed", "release.sealed", "phase", "host.finished")  # no part is built any more after these


def _building(events: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The parts that each host builds now, by what happened so far."""
    found: dict[str, dict[str, None]] = {}
    for event in events:
        parts = found.setdefault(event["host"] or "", {})
        name = str(event["data"].get("part", ""))
        if event["name"] == "part.started":
            parts[name] = None
        elif event["name"] == "part.finished":
            parts.pop(name, None)
        elif event["name"] in _BUILT:
            parts.clear()
    return {host: [*parts] for host, parts in found.items() if parts}


def _releases(router: APIRouter, given: Any) -> None:
    @router.get("/releases")
    def releases(request: Request, reader: Reader = given) -> Response:
        status = request.query_params.get("status") or None
        after = number(request, "after", 0) or None
        rows = reader.releases(PAGE + 1, status, after)
        shown = rows[:PAGE]
        return page(
            request,
            "releases",
            releases=shown,
            brought=reader.brought([row["release_id"] for row in shown]),
            serving=_environments_by_release(reader),
            statuses=list(Status),
            asked=status,
            older=_query(status=status, after=shown[-1]["id"]) if len(rows) > PAGE else None,
            newest=_query(status=status) if after else None,
        )


def _environments_by_release(reader: Reader) -> dict[str, list[str]]:
    """In which environments each release serves now."""
    found: dict[str, list[str]] = {}
    for each in sorted(reader.serving(), key=lambda row: reading_order(row["environment"] or "")):
        names = found.setdefault(each["release_id"] or "", [])
        names += {each["environment"] or ""}.difference(names)  # several applications may serve one commit there
    return found


def _query(**values: object) -> str:
    return urlencode({name: value for name, value in values.items() if value is not None})


def _release(router: APIRouter, given: Any) -> None:
    @router.get("/releases/{release_id}")
    def release(request: Request, release_id: str, reader: Reader = given) -> Response:
        attempts = attempts_of(reader, release_id)
        newest = reader.attempt(attempts[0]["attempt"]) if attempts else None
        row = reader.release(release_id)
        beginning = reader.hosts(HOSTS, release_id=release_id)
        serving = replace(beginning, items=[each for each in beginning.items if each["release_id"] == release_id])
        found(row or newest, f"release {release_id}")
        return page(
            request,
            "release",
            release_id=release_id,
            row=row,
            newest=newest,
            commits=_commits(reader, attempts),
            before=_before(attempts),
            attempts=attempts,
            serving=serving.items,
            more_hosts=serving.next and urlencode({"release_id": release_id, "after": serving.next}),
            typed=Commands(reader.targets, request.state.program),
        )


def _hosts(router: APIRouter, given: Any) -> None:
    @router.get("/hosts")
    def hosts(request: Request, reader: Reader = given) -> Response:
        filters, place = asked(request, _HOST_FILTERS), Place.of(request)
        names = {name: filters.get(name) for name in ("environment", "prefix", "release_id")}
        shown = reader.hosts(HOSTS, place.after, drift="drift" in filters, **names)
        return page(
            request,
            "hosts",
            environments=by_environment(shown.items),
            names=reader.environments(),
            asked=filters,
            typed=Commands(reader.targets, request.state.program),
            **place.links(filters, shown.next),
        )


def _host(router: APIRouter, given: Any) -> None:
    @router.get("/hosts/{host:path}")
    def host(request: Request, host: str, reader: Reader = given) -> Response:
        place = Place.of(request)
        shown = reader.attempts(PAGE, place.after, host=host)
        serving = reader.host(host)
        found(serving or shown.items or None, f"host {host}")
        links = place.links({}, shown.next)
        targets = reader.targets()
        here = [each for each in targets if each["host"] == host] if _shared(targets) else []
        held = reader.held_on(host)
        serves = {each["release_id"] for each in targets if each["host"] == host}
        serves |= {serving["release_id"]} if serving else set()
        told: dict[str, Any] = {"serving": serving, "attempts": shown.items, "targets": here, "held": held, **links}
        told["became"] = lambda attempt: "" if attempt["release_id"] in serves else REPLACED
        return page(request, "host", host=host, typed=Commands(lambda: targets, request.state.program), **told)


def _shared(targets: list[dict[str, Any]]) -> bool:
    """Whether several applications share the registry: only then is it told whose a thing is."""
    return len({each["application"] for each in targets} - {""}) > 1


def _figures(router: APIRouter, given: Any) -> None:
    kept = Kept(PATIENCE)

    @router.get("/figures")
    def figures(request: Request, reader: Reader = given) -> Response:
        environment = request.query_params.get("environment") or None
        days, every = number(request, "days", 90), request.query_params.get("all") == "1"

        def make() -> Figures:
            return reader.figures(environment=environment, days=days, production=not every)

        shown = kept.get(reader, (environment, days, every), make)
        weekly = len(shown.series) > _DAILY
        return page(
            request,
            "figures",
            figures=shown,
            plots=plots(shown, weekly),
            bands=bands(shown),
            source=SOURCE,
            period="week" if weekly else "day",
            names=reader.environments(),
            choices=_DAYS,
            query=urlencode,
        )


class _PageRoute(ReadRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_or_explain(request: Request) -> Response:
            try:
                return await handle(request)
            except InvalidInput as error:
                return error_page(request, 400, "That cannot be shown", error.message, error)
            except RegistryUnavailable as error:
                log_cause(error)
                message = "Its database could not be read. The output of the server says why."
                return error_page(request, 503, "The registry does not answer", message, error)
            except HTTPException as error:
                return error_page(request, error.status_code, "Not found", str(error.detail))

        return handle_or_explain


def _commits(reader: Reader, attempts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was new when the release was first deployed: a rollback brings nothing new, a second deploy seldom."""
    deploys = [each["attempt"] for each in reversed(attempts) if each["kind"] == "deploy"]
    found = (shown["commits"] for each in deploys if (shown := reader.attempt(each)))
    return next((commits for commits in found if commits), [])


def _before(attempts: list[dict[str, Any]]) -> str | None:
    """What served before the first deploy that is known."""
    deploys = (each for each in reversed(attempts) if each["kind"] == "deploy")
    parts = (part for each in deploys for part in each["hosts"])
    return next((part["previous"] for part in parts if part["previous"]), None)


def _attempts_that(reader: Reader, filters: Mapping[str, str], after: str | None) -> tuple[Page, InvalidInput | None]:
    """A page of those that pass the filters; none, and why, when one of the filters means nothing."""
    try:
        return reader.attempts(PAGE, after, **meant(filters)), None
    except InvalidInput as error:
        return Page([], None), error
