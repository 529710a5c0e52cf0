"""`doctor` on a real host: several faults at once, each told with the command that mends it."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.shop import ROOT, Shop

pytestmark = pytest.mark.host

PASSWORD_FOR_SYSTEMCTL = """\
deploy ALL=(root) NOPASSWD: /usr/bin/systemd-run
deploy ALL=(root) PASSWD: /usr/bin/systemctl
"""


@pytest.fixture
def small_disk(host: DisposableHost) -> Iterator[None]:
    """The deploy root has a file system of its own, of 40 MB."""
    host.run("mount", "-t", "tmpfs", "-o", "size=40m,mode=755", "tmpfs", ROOT)
    host.run("chown", "deploy", ROOT)
    yield
    host.run("umount", "--lazy", ROOT, check=False)


def found(fab: Fab, *, code: int) -> list[dict[str, str]]:
    """What doctor finds on the one host, and nothing on this machine."""
    ran = fab("-H", "prod", "doctor", "--json")
    assert ran.code == code, ran.said
    (findings,) = ran.json["hosts"].values()
    assert ran.json["control_node"] == [], ran.out
    return findings


def mend(host: DisposableHost, fab: Fab, line: str) -> None:
    """Type a line as an administrator would; what ssh is to run by sudo, root runs on the host."""
    words = shlex.split(line)
    if "-t" in words:
        host.run("sh", "-c", " ".join(words[words.index(host.name) + 1 :]))
    elif words[0] == "ssh":
        subprocess.run(["ssh", "-F", str(fab.ssh_config), *words[1:]], check=True, stdin=subprocess.DEVNULL)
    else:
        fab.ok(*words[words.index("-H") :])


def prepare(shop: Shop, fab: Fab) -> None:
    """Deploy three releases of 3 MB, whose health script is given to a shell."""
    path = shop.repository.path
    for _ in range(3):
        (path / "data").write_bytes(os.urandom(3_000_000))
        fab.ok("-H", "prod", "deploy", f"--sha={shop.release(check='#!/bin/sh')}")


def closed_script(shop: Shop) -> None:
    """The health command begins with the script from now on: it is executable in the commit HEAD, a small one."""
    path = shop.repository.path
    settings = (path / "fabric.yaml").read_text()
    (path / "fabric.yaml").write_text(settings.replace("bash ops/check.sh", "ops/check.sh"))
    (path / "data").write_bytes(b"little")
    (path / "ops/check.sh").chmod(0o755)
    shop.release(check="#!/bin/sh")


def plant(host: DisposableHost) -> None:
    """Five faults at once, as they come about on real hosts."""
    (host.rootfs / "etc/sudoers.d/deploy").write_text(PASSWORD_FOR_SYSTEMCTL)
    free = int(host.run("df", "--output=avail", "--block-size=1000", ROOT).stdout.split()[-1])
    host.run("fallocate", "--length", f"{free - 1000}KB", f"{ROOT}/filler")
    host.run("sh", "-c", f"chown nobody {ROOT}")
    host.run("sh", "-c", "sleep 1; echo '# changed' >>/etc/systemd/system/shop-api.service")
    host.run("sh", "-c", "echo 'echo welcome' >~deploy/.bashrc; chown deploy ~deploy/.bashrc")


def test_all_faults_at_once_and_their_mends(host: DisposableHost, shop: Shop, fab: Fab, small_disk: None) -> None:
    """Six faults are told at once with what mends each; after these lines were typed there is nothing to tell."""
    prepare(shop, fab)
    assert found(fab, code=0) == []
    closed_script(shop)
    plant(host)
    findings = found(fab, code=2)
    assert [(each["level"], each["what"]) for each in findings] == [
        ("refused", f"{ROOT} belongs to nobody, and this login is deploy"),
        (
            "refused",
            "deploy may not restart units here without a password: sudo refuses systemctl restart, systemctl stop,"
            " systemctl reset-failed, systemctl is-system-running",
        ),
        ("note", "the login's shell prints before a command begins: 'welcome'"),
        ("note", next(each["what"] for each in findings if f"free at {ROOT}/releases, 3." in each["what"])),
        ("note", "ops/check.sh of the live release is not executable"),
        ("note", "shop-api was changed on this host, and systemd has not read it since"),
    ]
    assert fab("-H", "prod", "deploy", "--sha=HEAD").code == 2
    for each in findings:
        mend(host, fab, each["mend"])
    assert fab.ok("-H", "prod", "doctor").out == f"{host.name}: nothing to tell\n"
    fab.ok("-H", "prod", "deploy", "--sha=HEAD")
