"""Shared places on a real host: a service that writes beside its code, told what to do, and what it wrote stays."""

from __future__ import annotations

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.shop import ROOT, SERVE, Shop, current, serving

pytestmark = pytest.mark.host


def test_uploads_survive(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """The gate's failure names the path; once it is shared, deploys and a rollback leave what the service wrote."""
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    writing = f"mkdir -p {ROOT}/current/uploads/2026 && date >>{ROOT}/current/uploads/2026/log || exit 1; {SERVE}"
    failed = fab("-H", "prod", "deploy", f"--sha={shop.release(api=writing)}")
    assert (failed.code, current(host), serving(host)) == (10, good, good), failed.said
    assert "name uploads under `shared` in fabric.yaml" in failed.said

    settings = shop.repository.path / "fabric.yaml"
    settings.write_text(
        settings.read_text().replace("deploy:\n", "deploy:\n  shared: {uploads: dir, local.conf: file}\n")
    )
    first = shop.release(api=writing, check="test -s local.conf")
    missing = fab("-H", "prod", "deploy", f"--sha={first}")
    line = f"install -D -m 600 local.conf {ROOT}/shared/local.conf"
    assert (missing.code, line in missing.said, current(host)) == (2, True, good), missing.said
    host.run("sh", "-ec", f"cd /tmp; echo a=1 >local.conf; {line}; mkdir {ROOT}/shared/uploads", user="deploy")
    host.run("chown", "nobody", f"{ROOT}/shared/uploads")

    second = shop.release(api=writing, check="exit 0 # again")
    for sha in (first, second):
        fab.ok("-H", "prod", "deploy", f"--sha={sha}")
    fab.ok("rollback", f"--release={first}")
    log = (host.rootfs / f"{ROOT[1:]}/shared/uploads/2026/log").read_text()
    assert (len(log.splitlines()), current(host), serving(host)) == (3, first, first)
    assert fab("-H", "prod", "deploy", f"--sha={first}").code == 0
