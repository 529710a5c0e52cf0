"""A booted Debian 13 as a host: later systemd, OpenSSH and Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from application import SERVICES, SOURCE, UNITS, Application
from disposable_host import DisposableHost, ensure_image

from tests.support.fab import Fab
from tests.support.rights import refused, require_hosts

pytestmark = pytest.mark.host
ROOT = Path(__file__).resolve().parents[2]
WORKER = f"{UNITS}/ouroboros-worker.service"
ASKING = "deploy ALL=(root) PASSWD: /usr/bin/systemctl restart *\n"


@pytest.fixture
def host() -> Iterator[DisposableHost]:
    """A host with the login and the rules of sudo alone; its image is built once, in about two minutes."""
    require_hosts()
    with DisposableHost("trixie", ensure_image(debian=13)) as host:
        yield host


def test_deploy_fail_and_roll_back(tmp_path: Path, host: DisposableHost, app: Application) -> None:
    """Deploy, a bad release that is taken back with its own last words told, a rollback: as on Debian 12.

    So are a unit that changes with its release, a sudo that asks for a password, and a live release that is down.
    """
    fab = Fab(app.path, host.ssh_config, f"sqlite:///{tmp_path}/registry.db")
    unit = (SOURCE / WORKER).read_text().replace("Description=", "Description=Second: ")
    first, second, bad = app.commit("the first"), app.commit("the second", {WORKER: unit}), app.break_api()
    fab.ok("-H", host.name, "deploy", f"--sha={first}")
    told = described(host)
    fab.ok("-H", host.name, "deploy", f"--sha={second}")
    changed = told.replace("Description=", "Description=Second: ")
    failed = fab("-H", host.name, "deploy", f"--sha={bad}")
    assert (failed.code, "broken on purpose" in failed.out, fab.live(host.name)) == (10, True, {host.name: second})
    assert (described(host), "NeedDaemonReload=no" in told) == (changed, True)
    refuse_a_sudo_that_asks(host, fab, first)
    fab.ok("rollback", f"--release={first}")
    assert (fab.live(host.name), described(host)) == ({host.name: first}, told)
    assert fab.statuses() == {first: "rolled_back", second: "replaced_by_rollback", bad: "deploy_failed"}
    host.run("systemctl", "stop", "ouroboros-worker")
    ran = fab.ok("-H", host.name, "deploy", f"--sha={first}")
    assert ("ouroboros-worker" in ran.said, "is inactive (dead), although" in ran.said) == (True, True), ran.said
    states = host.run("systemctl", "is-active", *SERVICES, check=False).stdout.split()
    assert states == ["active"] * len(SERVICES)


def described(host: DisposableHost) -> str:
    """What systemd has of the worker, and whether it has read the file that lies there."""
    return host.run("systemctl", "show", "--property=Description,NeedDaemonReload", "ouroboros-worker").stdout


def refuse_a_sudo_that_asks(host: DisposableHost, fab: Fab, sha: str) -> None:
    """Of several rules that fit the last one counts: nothing is switched, and the program is named."""
    rules, before = host.rootfs / "etc/sudoers.d/deploy", fab.live(host.name)
    allowed = rules.read_text()
    rules.write_text(allowed + ASKING)
    ran = fab("-H", host.name, "deploy", f"--sha={sha}")
    rules.write_text(allowed)
    assert (ran.code, fab.live(host.name)) == (2, before), ran.said
    assert "deploy may not restart units here without a password" in ran.said


def test_the_quick_tests_there(host: DisposableHost) -> None:
    """The last commit's quick tests pass for an ordinary user, with Debian 13's own Python, ssh, git and PAM."""
    checkout = host.rootfs / "home/deploy/checkout"
    if failed := refused("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(checkout)):
        pytest.skip(f"needs a git repository to clone: {failed}")
    host.run("chown", "-R", "deploy:deploy", "/home/deploy/checkout")
    quick = "not slow and not host and not browser and not postgres"
    line = f"cd checkout && HOME=/home/deploy sh tests/run.sh -q -n 2 -m '{quick}' tests"
    ran = host.run("sh", "-c", f"cd /home/deploy && {line}", user="deploy", check=False, timeout=1200)
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr
