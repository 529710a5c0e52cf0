"""Live means live now, on a real systemd host: units, their other processes, and `current`, whoever changed them."""

from __future__ import annotations

from pathlib import Path

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.shop import Shop, current, serving

pytestmark = pytest.mark.host


@pytest.fixture
def shop(tmp_path: Path, host: DisposableHost) -> Shop:
    return Shop(tmp_path / "shop", host)


@pytest.fixture
def fab(tmp_path: Path, shop: Shop) -> Fab:
    return shop.fab(f"sqlite:///{tmp_path}/registry.db")


def test_a_live_release_whose_service_is_down_is_activated_again(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """`status` says that the unit is down; a deploy and a rollback of the live release bring it up, gated."""
    sha = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={sha}")
    assert "quiet" in fab.ok("-H", "prod", "status").out
    for command in (("deploy", f"--sha={sha}"), ("rollback", f"--release={sha}")):
        host.run("systemctl", "stop", "shop-api")
        assert "shop-api is inactive (dead)" in fab.ok("-H", "prod", "status").out
        ran = fab.ok("-H", "prod", *command)
        assert "shop-api is inactive (dead), although" in ran.said
        assert (current(host), serving(host)) == (sha, sha)
    assert "already" in fab.ok("-H", "prod", "deploy", f"--sha={sha}").out


def test_a_live_release_that_no_service_runs_is_activated_again(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """After a deploy that skipped the restarts, `status` names the release that still runs, and a deploy restarts."""
    old, new = shop.release(), shop.release(check="test -d ops")
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    fab.ok("-H", "prod", "deploy", f"--sha={new}", DEPLOY_SKIP_SERVICE_RESTART="1")
    assert (current(host), serving(host)) == (new, old)
    assert f"of shop-api runs from release {old}" in fab.ok("-H", "prod", "status").out
    fab.ok("-H", "prod", "deploy", f"--sha={new}")
    assert (serving(host), serving(host, "shop-mailer")) == (new, new)
    assert "quiet" in fab.ok("-H", "prod", "status").out
