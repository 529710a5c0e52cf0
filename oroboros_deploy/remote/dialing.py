"""Connections that are made while it is still being found out what for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from .. import threads

if TYPE_CHECKING:
    from ..ssh import HostConnection

Open = Callable[[str], "HostConnection"]
Begin = Callable[[str], Callable[[], "HostConnection"]]


class Dialing:
    """Connects to the first hosts at once, side by side, and gives each connection to whoever asks first.

    Logging in changes nothing on a host.  A context manager: what nobody has asked for is closed
    at its end, and not waited for.

    ``begin`` does what comes before connecting, and returns what connects.  It is called before the thread is started:
    while the caller imports what the command needs, a thread gets a turn only every few milliseconds.
    """

    def __init__(self, open: Open, names: Sequence[str], begin: Begin | None = None) -> None:
        self._open = open
        self._begin = begin or partial(partial, open)
        self._ahead = {name: self._dialled(name) for name in names[: threads.AT_ONCE]}

    def _dialled(self, name: str) -> Future[HostConnection]:
        try:
            return threads.beside(self._begin(name))
        except Exception as error:  # for whoever asks for the connection
            failed: Future[HostConnection] = Future()
            failed.set_exception(error)
            return failed

    def __call__(self, name: str) -> HostConnection:
        """A connection to the host, or the error that it came to; whoever asks again gets a new one."""
        ahead = self._ahead.pop(name, None)
        return ahead.result() if ahead else self._open(name)

    def __enter__(self) -> Dialing:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for ahead in self._ahead.values():
            ahead.add_done_callback(close)


def close(ahead: Future[HostConnection]) -> None:
    """Close a connection that is there now and nobody wants any more."""
    if not ahead.exception():
        ahead.result().close()
