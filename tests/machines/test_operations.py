"""Freeze, pruning and audit on a real systemd host, asked of its own disk and processes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from disposable_host import DisposableHost

from tests.support.fab import Fab
from tests.support.shop import ROOT, SERVE, Shop, current, serving

pytestmark = pytest.mark.host

WHY = "--reason=the database moves"
JOURNAL = f"{ROOT}/.deploy/journal.jsonl"


@pytest.fixture
def other(tmp_path: Path, fab: Fab) -> Fab:
    """Another workstation: a registry, a memory and a user of its own."""
    other = Fab(fab.directory, fab.ssh_config, f"sqlite:///{tmp_path}/another.db")
    other.environ |= {"XDG_STATE_HOME": str(tmp_path / "another"), "LOGNAME": "bob"}
    return other


def test_a_lock_is_honoured_from_elsewhere(host: DisposableHost, shop: Shop, fab: Fab, other: Fab) -> None:
    """Deploy, rollback, a second hold and pruning exit 20 and name whose hold it is; nothing on the disk changes."""
    old, new = shop.release(), shop.release(check="test -d ops")
    for sha in (old, new):
        fab.ok("-H", "prod", "deploy", f"--sha={sha}")
    fab.ok("-H", "prod", "lock", WHY)
    before = on_disk(host)
    for words in (
        ("deploy", f"--sha={shop.release(check='test -d services')}"),
        ("rollback", f"--release={old}"),
        ("lock", "--reason=mine"),
        ("prune",),
    ):
        ran = other("-H", "prod", *words)
        assert (ran.code, "Traceback" in ran.said) == (20, False), ran.said
        assert f"fab --ssh-config={other.ssh_config} -H prod unlock" in ran.err
        assert "this host is held by " in ran.said and ": the database moves" in ran.said
    assert (on_disk(host), serving(host)) == (before, new)
    assert "the database moves" in other.ok("-H", "prod", "status").out
    other.ok("-H", "prod", "unlock")
    assert "was not held" in fab.ok("-H", "prod", "unlock").out
    other.ok("-H", "prod", "rollback", f"--release={old}")
    assert serving(host) == old
    kinds = [entry["kind"] for entry in other.ok("audit", "-H", "prod", "--json").json[host.name]["entries"]]
    assert kinds == ["deploy", "deploy", "lock", "unlock", "rollback"]


def test_a_lock_while_an_activation_runs(host: DisposableHost, shop: Shop, fab: Fab, other: Fab) -> None:
    """It restores itself as ever, for the release is bad, and the next one is refused."""
    old = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    running = fab.start("-H", "prod", "deploy", f"--sha={shop.release(check='sleep 2; exit 1')}")
    await_true(lambda: '"phase": "restarted"' in (host.rootfs / f"{ROOT[1:]}/.deploy/state.json").read_text())
    assert "goes on to its end" in other.ok("-H", "prod", "lock", WHY).out
    out, _ = running.communicate(timeout=60)
    assert (running.returncode, current(host), serving(host)) == (10, old, old), out
    assert fab("-H", "prod", "deploy", f"--sha={shop.release(check='test -d ops')}").code == 20


def test_six_deploys_leave_five_releases(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """Pruned by the host itself after its answer; every one that is left can be gone back to."""
    shas = [shop.release(check=f"true {number}") for number in range(6)]
    for sha in shas:
        fab.ok("-H", "prod", "deploy", f"--sha={sha}")
    await_true(lambda: releases(host) == set(shas[1:]))
    assert host.run("sh", "-c", f"ls -d {ROOT}/releases/*/.deploy-seal | wc -l").stdout == "5\n"
    await_true(lambda: host.run("systemctl", "list-units", "--plain", "--no-legend", "run-r*.service").stdout == "")
    fab.ok("-H", "prod", "rollback", f"--release={shas[1]}")
    assert serving(host) == shas[1]
    gone = fab("-H", "prod", "rollback", f"--release={shas[0]}")
    assert (gone.code, "is missing on this host" in gone.said) == (2, True)


def test_the_next_deploy_does_not_wait_for_the_pruning(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """Asked for at once, one after another, every activation is taken."""
    shas = [shop.release(check=f"true {number}") for number in range(4)]
    settings = shop.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text() + "  keep: 2\n")
    for sha in (*shas, shas[2], shas[3], shas[2]):
        fab.ok("-H", "prod", "deploy", f"--sha={sha}")
    assert serving(host) == shas[2]
    await_true(lambda: releases(host) == {shas[2], shas[3]})


def test_pruning_by_hand(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """What is pinned stays, and what another user's process runs in; a dry run says the same and removes nothing."""
    shas = [shop.release(check=f"true {number}") for number in range(5)]
    for sha in shas:
        fab.ok("-H", "prod", "deploy", f"--sha={sha}")
    fab.ok("-H", "prod", "pin", f"--release={shas[0]}")
    cwd = f"--working-directory={ROOT}/releases/{shas[1]}"
    host.run("systemd-run", "--unit=straggler", "--uid=nobody", cwd, "sleep", "600")
    dry = fab.ok("-H", "prod", "prune", "--keep=2", "--dry-run", "--json").json[host.name]
    assert releases(host) == set(shas)
    done = fab.ok("-H", "prod", "prune", "--keep=2", "--json").json[host.name]
    assert done == {**dry, "dry_run": False}
    told = {each["id"]: (each["stays"], each["why"].rstrip("0123456789")) for each in done["releases"]}
    assert told == {
        shas[4]: (True, "live"),
        shas[3]: (True, "served before the live one"),
        shas[2]: (False, "older than the 2 good releases that stay"),
        shas[1]: (True, "in use by process "),
        shas[0]: (True, f"pinned by {pinner(host, shas[0])}"),
    }
    assert (releases(host), done["complete"], done["freed"] > 0) == ({*shas[:2], *shas[3:]}, True, True)
    host.run("systemctl", "stop", "straggler")
    fab.ok("-H", "prod", "unpin", f"--release={shas[0]}")
    fab.ok("-H", "prod", "prune", "--keep=2")
    assert releases(host) == set(shas[3:])


