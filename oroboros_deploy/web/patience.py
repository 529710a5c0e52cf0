"""The server's patience: how long it waits for a request to be whole, and how many connections one address may have."""

from __future__ import annotations

import asyncio
from collections import Counter

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0  # from the connection, or the first byte of a later request, to the end of its headers
MOST_WAITING = 32  # connections of one address whose request is not whole
MOST_OPEN = 192  # connections of one address, a proxy's too; the server has 256, so others find room

_waiting: Counter[str] = Counter()
_open: Counter[str] = Counter()


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection which does not ask: some hundred of those would keep everybody out."""

    _deadline: asyncio.TimerHandle | None = None
    _address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called when somebody connects."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        _open[self._address] += 1
        self._wait()
        if _waiting[self._address] > MOST_WAITING or _open[self._address] > MOST_OPEN:
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Called with what was sent."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._wait()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called at the end of the connection."""
        self._stop_waiting()
        _less(_open, self._address)
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.close)
            _waiting[self._address] += 1

    def _stop_waiting(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
            _less(_waiting, self._address)


def open_connections() -> int:
    """How many connections there are, of all addresses."""
    return _open.total()


def _less(counted: Counter[str], address: str) -> None:
    counted[address] -= 1
    if not counted[address]:
        del counted[address]
