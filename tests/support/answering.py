"""Servers on the loopback that give the answers of a script: over TCP, TLS or a unix socket."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answer(status: int, body: str = "", **headers: str) -> str:
    """An answer that is whole."""
    lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(body.encode())}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", body])


class Server:
    """Gives each connection the next answer, and the last one for ever.

    An answer of several pieces is sent with a ``pause`` (in seconds) between them; None closes without a word.
    ``heard`` are the requests.
    """

    def __init__(self, listening: socket.socket, answers: Sequence[str | list[str] | None], pause: float) -> None:
        self.heard: list[str] = []
        self.port = listening.getsockname()[1] if listening.family == socket.AF_INET else 0
        self._listening = listening
        self._answers = [*answers]
        self._pause = pause
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/health"

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(30)

    def _serve(self) -> None:
        while True:
            try:
                connected, _ = self._listening.accept()
            except ssl.SSLError:
                continue  # whoever connected did not trust the certificate
            except (OSError, ValueError):
                return
            with connected, contextlib.suppress(OSError):
                self._talk(connected)

    def _talk(self, connected: socket.socket) -> None:
        heard = b""
        while heard[:3] in (b"", b"GET") and b"\r\n\r\n" not in heard and (more := connected.recv(65536)):
            heard += more
        if not heard:
            return  # only looked whether somebody is there
        self.heard.append(heard.decode("utf-8", "replace"))
        said = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        for number, piece in enumerate([said] if isinstance(said, str) else said or []):
            time.sleep(self._pause if number else 0)
            connected.sendall(piece.encode())


@contextlib.contextmanager
def serving(
    *answers: str | list[str] | None, at: Path | None = None, certificate: Path | None = None, pause: float = 0.0
) -> Iterator[Server]:
    """A server, until the block ends: on a free port, or at a unix socket; with a ``certificate`` it speaks TLS."""
    listening = socket.socket(socket.AF_UNIX if at else socket.AF_INET)
    listening.bind(str(at) if at else ("127.0.0.1", 0))
    listening.listen(20)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        listening = context.wrap_socket(listening, server_side=True)
    server = Server(listening, answers or (OK,), pause)
    try:
        yield server
    finally:
        server.stop()


def certificate_of(name: str, directory: Path) -> Path:
    """A file with a new key and a certificate of a name, signed by itself."""
    key, made = directory / f"{name}.key", directory / f"{name}.pem"
    kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    named = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
    subprocess.run(
        ["openssl", "req", *kind, "-keyout", str(key), "-out", str(made), *named], check=True, capture_output=True
    )
    made.write_text(key.read_text() + made.read_text())
    return made


def free_port() -> int:
    """A port where nobody listens at this moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
