"""Several hosts: all build, then one after another switches, and the first that fails stops the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.shop import Shop, current, serving

pytestmark = pytest.mark.host


@pytest.fixture
def hosts(image: Path) -> Iterator[list[DisposableHost]]:
    with ExitStack() as stack:
        yield [stack.enter_context(DisposableHost(f"fleet{number}", image)) for number in (1, 2, 3)]


@pytest.fixture
def shop(tmp_path: Path, hosts: list[DisposableHost]) -> Shop:
    return Shop(tmp_path / "shop", *hosts)


def test_an_environment_is_deployed_as_one(hosts: list[DisposableHost], shop: Shop, fab: Fab) -> None:
    """An environment deploys to all its hosts, rolls back without naming them, and one table tells of every host."""
    first, second = shop.release(), shop.release(check="test -d ops")
    for sha in (first, second):
        ran = fab.ok("-H", "prod", "deploy", f"--sha={sha}")
        assert [current(host) for host in hosts] == [serving(host) for host in hosts] == [sha] * 3
    names = [host.name for host in hosts]
    rows = [line.split()[:2] for line in ran.out.splitlines()]
    assert [row for row in rows if row and row[0] in names] == [[name, "live"] for name in names]
    fab.ok("rollback", f"--release={first[:12]}")
    assert [serving(host) for host in hosts] == [first] * 3
    assert fab.statuses() == {first: "rolled_back", second: "replaced_by_rollback"}


def test_no_host_switches_before_every_host_has_built(hosts: list[DisposableHost], shop: Shop, fab: Fab) -> None:
    """When one host cannot build, none switches: exit code 30, and the row says deploy_failed."""
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    settings = shop.repository.path / "fabric.yaml"
    step = "steps: [{name: compile, command: 'test ! -e /etc/odd'}]"
    settings.write_text(settings.read_text().replace("venvs: {}", "venvs: {}, " + step))
    (hosts[1].rootfs / "etc/odd").touch()
    bad = shop.release()
    ran = fab("-H", "prod", "deploy", f"--sha={bad}")
    assert (ran.code, [serving(host) for host in hosts]) == (30, [good] * 3), ran.said
    assert f"{hosts[1].name}" in ran.err and "compile" in ran.err
    assert fab.statuses() == {good: "deployed", bad: "deploy_failed"}


def test_the_first_host_that_fails_stops_the_rest(hosts: list[DisposableHost], shop: Shop, fab: Fab) -> None:
    """The second host's gate fails: it restores, the third is not touched, the first keeps the release: exit 10."""
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    (hosts[1].rootfs / "etc/odd").touch()
    bad = shop.release(check="test ! -e /etc/odd || exit 78")
    ran = fab("-H", "prod", "deploy", f"--sha={bad}")
    assert (ran.code, [serving(host) for host in hosts]) == (10, [bad, good, good]), ran.said
    lines = ran.out.splitlines()
    rows = lines[lines.index(next(line for line in lines if line.startswith("HOST"))) + 1 :][:3]
    assert [row.split()[:2] for row in rows] == [
        [hosts[0].name, "live"],
        [hosts[1].name, "restored"],
        [hosts[2].name, "skipped"],
    ]
    assert fab.live(*(host.name for host in hosts)) == {
        hosts[0].name: bad,
        hosts[1].name: good,
        hosts[2].name: good,
    }


def test_an_unreachable_host_stops_everything(hosts: list[DisposableHost], shop: Shop, fab: Fab) -> None:
    """With one host down nothing is built anywhere: exit code 50."""
    hosts[2].power_cut()
    ran = fab("-H", "prod", "deploy", f"--sha={shop.release()}")
    assert (ran.code, [current(host) for host in hosts[:2]]) == (50, [None, None])
    assert hosts[2].name in ran.err


def test_a_registry_that_is_gone_is_rebuilt_from_the_hosts(
    tmp_path: Path, hosts: list[DisposableHost], shop: Shop, fab: Fab
) -> None:
    """Every release has its status again, a rollback finds its hosts again, and a second run finds nothing to do."""
    first, second, bad = shop.release(), shop.release(), shop.release(check="exit 78")
    for sha, code in ((first, 0), (second, 0), (bad, 10)):
        assert fab("-H", "prod", "deploy", f"--sha={sha}").code == code
    before = fab.statuses()
    for file in tmp_path.glob("registry.db*"):
        file.unlink()
    shown = fab.ok("-H", "prod", "registry.reconcile", "--dry-run")
    assert ("Nothing was written" in shown.out, fab.statuses()) == (True, {})
    fab.ok("-H", "prod", "registry.reconcile")
    assert fab.statuses() == before == {first: "replaced", second: "deployed", bad: "deploy_failed"}
    assert "The registry says what the journals say." in fab.ok("-H", "prod", "registry.reconcile").out
    fab.ok("rollback", f"--release={first}")
    assert [serving(host) for host in hosts] == [first] * 3
