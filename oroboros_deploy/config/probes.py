"""The probes of `healthcheck`: what is asked by HTTP and TCP on a host, as it was written and checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields

from ..host.constants import PROBE_STATUS, PROBE_TIMEOUT
from .checks import check_count, check_limit, check_line, check_path

# Patterns are compiled by who has probes: all commands import this.
_URL = r"(?P<scheme>https?)://(?P<place>[^/?#]*)(?P<path>/[^\s#]*|\?[^\s#]*)?"
_ADDRESS = r"localhost|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+\]"
_PLACE = rf"({_ADDRESS})(?::(\d{{1,5}}))?"
_SOMEWHERE = rf"({_ADDRESS}|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?):(\d{{1,5}})"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
_HEADER = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_OURS = ("host", "connection", "content-length", "transfer-encoding")
_LONGEST_SOCKET = 107  # bytes of a path that the kernel takes for a socket
_MOST = 100  # successes in a row
_MOST_PROBES = 20


@dataclass(frozen=True)
class HttpProbe:
    """A URL that has to answer ``status``, with ``contains`` in what it says, within ``timeout`` seconds.

    It is asked on the host itself: at its address, or at the socket ``unix``.  ``host`` is the name that is asked for,
    also by the certificate, which ``ca`` (a file of the host; with none the host's own store) has to vouch for.
    ``header`` are further headers of the request.
    """

    url: str
    status: int = PROBE_STATUS
    contains: str | None = None
    header: Mapping[str, str] = field(default_factory=dict)
    host: str | None = None
    ca: str | None = None
    unix: str | None = None
    timeout: float = PROBE_TIMEOUT

    @property
    def told(self) -> Iterator[tuple[str, object]]:
        """What is set, for people; a header may be a secret, so its name stands for it."""
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "header" and value:
                yield "header", tuple(value)
            elif item.name in ("url", "status") or (value and value != item.default):
                yield item.name, value


_KEYS = tuple(item.name for item in fields(HttpProbe))


def check_http(value: object) -> tuple[HttpProbe, ...]:
    """The probes that stand in a file: one, or a list of them."""
    written = [] if value is None else value if isinstance(value, list | tuple) else [value]
    if len(written) > _MOST_PROBES:
        raise ValueError(f"must hold at most {_MOST_PROBES} probes")
    return tuple(_http(each) for each in written)


def check_tcp(value: object) -> tuple[str, ...]:
    """The places that take connections: one, or a list of them."""
    written = [] if value is None else value if isinstance(value, list | tuple) else [value]
    if len(written) > _MOST_PROBES:
        raise ValueError(f"must hold at most {_MOST_PROBES} probes")
    return tuple(_tcp(each) for each in written)


def check_successes(value: object) -> int:
    count = check_count(value)
    if count > _MOST:
        raise ValueError(f"must be a whole number from 1 to {_MOST}")
    return count


def _http(value: object) -> HttpProbe:
    if isinstance(value, HttpProbe):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"must hold {{{', '.join(_KEYS)}}}, or be a list of such probes")
    for key in value:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1)
            raise ValueError(f"has the unknown key {key!r}{f': did you mean {near[0]}?' if near else ''}")
    if value.get("url") is None:
        raise ValueError("must say the url of each probe, such as http://127.0.0.1:8000/health")
    given = {str(key): _CHECKS[str(key)](each) for key, each in value.items() if each is not None}
    probe = HttpProbe(**given)  # type: ignore[arg-type]
    _check_names(probe)
    return probe


def _check_names(probe: HttpProbe) -> None:
    secure = probe.url.startswith("https:")
    if secure and probe.host is None:
        raise ValueError("must say `host` beside an https url: the name that the certificate is for")
    if probe.ca is not None and not secure:
        raise ValueError("must have an https url beside `ca`: without encryption nothing is proven")


def _url(value: object) -> str:
    url = check_line(value)
    found = re.fullmatch(_URL, url)
    if found is None or not url.isascii():
        raise ValueError("must have a url such as http://127.0.0.1:8000/health")
    if "@" in found["place"]:
        raise ValueError("must have no user and no password in its url")
    place = re.fullmatch(_PLACE, found["place"])
    if place is None:
        what = "must have an address of the host in its url, such as 127.0.0.1"
        raise ValueError(f"{what}: a name may lead elsewhere, and `host` says which name is asked for")
    _check_address(place[1])
    _check_port(place[2])
    return url


def _tcp(value: object) -> str:
    text = check_line(value)
    found = re.fullmatch(_SOMEWHERE, text)
    if found is None:
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:5432")
    _check_address(found[1])
    _check_port(found[2])
    return text


def _check_address(address: str) -> None:
    numbers = address.split(".")
    if len(numbers) == 4 and all(each.isdigit() for each in numbers) and any(int(each) > 255 for each in numbers):
        raise ValueError(f"must have an address, which {address} is not")


def _check_port(port: str | None) -> None:
    if port is not None and not 1 <= int(port) <= 65535:
        raise ValueError(f"must have a port from 1 to 65535, not {port}")


def _status(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 200 <= value <= 599:
        raise ValueError("must have a status from 200 to 599")
    return value


def _contains(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must have text in `contains`: put it in quotes")
    return value


def _header(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError("must map each name to a value in `header`")
    for name, text in value.items():
        if not isinstance(name, str) or not re.fullmatch(_HEADER, name):
            raise ValueError(f"must have names of headers in `header`, which {name!r} is not")
        if name.lower() in _OURS:
            raise ValueError(f"must not set the header {name}{': say `host`' if name.lower() == 'host' else ''}")
        if not isinstance(text, str) or not text.isprintable() or not text.isascii():
            raise ValueError(f"must have one line of plain text as the value of the header {name}")
    return {str(name): str(text) for name, text in value.items()}


def _name(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(_NAME, value):
        raise ValueError("must have the name of a host in `host`, without a port")
    return value


def _ca(value: object) -> str:
    return _named("ca", value)


def _unix(value: object) -> str:
    path = _named("unix", value)
    if len(path.encode()) > _LONGEST_SOCKET:
        raise ValueError(f"must have a path of at most {_LONGEST_SOCKET} bytes in `unix`")
    return path


def _named(key: str, value: object) -> str:
    try:
        return check_path(value)
    except ValueError as why:
        raise ValueError(f"has no path of the host in `{key}`: it {why}") from None


def _timeout(value: object) -> float:
    try:
        return check_limit(value)
    except ValueError as why:
        raise ValueError(f"has a `timeout` that cannot be: it {why}") from None


_CHECKS = {
    "url": _url,
    "status": _status,
    "contains": _contains,
    "header": _header,
    "host": _name,
    "ca": _ca,
    "unix": _unix,
    "timeout": _timeout,
}
