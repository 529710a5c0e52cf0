"""A TCP proxy between a client and a server: delays, goes silent, cuts, or leads to another server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time


class Proxy:
    """Listens on a loopback port and passes everything on to ``target``, which may change."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.delay = 0.0  # seconds that each packet from the server waits
        self._open = threading.Event()
        self._open.set()
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def stall(self) -> None:
        """Take everything and say nothing, with all connections open."""
        self._open.clear()

    def resume(self) -> None:
        """Go on with what waited."""
        self._open.set()

    def cut(self) -> None:
        """End all connections."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Listen no more, and end all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(5)  # nothing joins the ends and the threads after this
        self._listener.close()
        self.resume()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        for end in self._ends:
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._join(near)

    def _join(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            near.close()
            return
        self._ends += [near, far]
        for way in ((near, far, False), (far, near, True)):
            self._threads.append(threading.Thread(target=self._pass_on, args=way, daemon=True))
            self._threads[-1].start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, delayed: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self.delay if delayed else 0)
                self._open.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
