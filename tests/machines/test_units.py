"""Units that come and go with their release, on a real host: systemd itself is asked what it has."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.shop import ROOT, SERVE, Scope, Shop, current, serving, systemctl
from tests.support.user_shop import UNITS, give_to_the_login

pytestmark = pytest.mark.host

INSTALL = "\n[Install]\nWantedBy=multi-user.target\n"
SERVICE = """\
[Unit]
Description=Shop {name} of @application@

[Service]
Type=exec
WorkingDirectory=@root@/current/services
ExecStart=/bin/sh {name}.sh
Restart=always
RestartSec=100ms
"""
TIMER = "[Timer]\nOnCalendar={when}\n[Install]\nWantedBy=timers.target\n"
PATH = "[Path]\nPathExists=/run/shop-inbox\n[Install]\nWantedBy=multi-user.target\n"
SEEN = "[Service]\nType=oneshot\nExecStart=/bin/mv /run/shop-inbox /run/shop-seen\n"
ONESHOT = "[Service]\nType=oneshot\nExecStart=/bin/true\n"
OPENED = {
    "shop-in.socket": "[Socket]\nListenStream=/run/shop-in.sock\n[Install]\nWantedBy=sockets.target\n",
    "shop-in.service": "[Service]\nExecStart=/bin/sleep infinity\n",
    "shop-look.path": PATH.replace("inbox", "look"),
    "shop-look.service": ONESHOT,
}
API, MAILER = (SERVICE.format(name=name) + INSTALL for name in ("api", "mailer"))


class Brings:
    """The shop, whose releases bring their units."""

    def __init__(self, shop: Shop, host: DisposableHost, scope: Scope = "system") -> None:
        self.shop, self.host, self.scope = shop, host, scope
        self.units = host.rootfs / (UNITS if scope == "user" else "etc/systemd/system")
        settings = shop.repository.path / "fabric.yaml"
        settings.write_text(settings.read_text() + "  units: infra\n")

    def settings(self, before: str, after: str) -> None:
        settings = self.shop.repository.path / "fabric.yaml"
        settings.write_text(settings.read_text().replace(before, after))

    def release(self, units: dict[str, str], check: str = "true") -> str:
        """Commit a release with these units and no others."""
        top = self.shop.repository.path / "infra"
        for path in sorted(top.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        for name, text in units.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
        return self.shop.release(api=SERVE, check=check)

    def show(self, unit: str, *properties: str) -> tuple[str, ...]:
        told = systemctl(self.host, "show", f"--property={','.join(properties)}", unit, scope=self.scope)
        found = dict(line.split("=", 1) for line in told.splitlines())
        return tuple(found.get(name, "") for name in properties)

    def state(self, unit: str) -> tuple[str, ...]:
        """Whether systemd knows it, whether it runs, and whether a boot starts it."""
        return self.show(unit, "LoadState", "ActiveState", "UnitFileState")

    @property
    def there(self) -> set[str]:
        """The files of the shop that are installed."""
        found = (path for path in self.units.rglob("*") if path.is_file() and not path.is_symlink())
        return {
            str(path.relative_to(self.units))
            for path in found
            if path.read_text(errors="replace").startswith("# oroboros_deploy: ")
        }


ON = ("loaded", "active", "enabled")
GONE = ("not-found", "inactive", "")
GOOD = {"shop-api.service": API, "shop-mailer.service": MAILER}


@pytest.fixture
def brings(shop: Shop, host: DisposableHost) -> Brings:
    """A shop whose administrator installed nothing."""
    for name in ("api", "mailer"):
        (host.rootfs / f"etc/systemd/system/shop-{name}.service").unlink()
    host.run("systemctl", "daemon-reload")
    return Brings(shop, host)


def test_units_come_change_and_go(host: DisposableHost, brings: Brings, fab: Fab) -> None:
    """A first deploy to a host without units, a rename, timer, path, socket, template and drop-in; a rollback.

    The path starts its service when the file appears, with the release that brings it, and again after a rollback.
    """
    old = {"shop-old.timer": TIMER.format(when="daily"), "shop-old.service": ONESHOT}
    first = brings.release({**GOOD, **old, "shop-inbox.path": PATH, "shop-inbox.service": SEEN})
    said = fab.ok("-H", "prod", "deploy", f"--sha={first}").said
    names = ("shop-api.service", "shop-inbox.path", "shop-inbox.service", "shop-mailer.service")
    assert "units: " + ", ".join(f"+ {name}" for name in (*names, *sorted(old))) in said
    assert (current(host), serving(host), serving(host, "shop-mailer")) == (first, first, first)
    mine = ("shop-api", "shop-mailer", "shop-old.timer", "shop-inbox.path")
    assert [brings.state(unit) for unit in mine] == [ON] * 4
    assert triggers(host)

    again = fab.ok("-H", "prod", "deploy", f"--sha={first}")
    assert "live already" in again.said

    brings.settings("services: [shop-api, shop-mailer]", "services: [shop-api, shop-post, shop-worker@1]")
    units = {
        "shop-api.service": API,
        "shop-api.service.d/slow.conf": "[Service]\nRestartSec=300ms\n",
        "shop-post.service": MAILER,
        "shop-new.timer": TIMER.format(when="weekly"),
        "shop-new.service": ONESHOT,
        "shop-worker@.service": SERVICE.format(name="mailer") + INSTALL,
        **OPENED,
        "shop-keep.timer": TIMER.format(when="yearly"),
        "shop-keep.service": ONESHOT,
        "shop-side.service": SERVICE.format(name="mailer"),
    }
    second = brings.release(units)
    fab.ok("-H", "prod", "deploy", f"--sha={second}")
    ours = ("shop-api", "shop-post", "shop-new.timer", "shop-worker@1", "shop-in.socket")
    assert [brings.state(unit) for unit in ours] == [ON] * len(ours)
    assert [brings.state(unit) for unit in (*mine[1:], "shop-old", "shop-inbox")] == [GONE] * 5
    assert (brings.show("shop-api", "RestartUSec", "NeedDaemonReload"), brings.there) == (("300ms", "no"), {*units})

    opened_anew(host, brings, fab, units)

    brings.settings("services: [shop-api, shop-post, shop-worker@1]", "services: [shop-api, shop-mailer]")
    fab.ok("-H", "prod", "rollback", f"--release={first}")
    assert [brings.state(unit) for unit in mine] == [ON] * 4
    assert triggers(host)
    assert [brings.state(unit) for unit in ours[1:]] == [GONE] * 4
    assert brings.show("shop-api", "RestartUSec", "NeedDaemonReload") == ("100ms", "no")

    was = brings.there
    brings.settings("  units: infra\n", "")
    said = fab.ok("-H", "prod", "deploy", f"--sha={brings.release(GOOD, check='true again')}").said
    assert "the units that are installed stay as they are: the settings have no `units`" in said
    assert (brings.there, [brings.state(unit) for unit in mine]) == (was, [ON] * 4)


def opened_anew(host: DisposableHost, brings: Brings, fab: Fab, units: dict[str, str]) -> None:
    """A socket, a timer and a path whose text changed are started anew, others not; nor is a service that is not named.

    Where they listen and wait then, and which process runs, is asked of systemd and the host.  A socket whose service
    runs and is not named stays open as it was, told.
    """
    systemctl(host, "start", "shop-side")
    opened = ("shop-in.socket", "shop-new.timer", "shop-look.path", "shop-keep.timer", "shop-side.service")
    before = {unit: brings.show(unit, "InvocationID", "MainPID") for unit in opened}
    third = {
        **units,
        "shop-in.socket": units["shop-in.socket"].replace("shop-in.sock", "shop-other.sock"),
        "shop-new.timer": TIMER.format(when="monthly"),
        "shop-look.path": units["shop-look.path"].replace("shop-look", "shop-other"),
        "shop-side.service": units["shop-side.service"].replace("100ms", "200ms"),
    }
    fab.ok("-H", "prod", "deploy", f"--sha={brings.release(third)}")
    changed = [unit for unit in opened if brings.show(unit, "InvocationID", "MainPID") != before[unit]]
    assert changed == ["shop-in.socket", "shop-new.timer", "shop-look.path"]
    assert host.run("test", "-S", "/run/shop-other.sock", check=False).returncode == 0
    assert "*-*-01" in brings.show("shop-new.timer", "TimersCalendar")[0]
    assert [brings.state(unit) for unit in opened[:4]] == [ON] * 4

    systemctl(host, "start", "shop-in.service")
    before_it = brings.show("shop-in.socket", "InvocationID", "ActiveState")
    fourth = {**third, "shop-in.socket": third["shop-in.socket"].replace("shop-other.sock", "shop-fourth.sock")}
    said = fab.ok("-H", "prod", "deploy", f"--sha={brings.release(fourth)}").said
    assert "shop-in.socket stays as it was: its service runs, and is not named in `services`" in said
    assert brings.show("shop-in.socket", "InvocationID", "ActiveState") == before_it
    assert host.run("test", "-e", "/run/shop-fourth.sock", check=False).returncode == 1


def triggers(host: DisposableHost) -> bool:
    """Whether the path's service takes the file that appears, as systemd starts it."""
    host.run("sh", "-c", "rm -f /run/shop-seen; touch /run/shop-inbox")
    until(lambda: host.run("test", "-e", "/run/shop-seen", check=False).returncode == 0)
    return host.run("test", "-e", "/run/shop-inbox", check=False).returncode != 0


