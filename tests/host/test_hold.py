"""A hold: honoured by whoever comes, recorded, and never in the way of a restore."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any

import pytest

from oroboros_deploy.host import hold as holding
from oroboros_deploy.host import launch, lock
from oroboros_deploy.host.refusal import Refusal
from tests.host.test_activation import HEALTH, die_in, journaled
from tests.host.test_boot import boot_again, died_with_the_host
from tests.host.test_launch import GOOD, asked, command
from tests.support.local_agent import Answer, LocalAgent
from tests.support.watching import eventually, tree

pytestmark = pytest.mark.slow  # whole deploys, or servers that have to start

WHY = "the database moves"


@pytest.fixture
def old(host: LocalAgent) -> str:
    sha = host.sealed("old", health="exit 0")
    assert host.activate_here(sha, healthcheck=HEALTH).phases == GOOD
    return sha


def held(host: LocalAgent, actor: str = "ada", reason: str = WHY) -> Answer:
    return host.call("lock", {"actor": actor, "reason": reason})


def free(host: LocalAgent, actor: str = "bob") -> Answer:
    return host.call("unlock", {"actor": actor})


def words(found: Any, reason: str = WHY) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(found["at"]))
    return f"this host is held by {found['actor']} since {since}: {reason}"


def record(host: LocalAgent) -> list[tuple[str, str, str]]:
    return [(entry["kind"], entry["actor"], entry["reason"]) for entry in host.journal if "attempt" not in entry]


def test_a_held_host_is_activated_by_nobody(host: LocalAgent, old: str) -> None:
    """Whoever asks is told who holds it, since when, why and what to type; the tree is as it was."""
    hold = (held(host).result or {})["hold"]
    new, before = host.sealed("new", health="exit 0"), tree(host.root)
    for kind in ("deploy", "rollback"):
        assert host.activate(new, kind=kind, healthcheck=HEALTH).refusal == {
            "kind": "busy",
            "message": words(hold),
            "hint": "end the hold with: fab -H HOST unlock",
            "hold": hold,
        }
    assert (tree(host.root), host.facts()["hold"], len(journaled_attempts(host))) == (before, hold, 1)


def test_it_ends_when_somebody_unlocks(host: LocalAgent, old: str) -> None:
    """Anybody may; both are in the journal with who and why, and the next activation goes through."""
    hold = (held(host).result or {})["hold"]
    assert free(host).result == {"freed": hold}
    new = host.sealed("new", health="exit 0")
    assert host.activate(new, healthcheck=HEALTH).phases == GOOD
    was = words(hold).removeprefix("this host is ")
    assert record(host) == [("lock", "ada", WHY), ("unlock", "bob", f"was {was}")]
    assert (host.facts()["hold"], host.live) == (None, new)


def test_the_history_of_attempts_holds_attempts_only(host: LocalAgent, old: str) -> None:
    """However often it was held since, the facts tell the last attempts, and the head of the whole journal."""
    for _ in range(3):
        held(host)
        free(host)
    facts = host.facts(history=5)
    assert ([entry["target"] for entry in facts["journal"]], facts["head"]["seq"]) == ([old], 7)


def test_nobodys_reason_is_written_over(host: LocalAgent, old: str) -> None:
    """The second who asks for a hold is told of the first, and nothing is recorded."""
    hold = (held(host).result or {})["hold"]
    assert (held(host, "eve", "mine").refusal or {})["message"] == words(hold)
    assert (host.facts()["hold"], record(host)) == (hold, [("lock", "ada", WHY)])


def test_of_many_who_lock_at_once_one_does(host: LocalAgent) -> None:
    """The others are told who; the journal has one hold, whole."""
    host.facts()
    answers: list[Answer] = []
    askers = [threading.Thread(target=lambda name=name: answers.append(held(host, name))) for name in "abcdef"]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    (winner,) = [answer.result["hold"] for answer in answers if answer.result]
    assert [answer.refusal["hold"] for answer in answers if answer.refusal] == [winner] * 5
    assert record(host) == [("lock", winner["actor"], WHY)]


def test_unlocking_a_free_host(host: LocalAgent, old: str) -> None:
    """Is fine, says so, and is no event."""
    assert (free(host).result, record(host)) == ({"freed": None}, [])


def test_an_activation_that_runs_goes_on(host: LocalAgent, old: str, tmp_path: Any) -> None:
    """The answer names it; it ends as it would, and the next one is refused."""
    go, new = tmp_path / "go", host.sealed("new")
    request = host.request(new, healthcheck=command(f"until test -e {go}; do sleep 0.02; done"))
    first = asked(host, request)
    assert eventually(lambda: host.live == new)
    running = (held(host).result or {})["running"]
    assert (running["attempt"], running["target"]) == (request["attempt"], new)
    go.touch()
    first.communicate(timeout=10)
    assert (host.live, journaled_attempts(host)[-1]) == (new, (new, "committed"))
    assert (host.activate(old).refusal or {})["kind"] == "busy"


def test_a_hold_that_comes_after_the_look_is_honoured(host: LocalAgent, old: str) -> None:
    """Asked for before the hold, run after it: the host itself refuses, under its lock."""
    request = host.request(host.sealed("new"))
    host.keep(request)
    hold = (held(host).result or {})["hold"]
    launch.run(host.paths, request)
    assert ((host.answer(request["attempt"]).refusal or {})["message"], host.live) == (words(hold), old)


@pytest.mark.parametrize("settles", ["recovery", "boot", "next activation"])
def test_no_hold_stops_a_restore(host: LocalAgent, old: str, settles: str) -> None:
    """What was interrupted on a host that is held by now is settled all the same."""
    new = host.sealed("new", health="exit 0")
    request = host.request(new, healthcheck=HEALTH)
    (died_with_the_host if settles == "boot" else die_in)(host, request, "phase", "swapped")
    held(host)
    if settles == "recovery":
        launch.recover(host.paths, request)
    elif settles == "boot":
        boot_again(host)
    else:
        refused = host.activate_here(host.sealed("next", health="exit 0"), healthcheck=HEALTH)
        assert (refused.refusal or {})["kind"] == "busy"
    assert (journaled_attempts(host)[1:], host.live) == ([(new, "restored")], old)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"actor": "ada"}'])
def test_a_hold_that_cannot_be_read_holds(host: LocalAgent, old: str, text: str) -> None:
    """An empty file made by hand holds a host; who looks is told where it lies, and it can be freed."""
    host.paths.hold.write_text(text)
    refusal = host.activate(host.sealed("new")).refusal or {}
    assert refusal["message"].startswith("this host is held by somebody since ")
    assert str(host.paths.hold) in refusal["message"]
    assert ((free(host).result or {})["freed"]["actor"], host.paths.hold.exists()) == ("somebody", False)


def test_it_lasts(host: LocalAgent, old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hold is on the disk before anybody is told so: content, name, then the record."""
    order: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        order.append(os.readlink(f"/proc/self/fd/{descriptor}").removeprefix(str(host.paths.ours)))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    holding.lock(host.paths, {"actor": "ada", "reason": WHY})
    name = f"/tmp/.hold-{os.getpid()}.{os.getpid()}"
    assert order[:4] == [name, "/tmp", "", "/journal.jsonl"]


def test_a_host_that_was_never_deployed_to_can_be_held(host: LocalAgent) -> None:
    """Before its first release, too."""
    held(host)
    with pytest.raises(Refusal, match="held by ada"):
        holding.refuse(host.paths)
    assert json.loads(host.paths.hold.read_text())["reason"] == WHY
    assert not lock.is_held(host.paths.lock)


def journaled_attempts(host: LocalAgent) -> list[tuple[str, str]]:
    return [(entry["target"], entry["outcome"]) for entry in host.journal if "attempt" in entry]


def test_the_chain_holds_through_locks(host: LocalAgent, old: str) -> None:
    """Holds and attempts are lines of one journal."""
    held(host)
    free(host)
    host.activate(host.sealed("new"))
    assert [entry["seq"] for entry in host.journal] == [1, 2, 3, 4]
    assert host.call("audit", {"verify": True, "limit": 9, "seen": None}).result["wrong"] is None  # type: ignore[index]
    with pytest.raises(KeyError):
        journaled(host)  # a hold has no target
