"""What happens, as it happens: server-sent events, read from the database and not from the process that deploys."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from starlette.datastructures import State
from starlette.responses import Response, StreamingResponse

from ..errors import RegistryUnavailable
from ..registry.reading import Reader
from .route import wants_body

POLL_SECONDS = 0.3
QUIET_SECONDS = 15.0  # a comment after so long: proxies close what is silent, and a client that is gone is noticed
STREAM_SECONDS = 30.0  # then the client comes again by itself, and its token is looked at again
RETRY_SECONDS = 1.0  # after a break
AGAIN_SECONDS = 0.1  # after the stream's own end

BATCH = 500
_POLLS = ThreadPoolExecutor(8, "live")  # of their own: many streams and a slow database would take all there are
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx would keep the news until it has a lot
_LARGEST = 2**31 - 1  # the largest that the column of their ids holds

EventId = Annotated[int, Field(ge=0, le=_LARGEST, description="only events after this one")]


# Described here and not by the route's class: the errors of such a route would be called events, and are JSON.
_DESCRIBED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
}


class EventStream(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


def add(api: APIRouter, reads: Any) -> None:
    """Add ``/api/live`` to a router."""

    @api.get("/api/live", response_class=Response, responses=_DESCRIBED)
    def live(
        request: Request,
        reader: Reader = reads,
        attempt: Annotated[str, Query(max_length=255)] | SkipJsonSchema[None] = None,
        after: EventId | SkipJsonSchema[None] = None,
        last_event_id: Annotated[EventId | SkipJsonSchema[None], Header()] = None,
    ) -> EventStream:
        """Events as they are recorded, from now on, or from one that was seen.

        Each is a message with its ``id``, and the event of ``/api/events`` as ``data``.  A client
        that lost the connection goes on where it was, by ``Last-Event-ID``; it comes again so
        every half minute, when the stream ends.
        """
        reader = reader.apart()
        seen = next((known for known in (last_event_id, after) if known is not None), None)
        last = reader.last_event()  # a client may have seen later ones, of a registry that was rebuilt since
        start = last if seen is None else min(seen, last)
        news = _messages(request.app.state, reader, attempt, start) if wants_body(request) else ()
        return EventStream(news, headers=_HEADERS)


async def _messages(server: State, reader: Reader, attempt: str | None, after: int) -> AsyncIterator[str]:
    """The stream; it ends when its time is over, the server ends or the database does not answer."""
    yield _retry(RETRY_SECONDS)
    began = spoke = time.monotonic()
    ask, loop = partial(reader.events, attempt=attempt, limit=BATCH), asyncio.get_running_loop()
    while (now := time.monotonic()) - began < STREAM_SECONDS:
        if getattr(server, "ending", False):
            return
        try:
            news = await loop.run_in_executor(_POLLS, partial(ask, after=after))
        except RegistryUnavailable:
            return
        if news or now - spoke > QUIET_SECONDS:
            spoke = now
            yield "".join(map(_message, news)) or ": nothing new\n\n"
        after = news[-1]["id"] if news else after
        await asyncio.sleep(POLL_SECONDS)
    yield _retry(AGAIN_SECONDS)


def _retry(seconds: float) -> str:
    return f"retry: {seconds * 1000:.0f}\n\n"


def _message(event: dict[str, Any]) -> str:
    # JSON escapes line breaks, so that text from a host cannot begin a message of its own.
    return f"id: {event['id']}\ndata: {json.dumps(event)}\n\n"
