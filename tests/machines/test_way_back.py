"""The way back on a real host: judged by what the old release passed, with systemd as it is."""

from __future__ import annotations

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.shop import ROOT, SERVE, Shop, current, serving

pytestmark = pytest.mark.host


def test_a_gate_that_the_old_release_never_had(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A deploy whose health command nothing passes is restored: the old release is held to its own."""
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    ran = fab("-H", "prod", "deploy", f"--sha={shop.release(check='exit 0 # new')}", DEPLOY_HEALTHCHECK_CMD="exit 78")
    assert (ran.code, current(host), serving(host), serving(host, "shop-mailer")) == (10, good, good, good), ran.said


def test_a_service_that_ran_before_the_tool_came(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A first deploy that fails puts back another program's link and the service that ran from it."""
    host.run("mkdir", "-p", "/opt/legacy/services")
    (host.rootfs / "opt/legacy/services/api.sh").write_text("exec sleep infinity\n")
    host.run("ln", "-s", "/opt/legacy", f"{ROOT}/current")
    host.run("systemctl", "start", "shop-api")
    ran = fab("-H", "prod", "deploy", f"--sha={shop.release(check='exit 78')}")
    assert (ran.code, current(host)) == (10, "legacy"), ran.said
    pid = host.run("systemctl", "show", "--value", "--property=MainPID", "shop-api").stdout.strip()
    assert host.run("readlink", f"/proc/{pid}/cwd").stdout.strip() == "/opt/legacy/services"
    assert host.run("systemctl", "is-active", "shop-mailer", check=False).stdout.strip() == "inactive"
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    assert serving(host) == good


def test_a_worker_that_takes_its_time_to_stop(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """The stop takes longer than `restart_timeout`: that was told, it is waited for, and the old release runs again."""
    unit = host.rootfs / "etc/systemd/system/shop-api.service"
    unit.write_text(unit.read_text() + "TimeoutStopSec=120\nKillMode=mixed\n")
    host.run("systemctl", "daemon-reload")
    settings = shop.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text().replace("deploy:\n", "deploy:\n  restart_timeout: 5\n"))
    slow = "trap 'sleep 15; exit 0' TERM; while :; do sleep 0.2; done"
    good = shop.release(api=slow)
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    new = shop.release(api=slow, check="exit 0 # new")
    ran = fab("-H", "prod", "deploy", f"--sha={new}")
    assert (ran.code, current(host), serving(host)) == (10, good, good), ran.said
    assert "shop-api may take 120 s to stop (TimeoutStopSec)" in ran.said
    assert not (host.rootfs / f"{ROOT[1:]}/.deploy/bad/{new}").exists()


def test_a_rollback_without_an_id(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """Asked twice it goes two back, past a release that failed its gate; without an answer nothing changes."""
    first, second, last = (shop.release(check=f"true {number}") for number in range(3))
    for sha in (first, second, last):
        fab.ok("-H", "prod", "deploy", f"--sha={sha}")
    assert fab("-H", "prod", "deploy", f"--sha={shop.release(check='exit 78')}").code == 10
    unasked = fab("rollback")
    assert (unasked.code, serving(host)) == (2, last), unasked.said
    assert f"rollback to {second[:10]} “api: {SERVE}”:\n  {host.name} serves {last[:10]} now\n" in unasked.err
    for sha in (second, first):
        fab.ok("rollback", "--yes")
        assert (current(host), serving(host), serving(host, "shop-mailer")) == (sha, sha, sha)
    nowhere = fab("rollback", "--yes")
    assert (nowhere.code, serving(host)) == (2, first), nowhere.said
    assert f"{first[:10]} (live, passed its gate)" in nowhere.err and "(failed here)" in nowhere.err