def test_a_failed_gate_brings_the_units_back(host: DisposableHost, brings: Brings, fab: Fab) -> None:
    """Texts, what is enabled, what somebody disabled, timers that ran: all is as it was, and nothing new is left."""
    first = {**GOOD, "shop-old.timer": TIMER.format(when="daily"), "shop-old.service": ONESHOT}
    good = brings.release({**first, "shop-off.timer": TIMER.format(when="daily"), "shop-off.service": ONESHOT})
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    systemctl(host, "disable", "--now", "shop-off.timer")
    was = brings.there
    bad = brings.release(
        {
            "shop-api.service": API.replace("100ms", "200ms"),
            "shop-mailer.service": MAILER,
            "shop-new.timer": TIMER.format(when="weekly"),
            "shop-new.service": ONESHOT,
        },
        check="exit 78",
    )
    ran = fab("-H", "prod", "deploy", f"--sha={bad}")
    assert (ran.code, current(host), serving(host)) == (10, good, good), ran.said
    assert (brings.there, brings.show("shop-api", "RestartUSec", "NeedDaemonReload")) == (was, ("100ms", "no"))
    assert [brings.state(unit) for unit in ("shop-old.timer", "shop-off.timer", "shop-new.timer")] == [
        ON,
        ("loaded", "inactive", "disabled"),
        GONE,
    ]


