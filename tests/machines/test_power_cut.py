"""The power fails in each phase of an activation: what the host makes of it by itself, asked of the host."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.shop import ROOT, SERVE, Scope, Shop, current, serving, set_gate_timeout, systemctl
from tests.support.user_shop import UNITS, Packages, give_to_the_login, packages_of

pytestmark = pytest.mark.host
in_either_scope = pytest.mark.parametrize("scope", get_args(Scope))

UNIT = "oroboros-boot-srv-shop.service"
HOLD = "/tmp/hold"  # while it exists a service does not come up; /tmp is gone after a power cut
SLOW = f"[Service]\nExecStartPre=/bin/sh -c 'while test -e {HOLD}; do sleep 0.05; done'\n"
WAIT = "while test -e /tmp/gate; do sleep 0.05; done; "
BAD = "exit 78"  # a gate that says so fails at once

Hold = Callable[[DisposableHost, Shop, str], None]


@pytest.fixture
def scope() -> Scope:
    """Whose service manager runs the shop."""
    return "system"


@pytest.fixture
def shop(tmp_path: Path, host: DisposableHost, scope: Scope) -> Shop:
    return slow_shop(tmp_path, host, scope)


def slow_shop(tmp_path: Path, host: DisposableHost, scope: Scope = "system") -> Shop:
    """A shop whose services start at boot, and can be made slow to start."""
    shop = Shop(tmp_path / "shop", host)
    set_gate_timeout(shop, 60)
    if scope == "user":
        give_to_the_login(shop)
    for name in ("shop-api", "shop-mailer"):
        drop_in = units_of(host, scope) / f"{name}.service.d/slow.conf"
        drop_in.parent.mkdir()
        drop_in.write_text(SLOW)
        if scope == "system":
            systemctl(host, "add-wants", "multi-user.target", f"{name}.service")
    systemctl(host, "daemon-reload", scope=scope)
    return shop


def units_of(host: DisposableHost, scope: Scope) -> Path:
    """Where the units lie that an administrator, or the login, wrote."""
    return host.rootfs / ("etc/systemd/system" if scope == "system" else UNITS)


def prepared(host: DisposableHost, shop: Shop, sha: str) -> None:
    """The migration takes long."""
    settings = shop.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text() + "  migrate: test ! -e /tmp/migrate || sleep 60\n")
    host.run("touch", "/tmp/migrate")


def swapped(host: DisposableHost, shop: Shop, sha: str) -> None:
    """The services take long to start."""
    host.run("touch", HOLD)


def restarted(host: DisposableHost, shop: Shop, sha: str) -> None:
    """The health command takes long."""
    host.run("touch", "/tmp/gate")


def gated(host: DisposableHost, shop: Shop, sha: str) -> None:
    """The health command takes long enough to prepare that the commit cannot be made."""
    host.run("touch", "/tmp/gate")


def keep_from_committing(host: DisposableHost, sha: str) -> None:
    """Put a directory where a commit takes a note away, and let the health command end."""
    await_phase(host, "restarted")
    host.run("mkdir", f"{ROOT}/.deploy/bad/{sha}")
    host.run("rm", "/tmp/gate")


def restoring(host: DisposableHost, shop: Shop, sha: str) -> None:
    """The release made the services slow to start before it failed its gate."""


DOWN = "the host went down after '{}'"
GATE = "the gate was not passed: the health command exited 78"
PLAIN, POLKIT, NO_BUS = get_args(Packages)
CUTS = [
    # in this phase, of a release whose API and gate do this: then the attempt is, for this reason; what a host with
    # services of the login has besides (in test_user_scope.py `restarted` has all three)
    pytest.param(prepared, SERVE, "true", "restored", DOWN, POLKIT, id="prepared-good"),
    pytest.param(swapped, SERVE, "true", "restored", DOWN, NO_BUS, id="swapped-good"),
    pytest.param(restarted, SERVE, "true", "restored", DOWN, PLAIN, id="restarted-good"),
    pytest.param(gated, SERVE, "true", "committed", "", NO_BUS, id="gated-good"),
    pytest.param(prepared, BAD, BAD, "restored", DOWN, NO_BUS, id="prepared-bad"),
    pytest.param(swapped, BAD, BAD, "restored", DOWN, POLKIT, id="swapped-bad"),
    pytest.param(restarted, SERVE, BAD, "restored", DOWN, PLAIN, id="restarted-bad"),
    pytest.param(restoring, SERVE, f"touch {HOLD}; {BAD}", "restored", GATE, POLKIT, id="restoring-bad"),
]


SAME = """[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=-/bin/umount --lazy /proc/sys/kernel/random/boot_id
[Install]
WantedBy=sysinit.target
"""


def test_a_host_that_keeps_its_boot_id(host: DisposableHost, shop: Shop, fab: Fab, scope: Scope) -> None:
    """As a container that sees its machine's id: a boot is told by its start too; a reexec of systemd is none."""
    (host.rootfs / "etc/systemd/system/same-id.service").write_text(SAME)
    host.run("systemctl", "enable", "same-id.service")
    host.power_cut()
    boot(host, scope)
    known = boot_of(host, scope)
    systemctl(host, "daemon-reexec", scope=scope)
    assert boot_of(host, scope) == known
    old = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    new = shop.release(check=f"{WAIT}{BAD}")
    restarted(host, shop, new)
    attempt = cut_in(host, fab, "restarted", new)
    boot(host, scope)
    told = boot_of(host, scope)
    same = [True, False, False] if scope == "system" else [True, False, False, False]
    assert [here == there for here, there in zip(told, known, strict=True)] == same
    assert_quiet(host, attempt, "restored", old, scope)


def boot_of(host: DisposableHost, scope: Scope) -> list[str]:
    """The kernel's name for the boot, when the first process began, and when systemd made what it makes at a start.

    For services of a login also when its manager began.
    """
    parts = "cat /proc/sys/kernel/random/boot_id; cut -d' ' -f22 /proc/1/stat; stat -c %y /run/systemd/inaccessible/reg"
    if scope == "user":
        parts += "; cut -d' ' -f22 /proc/$(systemctl show --value --property=MainPID user@1000.service)/stat"
    return host.run("sh", "-c", parts).stdout.splitlines()


@in_either_scope
@pytest.mark.parametrize(("hold", "api", "check", "ends", "reason", "packages"), CUTS)
def test_a_power_cut(
    host: DisposableHost,
    shop: Shop,
    fab: Fab,
    scope: Scope,
    hold: Hold,
    api: str,
    check: str,
    ends: str,
    reason: str,
    packages: Packages,
) -> None:
    """Booted again the host ends the attempt alone: one release, live and serving; one end, in one journal entry.

    Services of the login need neither polkit nor, for this, a bus.
    """
    old = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    new = shop.release(api=api, check=WAIT + check)
    hold(host, shop, new)
    with packages_of(host, packages if scope == "user" else PLAIN):
        attempt = cut_in(host, fab, hold.__name__, new)
        if hold is gated:
            ours(host, "bad", new).rmdir()
        host.boot()
        assert_quiet(host, attempt, ends, new if ends == "committed" else old, scope)
    assert journal(host)[-1]["reason"].startswith(reason.format(hold.__name__))
    after = shop.release(check="test -d services")
    fab.ok("-H", "prod", "deploy", f"--sha={after}")
    assert_serving(host, after, scope)


@pytest.mark.parametrize(
    ("scope", "name"),
    [("system", None), ("user", None), ("system", "unknown-name")],
    ids=["plain", "services of the login", "a name that does not resolve"],
)
def test_a_shutdown(host: DisposableHost, shop: Shop, fab: Fab, scope: Scope, name: str | None) -> None:
    """A host that is shut down in the middle puts the link back on its way down: it comes up on the old release.

    That sudo complains of the host's name beside each answer changes nothing.
    """
    if name:
        host.run("hostname", name)
    old = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    systemctl(host, "disable", UNIT, scope=scope)
    host.run("touch", "/tmp/gate")
    running = fab.start("-H", "prod", "deploy", f"--sha={shop.release(check=WAIT + 'true')}")
    await_phase(host, "restarted")
    attempt: str = state(host)["attempt"]
    host.run("systemctl", "poweroff", "--no-block")
    await_true(lambda: not host.is_up)
    running.kill()
    running.communicate()
    host.power_cut()  # nothing lives any more; this lets it boot again
    assert (current(host), state(host)["phase"]) == (old, "restored")
    host.boot()
    assert_quiet(host, attempt, "restored", old, scope)


def test_a_lock_file_that_is_removed(host: DisposableHost, shop: Shop, fab: Fab, scope: Scope) -> None:
    """Who follows an activation whose lock file somebody removed restores nothing beside it."""
    old, new = shop.release(), shop.release(check="sleep 4.5")
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    running = fab.start("-H", "prod", "deploy", f"--sha={new}")
    await_phase(host, "restarted")
    host.run("rm", f"{ROOT}/.deploy/lock")
    out, _ = running.communicate(timeout=60)
    assert (running.returncode, current(host), serving(host, scope=scope)) == (0, new, new), out
    assert [entry["outcome"] for entry in journal(host)[-2:]] == ["committed", "committed"]


@in_either_scope
def test_an_activation_that_is_stopped(host: DisposableHost, shop: Shop, fab: Fab, scope: Scope) -> None:
    """`systemctl stop` is no way to leave a host half-switched: it restores, with nobody there to follow."""
    old = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    host.run("touch", "/tmp/gate")
    running = fab.start("-H", "prod", "deploy", f"--sha={shop.release(check=WAIT + 'true')}")
    await_phase(host, "restarted")
    running.kill()
    running.communicate()
    systemctl(host, "stop", "oroboros-activate.service", scope=scope)
    assert_quiet(host, state(host)["attempt"], "restored", old, scope)


@in_either_scope
def test_a_cut_with_the_control_node_watching(host: DisposableHost, shop: Shop, fab: Fab, scope: Scope) -> None:
    """`fab` finds its host again after the reboot and tells the outcome; the registry has it as well."""
    old = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    new = shop.release(check=WAIT + "true")
    host.run("touch", "/tmp/gate")
    running = fab.start("-H", "prod", "deploy", f"--sha={new}")
    await_phase(host, "restarted")
    host.power_cut()
    host.boot()
    out, _ = running.communicate(timeout=60)
    assert (running.returncode, serving(host, scope=scope)) == (10, old), out
    assert "the host went down after 'restarted'" in out
    assert fab.statuses() == {old: "deployed", new: "deploy_failed"}


def test_an_activation_of_this_boot_is_left_alone(host: DisposableHost, shop: Shop, fab: Fab, scope: Scope) -> None:
    """Started by hand, or by another unit, while an activation restarts the services, the unit reverts nothing."""
    fab.ok("-H", "prod", "deploy", f"--sha={shop.release()}")
    need = units_of(host, scope) / "shop-api.service.d/need.conf"
    need.write_text(f"[Unit]\nRequires={UNIT}\nAfter={UNIT}\n")
    systemctl(host, "daemon-reload", scope=scope)
    new = shop.release(check="test -d services")
    fab.ok("-H", "prod", "deploy", f"--sha={new}")
    assert systemctl(host, "show", "--value", "--property=ExecMainPID", UNIT, scope=scope) != "0"
    assert (current(host), serving(host, scope=scope)) == (new, new)


@in_either_scope
def test_a_boot_with_nothing_to_settle(host: DisposableHost, shop: Shop, fab: Fab, scope: Scope) -> None:
    """No process is started for it: the condition of the unit fails; the unit is ordered before the services."""
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    host.power_cut()
    host.boot()
    await_true(lambda: serving(host, scope=scope) == good)
    asked = "--property=ConditionResult,ExecMainPID,UnitFileState,User,Before"
    found = dict(line.split("=", 1) for line in systemctl(host, "show", asked, UNIT, scope=scope).splitlines())
    before = set(found.pop("Before").split())
    user = "1000" if scope == "system" else ""
    assert found == {"ConditionResult": "no", "ExecMainPID": "0", "UnitFileState": "enabled", "User": user}
    assert {"shop-api.service", "shop-mailer.service"} <= before


def test_without_the_boot_unit(host: DisposableHost, shop: Shop, fab: Fab, scope: Scope) -> None:
    """Disabled it stays disabled; then `fab status` shows what is unfinished and the next deploy settles it first."""
    old = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    systemctl(host, "disable", UNIT, scope=scope)
    new = shop.release(check=WAIT + "true")
    host.run("touch", "/tmp/gate")
    attempt = cut_in(host, fab, "restarted", new)
    boot(host, scope)
    status = fab.ok("-H", "prod", "status", "--json").json[host.name]
    assert (status["last"]["phase"], status["running"], status["live"]) == ("restarted", None, new)
    after = shop.release(check="test -d services")
    said = fab.ok("-H", "prod", "deploy", f"--sha={after}").said
    assert f"attempt {attempt} was interrupted after 'restarted'" in said
    assert [entry["target"] + " " + entry["outcome"] for entry in journal(host)[-2:]] == [
        f"{new} restored",
        f"{after} committed",
    ]
    assert (current(host), serving(host, scope=scope)) == (after, after)
    assert systemctl(host, "is-enabled", UNIT, scope=scope, check=False) == "disabled"


@pytest.mark.parametrize("changed", [False, True])
def test_the_boot_unit_runs_only_what_was_put_there(
    host: DisposableHost, shop: Shop, fab: Fab, scope: Scope, changed: bool
) -> None:
    """Somebody changed the agent of the boot unit: it is not run, the host says so, and the next deploy settles."""
    old = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    new = shop.release(check=WAIT + "true")
    host.run("touch", "/tmp/gate")
    cut_in(host, fab, "restarted", new)
    [kept] = ours(host, "boot").glob("*.pyz")
    if changed:
        kept.write_text("import os; os.system('touch /tmp/planted')")
    boot(host, scope)
    await_true(lambda: serving(host, scope=scope) is not None)
    failed = systemctl(host, "is-failed", UNIT, scope=scope, check=False) == "failed"
    assert (failed, current(host)) == (changed, new if changed else old)
    if changed:
        said = host.run("journalctl", "--output=cat").stdout
        assert f"settled: {ROOT}/.deploy/boot/{kept.name} is not the file that a deploy put there" in said
        assert host.run("ls", "/tmp/planted", check=False).returncode
        fab.ok("-H", "prod", "deploy", f"--sha={old}")
    assert (current(host), serving(host, scope=scope)) == (old, old)


@pytest.mark.parametrize("scope", ["user"])
def test_all_of_these_in_scope_user(host: DisposableHost, shop: Shop, fab: Fab, scope: Scope) -> None:
    """What only scope system had, one after another on one host, whose boot id stays the same throughout."""
    test_a_host_that_keeps_its_boot_id(host, shop, fab, scope)
    test_a_lock_file_that_is_removed(host, shop, fab, scope)
    test_the_boot_unit_runs_only_what_was_put_there(host, shop, fab, scope, changed=True)
    test_without_the_boot_unit(host, shop, fab, scope)
    test_an_activation_of_this_boot_is_left_alone(host, shop, fab, scope)


def boot(host: DisposableHost, scope: Scope) -> None:
    """Start the host again; the login's manager is there only some time after its boot."""
    host.boot()
    if scope == "user":
        await_true(lambda: host.run("test", "-S", "/run/user/1000/bus", check=False).returncode == 0)


def cut_in(host: DisposableHost, fab: Fab, phase: str, sha: str) -> str:
    """Deploy, and cut the power when the phase is reached; the control node goes with it. Returns the attempt."""
    running = fab.start("-H", "prod", "deploy", f"--sha={sha}")
    if phase == "gated":
        keep_from_committing(host, sha)
    await_phase(host, phase)
    host.power_cut()
    running.kill()
    running.communicate()
    attempt: str = state(host)["attempt"]
    assert state(host)["phase"] == phase
    return attempt


def assert_quiet(host: DisposableHost, attempt: str, ends: str, live: str, scope: Scope = "system") -> None:
    """The invariants of a host that has come to rest; what a login's manager starts at boot, the boot waits for not."""
    release = host.rootfs / ROOT.removeprefix("/") / "releases" / live
    assert (release / ".deploy-seal").is_file()
    if scope == "user":
        await_true(lambda: serving(host, scope=scope) == serving(host, "shop-mailer", scope) == live)
    assert_serving(host, live, scope)
    assert state(host)["phase"] == ends
    assert [entry["outcome"] for entry in journal(host) if entry["attempt"] == attempt] == [ends]
    assert not ours(host, "unfinished").is_symlink()


def assert_serving(host: DisposableHost, live: str, scope: Scope) -> None:
    """What `current` names is what runs."""
    running = (current(host), serving(host, scope=scope), serving(host, "shop-mailer", scope))
    assert running == (live, live, live)


def ours(host: DisposableHost, *parts: str) -> Path:
    return host.rootfs.joinpath(ROOT.removeprefix("/"), ".deploy", *parts)


def state(host: DisposableHost) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ours(host, "state.json").read_text())
    return found


def journal(host: DisposableHost) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ours(host, "journal.jsonl").read_text().splitlines()]


def await_phase(host: DisposableHost, phase: str) -> None:
    await_true(lambda: state(host)["phase"] == phase)


def await_true(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < give_up, "it never came to that"
        time.sleep(0.05)
