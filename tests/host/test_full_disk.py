"""A full disk: going back works to the last byte and inode, going forward is refused and leaves nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from oroboros_deploy.host import launch, reserve
from oroboros_deploy.host.reserve import Reserve
from tests.support.invariants import broken
from tests.support.local_agent import LocalAgent
from tests.support.repository import Repository
from tests.support.small_filesystem import KINDS, fill, free, small_filesystem
from tests.support.watching import tree

pytestmark = pytest.mark.slow

HEALTH = {"command": "sh ./health", "timeout": 60, "interval": 0.05, "stable_for": 0}  # those that fail exit 78
GOOD = ["prepared", "swapped", "restarted", "gated", "committed"]
FULL = [{"inodes": True, "blocks": False}, {"inodes": False, "blocks": True}, {"inodes": True, "blocks": True}]


@pytest.fixture(params=KINDS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalAgent]:
    """A host on a small filesystem of its own."""
    with small_filesystem(tmp_path / "srv", request.param) as root:
        yield LocalAgent(root)


def live(host: LocalAgent, *healths: str) -> list[str]:
    """Releases with these health checks, each made live in its turn."""
    shas = [host.sealed(f"release {number}", health=health) for number, health in enumerate(healths)]
    for sha in shas:
        assert host.activate(sha, healthcheck=HEALTH).phases == GOOD
    return shas


def spares(host: LocalAgent) -> int:
    return len(os.listdir(host.paths.reserve.directory))


@pytest.mark.parametrize("full", FULL, ids=["inodes", "blocks", "both"])
def test_a_rollback(host: LocalAgent, full: dict[str, bool]) -> None:
    """It is asked for, followed, committed and recorded as on any other day."""
    old, _ = live(host, "exit 0", "exit 0")
    fill(host.root, **full)
    answer = host.activate(old, kind="rollback", healthcheck=HEALTH)
    assert (answer.refusal, answer.stderr, host.live) == (None, "", old)
    assert (host.journal[-1]["outcome"], host.journal[-1]["live"]) == ("committed", old)
    assert broken(host.root) == []


@pytest.mark.parametrize("full", FULL, ids=["inodes", "blocks", "both"])
def test_a_rollback_that_fails(host: LocalAgent, full: dict[str, bool], tmp_path: Path) -> None:
    """The way back of the way back: restored, with the reason, the note and the record."""
    old, new = live(host, f"test ! -e {tmp_path}/broken || exit 78", "exit 0")
    (tmp_path / "broken").touch()
    fill(host.root, **full)
    answer = host.activate(old, kind="rollback", healthcheck=HEALTH)
    assert (answer.refusal, answer.stderr, host.live) == (None, "", new)
    assert (answer.result or {})["state"]["phase"] == host.journal[-1]["outcome"] == "restored"
    assert "the health command exited 78" in host.paths.bad(old).read_text()
    assert broken(host.root) == []


def test_a_release_that_fills_the_disk(host: LocalAgent) -> None:
    """It fails its gate for it, and the host is restored and says so, still full."""
    [old] = live(host, "exit 0")
    filling = f"cd {host.root}; i=0; while true >filler-$i; do i=$((i+1)); done; cat /dev/zero >>filler-0; exit 78"
    bad = host.sealed("bad", health=filling)
    answer = host.activate(bad, healthcheck=HEALTH)
    assert ((answer.result or {})["state"]["phase"], host.live) == ("restored", old)
    assert (host.journal[-1]["outcome"], broken(host.root)) == ("restored", [])


def test_several_times(host: LocalAgent) -> None:
    """The reserve lasts for more than one activation; when it is used up the next is refused, and nothing changes."""
    shas = live(host, "exit 0", "exit 0")
    done = 0
    while done < 20:
        fill(host.root)
        before, entries = tree(host.root), host.journal
        answer = host.activate(shas[done % 2], kind="rollback", healthcheck=HEALTH)
        if answer.refusal:
            break
        done += 1
        assert (host.live, broken(host.root)) == (shas[(done - 1) % 2], [])
    assert (answer.refusal or {})["kind"] == "invalid"
    assert "No space left on device" in (answer.refusal or {})["message"]
    assert (tree(host.root), host.journal, broken(host.root)) == (before, entries, [])
    assert (done >= 2, spares(host) < reserve.ENOUGH) == (True, True)


def test_the_reserve_is_made_again(host: LocalAgent) -> None:
    """Once there is space the next activation fills it up."""
    old, new = live(host, "exit 0", "exit 0")
    assert spares(host) == reserve.FILES
    fill(host.root)
    host.activate(old, kind="rollback", healthcheck=HEALTH)
    assert spares(host) < reserve.FILES
    free(host.root)
    host.activate(new, kind="rollback", healthcheck=HEALTH)
    assert (spares(host), broken(host.root)) == (reserve.FILES, [])


@pytest.mark.parametrize("full", FULL, ids=["inodes", "blocks", "both"])
def test_a_build(host: LocalAgent, repository: Repository, full: dict[str, bool]) -> None:
    """It fails as a build, and leaves neither a release nor temporary files."""
    sha = repository.commit("a", **{f"file{number}": "content" * 2000 for number in range(20)})
    host.mirror(repository)
    live(host, "exit 0")
    fill(host.root, **full)
    before, ours = tree(host.root), set(host.paths.ours.rglob("*"))
    refusal = host.build(sha).refusal or {}
    assert (refusal["kind"], "space" in refusal["message"]) == ("build_failed", True)  # git has words of its own
    assert tree(host.root) == before
    left = filter(Path.is_file, set(host.paths.ours.rglob("*")) - ours)  # it may have made directories that stay
    assert {path.name for path in left} <= {"build.lock", "told"}


def test_the_first_activation_ever(host: LocalAgent) -> None:
    """There is no reserve yet: it is refused, and leaves nothing of its own."""
    new = host.sealed("new", health="exit 0")
    host.facts()
    fill(host.root)
    before, ours = tree(host.root), sorted(host.paths.ours.rglob("*"))
    refusal = host.activate(new, healthcheck=HEALTH).refusal or {}
    assert (refusal["kind"], refusal["hint"].split("  ")[0]) == ("invalid", "fab -H HOST prune")
    assert "No space left on device" in refusal["message"]
    assert (tree(host.root), sorted(host.paths.ours.rglob("*"))) == (before, ours)


@pytest.mark.parametrize("host", ["tmpfs"], indirect=True)  # ext4 gives freed blocks back only after a while
def test_an_end_that_cannot_be_written(host: LocalAgent) -> None:
    """With no reserve either the host is restored all the same; when there is space it is, once more, and recorded."""
    [old] = live(host, "exit 0")
    filling = "mkdir filler; i=0; while true >filler/$i; do i=$((i+1)); done; cat /dev/zero >filler/0; exit 78"
    filling = f"rm -r {host.paths.reserve.directory}; cd {host.root}; {filling}"
    request = host.request(host.sealed("bad", health=filling), healthcheck=HEALTH)
    host.keep(request)
    with pytest.raises(OSError, match="No space left"):
        launch.run(host.paths, request)
    assert host.live == old
    free(host.root)
    launch.recover(host.paths, request)
    assert (host.live, host.journal[-1]["outcome"]) == (old, "restored")
    assert [words for words in broken(host.root) if "ended more than once" not in words] == []


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    """A lost line is better than a restore that is not done."""
    launch.log_to(Path("/dev/full"))("phase", "going back")


def test_a_log_has_whole_lines_only(host: LocalAgent) -> None:
    """A line that the disk had no space for is left out to its first byte, so who follows can read the next."""
    host.root.joinpath("log").touch()
    say = launch.log_to(host.root / "log")
    fill(host.root, inodes=False)
    filler = host.root / "filler" / "blocks"
    os.truncate(filler, filler.stat().st_size - 8192)  # room for a part of a line
    for _ in range(3):
        say("event", "x" * 100_000)
    assert (host.root / "log").read_bytes() == b""


def test_other_failures_spend_nothing(tmp_path: Path) -> None:
    """The reserve is for a full disk; a disk that is broken, or a directory that is gone, is told at once."""
    kept = Reserve(tmp_path / "spare")
    kept.fill()

    def act() -> None:
        raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"):
        kept.spend(act)
    assert len(os.listdir(kept.directory)) == reserve.FILES


@pytest.mark.parametrize("what", FULL, ids=["no inodes", "no space", "neither"])
def test_a_full_host_can_be_locked_and_freed(host: LocalAgent, what: dict[str, bool]) -> None:
    """Whoever stops deploys because a disk is full is not stopped by that; both are recorded."""
    live(host, "exit 0")
    fill(host.root, **what)
    assert host.call("lock", {"actor": "ada", "reason": "the disk"}).refusal is None
    assert (host.call("unlock", {"actor": "ada"}).result or {})["freed"]["reason"] == "the disk"
    assert [entry["kind"] for entry in host.journal] == ["deploy", "lock", "unlock"]
