"""Pruning: what stays can be gone back to, what goes is gone, and nothing in between looks like a release."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import launch, lock, pins, prune, seal, state
from oroboros_deploy.host.refusal import Refusal
from oroboros_deploy.host.retention import Release
from tests.host.test_activation import HEALTH, die_in, health
from tests.host.test_launch import asked, command
from tests.support.local_agent import Answer, LocalAgent
from tests.support.repository import Repository
from tests.support.watching import eventually, tree

pytestmark = pytest.mark.slow  # whole deploys, or servers that have to start


def say(event: str, message: str = "", **data: Any) -> None:
    """Nobody listens."""


def live_one_after_another(host: LocalAgent, count: int) -> list[str]:
    """So many releases, each live after the one before; the ids, oldest first."""
    shas = [host.sealed(f"release {number}", health="exit 0") for number in range(count)]
    for sha in shas:
        host.activate_here(sha, healthcheck=HEALTH)
    return shas


def pruned(host: LocalAgent, keep: int = 2, **changes: Any) -> dict[str, Any]:
    return prune.prune(host.paths, {"keep": keep, "dry_run": False, **changes}, say)


def why(answer: dict[str, Any]) -> dict[str, str]:
    return {each["id"]: each["why"] for each in answer["releases"]}


def there(host: LocalAgent) -> set[str]:
    return set(host.paths.release_ids())


def test_the_newest_stay(host: LocalAgent) -> None:
    """Five of six, by the order in which they were live; each is told why, and nothing of the other is left."""
    shas = live_one_after_another(host, 6)
    before = {sha: tree(host.paths.release(sha)) for sha in shas[1:]}
    answer = pruned(host, 5)
    assert [each["id"] for each in answer["releases"]] == shas[::-1]
    assert [each["why"] for each in answer["releases"]] == [
        "live",
        "served before the live one",
        *["one of the 5 newest good releases"] * 3,
        "older than the 5 good releases that stay",
    ]
    assert [each["stays"] for each in answer["releases"]] == [True] * 5 + [False]
    assert {sha: tree(host.paths.release(sha)) for sha in there(host)} == before
    assert [seal.verify(host.paths.release(sha)) for sha in shas[1:]] == [None] * 5


def test_a_dry_run_removes_nothing(host: LocalAgent) -> None:
    """It tells the same as the run that follows it, bytes included."""
    live_one_after_another(host, 5)
    before = tree(host.root)
    dry = pruned(host, dry_run=True)
    assert (tree(host.root), dry["dry_run"]) == (before, True)
    assert pruned(host) == {**dry, "dry_run": False}
    assert dry["freed"] == sum(each["bytes"] for each in dry["releases"]) > 0


def test_freed_bytes(host: LocalAgent, tmp_path: Path) -> None:
    """Are those of the disk: a file that is linked from elsewhere is not freed, two names of one count once."""
    release = host.paths.release(host.sealed("a"))
    release.chmod(0o755)
    empty = prune.size(release)
    for name in ("own", "shared"):
        (release / name).write_bytes(b"x" * 8192)
    os.link(release / "shared", tmp_path / "elsewhere")
    os.link(release / "own", release / "own again")
    assert prune.size(release) - empty == (release / "own").stat().st_blocks * 512


def test_gone_back_to_is_the_newest_again(host: LocalAgent) -> None:
    """After a rollback the release that was left is the way back, and the others go by when they were last live."""
    shas = live_one_after_another(host, 4)
    host.activate_here(shas[0], kind="rollback", healthcheck=HEALTH)
    answer = pruned(host)
    assert there(host) == {shas[0], shas[3]}
    assert (why(answer)[shas[0]], why(answer)[shas[3]]) == ("live", "served before the live one")


def test_clocks_decide_nothing(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Releases made and switched to while the clock runs backwards stay in their order."""
    clock = iter(range(2_000_000_000, 0, -1000))
    monkeypatch.setattr("time.time", lambda: float(next(clock)))
    shas = live_one_after_another(host, 4)
    for age, sha in enumerate(shas):
        os.utime(host.paths.release(sha), (age, -age * 1000))
    pruned(host, 3)
    assert there(host) == set(shas[1:])


