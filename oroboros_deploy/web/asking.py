"""What a page is asked for by its URL: filters, numbers, and the place in a list with the way back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self
from urllib.parse import urlencode

from fastapi import Request

from ..errors import InvalidInput

_TRAIL = 30  # pages that "newer" finds its way back through
_EDGES = {"since": "T00:00:00+00:00", "until": "T23:59:59.999999+00:00"}


def asked(request: Request, filters: Iterable[str]) -> dict[str, str]:
    """The filters that were given a value."""
    return {name: value for name in filters if (value := request.query_params.get(name, "").strip())}


def meant(filters: Mapping[str, str]) -> dict[str, str]:
    """The filters with days, as a date field gives them, made the moments they begin and end with, and a sha's case."""
    days = {name: value + _EDGES[name] for name, value in filters.items() if name in _EDGES and len(value) == 10}
    return {**filters, **days, **{name: value.lower() for name, value in filters.items() if name == "sha"}}


def number(request: Request, name: str, default: int) -> int:
    """A number of the URL; InvalidInput when it is none."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise InvalidInput(f"{name}={text!r} is no number", hint=f"such as {name}={default}")
    return int(text)


class Place:
    """A place in a list that is read page by page: after which entry, and through which pages one came."""

    def __init__(self, after: str | None, trail: Sequence[str]) -> None:
        self.after = after
        self._trail = trail

    @classmethod
    def of(cls, request: Request) -> Self:
        """The place that a request names."""
        return cls(request.query_params.get("after"), request.query_params.getlist("trail"))

    def links(self, filters: Mapping[str, str], following: str | None) -> dict[str, Any]:
        """The queries of the pages after (``older``) and before (``newer``) this one."""
        return {"older": self._older(filters, following), "newer": self._newer(filters)}

    def _older(self, filters: Mapping[str, str], following: str | None) -> str | None:
        if following is None:
            return None
        back = [*self._trail, self.after][-_TRAIL:] if self.after else []
        return urlencode({**filters, "after": following, "trail": back}, doseq=True)

    def _newer(self, filters: Mapping[str, str]) -> str | None:
        """ "" is the first page, None when this is the first."""
        if self.after is None:
            return None
        back = {"after": self._trail[-1], "trail": self._trail[:-1]} if self._trail else {}
        return urlencode({**filters, **back}, doseq=True)