def test_instances_of_a_template_that_goes(host: DisposableHost, brings: Brings, fab: Fab) -> None:
    """They are stopped with it, named or started by hand, and run again after a restore as they were."""
    worker = {"shop-worker@.service": SERVICE.format(name="mailer") + INSTALL}
    brings.settings("services: [shop-api, shop-mailer]", "services: [shop-api, shop-worker@1]")
    good = brings.release({**GOOD, **worker})
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    systemctl(host, "start", "shop-worker@2")
    brings.settings("services: [shop-api, shop-worker@1]", "services: [shop-api]")
    stopped = "systemctl is-active --quiet shop-worker@2 || exit 78"
    ran = fab("-H", "prod", "deploy", f"--sha={brings.release(GOOD, check=stopped)}")
    assert (ran.code, "exited 78" in ran.said, current(host)) == (10, True, good), ran.said
    assert [brings.state(f"shop-worker@{number}") for number in "12"] == [ON, ("loaded", "active", "disabled")]
    assert serving(host, "shop-worker@2") == good


def test_a_connection_that_a_socket_accepted(host: DisposableHost, brings: Brings, fab: Fab) -> None:
    """It ends with its template or its caller; nobody named it, so a restore neither starts nor needs it."""
    line = {
        "shop-line.socket": f"[Socket]\nListenStream=/run/shop-line.sock\nAccept=yes\n{INSTALL}",
        "shop-line@.service": "[Service]\nExecStart=/bin/cat\nStandardInput=socket\n",
    }
    good = brings.release({**GOOD, **line})
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    connect = (
        "import socket, time; s = socket.socket(socket.AF_UNIX); s.connect('/run/shop-line.sock'); time.sleep(600)"
    )
    host.run("systemd-run", "--unit=caller", "python3", "-c", connect)
    shown = ("systemctl", "list-units", "--no-legend", "--state=active", "shop-line@*")
    until(lambda: "shop-line@" in host.run(*shown).stdout)
    for units in ({**GOOD, **line, "shop-api.service": API.replace("100ms", "200ms")}, GOOD):
        ran = fab("-H", "prod", "deploy", f"--sha={brings.release(units, check='exit 78')}")
        assert (ran.code, current(host), serving(host)) == (10, good, good), ran.said
    assert (brings.state("shop-line.socket"), host.run(*shown).stdout) == (ON, "")