def test_a_release_that_waits_to_be_switched_to(host: LocalAgent, mirrored: Repository) -> None:
    """Built after what is live, it is the newest, though it was never live; an old one of its kind goes."""
    old = mirrored.commit("built and never switched to", a="1")
    host.mirror(mirrored)
    host.build(old)
    shas = live_one_after_another(host, 3)
    new = mirrored.commit("built just now", a="2")
    host.mirror(mirrored)
    host.build(new)
    pruned(host, 3)
    assert there(host) == {new, *shas[1:]}


def test_the_one_that_failed_last_is_kept_to_be_looked_at(host: LocalAgent, mirrored: Repository) -> None:
    """Those that failed before it go, with all that is incomplete; none counts as a good one."""
    shas = live_one_after_another(host, 3)
    failed = []
    for number in range(3):
        failed.append(mirrored.commit("bad", health=f"exit {number + 1}"))
        host.mirror(mirrored)
        host.build(failed[-1])
        host.activate_here(failed[-1], healthcheck=health(timeout=0.05))
    (host.paths.releases / ("a" * 40)).mkdir()
    answer = pruned(host, 3)
    assert there(host) == {*shas, failed[-1]}
    assert [why(answer)[sha] for sha in ("a" * 40, failed[0], failed[-1])] == [
        "its build was never completed",
        "failed here",
        "the newest that failed here: to be looked at",
    ]


def test_an_interrupted_one_did_not_fail(host: LocalAgent) -> None:
    """What a kill or a power cut took back is as good as any; what failed its gate is noted before it is taken back."""
    live_one_after_another(host, 1)
    cut, broken = host.sealed("cut", health="exit 0"), host.sealed("broken", health="exit 1")
    for sha, phase, noted in ((cut, "swapped", False), (cut, "restarted", False), (broken, "restoring", True)):
        request = host.request(sha, healthcheck=health(timeout=0.1))
        die_in(host, request, "phase", phase)
        launch.recover(host.paths, request)
        assert (host.journal[-1]["outcome"], host.paths.bad(sha).exists()) == ("restored", noted)


