"""A booted Debian 13 as a host: later systemd, OpenSSH and Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from application import SERVICES, Application
from disposable_host import DisposableHost, ensure_image

from tests.support.fab import Fab
from tests.support.rights import refused, require_hosts

pytestmark = pytest.mark.host
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def host() -> Iterator[DisposableHost]:
    """A host with the login and the rules of sudo alone; its image is built once, in about two minutes."""
    require_hosts()
    with DisposableHost("trixie", ensure_image(debian=13)) as host:
        yield host


def test_deploy_fail_and_roll_back(tmp_path: Path, host: DisposableHost, app: Application) -> None:
    """Deploy, a bad release that is taken back with its own last words told, a rollback: as on Debian 12."""
    fab = Fab(app.path, host.ssh_config, f"sqlite:///{tmp_path}/registry.db")
    first, second, bad = app.commit("the first"), app.commit("the second"), app.break_api()
    fab.ok("-H", host.name, "deploy", f"--sha={first}")
    fab.ok("-H", host.name, "deploy", f"--sha={second}")
    failed = fab("-H", host.name, "deploy", f"--sha={bad}")
    assert (failed.code, "broken on purpose" in failed.out, fab.live(host.name)) == (10, True, {host.name: second})
    fab.ok("rollback", f"--release={first}")
    assert fab.live(host.name) == {host.name: first}
    assert fab.statuses() == {first: "rolled_back", second: "replaced_by_rollback", bad: "deploy_failed"}
    states = host.run("systemctl", "is-active", *SERVICES, check=False).stdout.split()
    assert states == ["active"] * len(SERVICES)


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