def test_what_somebody_disabled_comes_back_disabled(host: DisposableHost, brings: Brings, fab: Fab) -> None:
    """Also when the release in between did not have it; what is enabled again is enabled then."""
    timers = {"shop-old.timer": TIMER.format(when="daily"), "shop-old.service": ONESHOT}
    good, new = brings.release({**GOOD, **timers}), brings.release(GOOD)
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    systemctl(host, "disable", "--now", "shop-old.timer")
    fab.ok("-H", "prod", "deploy", f"--sha={new}")
    said = fab.ok("-H", "prod", "rollback", f"--release={good}").said
    assert "shop-old.timer was disabled by somebody before a release took it away: it stays disabled" in said
    assert brings.state("shop-old.timer") == ("loaded", "inactive", "disabled")
    systemctl(host, "enable", "--now", "shop-old.timer")
    fab.ok("-H", "prod", "deploy", f"--sha={new}")
    fab.ok("-H", "prod", "rollback", f"--release={good}")
    assert brings.state("shop-old.timer") == ON


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_unit_that_is_edited_during_the_migration(host: DisposableHost, brings: Brings, fab: Fab, ends: str) -> None:
    """It stays as somebody wrote it, and the attempt fails; the restore does not take it for its own change."""
    good = brings.release(GOOD)
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    edited = brings.units / "shop-api.service"
    host.run("mkdir", "-p", "/tmp/migration")
    line = "touch /tmp/migration/begun; until test -e /tmp/migration/go; do sleep 0.05; done"
    settings = brings.shop.repository.path / "fabric.yaml"
    once = "; mkdir /tmp/migration/failed && exit 1 || true" if ends == "badly" else ""
    settings.write_text(settings.read_text() + f"  migrate: {line}{once}\n")
    host.run("chmod", "0777", "/tmp/migration")
    new = brings.release({**GOOD, "shop-api.service": API.replace("100ms", "200ms")})
    running = fab.start("-H", "prod", "deploy", f"--sha={new}")
    until(lambda: host.run("test", "-e", "/tmp/migration/begun", check=False).returncode == 0)
    edited.write_text(edited.read_text() + "# by hand\n")
    by_hand = edited.read_text()
    host.run("touch", "/tmp/migration/go")
    said = "".join(running.communicate(timeout=120))
    assert (running.returncode, edited.read_text(), current(host), serving(host)) == (30, by_hand, good, good), said
    assert ("somebody changed units while this activation was prepared" in said) == (ends == "well"), said
    fab.ok("-H", "prod", "deploy", f"--sha={new}", "--adopt-units")
    kept = [*(host.rootfs / ROOT[1:] / ".deploy/units/edited").iterdir()]
    assert ([path.read_text() for path in kept], serving(host)) == ([by_hand], new)


def test_a_first_deploy_that_fails_leaves_no_unit(host: DisposableHost, brings: Brings, fab: Fab) -> None:
    """There was nothing: nothing is left, and nothing runs."""
    ran = fab("-H", "prod", "deploy", f"--sha={brings.release(GOOD, check='exit 78')}")
    assert (ran.code, current(host), brings.there) == (11, None, set()), ran.said
    assert [brings.state(unit) for unit in ("shop-api", "shop-mailer")] == [GONE] * 2


