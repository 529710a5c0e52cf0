"""`fab serve`, `fab token` and `fab figures`, as people type them."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from starlette.testclient import TestClient

from oroboros_deploy.errors import InvalidInput
from oroboros_deploy.registry import Registry
from oroboros_deploy.web.serve import guarded, listen
from oroboros_deploy.web.tokens import Tokens
from tests.support.samples import A
from tests.support.serving import FAB, Served

pytestmark = pytest.mark.slow  # whole deploys, or servers that have to start

NAMESPACE = "from oroboros_deploy.tasks import ns\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the fabfile of the README."""
    (tmp_path / "fabfile.py").write_text(NAMESPACE)
    return tmp_path


def fab(directory: Path, registry_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(FAB), *arguments],
        cwd=directory,
        env={**os.environ, "DEPLOY_REGISTRY_URL": registry_url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_serve(project: Path, registry: Registry, registry_url: str) -> None:
    """Without flags it listens on loopback, shows the page and the API, names no software, and ends with Ctrl-C."""
    with Served(project, registry_url) as served:
        assert urlsplit(served.url).hostname == "127.0.0.1"
        page, api = (httpx2.get(f"{served.url}{path}", timeout=30) for path in ("", f"/api/releases/{A}"))
        assert (page.status_code, api.json()) == (200, registry.get(A))
        assert "server" not in page.headers
        assert served.stop() == (0, "")


def test_the_address_is_a_name_it_is_asked_by(project: Path, registry_url: str) -> None:
    """A server that listens at a name answers to that name, without another flag."""
    name = "127.1"  # resolved like any name, and everywhere
    with Served(project, registry_url, f"--address={name}") as served:
        hosts = {"Host": name}, {"Host": "elsewhere"}
        statuses = [httpx2.get(f"{served.url}/api/releases", headers=host, timeout=30).status_code for host in hosts]
        assert statuses == [200, 400]


def test_head(project: Path, registry_url: str) -> None:
    """HEAD answers as GET does on every route, with its headers and nothing after them, also for a live stream."""
    with Served(project, registry_url) as served, httpx2.Client(base_url=served.url, timeout=30) as client:
        paths = [path.partition("{")[0] for path in client.get("/api/openapi.json").json()["paths"]]
        for path in ("/", "/hosts", "/figures", "/static/page.css", f"/api/releases/{A}", "/nothing", *paths):
            got, headed = (None if path == "/api/live" else client.get(path)), client.head(path)
            assert (headed.status_code if got is None else got.status_code, headed.content) == (headed.status_code, b"")
            for name in ("content-type", "etag", "location", "content-security-policy") if got else ():
                assert headed.headers.get(name) == got.headers.get(name), (path, name)
        assert client.head("/api/live").headers["content-type"] == "text/event-stream; charset=utf-8"
        seen = {"If-None-Match": client.head("/api/releases").headers["etag"]}
        assert client.head("/api/releases", headers=seen).status_code == 304


def test_paths_that_no_client_would_send(project: Path, registry_url: str) -> None:
    """(101) A path that climbs, sent as it is, reaches no file."""
    with Served(project, registry_url) as served:
        connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=30)
        for target in (
            "/../../etc/passwd",
            "/static/../../../etc/passwd",
            "//etc/passwd",
            "/%2e%2e/x",
            "/api/hosts/..",
        ):
            connection.request("GET", target)
            answer = connection.getresponse()
            assert (answer.status, b"root:" in answer.read()) == (404, False), target
        connection.close()


def test_a_garbled_request_is_refused(project: Path, registry_url: str) -> None:
    """(99) What is no HTTP, and a header without end, is answered 400 and leaves the server as it was."""
    with Served(project, registry_url) as served:
        place = urlsplit(served.url)
        for sent in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n"):
            with socket.create_connection((place.hostname, place.port), timeout=30) as raw:
                raw.sendall(sent)
                assert raw.recv(100).startswith(b"HTTP/1.1 400 ")
        assert httpx2.get(f"{served.url}/api/releases", timeout=30).status_code == 200


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--port=0", "--address=0.0.0.0"), "there is no token"),
        (("--port=0", "--address=::"), "there is no token"),
        (("--port=0", "--authenticate"), "there is no token"),
        (("--port=0", "--address=192.0.2.1"), "cannot listen on 192.0.2.1"),
        (("--port=0", "--address=no.such.host.invalid"), "cannot listen on no.such.host.invalid"),
        (("--port=x",), "whole number"),
        (("--port=65536",), "cannot listen"),
    ],
)
def test_what_cannot_be_served_is_refused(project: Path, registry_url: str, flags: tuple[str, ...], words: str) -> None:
    """(98) Other addresses without a token, and places where one cannot listen, are refused with exit code 2."""
    ran = fab(project, registry_url, "serve", *flags)
    assert (ran.returncode, words in ran.stderr, "Traceback" in ran.stderr) == (2, True, False), ran.stderr


def test_a_port_in_use(project: Path, registry_url: str) -> None:
    """A port that somebody listens on is refused by name."""
    with Served(project, registry_url) as served:
        port = urlsplit(served.url).port
        ran = fab(project, registry_url, "serve", f"--port={port}")
    assert (ran.returncode, f"port {port}: Address already in use" in ran.stderr) == (2, True), ran.stderr


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "jinja2", "prometheus_client"])
def test_without_the_extra(project: Path, registry_url: str, package: str) -> None:
    """Where the extra is not installed, `serve` says what to type; the other tasks work."""
    (project / "fabfile.py").write_text(f"import sys\nsys.modules[{package!r}] = None\n{NAMESPACE}")
    ran = fab(project, registry_url, "serve")
    assert (ran.returncode, "pip install 'oroboros_deploy[web]'" in ran.stderr) == (2, True), ran.stderr
    assert fab(project, registry_url, "figures", "token").returncode == 0


