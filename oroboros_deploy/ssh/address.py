"""Where to log in, as a person writes it: ``[user@]host[:port]``."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from ..errors import InvalidInput

# Allow lists, because these words end up in ProxyCommand lines; a leading dash would be an option there.
_USER = re.compile(r"[\w.][\w.@\\+-]*", re.ASCII)
_HOST = re.compile(r"(?P<host>[\w.][\w.+%-]*|\[[^][]+\])(?::(?P<port>[0-9]{1,5}))?", re.ASCII)


@dataclass(frozen=True)
class Address:
    """A host name or alias, with the user and the port when they were given."""

    host: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``host``, ``user@host``, ``host:port``, ``[::1]:22`` or ``::1``.

        Raises InvalidInput for anything else, notably spaces and leading dashes.
        """
        user, at, place = text.rpartition("@")
        if at and not _USER.fullmatch(user):
            raise _refused(text)
        if _is_ipv6(place):
            return cls(place, user or None)
        return cls(*_host_and_port(place, text, user or None))


def _host_and_port(place: str, text: str, user: str | None) -> tuple[str, str | None, int | None]:
    found = _HOST.fullmatch(place)
    if not found:
        raise _refused(text)
    host, port = found["host"], found["port"]
    if host.startswith("["):
        host = host[1:-1]
        if not _is_ipv6(host):
            raise _refused(text)
    if port is not None and not 1 <= int(port) <= 65535:
        raise _refused(text)
    return host, user, int(port) if port else None


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    # A scope id is free text to the ipaddress module.
    return re.fullmatch(r"[\w:.%-]+", text, re.ASCII) is not None


def _refused(text: str) -> InvalidInput:
    return InvalidInput(
        f"{text!r} is not a host", hint="write host, user@host, host:port, user@host:port or user@[IPv6]:port"
    )
