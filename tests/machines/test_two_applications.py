"""Two applications on one host: one activation runs at a time, and the second application's waits its turn."""

from __future__ import annotations

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.shop import ROOT, SERVE, UNIT, Shop, serving
from tests.support.watching import eventually

pytestmark = pytest.mark.host

OTHER = "/srv/other"


def test_the_second_waits_its_turn(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """Both go live; the second says for whom it waits.  With --wait=0 it is refused at once, with the same words."""
    unit = UNIT.format(name="api", root=OTHER).replace("Shop", "Other")
    (host.rootfs / "etc/systemd/system/other-api.service").write_text(unit)
    host.run("install", "--directory", "--owner=deploy", OTHER)
    host.run("systemctl", "daemon-reload")
    host.run("rm", "-f", "/tmp/go")
    settings = shop.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text().replace("timeout: 5", "timeout: 300"))
    sha = shop.release(api=SERVE, check="case $PWD in /srv/shop/*) until [ -e /tmp/go ]; do sleep 0.1; done;; esac")
    other = (f"--root={OTHER}", "--services=other-api", f"--sha={sha}")

    first = fab.start("-H", "prod", "deploy", f"--sha={sha}")
    state = host.rootfs / f"{ROOT[1:]}/.deploy/state.json"
    assert eventually(lambda: state.exists() and '"phase": "restarted"' in state.read_text(), 60)
    holds = f"deploy of {sha} in {ROOT} by "
    refused = fab("-H", "prod", "deploy", *other, "--wait=0")
    assert (refused.code, holds in refused.said, "--wait=600" in refused.said) == (20, True, True), refused.said

    second = fab.start("-H", "prod", "deploy", *other, "--wait=300")
    assert second.stdout
    heard = ""
    while "waits up to 300 s" not in heard:
        line = second.stdout.readline()
        assert line, second.communicate()
        heard += line
    assert holds in heard
    host.run("touch", "/tmp/go")
    ended = [each.communicate(timeout=120) for each in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), ended
    cwd = host.run("sh", "-c", "readlink /proc/$(systemctl show --value -p MainPID other-api)/cwd").stdout.strip()
    assert (serving(host), cwd) == (sha, f"{OTHER}/releases/{sha}/services")
