"""A gate without a script on a real host: the host asks the application that systemd runs."""

from __future__ import annotations

import json

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.shop import ROOT, Shop, current, serving

pytestmark = pytest.mark.host

PORT = 8099
URL = f"http://127.0.0.1:{PORT}/health"
SERVER = """\
exec python3 -c '
from http.server import BaseHTTPRequestHandler, HTTPServer

class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status})
        self.end_headers()
        self.wfile.write(b"{says}")

HTTPServer(("127.0.0.1", {port}), Health).serve_forever()
'
"""


def server(status: int, says: str) -> str:
    """The line that starts an API with this answer."""
    return SERVER.format(status=status, says=says, port=PORT)


def asks(shop: Shop, gate: str, timeout: int = 50) -> None:
    """Have another health check in fabric.yaml; what passes is not waited for, whatever ``timeout`` says."""
    settings = shop.repository.path / "fabric.yaml"
    lines = settings.read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("  healthcheck:"))
    lines[at] = f"  healthcheck: {{{gate}, timeout: {timeout}, interval: 0.2, stable_for: 0.6}}"
    settings.write_text("\n".join([*lines, ""]))


def test_a_gate_that_asks_by_http(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """What answers as it should stays; a wrong status is taken back, told with all tries; each is judged by its own."""
    gate = f"http: {{url: '{URL}', contains: first}}, tcp: '127.0.0.1:{PORT}'"
    asks(shop, gate)
    good = shop.release(api=server(200, "the first"), check="exit 1")
    ran = fab("-H", "prod", "deploy", f"--sha={good}")
    assert (ran.code, current(host), serving(host)) == (0, good, good), ran.said
    record = json.loads((host.rootfs / f"{ROOT[1:]}/.deploy/records/{good}").read_text())
    assert record["healthcheck"] == {
        "command": None,
        "timeout": 50.0,
        "interval": 0.2,
        "stable_for": 0.6,
        "http": [{"url": URL, "status": 200, "timeout": 5.0, "contains": "first"}],
        "tcp": [f"127.0.0.1:{PORT}"],
    }
    assert "runs from no release" not in ran.said

    asks(shop, gate, timeout=6)
    sick = shop.release(api=server(500, "no database"), check="exit 1")
    ran = fab("-H", "prod", "deploy", f"--sha={sick}")
    assert (ran.code, current(host), serving(host)) == (10, good, good), ran.said
    assert f"{URL} answered 500; 200 is wanted (gave up after 6 s)" in ran.said
    assert f"--- {URL}\n" in ran.said
    assert ": no database" in ran.said
    assert "already before the switch" not in ran.said

    asks(shop, f"http: {{url: '{URL}', contains: second}}")
    better = shop.release(api=server(200, "the second"), check="exit 1")
    ran = fab("-H", "prod", "deploy", f"--sha={better}")
    assert (ran.code, current(host), serving(host)) == (0, better, better), ran.said
    assert f"already before the switch, with release {good}: {URL} answered 200 without 'second'" in ran.said
    ran = fab("-H", "prod", "rollback", f"--release={good}")
    assert (ran.code, current(host), serving(host)) == (0, good, good), ran.said