def test_tokens_from_the_command_line(project: Path, registry_url: str) -> None:
    """(97) A token is printed once, opens a server that asks for one, and is of no use once it is revoked."""
    made = json.loads(fab(project, registry_url, "token", "--name=ada", "--json").stdout)
    assert (made["name"], fab(project, registry_url, "token").stdout) == ("ada", "ada\n")
    header = {"Authorization": f"Bearer {made['token']}"}
    with Served(project, registry_url, "--authenticate") as served:
        url = f"{served.url}/api/releases"
        before = [httpx2.get(url).status_code, httpx2.get(url, headers=header).status_code]
        assert fab(project, registry_url, "token", "--name=ada", "--revoke").returncode == 0
        assert [*before, httpx2.get(url, headers=header).status_code] == [401, 200, 401]
        assert made["token"] not in "".join(served.stop()[1])
    assert "no tokens" in fab(project, registry_url, "token").stdout


@pytest.mark.parametrize("arguments", [("--revoke",), ("--name=../x",), ("--name=ada", "--revoke")])
def test_wrong_token_commands(project: Path, registry_url: str, arguments: tuple[str, ...]) -> None:
    """A token command that means nothing is refused with exit code 2 and no traceback."""
    ran = fab(project, registry_url, "token", *arguments)
    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False), ran.stderr


def test_figures(project: Path, registry_url: str, registry: Registry) -> None:
    """The table has a row for all together and one for each environment; the JSON is the registry's figures."""
    lines = fab(project, registry_url, "figures").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ENVIRONMENT", "DEPLOYMENTS"],
        ["all", "2"],
        ["prod", "2"],
        ["staging", "0"],
    ]
    shown = json.loads(fab(project, registry_url, "figures", "--json", "--days=7").stdout)
    reader = registry.reader
    assert shown == [asdict(reader.figures(environment=name, days=7)) for name in (None, "prod", "staging")]


def test_figures_of_one_environment(project: Path, registry_url: str) -> None:
    """With an environment of fabric.yaml its figures alone are shown; nonsense is refused."""
    (project / "fabric.yaml").write_text("deploy: {environments: {prod: {hosts: [web1]}}}\n")
    for arguments in (("figures", "--environment=prod"), ("-H", "prod", "figures")):
        assert [line.split()[0] for line in fab(project, registry_url, *arguments).stdout.splitlines()[1:]] == ["prod"]
    for wrong in ("--environment=nothing", "--days=0", "--days=many"):
        ran = fab(project, registry_url, "figures", wrong)
        assert (ran.returncode, "Traceback" in ran.stderr) == (2, False), ran.stderr


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listen("0.0.0.0", 0) as listener:
        yield listener


def test_other_addresses_need_a_token(registry: Registry, tokens: Tokens, listener: socket.socket) -> None:
    """(98) On any address but loopback nothing is served before there is a token, and then only with it."""
    with pytest.raises(InvalidInput, match="there is no token"):
        guarded(lambda: registry.reader, listener, tokens, allowed_hosts=["deploys.example.org"])
    tokens.add("ada")
    with pytest.raises(InvalidInput, match="name the host in the page's URL"):
        guarded(lambda: registry.reader, listener, tokens)
    app = guarded(lambda: registry.reader, listener, tokens, allowed_hosts=["deploys.example.org"])
    assert TestClient(app, base_url="http://deploys.example.org").get("/api/releases").status_code == 401


def test_no_answer_waits_for_an_acknowledgement() -> None:
    """What a connection writes is sent at once: a body that follows its head would wait 40 ms otherwise."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_loopback_needs_none_unless_asked(registry: Registry, tokens: Tokens) -> None:
    """(98) On loopback no token is needed, or one is with --authenticate."""
    with listen("127.0.0.1", 0) as listener:
        app = guarded(lambda: registry.reader, listener, tokens)
        assert TestClient(app, base_url="http://127.0.0.1").get("/api/releases").status_code == 200
        with pytest.raises(InvalidInput, match="there is no token"):
            guarded(lambda: registry.reader, listener, tokens, authenticate=True)
        tokens.add("ada")
        app = guarded(lambda: registry.reader, listener, tokens, authenticate=True)
        assert TestClient(app, base_url="http://127.0.0.1").get("/api/releases").status_code == 401


def test_who_asked_is_written_where_that_is_wanted(project: Path, registry_url: str) -> None:
    """With --access-log standard error has a line for each request, and without it none."""
    for flags, lines in (((), 0), (("--access-log",), 2)):
        with Served(project, registry_url, *flags) as served:
            for path in ("/api/releases?limit=1", "/healthz"):
                assert httpx2.get(f"{served.url}{path}", timeout=30).status_code == 200
            status, said = served.stop()
        assert (status, [line.split()[1:5] for line in said.splitlines()]) == (
            0,
            [["127.0.0.1", "GET", path, "200"] for path in ("/api/releases", "/healthz")[:lines]],
        )
