"""Services of the login's own service manager, on a real host whose login may not become root."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.shop import ROOT, SERVE, Shop, current, releases_of
from tests.support.user_shop import UNITS, give_to_the_login, install_polkit, serving, systemctl

pytestmark = pytest.mark.host


@pytest.fixture
def shop(tmp_path: Path, host: DisposableHost) -> Shop:
    shop = Shop(tmp_path / "shop", host)
    give_to_the_login(shop)
    return shop


def test_a_deploy_a_failure_and_a_rollback_without_root(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """The whole way needs no sudo: deploy, a crash loop that is taken back, rollback, and what is done in between."""
    first, second = shop.release(), shop.release(api=f"echo the api has begun; {SERVE}")
    for sha in (first, second):
        fab.ok("-H", "prod", "deploy", f"--sha={sha}")
        assert (current(host), serving(host), serving(host, "shop-mailer")) == (sha, sha, sha)
        assert (releases_of(host, "shop-api"), releases_of(host, "shop-mailer")) == ({sha}, {sha})
    ran = fab("-H", "prod", "deploy", f"--sha={shop.release(api='echo no water >&2; exit 1')}")
    assert (ran.code, current(host), serving(host)) == (10, second, second), ran.said
    assert ["shop-api is" in ran.out, "no water" in ran.out] == [True, True], ran.out
    fab.ok("-H", "prod", "rollback", f"--release={first}")
    assert (current(host), serving(host)) == (first, first)
    assert f"{first[:10]}  " in fab.ok("-H", "prod", "status").out
    fab.ok("-H", "prod", "deploy", f"--sha={second}")
    held(host, fab, second)
    restarted_and_looked_at(host, fab, second)
    pushed(host, shop, fab)
    third = shop.release(check="test -d services")
    fab.ok("-H", "prod", "deploy", f"--sha={third}")
    pruned(host, fab, first, third)
    assert host.run("journalctl", "--quiet", "--identifier=sudo").stdout == ""


def held(host: DisposableHost, fab: Fab, live: str) -> None:
    """A hold refuses a deploy until it ends."""
    fab.ok("-H", "prod", "lock", "--reason=the fair")
    refused = fab("-H", "prod", "deploy", f"--sha={live}")
    assert (refused.code, "the fair" in refused.said) == (20, True), refused.said
    fab.ok("-H", "prod", "unlock")


def restarted_and_looked_at(host: DisposableHost, fab: Fab, live: str) -> None:
    """The services are other processes of the same release; a line runs as the login; their words are found."""
    before = main_pid(host)
    fab.ok("-H", "prod", "restart")
    assert (main_pid(host) != before, serving(host), current(host)) == (True, live, live)
    assert fab.ok("-H", "prod", "run", "id -un; pwd -P").out == f"deploy\n{ROOT}/releases/{live}\n"
    assert "the api has begun" in fab.ok("-H", "prod", "logs").out


def pushed(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A configuration comes into use by a restart: the service has its values."""
    unit, settings = host.rootfs / UNITS / "shop-api.service", shop.repository.path / "fabric.yaml"
    unit.write_text(unit.read_text().replace("[Service]\n", f"[Service]\nEnvironmentFile=-{ROOT}/env\n"))
    systemctl(host, "daemon-reload")
    settings.write_text(settings.read_text() + "  env: {values: {COLOUR: blue}}\n")
    fab.ok("-H", "prod", "env.push")
    assert "COLOUR=blue" in host.run("cat", f"/proc/{main_pid(host)}/environ").stdout.split("\0")


