"""Probes: what a gate asks of an application from its own host, by HTTP or TCP; nothing of the repository runs."""

from __future__ import annotations

import io
import os
import socket
import threading
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import SplitResult, urlsplit

from .annotations import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union
from .constants import PROBE_TIMEOUT
from .masking import Mask

if TYPE_CHECKING:
    from .contract import GateRequest
    from .contract import HttpProbe as HttpProbeRequest

BODY = 64 * 1024  # bytes of an answer that are read, and searched
FIRST = 160  # characters of it that are told
LATE = 0.5  # seconds after its time for which a probe is waited for: a name that is looked up keeps to no deadline
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (502, 503, 504)  # wrong answers that a start gives, and that pass by themselves


class Tried(NamedTuple):
    """One try: what came of it in words, the HTTP ``status`` (None: none came), and the first of what was answered.

    ``settles``: no later try will have another answer, unless the application is still on its way.
    """

    ok: bool
    said: str
    seconds: float = 0.0
    status: Optional[int] = None
    text: str = ""
    settles: bool = False


class Tcp(NamedTuple):
    """A port that has to take a connection."""

    host: str
    port: int
    timeout: float = PROBE_TIMEOUT

    @property
    def name(self) -> str:
        return f"tcp {_bracketed(self.host)}:{self.port}"

    def ask(self, by: float, _: Mask) -> Tried:
        """Try once, until ``by`` (``time.monotonic()``)."""
        with closing(_connected(self.host, self.port, by)):
            return Tried(True, "took the connection")


class Http(NamedTuple):
    """A URL that has to answer in a certain way; redirects are not followed."""

    asked: HttpProbeRequest
    mark: str = ""  # what tells it from another one with its name

    @property
    def timeout(self) -> float:
        return self.asked["timeout"]

    @property
    def name(self) -> str:
        """The URL without its query, the name that is asked for, and the socket that it is asked at."""
        named = f" as {self.asked['host']}" if "host" in self.asked else ""
        at = f" at {self.asked['unix']}" if "unix" in self.asked else ""
        return f"{self.asked['url'].partition('?')[0]}{named}{at}{self.mark}"

    def ask(self, by: float, mask: Mask) -> Tried:
        """Try once, until ``by`` (``time.monotonic()``)."""
        place = urlsplit(self.asked["url"])
        with closing(self._connected(place, by)) as connected:
            response = _asked(_Bounded(connected, by), self._target(place), self._headers(place))
            body = response.read(BODY)
            cut = bool(response.length) and len(body) < BODY
        return self._judged(response, body.decode("utf-8", "replace"), cut, mask)

    def _judged(self, response: HTTPResponse, body: str, cut: bool, mask: Mask) -> Tried:
        """What an answer comes to; a secret is hidden before anything is cut off it."""
        wanted, status = self.asked["status"], response.status
        contains = self.asked.get("contains", "")
        said = f"answered {status}"
        location = response.getheader("Location") if status in _REDIRECTS else None
        if location is not None:
            said += f", a redirect to {_shown(_place_of(location), mask)}, which is not followed"
        right = status == wanted
        if not right:
            said += f"; {wanted} is wanted"
        elif cut:
            said += ", but the answer was cut off"
        elif contains not in body:
            said += f" without {_shown(contains, mask)!r}"
        ok, settles = right and not cut and contains in body, not right and status not in _PASSING
        return Tried(ok, said, status=status, text=_shown(body, mask), settles=settles)

    def _connected(self, place: SplitResult, by: float) -> socket.socket:
        if "unix" in self.asked:
            connected = _at_socket(self.asked["unix"], by)
        else:
            usual = 443 if place.scheme == "https" else 80
            connected = _connected(place.hostname or "", place.port or usual, by)
        return self._secured(connected, by) if place.scheme == "https" else connected

    def _secured(self, connected: socket.socket, by: float) -> socket.socket:
        """The connection, encrypted: the other side has proved that it is ``host``."""
        import ssl

        try:
            ca = self.asked.get("ca")
            if ca and not os.path.exists(ca):
                raise _Trouble(f"cannot be asked: this host has no {ca}, which `ca` names")
            context = ssl.create_default_context(cafile=ca)
            connected.settimeout(_left(by))
            return context.wrap_socket(connected, server_hostname=self.asked["host"])
        except ssl.SSLCertVerificationError as error:
            connected.close()
            what = f"has no certificate of {self.asked['host']} that is trusted here: {error.verify_message}"
            raise _Trouble(what) from error
        except BaseException:
            connected.close()
            raise

    def _target(self, place: SplitResult) -> str:
        return f"{place.path or '/'}{'?' * bool(place.query)}{place.query}"

    def _headers(self, place: SplitResult) -> Dict[str, str]:
        ours = {"Host": self.asked.get("host", place.netloc), "User-Agent": "oroboros_deploy", "Accept": "*/*"}
        given = self.asked.get("header", {})
        names = {name.lower() for name in given}
        kept = {name: value for name, value in ours.items() if name.lower() not in names}
        return {**kept, **given, "Connection": "close"}


Probe = Union[Http, Tcp]


