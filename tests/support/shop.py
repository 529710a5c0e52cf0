"""A small application that the package knows nothing about: other root, other units, other layout.

Its releases differ in what the API's start script does, so a test says in a line of
shell how a release misbehaves; it builds in no time and needs no package registry.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import cgroup
from disposable_host import DisposableHost

from tests.support.fab import FABFILE, Fab
from tests.support.repository import Repository

Scope = Literal["system", "user"]

ROOT = "/srv/shop"
_IN_A_RELEASE = re.compile(rf"{re.escape(ROOT)}/releases/([0-9a-f]+)")
SERVE = "exec sleep infinity"
UNIT = """\
[Unit]
Description=Shop {name}
StartLimitIntervalSec=10
StartLimitBurst=5

[Service]
Type=exec
User=nobody
WorkingDirectory={root}/current/services
ExecStart=/bin/sh {name}.sh
Restart=always
RestartSec=100ms
"""
SETTINGS = """\
deploy:
  root: {root}
  services: [shop-api, shop-mailer]
  healthcheck: {{command: bash ops/check.sh, timeout: 5, interval: 0.2, stable_for: 0.6}}
  build: {{frontend: null, venvs: {{}}}}
  environments:
    prod: {{hosts: [{hosts}]}}
"""


class Shop:
    """The shop's repository, and its administrator."""

    def __init__(self, path: Path, *hosts: DisposableHost) -> None:
        self.repository = Repository(path)
        self.hosts = hosts
        (path / "fabfile.py").write_text(FABFILE)
        (path / "fabric.yaml").write_text(SETTINGS.format(root=ROOT, hosts=", ".join(host.name for host in hosts)))
        for host in hosts:
            _install(host)

    def fab(self, registry_url: str) -> Fab:
        config = self.repository.path.parent / "ssh_config"
        config.write_text("".join(f"Include {host.ssh_config}\n" for host in self.hosts))
        return Fab(self.repository.path, config, registry_url)

    def release(self, api: str = SERVE, check: str = "true", mailer: str = SERVE) -> str:
        """Commit a release whose API and mailer start with, and whose gate is, a line of shell; returns the sha."""
        return self.repository.commit(
            f"api: {api}",
            **{"services__api.sh": api + "\n", "services__mailer.sh": mailer + "\n", "ops__check.sh": check + "\n"},
        )


def set_gate_timeout(shop: Shop, seconds: int) -> None:
    """Let the gate wait as long; a release whose check exits 78 fails it at once all the same."""
    settings = shop.repository.path / "fabric.yaml"
    settings.write_text(re.sub(r"timeout: \d+, interval", f"timeout: {seconds}, interval", settings.read_text()))


def systemctl(host: DisposableHost, *arguments: str, scope: Scope = "system", check: bool = True) -> str:
    """What systemctl says: root's of the system's manager, or the login's of its own."""
    own = ("env", "XDG_RUNTIME_DIR=/run/user/1000", "systemctl", "--user")
    program, user = (own, "deploy") if scope == "user" else (("systemctl",), None)
    return host.run(*program, *arguments, check=check, user=user).stdout.strip()


def serving(host: DisposableHost, unit: str = "shop-api", scope: Scope = "system") -> str | None:
    """The release that the process behind a unit really runs in, asked of the kernel; None when it does not run."""
    # Right after a boot the login's manager may not answer yet.
    pid = systemctl(host, "show", "--value", "--property=MainPID", unit, scope=scope, check=scope == "system")
    if pid in ("", "0"):
        return None
    cwd = host.run("readlink", f"/proc/{pid}/cwd").stdout.strip()
    return cwd.removeprefix(f"{ROOT}/releases/").partition("/")[0]


def releases_of(host: DisposableHost, unit: str) -> set[str]:
    """The releases that the processes in a unit's control group and below really run in, asked of the kernel.

    A process whose working directory is in no release has none, nor has one that has just ended.
    """
    found = set()
    for pid in _processes(host, unit):
        with suppress(OSError):
            if named := _IN_A_RELEASE.match(os.readlink(f"/proc/{pid}/cwd")):
                found.add(named[1])
    return found


def _processes(host: DisposableHost, unit: str) -> Iterator[int]:
    for pid in cgroup.processes(host.directory):
        with suppress(OSError):
            groups = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
            if any(f"{unit}.service" in group.split("/") for group in groups):
                yield pid


def current(host: DisposableHost) -> str | None:
    """The release that `current` names, asked of the file system."""
    link = host.rootfs / ROOT.removeprefix("/") / "current"
    return link.readlink().name if link.is_symlink() else None


def _install(host: DisposableHost) -> None:
    for name in ("api", "mailer"):
        unit = host.rootfs / f"etc/systemd/system/shop-{name}.service"
        unit.write_text(UNIT.format(name=name, root=ROOT))
    host.run("install", "--directory", "--owner=deploy", ROOT)
    host.run("systemctl", "daemon-reload")