def pruned(host: DisposableHost, fab: Fab, old: str, live: str) -> None:
    """A release that a process of the login works in stays, and goes when nobody does."""
    works = ("systemd-run", "--unit=straggler", "--uid=deploy", f"--working-directory={ROOT}/releases/{old}")
    host.run(*works, "sleep", "600")
    for gone in (False, True):
        done = fab.ok("-H", "prod", "prune", "--keep=2", "--json").json[host.name]
        told = {each["id"]: (each["stays"], "in use by process" in each["why"]) for each in done["releases"]}
        assert (told[old], told[live]) == ((not gone, not gone), (True, False))
        assert (host.rootfs / ROOT[1:] / "releases" / old).exists() is not gone
        host.run("systemctl", "stop", "straggler", check=False)


def main_pid(host: DisposableHost) -> str:
    return systemctl(host, "show", "--value", "--property=MainPID", "shop-api")


def test_a_killed_activation_is_taken_back_by_the_manager(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """With the activation `fab` and all its agents are killed: the login's manager starts the recovery by itself."""
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    running = _deploy_that_waits(host, shop, fab)
    held = fab("-H", "prod", "rollback", f"--release={good}")
    assert (held.code, "deploy of" in held.said) == (20, True), held.said
    running.kill()
    running.communicate()
    host.run("sh", "-c", "pkill -KILL -f 'pyz (activate|follow|facts|run)'", check=False)
    _await_phase(host, "restored")
    assert (current(host), serving(host)) == (good, good)


@pytest.mark.parametrize("packages", ["as they are", "with polkit", "without a bus"])
def test_a_power_cut_in_the_gate(host: DisposableHost, shop: Shop, fab: Fab, packages: str) -> None:
    """The boot unit of the login puts `current` back before its services start, without anybody logging in.

    It needs no polkit, and no bus either: that of the login may be gone by then.
    """
    if packages == "with polkit":
        install_polkit(host)
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    running = _deploy_that_waits(host, shop, fab)
    if packages == "without a bus":
        host.run("dpkg", "--purge", "dbus-user-session")
    host.power_cut()
    running.kill()
    running.communicate()
    host.boot()
    _await_phase(host, "restored")
    _await(lambda: serving(host) == good)
    assert current(host) == good
    if packages == "without a bus":
        ran = fab("-H", "prod", "deploy", f"--sha={good}")
        assert (ran.code, "apt install dbus-user-session" in ran.said) == (2, True), ran.said
    assert "host went down" in fab.ok("-H", "prod", "audit").out


def test_polkit_lets_a_login_linger(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """With polkit the login itself turns lingering on; without it root has to, as the hint says."""
    good, linger = shop.release(), ("loginctl", "enable-linger", "deploy")
    host.run("loginctl", "disable-linger", "deploy")
    assert "loginctl enable-linger deploy" in fab("-H", "prod", "deploy", f"--sha={good}").said
    assert "Access denied" in host.run(*linger, user="deploy", check=False).stderr
    install_polkit(host)
    host.run(*linger, user="deploy")
    _await(lambda: host.run("test", "-S", "/run/user/1000/bus", check=False).returncode == 0)
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    assert (current(host), serving(host)) == (good, good)


def test_a_manager_that_dies_in_the_gate(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """Its next start is a boot of the services: the boot unit settles, although the host has been up all the time."""
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    running = _deploy_that_waits(host, shop, fab)
    running.kill()
    running.communicate()
    host.run("systemctl", "kill", "--signal=KILL", "user@1000.service")
    _await(lambda: host.run("systemctl", "is-active", "user@1000.service", check=False).stdout.strip() == "failed")
    host.run("sh", "-c", "pkill -KILL -u deploy", check=False)
    assert _phase(host) == "restarted"
    host.run("systemctl", "reset-failed", "user@1000.service")
    host.run("systemctl", "start", "user@1000.service")
    _await_phase(host, "restored")
    _await(lambda: serving(host) == good)
    assert current(host) == good


def test_what_a_login_lacks_is_refused_before_anything(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """Lingering and the bus are asked for by name, with the line that mends it, which does; nothing is written."""
    good, new = shop.release(), shop.release(check="test -d services")
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    before = _files(host)
    host.run("loginctl", "disable-linger", "deploy")
    for command in (("deploy", f"--sha={new}"), ("rollback", f"--release={good}")):
        ran = fab("-H", "prod", *command)
        assert (ran.code, "loginctl enable-linger deploy" in ran.said, _files(host)) == (2, True, before), ran.said
    host.run("loginctl", "enable-linger", "deploy")
    host.run("sh", "-c", "systemctl --global mask dbus.socket && systemctl stop user@1000 user-runtime-dir@1000")
    ran = fab("-H", "prod", "deploy", f"--sha={new}")
    assert (ran.code, "apt install dbus-user-session" in ran.said, _files(host)) == (2, True, before), ran.said
    host.run("systemctl", "--global", "unmask", "dbus.socket")
    systemctl(host, "daemon-reload")
    systemctl(host, "start", "dbus.socket")
    fab.ok("-H", "prod", "deploy", f"--sha={new}")
    assert (current(host), serving(host)) == (new, new)


def test_units_of_the_other_scope_and_a_login_that_sees_little(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A unit that only root's manager has is told; sessions without PAM deploy, and an unreadable journal is told."""
    unit = host.rootfs / UNITS / "shop-mailer.service"
    system = host.rootfs / "etc/systemd/system" / unit.name
    system.write_text(unit.read_text())
    host.run("sh", "-c", f"mv /{UNITS}/{unit.name} /root/ && systemctl daemon-reload")
    systemctl(host, "daemon-reload")
    ran = fab("-H", "prod", "deploy", f"--sha={shop.release()}")
    assert (ran.code, current(host)) == (2, None), ran.said
    assert "only the service manager of scope system has: shop-mailer" in ran.said, ran.said
    host.run("mv", f"/root/{unit.name}", f"/{UNITS}/")
    systemctl(host, "daemon-reload")
    (host.rootfs / "etc/ssh/sshd_config.d/pam.conf").write_text("UsePAM no\n")
    (host.rootfs / "etc/systemd/journald.conf.d").mkdir()
    (host.rootfs / "etc/systemd/journald.conf.d/volatile.conf").write_text("[Journal]\nStorage=volatile\n")
    host.run("sh", "-c", "usermod -p '*' deploy; systemctl restart ssh systemd-journald; systemctl stop user@1000")
    ran = fab("-H", "prod", "deploy", f"--sha={shop.release()}")
    assert (ran.code, "systemctl start user@1000.service" in ran.said, current(host)) == (2, True, None), ran.said
    host.run("systemctl", "start", "user@1000.service")
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    ran = fab("-H", "prod", "deploy", f"--sha={shop.release(api='exit 1')}")
    assert (ran.code, current(host), serving(host)) == (10, good, good), ran.said
    assert "usermod -aG systemd-journal deploy" in ran.out, ran.out


def _files(host: DisposableHost) -> str:
    """All that lies in the deploy root, but for the agent's own bytes and its bytecode."""
    return host.run("sh", "-c", f"cd {ROOT}; find . -path ./.deploy/agent -prune -o -printf '%p %s %l\n' | sort").stdout


def _deploy_that_waits(host: DisposableHost, shop: Shop, fab: Fab) -> subprocess.Popen[str]:
    """A deploy whose gate waits."""
    settings = shop.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text().replace("timeout: 5", "timeout: 120"))
    running = fab.start("-H", "prod", "deploy", f"--sha={shop.release(check='sleep 100')}")
    _await_phase(host, "restarted")
    return running


def _phase(host: DisposableHost) -> str | None:
    state = host.rootfs / ROOT.removeprefix("/") / ".deploy/state.json"
    return json.loads(state.read_text())["phase"] if state.exists() else None


def _await_phase(host: DisposableHost, phase: str) -> None:
    _await(lambda: _phase(host) == phase)


def _await(condition: Callable[[], bool], seconds: float = 60) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it never came to that"
        time.sleep(0.05)
