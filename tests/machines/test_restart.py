"""A restart on a real host: systemd's services run anew, held to the gate; a failure is left to a person."""

from __future__ import annotations

import json

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.shop import ROOT, SERVE, Shop, current, serving, systemctl

pytestmark = pytest.mark.host


def pid(host: DisposableHost, unit: str = "shop-api") -> str:
    return systemctl(host, "show", "--value", "--property=MainPID", unit)


def test_a_restart(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """All services, then one, then a failure that is told (11) and mended by the next; a hold refuses (20)."""
    good = shop.release(api=f"test ! -e /run/broken || exit 1; {SERVE}", check="test ! -e /run/sick || exit 78")
    assert fab("-H", "prod", "restart").code == 2
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    before = pid(host), pid(host, "shop-mailer")
    ran = fab.ok("-H", "prod", "restart")
    assert f"✓ {good[:10]}" in ran.out and "its services were restarted, and passed the gate" in ran.out
    after = pid(host), pid(host, "shop-mailer")
    assert (before[0] != after[0], before[1] != after[1], serving(host)) == (True, True, good)
    fab.ok("-H", "prod", "restart", "--services=shop-api")
    assert (pid(host) != after[0], pid(host, "shop-mailer") == after[1]) == (True, True)

    host.run("touch", "/run/sick")
    ran = fab("-H", "prod", "restart")
    assert (ran.code, current(host), serving(host)) == (11, good, good), ran.said
    assert "a restart has nothing to go back to" in ran.said and "going back" not in ran.said
    host.run("rm", "/run/sick")
    last = [json.loads(line) for line in fab.ok("-H", "prod", "restart", "--json").out.splitlines()][-1]
    assert (last["event"], last["component"]) == ("attempt.finished", "restart")

    fab.ok("-H", "prod", "lock", "--reason=the fair")
    ran = fab("-H", "prod", "restart")
    assert (ran.code, "the fair" in ran.said) == (20, True), ran.said
    fab.ok("-H", "prod", "unlock")
    kinds = [each["kind"] for each in fab.ok("audit", "-H", "prod", "--json").json[host.name]["entries"]]
    assert kinds == ["deploy", *["restart"] * 4, "lock", "unlock"]
    assert [each["state"] for each in fab.ok("history", "--json").json] == [
        *("failed", "live", "broken", "live", "live", "live"),
    ]
    record = json.loads((host.rootfs / f"{ROOT[1:]}/.deploy/records/{good}").read_text())
    assert (record["services"], fab.statuses()) == (["shop-api", "shop-mailer"], {good: "deployed"})