def test_what_is_refused(host: DisposableHost, brings: Brings, fab: Fab) -> None:
    """A unit that systemd refuses is a failed build; a name of Debian, and an edited unit, change nothing either."""
    good = brings.release(GOOD)
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    was = brings.there

    broken = brings.release({**GOOD, "shop-api.service": API.replace("/bin/sh", "@root@/current/nothing")})
    ran = fab("-H", "prod", "deploy", f"--sha={broken}")
    assert (ran.code, "shop-api.service: Command" in ran.said, brings.there) == (30, True, was), ran.said

    ran = fab("-H", "prod", "deploy", f"--sha={brings.release({**GOOD, 'ssh.service': API})}")
    assert (ran.code, "ssh.service is a name that something else has" in ran.said) == (2, True), ran.said

    edited = brings.units / "shop-api.service"
    edited.write_text(edited.read_text() + "# by hand\n")
    new = brings.release({**GOOD, "shop-mailer.service": MAILER.replace("100ms", "200ms")})
    ran = fab("-H", "prod", "deploy", f"--sha={new}")
    assert (ran.code, "-# by hand" in ran.said, current(host), serving(host)) == (2, True, good, good), ran.said
    fab.ok("-H", "prod", "deploy", f"--sha={new}", "--adopt-units")
    assert ("# by hand" in edited.read_text(), current(host)) == (False, new)


