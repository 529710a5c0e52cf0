"""The only room that knows SSH: a hardened Fabric connection.

with connect("web1") as host, host.command("uname -a", deadline=30) as command:
    for line in command.lines():
        ...
    status = command.wait()
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .resolving import Inquiry, Warn, resolve
from .target import SshOptions, Target

if TYPE_CHECKING:
    from .command import Command
    from .connection import HostConnection
    from .tunnel import Tunnel

__all__ = ["Command", "HostConnection", "SshOptions", "Target", "Tunnel", "begin", "connect", "resolve"]

_LAZY = {"Command": "command", "HostConnection": "connection", "Tunnel": "tunnel"}


def connect(host: str, options: SshOptions | None = None, *, warn: Warn | None = None) -> HostConnection:
    """Open a connection to ``host``: an ssh_config alias or ``[user@]host[:port]``.

    Use it as a context manager: leaving it closes everything, jump hosts too.
    ``warn`` hears, once a process, that this machine has no OpenSSH client.
    Raises InvalidInput, ConfigError, HostUnreachable or HostNotTrusted.
    """
    return begin(host, options, warn=warn)()


def begin(host: str, options: SshOptions | None = None, *, warn: Warn | None = None) -> Callable[[], HostConnection]:
    """Ask ssh what its files say of a host, and return what waits for the answer and connects, as `connect` does."""
    asked = Inquiry(host, options, warn)
    from .connection import HostConnection  # while ssh finds it out

    def connected() -> HostConnection:
        connection = HostConnection(asked.target(), options)
        connection.open()
        return connection

    return connected


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
