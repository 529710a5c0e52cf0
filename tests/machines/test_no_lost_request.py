"""Requests to the example application through its front door, while it is deployed to: how many are lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from application import SOURCE, Application, fabric_yaml
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.visitors import Visitors

pytestmark = pytest.mark.host
PATHS = ("/api/health", "/api/greeting", "/", "/preview1/")
CADDYFILE = "infra/Caddyfile"


@dataclass(frozen=True)
class Site:
    """The example application, live on a host, and who deploys it."""

    host: DisposableHost
    app: Application
    fab: Fab
    first: str

    def deploy(self, sha: str) -> None:
        self.fab.ok("-H", self.host.name, "deploy", f"--sha={sha}")

    def visitors(self) -> Visitors:
        return Visitors("127.0.0.1", self.host.http_port, PATHS)


@pytest.fixture(scope="module")
def site(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    path = tmp_path_factory.mktemp("site")
    with DisposableHost("site", image) as host:
        app = Application(path / "ouroboros", {"fabric.yaml": fabric_yaml(host)})
        site = Site(host, app, Fab(app.path, host.ssh_config, f"sqlite:///{path}/registry.db"), app.commit("the first"))
        site.fab.environ["UPLOAD_KEY"] = "which-only-the-api-knows"
        site.deploy(site.first)
        yield site


def test_no_request_is_lost(site: Site) -> None:
    """Through deploys, a rollback and a release that fails, every request is answered, by a release that is good."""
    second, bad = site.app.commit("the second"), site.app.break_api()
    with site.visitors() as visitors:
        site.deploy(second)
        site.fab.ok("rollback", f"--release={site.first}")
        failed = site.fab("-H", site.host.name, "deploy", f"--sha={bad}")
        site.deploy(second)
    print(visitors.report())
    assert failed.code == 10, failed.said
    assert (visitors.lost, visitors.commits()) == ([], {site.first, second})
    assert len(visitors.visits) > 100 * visitors.seconds


def test_new_routes_lose_no_request(site: Site) -> None:
    """A release with other settings of the front door itself: they take effect, and the door stays open meanwhile.

    Caddy takes them over between two connections; one that arrives in that moment may be closed without an answer.
    """
    routes = (
        (SOURCE / CADDYFILE)
        .read_text()
        .replace("	handle {", '	handle /new {\n		respond "new"\n	}\n	handle {')
    )
    other = site.app.commit("other routes", {CADDYFILE: routes})
    with site.visitors() as visitors:
        site.deploy(other)
    print(visitors.report())
    unanswered = [visit for visit in visitors.lost if visit.status == 0]
    assert (visitors.lost, len(unanswered) <= 1) == (unanswered, True)
    assert site.visitors().ask("/new") == (200, "new")


def test_a_front_door_that_does_not_wait_loses_requests(site: Site) -> None:
    """Without `lb_try_duration` the same switches are seen by visitors: this is what the counting is able to see."""
    impatient = (SOURCE / CADDYFILE).read_text().replace("lb_try_duration 10s", "lb_try_duration 0s")
    other = site.app.commit("impatient", {CADDYFILE: impatient})
    site.deploy(other)
    with site.visitors() as visitors:
        site.fab.ok("-H", site.host.name, "rollback", f"--release={site.first}")
    print(visitors.report())
    assert 502 in {visit.status for visit in visitors.lost}