def test_units_by_hand_come_back_with_a_release_from_before(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """They are refused while they differ, replaced when that is asked for, and back after a restore or a rollback."""
    before = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={before}")
    by_hand = (host.rootfs / "etc/systemd/system/shop-api.service").read_text()
    brings = Brings(shop, host)
    new = brings.release({**GOOD, "shop-old.timer": TIMER.format(when="daily"), "shop-old.service": ONESHOT})
    ran = fab("-H", "prod", "deploy", f"--sha={new}")
    assert (ran.code, "put on this host by somebody else" in ran.said, current(host)) == (2, True, before), ran.said
    bad = brings.release(GOOD, check="exit 78")
    ran = fab("-H", "prod", "deploy", f"--sha={bad}", "--adopt-units")
    assert (ran.code, current(host), serving(host)) == (10, before, before), ran.said
    assert (brings.units / "shop-api.service").read_text() == by_hand
    assert "shop-api runs as root" not in fab("-H", "prod", "doctor").said  # it has User=nobody
    fab.ok("-H", "prod", "deploy", f"--sha={new}", "--adopt-units")
    said = fab("-H", "prod", "doctor").said
    assert "shop-api runs as root" in said  # that of the release names no user
    assert "shop-old.service runs as root" in said  # nor that of the service that nobody named, and a timer starts
    assert (brings.show("shop-api", "User"), serving(host)) == (("",), new)
    fab.ok("-H", "prod", "rollback", f"--release={before}")
    assert (brings.units / "shop-api.service").read_text() == by_hand
    assert (brings.show("shop-api", "User", "NeedDaemonReload"), serving(host)) == (("nobody", "no"), before)


@pytest.mark.parametrize("moment", ["before the link", "in the gate"])
def test_the_power_fails(host: DisposableHost, brings: Brings, fab: Fab, moment: str) -> None:
    """The next boot has the units of the release that serves, started as it starts them, before anybody comes."""
    good = brings.release({**GOOD, "shop-old.timer": TIMER.format(when="daily"), "shop-old.service": ONESHOT})
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    was = brings.there
    units = {
        **GOOD,
        "shop-api.service": API.replace("100ms", "200ms"),
        "shop-new.service": API.replace("api", "mailer"),
    }
    bad = brings.release(units, check="sleep 60")
    deploy = fab.start("-H", "prod", "deploy", f"--sha={bad}")
    if moment == "before the link":
        (host.rootfs / "usr/local/sbin/sync").write_text('#!/bin/sh\n[ "$1" != . ] || sleep 60\nexec /bin/sync "$@"\n')
        (host.rootfs / "usr/local/sbin/sync").chmod(0o755)
        until(lambda: "shop-new.service" in brings.there)
    else:
        until(lambda: current(host) == bad)
        until(lambda: brings.state("shop-new.service")[0] == "loaded")
    host.power_cut()
    deploy.kill()
    deploy.communicate()
    (host.rootfs / "usr/local/sbin/sync").unlink(missing_ok=True)
    host.boot()
    until(lambda: serving(host) == good)
    until(lambda: brings.state("shop-old.timer") == ON)
    assert (current(host), brings.there, brings.state("shop-new.service")) == (good, was, GONE)
    assert brings.show("shop-api", "RestartUSec", "NeedDaemonReload") == ("100ms", "no")


def test_a_shutdown_while_units_change(host: DisposableHost, brings: Brings, fab: Fab) -> None:
    """A host that is rebooted by its administrator comes up with exactly the units of the release that serves.

    Its sockets and paths are opened before any service, and none of them waits for the boot unit: no job is left out.
    """
    brings.settings("[shop-api, shop-mailer]", "[shop-api, shop-mailer, shop-in.socket, shop-look.path]")
    good_units = {**GOOD, "shop-old.timer": TIMER.format(when="daily"), "shop-old.service": ONESHOT, **OPENED}
    good = brings.release(good_units)
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    was = brings.there
    changed = {**GOOD, **OPENED, "shop-api.service": API.replace("100ms", "200ms"), "shop-new.service": API}
    deploy = fab.start("-H", "prod", "deploy", f"--sha={brings.release(changed, check='sleep 60')}")
    until(lambda: brings.state("shop-new.service")[0] == "loaded" and current(host) != good)
    host.run("systemctl", "poweroff", "--no-block")
    until(lambda: not host.is_up)
    deploy.kill()
    deploy.communicate()
    host.power_cut()  # nothing lives any more; this lets it boot again
    host.boot()
    until(lambda: serving(host) == good)
    opened = ("shop-old.timer", "shop-in.socket", "shop-look.path")
    until(lambda: [brings.state(unit) for unit in opened] == [ON] * 3)
    assert "ordering cycle" not in host.run("journalctl", "--boot", "--no-pager").stdout
    assert (current(host), brings.there, brings.state("shop-new.service")) == (good, was, GONE)
    assert brings.show("shop-api", "RestartUSec", "NeedDaemonReload") == ("100ms", "no")


def test_a_push_before_the_release_that_brings_a_service(host: DisposableHost, brings: Brings, fab: Fab) -> None:
    """It is held to the live release, which has no such service."""
    good = brings.release(GOOD)
    brings.settings("deploy:\n", "deploy:\n  env: {values: {COLOUR: blue}}\n")
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    brings.settings("services: [shop-api, shop-mailer]", "services: [shop-api, shop-mailer, shop-new]")
    brings.settings("blue", "green")
    said = fab.ok("-H", "prod", "env.push").said
    assert "shop-new is not-found on this host: it is left out" in said
    assert (host.rootfs / ROOT[1:] / "env").readlink().parent.name == "config"


def test_units_of_the_login(tmp_path: Path, host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """Without root they are in the login's own directory, and its manager has them; a failed gate takes them back."""
    give_to_the_login(shop)
    for name in ("api", "mailer"):
        systemctl(host, "disable", f"shop-{name}", scope="user")
        (host.rootfs / UNITS / f"shop-{name}.service").unlink()
    systemctl(host, "daemon-reload", scope="user")
    brings = Brings(shop, host, "user")
    units = {name: text.replace("multi-user", "default") for name, text in GOOD.items()}
    good = brings.release(units)
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    assert (serving(host, scope="user"), brings.state("shop-api"), brings.there) == (good, ON, {*units})
    bad = brings.release(
        {**units, "shop-new.timer": TIMER.format(when="daily"), "shop-new.service": ONESHOT}, "exit 78"
    )
    ran = fab("-H", "prod", "deploy", f"--sha={bad}")
    assert (ran.code, serving(host, scope="user"), brings.there) == (10, good, {*units}), ran.said


def test_a_unit_that_systemd_has_not_read(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A unit of somebody else that was edited without daemon-reload is told before anything is changed."""
    fab.ok("-H", "prod", "deploy", f"--sha={shop.release()}")
    unit = host.rootfs / "etc/systemd/system/shop-api.service"
    unit.write_text(unit.read_text() + "Nice=5\n")
    out = fab.ok("-H", "prod", "deploy", f"--sha={shop.release(check='test -d services')}", "--json").out
    told = [json.loads(line) for line in out.splitlines()]
    stale = "shop-api was changed on this host, and systemd has not read it since"
    (warned,) = (at for at, event in enumerate(told) if stale in event.get("message", ""))
    assert warned < min(at for at, event in enumerate(told) if event.get("phase") in ("prepared", "swapped"))


def until(holds: Callable[[], bool]) -> None:
    """Wait for what comes about by itself."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


def test_both_scopes_are_there() -> None:
    """So that a third one gets its rows here."""
    assert get_args(Scope) == ("system", "user")
