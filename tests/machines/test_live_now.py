"""Live means live now, on a real systemd host: units, their other processes, and `current`, whoever changed them."""

from __future__ import annotations

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.shop import ROOT, Shop, current, serving

pytestmark = pytest.mark.host


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


def test_a_current_that_somebody_moves_during_the_gate_is_restored(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """The gate passed, and another release is live: exit 10, and link, services and registry are the old one."""
    old = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    new = shop.release(check=f"ln -sfn releases/{old} {ROOT}/current")
    ran = fab("-H", "prod", "deploy", f"--sha={new}")
    assert (ran.code, current(host), serving(host), serving(host, "shop-mailer")) == (10, old, old, old), ran.said
    assert f"somebody moved current to {old}; it named {new}" in ran.said
    assert fab.statuses() == {old: "deployed", new: "deploy_failed"}
    assert "quiet" in fab.ok("-H", "prod", "status").out


def test_a_current_that_somebody_moved_is_told_and_activated(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """The release that `current` names is the live one, and not "live already" before its services run it."""
    old, new = shop.release(), shop.release(check="test -d ops")
    for sha in (old, new):
        fab.ok("-H", "prod", "deploy", f"--sha={sha}")
    host.run("ln", "-sfn", f"releases/{old}", f"{ROOT}/current")
    said = f"somebody moved current to {old}; it named {new}"
    assert said in fab.ok("-H", "prod", "status").out
    assert said in fab.ok("-H", "prod", "rollback", f"--release={old}").said
    assert (current(host), serving(host), "quiet" in fab.ok("-H", "prod", "status").out) == (old, old, True)


SUPERVISOR = """\
pid=$(cat /tmp/worker.pid 2>/dev/null)
if ! kill -0 "$pid" 2>/dev/null; then cd "$(pwd -P)"; setsid sleep 100000 & echo $! >/tmp/worker.pid; fi
exec sleep infinity"""


@pytest.mark.parametrize("user", ["deploy", "nobody"])
def test_a_worker_that_outlives_the_restart_is_named(host: DisposableHost, shop: Shop, fab: Fab, user: str) -> None:
    """A process of the unit that runs from the release before fails the gate, whoever's it is; the old one serves."""
    unit = host.rootfs / "etc/systemd/system/shop-api.service"
    unit.write_text(unit.read_text().replace("User=nobody", f"User={user}\nKillMode=process"))
    host.run("systemctl", "daemon-reload")
    old, new = shop.release(api=SUPERVISOR), shop.release(api=SUPERVISOR, check="test -d ops")
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    ran = fab("-H", "prod", "deploy", f"--sha={new}")
    worker = host.run("cat", "/tmp/worker.pid").stdout.strip()
    assert (ran.code, current(host), serving(host)) == (10, old, old), ran.said
    assert f"process {worker} of shop-api runs from release {old} (gave up" in ran.said
    fab.ok("-H", "prod", "deploy", f"--sha={new}", DEPLOY_SKIP_SERVICE_RESTART="1")
    assert f"process {worker} of shop-api runs from release {old}" in fab.ok("-H", "prod", "status").out


def test_a_target_stands_for_what_it_wants(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A release whose services die behind a target that is up is taken back; all of them run what is live."""
    units = host.rootfs / "etc/systemd/system"
    (units / "shop.target").write_text("[Unit]\nWants=shop-mailer.service shop-absent.service\n")
    api = (units / "shop-api.service").read_text()
    (units / "shop-api.service").write_text(api.replace("[Unit]", "[Unit]\nPartOf=shop.target"))
    host.run("systemctl", "daemon-reload")
    host.run(
        "systemctl", "start", "shop-api", check=False
    )  # systemd knows what is only PartOf a target when it is loaded
    settings = shop.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text().replace("[shop-api, shop-mailer]", "[shop.target]"))
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    assert (serving(host), serving(host, "shop-mailer")) == (good, good)
    boot = next(units.glob("oroboros-*boot*.service"), None) or next(units.glob("oroboros-*.service"))
    assert "shop-api.service" in boot.read_text()
    for bad in ({"api": "exit 1"}, {"mailer": "exit 1"}):
        ran = fab("-H", "prod", "deploy", f"--sha={shop.release(**bad)}")
        assert (ran.code, current(host), serving(host), serving(host, "shop-mailer")) == (10, *[good] * 3), ran.said
        assert f"shop-{next(iter(bad))}.service" in ran.said
    host.run("systemctl", "stop", "shop-mailer")
    assert "shop-mailer.service is inactive (dead)" in fab.ok("-H", "prod", "status").out
    better = shop.release(check="test -d ops")
    fab.ok("-H", "prod", "deploy", f"--sha={better}")
    assert (serving(host), serving(host, "shop-mailer")) == (better, better)


STANDS_FOR = {
    "shop.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
    "shop.slice": "[Slice]\n",
    "shop-api.socket": "[Socket]\nListenStream=127.0.0.1:2911\n",
}


@pytest.mark.parametrize("unit", STANDS_FOR)
def test_a_unit_stands_for_what_runs_behind_it(host: DisposableHost, shop: Shop, fab: Fab, unit: str) -> None:
    """A service that dies behind a unit that is up is taken back, and what it said is told, in whatever journal."""
    units = host.rootfs / "etc/systemd/system"
    (units / unit).write_text(STANDS_FOR[unit])
    api = (
        (units / "shop-api.service").read_text().replace("[Service]", "[Service]\nSlice=shop.slice\nLogNamespace=shop")
    )
    (units / "shop-api.service").write_text(api.replace("[Unit]", "[Unit]\nPartOf=shop.service"))
    host.run("systemctl", "daemon-reload")
    settings = shop.repository.path / "fabric.yaml"
    good, better = shop.release(), shop.release(check="test -d ops")
    fab.ok("-H", "prod", "deploy", f"--sha={good}", DEPLOY_SERVICES="shop-api")
    host.run("systemctl", "stop", "shop-api")
    host.run("systemctl", "start", unit, "shop-api")
    settings.write_text(settings.read_text().replace("[shop-api, shop-mailer]", f"[{unit}]"))
    fab.ok("-H", "prod", "deploy", f"--sha={better}")
    assert serving(host) == better
    ran = fab("-H", "prod", "deploy", f"--sha={shop.release(api='echo the reason >&2; exit 1')}")
    assert (ran.code, current(host), serving(host)) == (10, better, better), ran.said
    assert "the reason" in ran.said
    assert host.run("systemctl", "is-active", unit).stdout == "active\n"


def test_a_worker_that_ends_after_each_job_can_be_deployed(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """Ends that are a success count as stable, first and again, and are told; one that crashes is taken back."""
    unit = host.rootfs / "etc/systemd/system/shop-mailer.service"
    unit.write_text(unit.read_text().replace("StartLimitIntervalSec=10", "StartLimitIntervalSec=0"))
    host.run("systemctl", "daemon-reload")
    good, better = (shop.release(mailer="sleep 0.3; exit 0", check=check) for check in ("true", "test -d ops"))
    for sha in (good, better):
        assert "shop-mailer ended with success" in fab.ok("-H", "prod", "deploy", f"--sha={sha}").said
    ran = fab("-H", "prod", "deploy", f"--sha={shop.release(mailer='sleep 0.3; exit 1')}")
    assert (ran.code, current(host), serving(host)) == (10, better, better), ran.said