def test_a_host_in_trouble_does_not_make_a_release_bad(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full in the middle is no fault of what was being activated."""
    live_one_after_another(host, 1)
    save = state.save

    def full(path: Path, value: state.State) -> None:
        if value.phase == "restarted":
            raise OSError(28, "No space left on device")
        save(path, value)

    monkeypatch.setattr(state, "save", full)
    new = host.sealed("new", health="exit 0")
    assert host.activate_here(new, healthcheck=HEALTH).phases[-1] == "restored"
    assert not host.paths.bad(new).exists()


def test_a_pinned_release_stays(host: LocalAgent) -> None:
    """Beside the others, until it is unpinned; both say whose pin it is."""
    shas = live_one_after_another(host, 4)
    request = {"release": shas[0], "actor": "ada"}
    pinned = host.call("pin", request).result or {}
    again = host.call("pin", {**request, "actor": "bob"}).result or {}
    assert (pinned["new"], again) == (True, {**pinned, "new": False})
    assert why(pruned(host))[shas[0]] == "pinned by ada"
    assert there(host) == {shas[0], *shas[2:]}
    assert host.call("unpin", request).result == {"release": shas[0], "pin": pinned["pin"]}
    assert host.call("unpin", request).result == {"release": shas[0], "pin": None}
    pruned(host)
    assert there(host) == set(shas[2:])


def test_a_pin_beside_a_pruning(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either it is in time and the release stays, or it is refused: none that was confirmed is lost."""
    shas = live_one_after_another(host, 3)
    set_aside, said = seal.set_aside, []

    def late() -> None:
        try:
            said.append(pins.pin(host.paths, {"release": shas[0], "actor": "ada"}))
        except Refusal as refusal:
            said.append(refusal.message)

    asking = threading.Thread(target=late)

    def slow(release: Path) -> Path:
        asking.start()
        asking.join(0.3)
        return set_aside(release)

    monkeypatch.setattr(seal, "set_aside", slow)
    monkeypatch.setattr(seal, "remove", lambda release: None)
    pruned(host)
    asking.join()
    assert (said, pins.found(host.paths)) == ([f"release {shas[0]} is missing on this host"], {})


@pytest.mark.parametrize(("release", "words"), [("a" * 40, "is missing on this host"), ("../etc", "not a release id")])
def test_only_a_release_can_be_pinned(host: LocalAgent, release: str, words: str) -> None:
    """Anything else is refused, and nothing is written."""
    refusal = host.call("pin", {"release": release, "actor": "ada"}).refusal or {}
    assert (words in refusal["message"], host.paths.ours.joinpath("pins").exists()) == (True, False)


def test_a_pin_that_cannot_be_read_pins(host: LocalAgent) -> None:
    """An empty file made by hand is enough."""
    shas = live_one_after_another(host, 3)
    host.paths.pin(shas[0]).touch()
    (host.paths.ours / "pins" / "README").touch()
    assert list(pins.found(host.paths)) == [shas[0]]
    assert why(pruned(host))[shas[0]] == "pinned by somebody"


def test_a_release_in_use_stays(host: LocalAgent) -> None:
    """A process that still runs in an old release keeps it; when it is gone, the release goes."""
    shas = live_one_after_another(host, 3)
    process = subprocess.Popen(["sleep", "60"], cwd=host.paths.release(shas[0]))
    assert why(pruned(host))[shas[0]] == f"in use by process {process.pid}"
    process.kill()
    process.wait()
    pruned(host)
    assert there(host) == set(shas[1:])


def test_without_a_journal(host: LocalAgent) -> None:
    """What is live and what the last activation left stay, though nothing else is known of their order."""
    shas = live_one_after_another(host, 5)
    host.paths.journal.unlink()
    pruned(host)
    assert there(host) == set(shas[3:])


def test_the_parts_of_an_unfinished_activation_stay(host: LocalAgent) -> None:
    """Where it came from and where it goes are needed, whoever settles it and when."""
    shas = live_one_after_another(host, 4)
    request = host.request(shas[0], kind="rollback", healthcheck=HEALTH)
    die_in(host, request, "phase", "swapped")
    pruned(host)
    assert there(host) >= {shas[0], shas[3]}
    launch.recover(host.paths, request)
    assert host.live == shas[3]


def test_while_an_activation_runs_nothing_is_pruned(host: LocalAgent, tmp_path: Path) -> None:
    """Whoever asks is told who holds the host."""
    shas = live_one_after_another(host, 3)
    go = tmp_path / "go"
    process = asked(host, host.request(shas[0], healthcheck=command(f"until test -e {go}; do sleep 0.02; done")))
    assert eventually(lambda: host.live == shas[0])
    with pytest.raises(Refusal, match=f"deploy of {shas[0]} by tester holds this host"):
        prune.prune(host.paths, {"keep": 2, "dry_run": False}, say, wait=0.1)
    go.touch()
    process.communicate(timeout=10)
    assert there(host) == set(shas)


def test_while_something_is_built_nothing_is_pruned(host: LocalAgent) -> None:
    """Its directory is not complete, and would look like one that never will be."""
    shas = live_one_after_another(host, 3)
    with lock.take(host.paths.build_lock), pytest.raises(Refusal, match="a build or another pruning runs"):
        prune.prune(host.paths, {"keep": 2, "dry_run": False}, say, wait=0.1)
    assert there(host) == set(shas)


def test_while_releases_are_removed_nobody_is_told_that_the_host_is_busy(
    host: LocalAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even while they are set aside; an activation goes through beside the removal."""
    shas = live_one_after_another(host, 4)
    removing, go = threading.Event(), threading.Event()
    remove, set_aside = seal.remove, seal.set_aside
    busy: list[bool] = []

    def looked(release: Path) -> Path:
        busy.append(lock.is_held(host.paths.lock))
        return set_aside(release)

    def slow(release: Path) -> None:
        removing.set()
        go.wait(10)
        remove(release)

    monkeypatch.setattr(seal, "remove", slow)
    monkeypatch.setattr(seal, "set_aside", looked)
    pruning = threading.Thread(target=pruned, args=(host, 3))
    pruning.start()
    assert removing.wait(10)
    new = host.sealed("new", health="exit 0")
    assert (host.facts()["running"], host.activate(new, healthcheck=HEALTH).phases[-1]) == (None, "committed")
    assert (host.activate(shas[0]).refusal or {})["message"] == f"release {shas[0]} is missing on this host"
    go.set()
    pruning.join()
    assert (there(host), host.live, busy[0]) == ({new, *shas[1:]}, new, False)


def test_a_held_host_keeps_what_it_has(host: LocalAgent) -> None:
    """To look is allowed."""
    shas = live_one_after_another(host, 3)
    host.call("lock", {"actor": "ada", "reason": "evidence"})
    with pytest.raises(Refusal, match=r"held by ada .*: evidence"):
        pruned(host)
    assert (len(pruned(host, dry_run=True)["releases"]), there(host)) == (3, set(shas))


_DIES = """
import json, os, shutil, signal, sys
from oroboros_deploy.host import layout, prune, seal

real_unlink, real_rmtree, left = os.unlink, shutil.rmtree, int(sys.argv[2])

def unlink(*args, **options):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real_unlink(*args, **options)

os.unlink = unlink
prune.prune(layout.Layout.of(json.loads(sys.argv[1])), {"keep": 2, "dry_run": False}, lambda *_, **__: None)
"""


@pytest.mark.slow
@pytest.mark.parametrize("files", range(9))
@pytest.mark.parametrize("kind", ["sealed", "adopted"])
def test_an_interrupted_removal(host: LocalAgent, files: int, kind: str) -> None:
    """Killed after any file, what is left is whole or no release; the next pruning removes it."""
    shas = live_one_after_another(host, 3)
    victim = host.paths.release(shas[0])
    if kind == "adopted":
        victim.chmod(0o755)
        (victim / seal.SEAL).unlink()
        (victim / seal.MANIFEST).unlink()
        (victim / seal.META).chmod(0o644)
        (victim / seal.META).write_text(f"commit_sha={shas[0]}\n")
    before = tree(victim)
    argv = [sys.executable, "-c", _DIES, json.dumps(host.layout), str(files)]
    died = subprocess.run(argv, timeout=30).returncode
    assert died in (0, -signal.SIGKILL)
    assert seal.state_of(victim) in ("unsealed", "missing") or {k: v[1] for k, v in tree(victim).items()} == {
        k: v[1] for k, v in before.items()
    }
    pruned(host)
    assert there(host) == set(shas[1:])


def test_what_cannot_be_removed_stays_whole(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release of somebody else's is told with the reason, and the others go."""
    shas = live_one_after_another(host, 4)
    set_aside = seal.set_aside

    def refused(release: Path) -> Path:
        if release.name == shas[0]:
            raise PermissionError(1, "Operation not permitted")
        return set_aside(release)

    monkeypatch.setattr(seal, "set_aside", refused)
    answer = pruned(host)
    assert why(answer)[shas[0]] == "cannot be removed: Operation not permitted"
    assert (there(host), seal.verify(host.paths.release(shas[0]))) == ({shas[0], *shas[2:]}, None)


def test_attempts_notes_and_agents_do_not_grow_for_ever(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempts that the journal named last stay, whatever their times, and the newest; notes go with both."""
    monkeypatch.setattr(prune, "ATTEMPTS", 3)
    monkeypatch.setattr(prune, "AGENTS", 2)
    shas = live_one_after_another(host, 6)
    named = [entry["attempt"] for entry in host.journal]
    attempts, agents, notes = (host.paths.ours / name for name in ("attempts", "agent", "bad"))
    agents.mkdir()
    for age, name in enumerate(("built just now", "older", "refused long ago")):
        (attempts / name).mkdir()
        (attempts / name / "frontend.log").touch()
        os.utime(attempts / name, (0, 3e9 - age))
    for age in range(5):
        for name in (f"{age}.pyz", f"{age}.pyz.cpython-39"):
            (agents / name).touch()
            os.utime(agents / name, (0, 1e9 - age))
    monkeypatch.setattr(sys, "argv", [str(agents / "4.pyz")])  # what runs, and its bytecode, stays
    for name in (shas[0], shas[3], shas[4], "f" * 40):
        (notes / name).touch()
    for directory in attempts.iterdir():
        if directory.name in named:
            os.utime(directory, (0, 0))
    pruned(host, 6)
    assert {path.name for path in attempts.iterdir()} == {*named[3:], "built just now", "older", "refused long ago"}
    assert {path.name.partition(".")[0] for path in agents.iterdir()} == {"0", "4"}
    assert len(list(agents.iterdir())) == 4
    assert {path.name for path in notes.iterdir()} == {shas[3], shas[4]}  # named lately; still there
    assert there(host) == {shas[1], shas[2], shas[4], shas[5]}


def test_it_follows_a_success(host: LocalAgent) -> None:
    """The real agent prunes when it is due, after its answer; what it did is kept with the attempt."""
    shas = live_one_after_another(host, 2)
    new = host.sealed("new", health="exit 0")
    request = host.request(new, healthcheck=HEALTH, keep=2)
    assert host.call("activate", request).phases[-1] == "committed"
    assert eventually((host.paths.attempt(request["attempt"]) / "prune.jsonl").exists)
    assert there(host) == {shas[1], new}
    (line,) = (host.paths.attempt(request["attempt"]) / "prune.jsonl").read_text().splitlines()
    assert json.loads(line)["message"] == f"{shas[0]} removed: older than the 2 good releases that stay"


@pytest.mark.parametrize("ends", ["failed", "refused", "not due"])
def test_it_follows_nothing_else(host: LocalAgent, monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    """An activation that did not succeed, or left no more releases than stay, starts no pruning."""
    shas = live_one_after_another(host, 3)
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(launch, "spawn", lambda *command: started.append(command))
    if ends == "failed":
        host.activate_here(host.sealed("bad", health="exit 1"), healthcheck=health(timeout=0.05), keep=2)
    elif ends == "refused":
        host.activate_here("f" * 40, keep=2)
    else:
        host.activate_here(shas[0], healthcheck=HEALTH, keep=3)
    assert started == []
    host.activate_here(shas[1], healthcheck=HEALTH, keep=2)
    assert [command[0] for command in started] == ["tidy"]


def test_its_failure_is_nobodys(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """An activation whose pruning cannot even be started is committed."""

    def impossible(*_: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    shas = live_one_after_another(host, 3)
    monkeypatch.setattr(launch, "spawn", impossible)
    answer: Answer = host.activate_here(shas[0], healthcheck=HEALTH, keep=2)
    assert (answer.phases[-1], answer.refusal) == ("committed", None)


def test_what_stops_it_is_told(host: LocalAgent) -> None:
    """In the log of the attempt that started it."""
    live_one_after_another(host, 3)
    request = host.request("f" * 40, keep=2)
    host.keep(request)
    host.call("lock", {"actor": "ada", "reason": "evidence"})
    launch.tidy(host.paths, request)
    said = json.loads((host.paths.attempt(request["attempt"]) / "prune.jsonl").read_text())["message"]
    assert said.startswith("nothing was pruned: this host is held by ada since ")


def test_an_empty_host(host: LocalAgent) -> None:
    """There is nothing to prune, and nothing is made."""
    assert pruned(host) == {"releases": [], "freed": 0, "dry_run": False, "complete": True}
    assert not host.root.exists()


def test_good_is_what_could_be_gone_back_to() -> None:
    """Sealed or adopted, and not known to be bad."""
    assert [Release("r", kind, bad, 0).good for kind in ("sealed", "adopted", "unsealed") for bad in (False, True)] == [
        True,
        False,
        True,
        False,
        False,
        False,
    ]
