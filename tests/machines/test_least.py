"""Least privilege on a booted host: deploys go as they go with the rules of sudo, and nobody becomes root by them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from disposable_host import DisposableHost, ensure_image, missing

from tests.support.fab import FABFILE, Fab
from tests.support.repository import Repository
from tests.support.shop import ROOT, SERVE, current, serving, systemctl

pytestmark = pytest.mark.host

SETTINGS = """\
deploy:
  root: /srv/shop
  services: [shop-api, shop-worker@1]
  units: infra
  healthcheck: {{command: bash ops/check.sh, timeout: 20, interval: 0.2, stable_for: 0.6}}
  build: {{frontend: null, venvs: {{}}}}
  migrate: id -un >media/migrated
  shared: {{media: dir}}
  env: {{values: {{COLOUR: blue}}, secrets: {{names: [TOKEN]}}}}
  run_as: {{owner: shop, migrate: shop, gate: shop}}
  environments:
    prod: {{hosts: [{host}]}}
"""
UNIT = """\
[Unit]
Description=Shop \\
  {name}
After=network.target

[Service]
Type=exec
User=@user@
EnvironmentFile=@root@/env
RuntimeDirectory=shop
RuntimeDirectoryPreserve=yes
WorkingDirectory=@root@/current/services
ExecStart=/bin/sh {name}.sh
Restart=always
RestartSec=100ms

[Install]
WantedBy=multi-user.target
"""
UNITS = {"shop-api.service": UNIT.format(name="api"), "shop-worker@.service": UNIT.format(name="worker")}
HELPER = "/usr/local/sbin/oroboros-helper"
LIST = "/etc/oroboros_deploy/shop.json"
TOKEN = "a-token-of-the-shop"
CANARY = "/root/canary"


class Shop:
    """A repository, and the one host that it is deployed to with least privilege."""

    def __init__(self, path: Path, host: DisposableHost) -> None:
        self.host, self.repository = host, Repository(path / "shop")
        (self.repository.path / "fabfile.py").write_text(FABFILE)
        (self.repository.path / "fabric.yaml").write_text(SETTINGS.format(host=host.name))
        self.fab = Fab(self.repository.path, host.ssh_config, f"sqlite:///{path}/registry.db")
        self.fab.environ["TOKEN"] = TOKEN

    def release(self, check: str = "true", **units: str) -> str:
        """Commit a release with these units beside its own."""
        files = {f"infra__{name}": text for name, text in {**UNITS, **units}.items()}
        scripts = {"services__api.sh": f"{SERVE}\n", "services__worker.sh": f"{SERVE}\n"}
        return self.repository.commit("a release", **files, **scripts, **{"ops__check.sh": f"{check}\n"})

    def environment(self, unit: str = "shop-api") -> str:
        """What a service runs with, asked of the kernel."""
        pid = systemctl(self.host, "show", "--value", "--property=MainPID", unit)
        return self.host.run("cat", f"/proc/{pid}/environ").stdout

    def asked(self, *arguments: str, stdin: str = "") -> tuple[int, str]:
        """What the helper says to the login."""
        ran = self.host.run("sudo", "-n", HELPER, *arguments, user="deploy", check=False, stdin=stdin)
        return ran.returncode, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A host that `setup` made ready, with a first release on it."""
    if lacks := missing():
        pytest.skip(f"a real host needs {', '.join(lacks)}")
    with DisposableHost("least", ensure_image()) as host:
        shop = Shop(tmp_path_factory.mktemp("least"), host)
        setup = ("-H", f"root@{host.name}", "setup", "--login=deploy", "--least-privilege", "--yes")
        ran = shop.fab(*setup)
        assert (ran.code, "by a rule of yours" in ran.said) == (2, True), ran.said
        host.run("rm", "/etc/sudoers.d/deploy")
        shop.fab.ok(*setup)
        assert "nothing to do" in shop.fab.ok(*setup).said
        (host.rootfs / CANARY[1:]).write_text("root's\n")
        shop.fab.ok("-H", "prod", "deploy", f"--sha={shop.release()}")
        yield shop


def test_the_good_path(shop: Shop) -> None:
    """Doctor, deploy, a failed gate, rollback, logs, prune and a power cut go as ever, by the one rule of sudo."""
    host, fab, first = shop.host, shop.fab, current(shop.host)
    rules = [line.strip() for line in host.run("sudo", "-l", "-U", "deploy").stdout.splitlines() if "NOPASSWD" in line]
    assert rules == [f"(root) NOPASSWD: {HELPER}"]
    assert (serving(host), serving(host, "shop-worker@1")) == (first, first)
    assert "COLOUR=blue" in shop.environment() and TOKEN in shop.environment()
    assert (host.rootfs / "srv/shop/shared/media/migrated").read_text() == "shop\n"

    said = fab("-H", "prod", "doctor")
    assert (said.code, "!" in said.out) == (0, False), said.said

    again = systemctl(host, "show", "--value", "--property=MainPID", "shop-api")
    second = shop.release(**{"shop-api.service.d__slow.conf": "[Service]\nRestartSec=300ms\n"})
    fab.ok("-H", "prod", "deploy", f"--sha={second}")
    assert (serving(host), systemctl(host, "show", "--value", "--property=RestartUSec", "shop-api")) == (
        second,
        "300ms",
    )
    assert systemctl(host, "show", "--value", "--property=MainPID", "shop-api") != again

    failed = fab("-H", "prod", "deploy", f"--sha={shop.release(check='exit 78')}")
    assert (failed.code, current(host), serving(host)) == (10, second, second), failed.said
    fab.ok("-H", "prod", "rollback", f"--release={first}")
    assert (serving(host), systemctl(host, "show", "--value", "--property=RestartUSec", "shop-api")) == (first, "100ms")
    assert "Started shop-api" in fab.ok("-H", "prod", "logs").said
    fab.ok("-H", "prod", "restart")
    assert "shop" in fab.ok("-H", "prod", "run", "id -un").said
    fab.ok("-H", "prod", "prune", "--keep=1")
