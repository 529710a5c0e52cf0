"""A TCP connection that is set up to notice when the other side is gone."""

from __future__ import annotations

import errno
import socket
import time
from typing import Any

from ..errors import HostUnreachable
from .target import Keepalive, Target


def dial(target: Target) -> socket.socket:
    """Connect to the target, trying all its addresses within its connect timeout.

    An address that does not answer in its share of the time is given up for the
    next one.  Raises HostUnreachable.
    """
    addresses = _addresses(target)
    end = time.monotonic() + target.connect_timeout
    error: OSError = TimeoutError()
    for index, address in enumerate(addresses):
        share = (end - time.monotonic()) / (len(addresses) - index)
        try:
            return _connect(address, max(share, 0.1), target.keepalive)
        except OSError as failure:
            error = failure
    raise _unreachable(target, error)


def _addresses(target: Target) -> list[Any]:
    # A str would be encoded by the codec for international names, which takes some milliseconds to import.
    name = target.hostname.encode("ascii") if target.hostname.isascii() else target.hostname
    try:
        return socket.getaddrinfo(name, target.port, target.family, socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a possible name"
        raise HostUnreachable(
            f"the name {target.hostname} has no address: {reason}",
            hint="check the spelling, the HostName in ssh_config, and the resolver (or VPN)",
            host=target.host,
        ) from None


def _connect(address: Any, seconds: float, keepalive: Keepalive) -> socket.socket:
    family, kind, protocol, _, place = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(seconds)
        _tune(sock, keepalive)
        sock.connect(place)
    except BaseException:
        sock.close()
        raise
    return sock


def _tune(sock: socket.socket, keepalive: Keepalive) -> None:
    # Without NODELAY every exchange on the open connection waits for a delayed acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Keepalive probes stop as soon as data is unacknowledged, so only both together see every dead link.
    for name, value in (
        ("TCP_KEEPIDLE", keepalive.idle),
        ("TCP_KEEPALIVE", keepalive.idle),  # what macOS calls it
        ("TCP_KEEPINTVL", keepalive.interval),
        ("TCP_KEEPCNT", keepalive.probes),
        ("TCP_USER_TIMEOUT", keepalive.unacknowledged * 1000),
    ):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _unreachable(target: Target, error: OSError) -> HostUnreachable:
    place = f"{target.hostname} port {target.port}"
    if isinstance(error, ConnectionRefusedError):
        return HostUnreachable(
            f"{place} refused the connection",
            hint="check the port, and that sshd runs there",
            host=target.host,
        )
    if isinstance(error, TimeoutError):
        return HostUnreachable(
            f"{place} did not answer within {target.connect_timeout:g} s",
            hint="check the network, VPN and firewall; -t gives it more seconds",
            host=target.host,
        )
    reason = "there is no route" if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH) else error.strerror or error
    return HostUnreachable(
        f"{place} cannot be reached: {reason}",
        hint="check the network, VPN and AddressFamily",
        host=target.host,
    )
