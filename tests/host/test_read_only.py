"""A disk that takes nothing any more, in each phase: nobody is told that nothing was changed; it is settled later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import launch
from tests.host.test_activation import die_in
from tests.support.invariants import broken
from tests.support.local_agent import Answer, LocalAgent
from tests.support.small_filesystem import free, mend, remount, small_filesystem, trigger
from tests.support.watching import tree

pytestmark = pytest.mark.slow  # whole activations, and disks to make

GOOD = ["prepared", "swapped", "restarted", "gated", "committed"]
HEALTH = {"command": "sh ./health", "timeout": 5, "interval": 0.05, "stable_for": 0}
# Where the disk breaks, and which release is live after that; "migrating" is before the switch.
MOMENTS = {"migrating": "old", "gating": "new", "failing": "new", "going back": "old"}


@pytest.fixture(autouse=True)
def _quick_disk() -> None:
    """A disk that breaks loses what nobody waited for, as a power cut does: here everybody waits for it."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalAgent]:
    """A host on an ext4 of its own."""
    with small_filesystem(tmp_path / "srv", "ext4") as root:
        yield LocalAgent(root)


def read_only(host: LocalAgent) -> str:
    """A line of shell that breaks the disk, while the activation has files open there."""
    return f"echo broken >{trigger(host.root)}"


def used_up(host: LocalAgent) -> str:
    """A line of shell that leaves no space, no inode and no spare file."""
    filling = "mkdir -p filler; i=0; while true >filler/$i; do i=$((i+1)); done; cat /dev/zero >>filler/0"
    return f"(cd {host.root}; rm -r .deploy/spare; {filling}) 2>/dev/null"


def going(host: LocalAgent, moment: str, damage: str) -> dict[str, Any]:
    """A deploy whose disk breaks at that moment, with an old release that is live."""
    armed = host.root.parent / "armed"
    once = f"{{ test ! -e {armed} || {{ rm {armed}; {damage}; }}; true; }}"
    old = host.sealed("old", health=once)
    assert host.activate(old, healthcheck=HEALTH).phases == GOOD
    healths = {"gating": once, "failing": f"{once}; exit 78", "going back": "exit 78"}
    new = host.sealed("new", health=healths.get(moment, "true"))
    armed.touch()
    return host.request(new, healthcheck=HEALTH, migrate=once if moment == "migrating" else None)


def told(answer: Answer) -> str:
    """How an answer says that the attempt ended: the phase of its state, or the kind of a refusal."""
    return (answer.refusal or {}).get("kind") or str((answer.result or {})["state"]["phase"])


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_disk_that_breaks(host: LocalAgent, tmp_path: Path, moment: str) -> None:
    """Whoever follows, asks again after a lost link, or only asks, hears that nobody knows; mended it is restored."""
    request = going(host, moment, read_only(host))
    asked = [host.call("activate", request) for _ in range(2)]
    asked.append(host.call("follow", {"attempt": request["attempt"]}))
    assert [told(answer) for answer in asked] == ["unknown"] * 3
    assert [answer.stderr for answer in asked] == [""] * 3
    live = {"old": host.journal[0]["target"], "new": request["sha"]}[MOMENTS[moment]]
    assert (host.live, host.facts()["live"]) == (live, live)
    mend(host.root, tmp_path / "srv.img")
    launch.recover(host.paths, request)
    assert (host.live, host.journal[-1]["outcome"]) == (host.journal[0]["target"], "restored")
    assert broken(host.root) == []


def test_a_disk_that_is_read_only_from_the_start(host: LocalAgent) -> None:
    """The attempt is refused, each time that it is asked for, and nothing is changed."""
    old, new = host.sealed("old"), host.sealed("new")
    assert host.activate(old).phases == GOOD
    remount(host.root, "ro")
    before, entries = tree(host.root), host.journal
    request = host.request(new)
    assert [told(host.call("activate", request)) for _ in range(2)] == ["invalid"] * 2
    assert (tree(host.root), host.journal, host.facts()["live"]) == (before, entries, old)


@pytest.mark.parametrize("phase", ["swapped", "gated", "restoring"])
def test_a_disk_that_is_remounted_after_a_death(host: LocalAgent, phase: str) -> None:
    """Nobody is told an end that is none, as long as it is read-only; once it is not, the attempt comes to its end."""
    old = host.sealed("old", health="true")
    assert host.activate(old, healthcheck=HEALTH).phases == GOOD
    request = host.request(host.sealed("new", health=f"exit {78 * (phase == 'restoring')}"), healthcheck=HEALTH)
    die_in(host, request, "phase", phase)
    remount(host.root, "ro")
    asked = [host.call("activate", request), host.call("follow", {"attempt": request["attempt"]})]
    assert [told(answer) for answer in asked] == ["unknown"] * 2
    remount(host.root, "rw")
    end = "committed" if phase == "gated" else "restored"
    assert told(host.call("activate", request)) == end
    assert (host.live, host.journal[-1]["outcome"]) == (request["sha"] if phase == "gated" else old, end)
    assert broken(host.root) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_full_disk_without_a_reserve(host: LocalAgent, moment: str) -> None:
    """The way back needs neither space nor a spare file; what is told of it is so, and is so for whoever asks again."""
    request = going(host, moment, used_up(host))
    asked = [host.call("activate", request) for _ in range(2)]
    assert {told(answer) for answer in asked} <= {"restored", "unknown"}
    assert (host.live, host.facts()["live"]) == (host.journal[0]["target"],) * 2
    free(host.root)
    launch.recover(host.paths, request)
    assert (host.live, host.journal[-1]["outcome"]) == (host.journal[0]["target"], "restored")
    assert [words for words in broken(host.root) if "ended more than once" not in words] == []


def test_a_state_that_nobody_may_replace(host: LocalAgent) -> None:
    """An immutable state is a disk that takes nothing, for one file: restored, with its record, and told as that."""
    request = going(host, "gating", f"chattr +i {host.paths.state}")
    answers = [host.call("activate", request) for _ in range(2)]
    assert [told(answer) for answer in answers] == ["restored"] * 2
    assert (host.live, host.journal[-1]["outcome"]) == (host.journal[0]["target"], "restored")
