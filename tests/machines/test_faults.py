"""Faults that only a real host has: a frozen agent, a killed unit, a disk that is full to the last byte.

The table of all faults is tests/host/test_fault_table.py, power cuts are in test_power_cut.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from disposable_host import DisposableHost

from tests.machines.test_power_cut import (
    BAD,
    HOLD,
    WAIT,
    Hold,
    await_phase,
    await_true,
    gated,
    journal,
    keep_from_committing,
    ours,
    prepared,
    restarted,
    restoring,
    slow_shop,
    state,
    swapped,
)
from tests.support.disturbances import disturb
from tests.support.fab import Fab
from tests.support.invariants import broken
from tests.support.shop import ROOT, SERVE, Shop, serving, set_gate_timeout
from tests.support.small_filesystem import fill, free, frozen, small_filesystem

pytestmark = pytest.mark.host

UNIT = "oroboros-activate.service"
SHORT = "[Service]\nRuntimeMaxSec=9\n"  # longer than a gate that fails, shorter than a test


@pytest.fixture
def shop(tmp_path: Path, host: DisposableHost) -> Shop:
    return slow_shop(tmp_path, host)


@pytest.fixture
def small_disk(host: DisposableHost, tmp_path: Path) -> Iterator[Path]:
    """The deploy root is on a filesystem of a few megabytes, mounted while the host was down."""
    host.power_cut()
    root = host.rootfs / ROOT.removeprefix("/")
    with small_filesystem(root, "ext4", image=tmp_path / "disk.img"):
        host.boot()
        host.run("chown", "deploy", ROOT)
        yield root
        host.power_cut()


@pytest.mark.parametrize(
    ("signal", "hold", "check", "user"),
    [
        pytest.param("KILL", prepared, "true", None, id="killed-prepared"),
        pytest.param("KILL", swapped, "true", None, id="killed-swapped"),
        pytest.param("KILL", restarted, "true", None, id="killed-restarted"),
        pytest.param("KILL", restoring, f"touch {HOLD}; {BAD}", None, id="killed-restoring"),
        pytest.param("STOP", restarted, "true", None, id="frozen-restarted"),
        pytest.param("STOP", restoring, f"touch {HOLD}; {BAD}", None, id="frozen-restoring"),
        pytest.param("KILL", prepared, "true", "watcher", id="killed-in-run_as.migrate"),
        pytest.param("KILL", restarted, "true", "watcher", id="killed-in-run_as.gate"),
        pytest.param("STOP", restarted, "true", "watcher", id="frozen-in-run_as.gate"),
    ],
)
def test_an_agent_that_is_killed_or_frozen(
    host: DisposableHost, shop: Shop, fab: Fab, signal: str, hold: Hold, check: str, user: str | None
) -> None:
    """With no control node: a killed one is recovered at once, a frozen one when its time is up; both restored.

    Nothing is left of a migration or a health command of another user.
    """
    if user:
        give_commands_to(host, shop, user)
    old = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    if signal == "STOP":
        drop_in = host.rootfs / f"etc/systemd/system/{UNIT}.d/short.conf"
        drop_in.parent.mkdir()
        drop_in.write_text(SHORT)
        host.run("systemctl", "daemon-reload")
    new = shop.release(check=WAIT + check)
    hold(host, shop, new)
    running = fab.start("-H", "prod", "deploy", f"--sha={new}")
    await_phase(host, hold.__name__)
    running.kill()
    running.communicate()
    attempt = state(host)["attempt"]
    # Who follows would settle it too; its session began with the first call.
    host.run("pkill", "-KILL", "-f", "pyz (facts|build|activate|follow)$", check=False)
    host.run("systemctl", "kill", f"--signal={signal}", UNIT)
    host.run("rm", "-f", HOLD, "/tmp/gate", "/tmp/migrate")
    await_true(lambda: ours(host, "attempts", attempt, "result.json").exists())
    await_true(lambda: host.run("systemctl", "is-active", UNIT, check=False).stdout.strip() == "inactive")
    assert [entry["outcome"] for entry in journal(host) if entry["attempt"] == attempt] == ["restored"]
    assert_at_rest(host, old)
    assert host.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "oroboros-command*").stdout == ""
    if user:
        assert host.run("pgrep", "-u", user, check=False).stdout == ""
    fab.ok("-H", "prod", "deploy", f"--sha={shop.release(check='test -d services')}")


def give_commands_to(host: DisposableHost, shop: Shop, user: str) -> None:
    """Let migration and health command run as a user of the host."""
    host.run("useradd", "--system", "--user-group", "--shell", "/bin/sh", user)
    settings = shop.repository.path / "fabric.yaml"
    settings.write_text(f"{settings.read_text()}  run_as: {{migrate: {user}, gate: {user}}}\n")


TARGET = "[Unit]\nWants=shop-api.service\n[Install]\nWantedBy=multi-user.target\n"
BEHIND = """\
[Unit]
PartOf=shop.target
StartLimitIntervalSec=0