def test_services_that_were_not_restarted_keep_their_release(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """Deployed without restarts, the old release still runs: it stays until it does not."""
    old = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={old}")
    shas = [shop.release(api=f"{SERVE} # {number}") for number in range(3)]
    for sha in shas:
        fab.ok("-H", "prod", "deploy", f"--sha={sha}", DEPLOY_SKIP_SERVICE_RESTART="1")
    fab.ok("-H", "prod", "prune", "--keep=2")
    assert (releases(host), serving(host)) == ({old, *shas[1:]}, old)


@pytest.mark.parametrize(
    ("damage", "line", "words"),
    [
        (f"sed -i '2s/committed/restored/' {JOURNAL}", 2, "was edited"),
        (f"sed -i 2d {JOURNAL}", 2, "holds entry 3 where entry 2 belongs"),
        (f"sed -i '2{{h;d}};3G' {JOURNAL}", 2, "holds entry 3 where entry 2 belongs"),
        (f"sed -i '$d' {JOURNAL}", 4, "entry 4 was written, so the end was cut off"),
        (f"truncate --size=0 {JOURNAL}", 1, "entry 4 was written, so the end was cut off"),
        (
            f"rm {JOURNAL} {ROOT}/.deploy/journal.head",
            1,
            "entry 4 was seen before by this control node, so the end was cut off",
        ),
        (f"rm {ROOT}/.deploy/journal.head", 5, "journal.head, which names the last entry, is gone"),
    ],
    ids=["edited", "cut", "reordered", "end cut", "emptied", "head and all", "head"],
)
def test_a_journal_that_was_touched(
    host: DisposableHost, shop: Shop, fab: Fab, damage: str, line: int, words: str
) -> None:
    """Exit code 11 and the first wrong line, for whatever somebody does to it; deploys go on."""
    for number in range(3):
        fab.ok("-H", "prod", "deploy", f"--sha={shop.release(check=f'true {number}')}")
    fab.ok("-H", "prod", "lock", WHY)
    assert "4 entries, as written" in fab.ok("-H", "prod", "audit", "--verify").out
    host.run("sh", "-c", damage)
    ran = fab("-H", "prod", "audit", "--verify")
    assert (ran.code, f"{host.name}: line {line} of the journal" in ran.err, words in ran.err) == (11, True, True), ran
    fab.ok("-H", "prod", "unlock")
    fab.ok("-H", "prod", "deploy", f"--sha={shop.release()}")
    # A head that is gone is written again with the next line: nothing was lost with it.
    assert fab("-H", "prod", "audit", "--verify").code == (0 if "is gone" in words else 11)


def test_a_power_cut_damages_no_journal(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """Cut in the middle of an activation, the journal verifies after the boot; the release is not called bad."""
    fab.ok("-H", "prod", "deploy", f"--sha={shop.release()}")
    new = shop.release(check="sleep 60")
    running = fab.start("-H", "prod", "deploy", f"--sha={new}")
    await_true(lambda: '"phase": "restarted"' in (host.rootfs / f"{ROOT[1:]}/.deploy/state.json").read_text())
    host.power_cut()
    running.kill()
    running.communicate()
    host.boot()
    assert "2 entries, as written" in fab.ok("-H", "prod", "audit", "--verify").out
    assert os.listdir(host.rootfs / f"{ROOT[1:]}/.deploy/bad") == []


def on_disk(host: DisposableHost) -> str:
    """Releases, link and journal, as the host's own tools tell them."""
    return host.run("sh", "-c", f"ls -lR --full-time {ROOT}/releases; readlink {ROOT}/current; cat {JOURNAL}").stdout


def releases(host: DisposableHost) -> set[str]:
    return set(os.listdir(host.rootfs / ROOT.removeprefix("/") / "releases"))


def pinner(host: DisposableHost, sha: str) -> str:
    pin = json.loads((host.rootfs / f"{ROOT[1:]}/.deploy/pins/{sha}").read_text())
    actor: str = pin["actor"]
    return actor


def await_true(condition: Callable[[], bool], seconds: float = 120) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it never came to that"
        time.sleep(0.02)


def test_a_root_that_was_copied_from_another_machine(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """It is refused with the command that claims it; that shows whose it is, asks, and is in the journal."""
    good, better = shop.release(), shop.release(check="test -d ops")
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    name = host.run("uname", "-n").stdout.strip()
    host.run("sh", "-c", f"cp -a {ROOT} {ROOT}.copy && rm -r {ROOT} && mv {ROOT}.copy {ROOT}")
    host.run("sh", "-c", "tr 0-9a-f 1-9a-f0 </etc/machine-id >/tmp/id; cat /tmp/id >/etc/machine-id")
    ran = fab("-H", "prod", "deploy", f"--sha={better}")
    assert (ran.code, f"is the deploy root of the machine {name}" in ran.said) == (2, True), ran.said
    assert "-H prod claim" in ran.said
    ran = fab("-H", "prod", "claim")
    assert (ran.code, f"has the deploy root {ROOT} of the machine {name}" in ran.said) == (2, True), ran.said
    assert "there is no terminal to ask on" in ran.said
    answer = fab.ok("-H", "prod", "claim", "--yes", "--json").json[host.name]
    assert (answer["was"]["name"], answer["claimed"]) == (name, True)
    fab.ok("-H", "prod", "deploy", f"--sha={better}")
    assert serving(host) == better
    assert "is this machine's deploy root already" in fab.ok("-H", "prod", "claim").out
    assert "claim" in fab.ok("-H", "prod", "audit", "--verify").out
