"""Units that somebody stopped, disabled or masked, on a real systemd host: what a deploy does about each."""

from __future__ import annotations

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.shop import Shop, current, serving

pytestmark = pytest.mark.host

INSTALL = "[Install]\nWantedBy=multi-user.target\n"
WORKER = "[Service]\nWorkingDirectory=/srv/shop/current/services\nExecStart=/bin/sleep infinity\n"
UNITS = {
    "worker@.service": WORKER + INSTALL,
    "plain.service": WORKER,  # nothing enables it
    "shut.socket": "[Socket]\nListenStream=/run/shut.sock\n[Install]\nWantedBy=sockets.target\n",
    "shut.service": WORKER,
    "also.socket": "[Socket]\nListenStream=/run/also.sock\n[Install]\nWantedBy=sockets.target\n",
    "also.service": WORKER + "[Install]\nAlso=also.socket\n",
    "once.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n" + INSTALL,
}
NAMES = ("shop-api", "shop-mailer", "worker@1", "worker@2", "plain", "shut.socket", "shut", "also", "once")


@pytest.fixture
def many(host: DisposableHost, shop: Shop) -> Shop:
    """The shop with units of every kind; all run, the mailer, one worker and the sockets are enabled."""
    directory = host.rootfs / "etc/systemd/system"
    for name, text in UNITS.items():
        (directory / name).write_text(text)
    mailer = directory / "shop-mailer.service"
    mailer.write_text(mailer.read_text() + INSTALL)
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "enable", "shop-mailer", "worker@1", "shut.socket", "also", "once")
    settings = shop.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text().replace("[shop-api, shop-mailer]", f"[{', '.join(NAMES)}]"))
    return shop


def active(host: DisposableHost) -> set[str]:
    """The services that run, as systemd says."""
    states = host.run("systemctl", "is-active", *NAMES, check=False).stdout.split()
    return {name for name, state in zip(NAMES, states, strict=True) if state == "active"}


def told(said: str) -> set[str]:
    return {name for name in NAMES if f"{name} was stopped and disabled since the last good attempt" in said}


def test_what_somebody_stopped_and_disabled_stays_so(host: DisposableHost, many: Shop, fab: Fab) -> None:
    """Of all that is stopped, what was enabled and is disabled stays stopped; the rest is started, as before."""
    first, second, bad = many.release(), many.release(check="test -d ops"), many.release(check="exit 78")
    fab.ok("-H", "prod", "deploy", f"--sha={first}")
    everything = {*NAMES} - {"once"}
    assert active(host) == everything
    host.run("systemctl", "disable", "--now", "worker@1", "shut.socket", "also", "plain", "once")
    host.run("systemctl", "stop", "shop-mailer", "worker@2", "shut")
    away = {"worker@1", "shut.socket"}
    status = fab.ok("-H", "prod", "status").out
    assert told(status) == away
    assert "shop-mailer is inactive (dead)" in status
    ran = fab.ok("-H", "prod", "deploy", f"--sha={second}")
    assert (told(ran.said), active(host)) == (away, everything - away)
    assert "already" in fab.ok("-H", "prod", "deploy", f"--sha={second}").out
    ran = fab("-H", "prod", "deploy", f"--sha={bad}")
    assert (ran.code, current(host), serving(host, "shop-mailer"), active(host)) == (
        10,
        second,
        second,
        everything - away,
    ), ran.said
    host.run("systemctl", "enable", "--now", "worker@1")
    ran = fab.ok("-H", "prod", "rollback", f"--release={first}")
    assert (told(ran.said), active(host)) == (away - {"worker@1"}, everything - {"shut.socket"})


WANTED = {
    "worker@1": "worker@1.service",  # named by the settings, and wanted by the API
    "beside": "beside.service",  # wanted by the API alone
    "below": "below.service",  # wanted by a target that the API wants
}
IS_NEEDED = "needed.service"  # what nobody put away is started, as ever


def test_what_another_unit_wants_stays_stopped(host: DisposableHost, many: Shop, fab: Fab) -> None:
    """A restart that would start what somebody stopped and disabled leaves it; all else that is wanted is started."""
    directory = host.rootfs / "etc/systemd/system"
    for name in ("beside.service", "below.service"):
        (directory / name).write_text("[Service]\nExecStart=/bin/sleep infinity\n" + INSTALL)
    (directory / IS_NEEDED).write_text("[Service]\nExecStart=/bin/sleep infinity\n")
    (directory / "broken.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/false\n")
    (directory / "other.target").write_text("[Unit]\nWants=below.service\n")
    api = directory / "shop-api.service"
    wants = f"[Unit]\nWants=worker@1.service beside.service other.target broken.service\nRequires={IS_NEEDED}\n"
    api.write_text(api.read_text().replace("[Unit]\n", wants))
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "enable", *WANTED.values())
    first, second, bad = many.release(), many.release(check="test -d ops"), many.release(check="exit 78")
    fab.ok("-H", "prod", "deploy", f"--sha={first}")
    host.run("systemctl", "disable", "--now", *WANTED.values())
    host.run("systemctl", "stop", IS_NEEDED)

    def runs(*names: str) -> list[str]:
        return host.run("systemctl", "is-active", *names, check=False).stdout.split()

    for sha, code in ((second, 0), (bad, 10)):
        ran = fab("-H", "prod", "deploy", f"--sha={sha}")
        assert (ran.code, current(host), serving(host)) == (code, second, second), ran.said
        assert runs("shop-api", IS_NEEDED, *WANTED.values()) == ["active"] * 2 + ["inactive"] * 3, ran.said
        said = [f"{name} was stopped and disabled since the last good attempt" in ran.said for name in WANTED.values()]
        assert (said, "worker@1 was stopped" in ran.said) == ([False, True, True], True), ran.said
    host.run("systemctl", "enable", "--now", "beside.service")
    fab.ok("-H", "prod", "rollback", f"--release={first}")
    assert runs("beside.service", "below.service") == ["active", "inactive"]