[Service]
WorkingDirectory=@root@/current/services
ExecStart=/bin/sh api.sh
Restart=always
RestartSec=100ms
"""


def test_services_that_die_behind_a_target_of_the_release(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A target is up whatever its services do: a crash loop behind it is taken back, also when the agent is killed."""
    set_gate_timeout(shop, 5)
    units = {"infra__shop.target": TARGET, "infra__shop-api.service": BEHIND}
    (host.rootfs / "etc/systemd/system/shop-api.service").unlink()
    host.run("systemctl", "daemon-reload")
    settings = shop.repository.path / "fabric.yaml"
    text = settings.read_text().replace("[shop-api, shop-mailer]", "[shop.target, shop-mailer]")
    settings.write_text(f"{text}  units: infra\n")
    shop.repository.commit("units", **units)
    old = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    assert_at_rest(host, old)
    ran = fab("-H", "prod", "deploy", f"--sha={shop.release(api='exit 1')}")
    assert (ran.code, "shop-api.service" in ran.said) == (10, True), ran.said
    assert_at_rest(host, old)

    host.run("touch", "/tmp/gate")
    new = shop.release(api="sleep 1; exit 1", check=f"{WAIT}true")
    running = fab.start("-H", "prod", "deploy", f"--sha={new}")
    await_phase(host, "restarted")
    running.kill()
    running.communicate()
    host.run("systemctl", "kill", "--signal=KILL", UNIT, check=False)  # it may have ended
    host.run("rm", "-f", "/tmp/gate")
    attempt = state(host)["attempt"]
    await_true(lambda: ours(host, "attempts", attempt, "result.json").exists())
    assert [entry["outcome"] for entry in journal(host) if entry["attempt"] == attempt] == ["restored"]
    assert_at_rest(host, old)


@pytest.mark.parametrize("how", ["reexecutes systemd", "stops dbus", "stops journald"])
def test_what_somebody_does_to_the_system(host: DisposableHost, shop: Shop, fab: Fab, how: str) -> None:
    """In each phase, and for a moment: the attempt ends as if nobody had done anything, and all of it is told."""
    live = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={live}")
    for hold in (swapped, restarted, gated, restoring, prepared):
        new = shop.release(check=WAIT + (f"touch {HOLD}; {BAD}" if hold is restoring else "true"))
        hold(host, shop, new)
        running = fab.start("-H", "prod", "deploy", f"--sha={new}")
        if hold is gated:
            keep_from_committing(host, new)
        await_phase(host, hold.__name__)
        back = disturb(host, how, None, "system")
        if hold is gated:
            ours(host, "bad", new).rmdir()
        host.run("rm", "-f", HOLD, "/tmp/gate", "/tmp/migrate")
        time.sleep(1)  # for which it is gone
        back()
        said, failed = running.communicate(timeout=120)
        live = live if hold is restoring else new
        assert running.returncode == (10 if hold is restoring else 0), f"{hold.__name__}: {said}{failed}"
        assert_at_rest(host, live)


@pytest.fixture
def server(host: DisposableHost, tmp_path: Path) -> Iterator[Path]:
    """A disk of the host's on which everybody may write, as on a file server; the test makes it answer nobody."""
    host.power_cut()
    place = host.rootfs / "srv/server"
    with small_filesystem(place, "ext4", image=tmp_path / "server.img"):
        place.chmod(0o777)
        host.boot()
        yield place
        host.power_cut()


def test_a_health_command_that_nothing_can_kill(host: DisposableHost, server: Path, shop: Shop, fab: Fab) -> None:
    """It hangs on a server that does not answer: the release is taken back, and the next deploy has not to wait."""
    set_gate_timeout(shop, 5)
    old = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    with frozen(server):
        ran = fab("-H", "prod", "deploy", f"--sha={shop.release(check='echo >/srv/server/file')}")
        assert ran.code == 10, ran.said
        assert_at_rest(host, old)
        assert host.run("systemctl", "is-active", UNIT, check=False).stdout.strip() == "deactivating"
        new = shop.release(check="test -d ops")
        fab.ok("-H", "prod", "deploy", f"--sha={new}")
        assert_at_rest(host, new)


def test_a_service_that_nothing_can_kill(host: DisposableHost, server: Path, shop: Shop, fab: Fab) -> None:
    """It hangs at its stop: systemd starts the new one beside it, which is no success; the old one serves again."""
    set_gate_timeout(shop, 5)
    limit = host.rootfs / "etc/systemd/system/shop-api.service.d/stop.conf"
    limit.parent.mkdir(exist_ok=True)
    limit.write_text("[Service]\nTimeoutStopSec=1\n")
    host.run("systemctl", "daemon-reload")
    old = shop.release(api=f"if mkdir /tmp/once; then sleep 3; echo >/srv/server/file; fi; {SERVE}")
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    with frozen(server):
        time.sleep(3)  # until it writes
        ran = fab("-H", "prod", "deploy", f"--sha={shop.release()}")
        print(ran.said)
        assert ran.code == 10, ran.said
        assert_at_rest(host, old)
    fab.ok("-H", "prod", "deploy", f"--sha={shop.release(check='test -d ops')}")


def test_a_full_disk(host: DisposableHost, small_disk: Path, shop: Shop, fab: Fab) -> None:
    """A build exits 30, a rollback 0, one that fails 10: each leaves the host as the code says, still full."""
    first, second = shop.release(check=f"test ! -e /tmp/broken || {BAD}"), shop.release(check="test -d services")
    for sha in (first, second):
        fab.ok("-H", "prod", "deploy", f"--sha={sha}")
    fill(small_disk)
    built = fab("-H", "prod", "deploy", f"--sha={shop.release(check='test -d ops')}")
    assert built.code == 30, built.said
    assert_at_rest(host, second)
    back = fab("rollback", f"--release={first}")
    assert back.code == 0, back.said
    assert_at_rest(host, first)
    free(small_disk)
    fab.ok("-H", "prod", "deploy", f"--sha={second}")
    fill(small_disk)
    host.run("touch", "/tmp/broken")
    failing = fab("rollback", f"--release={first}")
    assert failing.code == 10, failing.said
    assert_at_rest(host, second)


def assert_at_rest(host: DisposableHost, live: str) -> None:
    """The invariants hold, and this release is live."""
    running = {unit: serving(host, unit) for unit in ("shop-api", "shop-mailer")}
    assert running == dict.fromkeys(running, live)
    assert broken(host.rootfs / ROOT.removeprefix("/"), serving=running) == []