class Asking:
    """Probes that are asked side by side, each until its own time is over or ``deadline`` comes."""

    def __init__(self, probes: Iterable[Probe], deadline: float, mask: Optional[Mask] = None) -> None:
        self._asked = [_Try(probe, deadline, mask or Mask()) for probe in probes]
        for each in self._asked:
            each.begin()

    def tries(self) -> Iterator[Tuple[Probe, Tried]]:
        """What came of each, once all have ended."""
        for each in self._asked:
            yield each.probe, each.ended()


class _Try(threading.Thread):
    """One try of one probe."""

    def __init__(self, probe: Probe, deadline: float, mask: Mask) -> None:
        super().__init__(name="probe", daemon=True)
        self.probe = probe
        self._mask = mask
        self._began = time.monotonic()
        self._by = min(self._began + probe.timeout, deadline)
        self._tried: Optional[Tried] = None

    def begin(self) -> None:
        """Ask; where the system gives no thread more, that is what came of the try."""
        try:
            self.start()
        except RuntimeError as error:
            self._tried = Tried(False, f"cannot be asked: {error}")

    def run(self) -> None:
        try:
            tried = self.probe.ask(self._by, self._mask)
        except (OSError, HTTPException, ValueError, ImportError) as error:  # a Python without ssl has no module of it
            tried = Tried(False, _clean(self._mask.text(self._trouble(error))))
        self._tried = tried._replace(seconds=round(time.monotonic() - self._began, 3))

    def ended(self) -> Tried:
        if self._tried is None:
            self.join(max(0.0, self._by + LATE - time.monotonic()))
        return self._tried or Tried(False, self._silence(), round(time.monotonic() - self._began, 3))

    def _silence(self) -> str:
        return f"did not answer within {max(0.0, self._by - self._began):.3g} s"

    def _trouble(self, error: Exception) -> str:
        if isinstance(error, _Trouble):
            return str(error)
        if isinstance(error, socket.timeout):
            return self._silence()
        if isinstance(error, ConnectionRefusedError):
            return "refused the connection"
        if isinstance(error, HTTPException):
            return f"gave no whole HTTP answer: {type(error).__name__} {_shown(str(error), self._mask)}".rstrip()
        return f"did not answer: {getattr(error, 'strerror', None) or error}"


class _Trouble(OSError):
    """Why a probe could not be asked, in whole words."""


class _Bounded:
    """A connection of which every read and write ends at one moment, however slowly the other side talks."""

    def __init__(self, connected: socket.socket, by: float) -> None:
        self._connected = connected
        self._by = by

    def sendall(self, data: bytes) -> None:
        self._connected.settimeout(_left(self._by))
        self._connected.sendall(data)

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._connected, self._by))

    def close(self) -> None:
        """Whoever connected closes."""


class _Reader(io.RawIOBase):
    def __init__(self, connected: socket.socket, by: float) -> None:
        super().__init__()
        self._connected = connected
        self._by = by

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connected.settimeout(_left(self._by))
        return self._connected.recv_into(buffer)


def of(request: GateRequest) -> Tuple[Probe, ...]:
    """The probes that a gate asks for."""
    return (*_marked([*map(Http, request.get("http", []))]), *map(_tcp, request.get("tcp", [])))


def _marked(probes: List[Http]) -> Iterator[Http]:
    """The probes; those that have one name get a number."""
    names = [probe.name for probe in probes]
    for number, probe in enumerate(probes, 1):
        yield probe._replace(mark=f" (number {number})") if names.count(probe.name) > 1 else probe


def _tcp(written: str) -> Tcp:
    host, _, port = written.rpartition(":")
    return Tcp(host.strip("[]"), int(port))


def _asked(bounded: _Bounded, target: str, headers: Dict[str, str]) -> HTTPResponse:
    connection = HTTPConnection("localhost")  # it never connects by itself, for it has a connection
    connection.sock = bounded
    connection.putrequest("GET", target, skip_host=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse()


def _connected(host: str, port: int, by: float) -> socket.socket:
    connected = socket.create_connection((host, port), timeout=_left(by))
    if connected.getsockname() == connected.getpeername():  # a port where nobody listens may be given to ourselves
        connected.close()
        raise ConnectionRefusedError
    return connected


def _at_socket(path: str, by: float) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(_left(by))
        connected.connect(path)
    except FileNotFoundError as error:
        connected.close()
        raise _Trouble(f"cannot be asked: this host has no {path}") from error
    except BaseException:
        connected.close()
        raise
    return connected


def _left(by: float) -> float:
    left = by - time.monotonic()
    if left <= 0:
        raise socket.timeout
    return left


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _place_of(location: str) -> str:
    """An address without its query and fragment, in which the application's own secrets may stand."""
    place = location.partition("#")[0].partition("?")[0]
    return place if place == location else f"{place}?…"


def _shown(text: str, mask: Mask) -> str:
    """The first of a text, fit for a terminal and without a secret, also without the first half of one."""
    shown = _clean(mask.text(text))
    return shown if len(shown) <= FIRST else f"{shown[:FIRST]}…"


def _clean(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
