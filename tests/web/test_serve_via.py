"""`fab serve` over a registry that is reached through SSH, when the way to it is lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from oroboros_deploy.registry import Registry
from tests.support.clock import within
from tests.support.postgres import PostgresServer, started
from tests.support.samples import A, host, record
from tests.support.serving import Served
from tests.support.sshd import Sshd, requires_sshd

pytestmark = [requires_sshd, pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A server that only this file breaks."""
    yield from started()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """The host that the database is reached through."""
    with Sshd(tmp_path / "sshd") as sshd:
        yield sshd


@pytest.fixture
def served(tmp_path: Path, postgres: PostgresServer, sshd: Sshd) -> Iterator[Served]:
    """A registry with one release, served through that host."""
    url = postgres.database()
    with Registry.open(url) as registry:
        registry.finish(record(A, host("web1", "live", live=A)))
    (tmp_path / "fabric.yaml").write_text(f"ssh_config_path: {sshd.config_path}\ndeploy: {{}}\n")
    with Served(tmp_path, f"{url}?via={sshd.alias}") as served:
        yield served


def cut(sshd: Sshd) -> None:
    """End the server's side of every connection, as a reboot would."""
    sshd.signal(signal.SIGKILL)


def releases(served: Served) -> tuple[int, int]:
    """The status of an answer, and how many releases it has."""
    answer = httpx2.get(f"{served.url}/api/releases", timeout=30)
    return answer.status_code, len(answer.json()) if answer.status_code == 200 else 0


def test_a_tunnel_that_is_cut_is_opened_again(served: Served, sshd: Sshd) -> None:
    """The next request opens it again by itself, as often as it is cut; an idle server needs none between."""
    for _ in range(3):
        assert releases(served) == (200, 1)
        cut(sshd)
        began = time.monotonic()
        assert releases(served) == (200, 1)
        assert time.monotonic() - began < 10
    assert served.stop() == (0, "")


def test_while_the_host_is_away_it_is_said(served: Served, sshd: Sshd) -> None:
    """Without the host every answer is 503, soon and in words that name no place; when it is back, so are they."""
    port = sshd.port
    sshd.stop()
    first = httpx2.get(f"{served.url}/", timeout=30)
    paths = ("/", "/api/releases", "/metrics", "/api/live")
    with within(10):
        again = [httpx2.get(f"{served.url}{path}", timeout=30) for path in paths]
    assert [answer.status_code for answer in (first, *again)] == [503] * 5
    assert "The registry does not answer" in again[0].text
    assert not [text for answer in (first, *again) for text in (str(port), "127.0.0.1") if text in answer.text]
    assert again[1].headers["retry-after"] == "5"
    with sshd:
        deadline = time.monotonic() + 15
        while (found := releases(served)) != (200, 1) and time.monotonic() < deadline:
            time.sleep(0.3)
        assert found == (200, 1)
