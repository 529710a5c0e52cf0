"""Starting and following an activation: it is alone, acts once, and outlives whoever asked for it."""

from __future__ import annotations

import grp
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import boot, launch, lock, manager, process, state, time_limits, turn, units, words
from oroboros_deploy.host.refusal import Refusal
from tests.host.test_activation import die_in
from tests.support.clock import within
from tests.support.local_agent import Answer, LocalAgent
from tests.support.rights import require_another_user
from tests.support.watching import eventually, tree

pytestmark = pytest.mark.slow  # whole deploys, or servers that have to start

GOOD = ["prepared", "swapped", "restarted", "gated", "committed"]


@pytest.fixture
def old(host: LocalAgent) -> str:
    sha = host.sealed("old")
    assert host.activate_here(sha).phases == GOOD
    return sha


def nobody_hears(*_: object, **__: object) -> None:
    """What is told while somebody waits for a turn."""


def command(line: str, timeout: float = 10) -> dict[str, Any]:
    return {"command": line, "timeout": timeout, "interval": 0.02, "stable_for": 0}


def asked(host: LocalAgent, request: dict[str, Any]) -> subprocess.Popen[bytes]:
    """An activation on its way, with somebody who follows it."""
    host.facts()
    return host.start("activate", request)


def cut(process: subprocess.Popen[bytes]) -> None:
    """The link dies: the follower's pipes are closed and it is killed."""
    process.kill()
    process.communicate()


def test_an_activation_is_followed_to_its_end(host: LocalAgent, old: str) -> None:
    """What the detached process does is told line by line, then its result."""
    new = host.sealed("new")
    answer = host.activate(new)
    assert (answer.phases, answer.refusal, answer.stderr) == (GOOD, None, "")
    assert (host.live, (answer.result or {})["live"]) == (new, new)


def test_a_refusal_reaches_who_asked(host: LocalAgent, old: str) -> None:
    """What the detached process refuses is the answer of the call."""
    assert host.activate("a" * 40).refusal == {
        "kind": "missing",
        "message": f"release {'a' * 40} is missing on this host",
        "hint": "deploy it first",
    }


def test_the_same_attempt_asked_twice_acts_once(host: LocalAgent, old: str, tmp_path: Path) -> None:
    """Asked again, during and after, it is followed, and answers the same."""
    count = tmp_path / "count"
    go = tmp_path / "go"
    gate = command(f"echo gated >>{count}; until test -e {go}; do sleep 0.02; done", timeout=60)
    request = host.request(host.sealed("new"), healthcheck=gate)
    answers: list[Answer] = []
    askers = [threading.Thread(target=lambda: answers.append(host.call("activate", request))) for _ in range(2)]
    for asker in askers:
        asker.start()
        assert eventually(count.exists)
    go.touch()
    for asker in askers:
        asker.join()
    answers.append(host.call("activate", request))
    assert (count.read_text(), len(host.journal)) == ("gated\n", 2)
    assert answers[0] == answers[1] == answers[2]


def test_one_attempt_asked_for_by_two_at_once_is_started_once(
    host: LocalAgent, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes while the other still waits for the disk only follows: no refusal is noted of what runs."""
    started: list[str] = []
    monkeypatch.setattr(launch, "start_detached", lambda layout, request, _: started.append(request["attempt"]))
    monkeypatch.setattr(os, "fsync", lambda descriptor: time.sleep(0.1))
    monkeypatch.setattr(os, "getpid", threading.get_ident)  # each asker has an agent of its own
    request = host.request(host.sealed("new"))
    askers = [threading.Thread(target=launch.start, args=(host.paths, request, nobody_hears)) for _ in range(2)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert started == [request["attempt"]]


@pytest.mark.parametrize("said", [process.Ended(None, "", 30.0), process.Ended(1, "Connection timed out", 25.0)])
@pytest.mark.parametrize("began", ["and runs", "and ended", "later", "never"])
def test_what_systemd_run_fails_to_say(
    host: LocalAgent, old: str, monkeypatch: pytest.MonkeyPatch, said: process.Ended, began: str
) -> None:
    """It may have started the unit all the same: what runs is followed to its end, what was refused does not act."""
    go, new = host.root.parent / "go", host.sealed("new")
    gate = command(f"until test -e {go}; do sleep 0.02; done", timeout=60)
    request = host.request(new, detached=False, healthcheck=gate)
    unit = threading.Thread(target=launch.run, args=(host.paths, request))
    run = process.run

    def systemd_run(argv: Any, **options: Any) -> process.Ended:
        if launch.UNIT not in " ".join(argv):
            return run(argv, **options)
        if began.startswith("and"):
            unit.start()
            assert eventually(lambda: host.live == new)
        if began == "and ended":
            go.touch()
            unit.join()
        return said

    monkeypatch.setattr(process, "run", systemd_run)
    monkeypatch.setattr(boot, "install", lambda *_: None)
    monkeypatch.setattr(os, "getuid", lambda: 0)  # no sudo is asked for first
    launch.start(host.paths, request, nobody_hears)
    go.touch()
    if began == "later":
        unit.start()
    if began != "never":
        unit.join()
    answer = host.answer(request["attempt"])
    if began.startswith("and"):
        assert ((answer.result or {})["state"]["phase"], answer.refusal) == ("committed", None)
        assert [entry["target"] for entry in host.journal] == [old, new]
    else:
        refusal = answer.refusal or {}
        why = "did not end within 30.0 s and was killed" if said.status is None else f"exited 1: {said.tail}"
        told = f"nothing was changed: the activation did not start: systemd-run {why}"
        hint = "see what systemd says on the host: journalctl -n 50; then type the same command again"
        assert (refusal["message"], refusal["hint"], host.live, len(host.journal)) == (told, hint, old, 1)


def test_a_second_activation_is_told_who_is_busy(host: LocalAgent, old: str, tmp_path: Path) -> None:
    """It is refused at once, with the holder's attempt, target, actor, start and phase."""
    go, new, other = tmp_path / "go", host.sealed("new"), host.sealed("other")
    request = host.request(new, actor="somebody", healthcheck=command(f"until test -e {go}; do sleep 0.02; done"))
    first = asked(host, request)
    assert eventually(lambda: host.live == new)
    running = host.facts()["running"]
    refused = host.request(other)
    with within(10):
        refusal = host.call("activate", refused).refusal or {}
    since = time.strftime("%H:%M:%S UTC", time.gmtime(running["since"]))
    assert refusal == {
        "kind": "busy",
        "message": f"deploy of {new} by somebody holds this host since {since} (restarted)",
        "hint": f"{words.WAIT}; watch it with: fab -H HOST status",
        "running": {**running, "phase": "restarted"},
    }
    assert (running["attempt"], running["target"], running["actor"]) == (request["attempt"], new, "somebody")
    go.touch()
    first.communicate(timeout=10)
    assert (host.live, host.facts()["running"], len(host.journal)) == (new, None, 2)
    assert host.call("activate", refused).refusal == refusal  # the same attempt gets the same answer


def test_two_activations_at_the_same_moment_end_one_after_the_other_or_busy(host: LocalAgent, old: str) -> None:
    """Of many that start together none is mixed with another: each is live and recorded, or was refused."""
    shas = [host.sealed(name) for name in ("a", "b", "c")]
    answers: dict[str, Answer] = {}

    def ask(sha: str) -> None:
        answers[sha] = host.activate(sha, healthcheck=command("sleep 0.1; test -e name"))

    threads = [threading.Thread(target=ask, args=(sha,)) for sha in shas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = [sha for sha, answer in answers.items() if answer.result]
    kinds = {answer.refusal["kind"] for answer in answers.values() if answer.refusal}
    assert (sorted(entry["target"] for entry in host.journal[1:]), kinds - {"busy"}) == (sorted(ended), set())
    assert [entry["outcome"] for entry in host.journal[1:]] == ["committed"] * len(ended)
    assert (host.live, host.journal[-1]["live"]) == (host.journal[-1]["target"], host.live)


def test_a_host_that_somebody_switched_meanwhile_is_left_alone(host: LocalAgent, old: str) -> None:
    """Decided for one release, an attempt does not go from another; asked for again it gets the same answer."""
    theirs, ours = host.sealed("theirs"), host.sealed("ours")
    host.activate_here(theirs)
    before = tree(host.root)
    request = host.request(ours, expected=old)
    refusal = host.call("activate", request).refusal
    assert refusal == {
        "kind": "busy",
        "message": f"nothing was switched: {theirs} went live here meanwhile",
        "hint": "see what is live: fab -H HOST status; then type the same command again",
    }
    assert (host.call("activate", request).refusal, tree(host.root), len(host.journal)) == (refusal, before, 2)


def test_the_first_release_of_somebody_else_is_one_as_well(host: LocalAgent, old: str) -> None:
    """Decided for a host without a release, or for one that has none any more, it is refused too."""
    refusal = host.activate(host.sealed("new"), expected=None).refusal or {}
    assert refusal["message"] == f"nothing was switched: {old} went live here meanwhile"
    host.paths.current.unlink()
    refusal = host.activate(host.sealed("other"), expected=old).refusal or {}
    assert refusal["message"] == "nothing was switched: no release is live here by now"


def test_a_host_as_it_was_seen_is_switched(host: LocalAgent) -> None:
    """From no release, from the one that was seen, from the one a settling brought back; asked again it is followed."""
    first, second, third = (host.sealed(name) for name in ("first", "second", "third"))
    request = host.request(first, expected=None)
    answers = [host.call("activate", request) for _ in range(2)]
    assert (answers[0].phases, answers[1]) == (GOOD, answers[0])
    die_in(host, host.request(second), "phase", "swapped")
    answer = host.activate(third, expected=first)
    assert (answer.phases, host.live) == (["restoring", "restored", *GOOD], third)


@pytest.mark.parametrize(("gate", "outcome"), [("sleep 0.4", "committed"), ("sleep 0.4; exit 1", "restored")])
def test_a_dead_control_node_changes_nothing(host: LocalAgent, old: str, gate: str, outcome: str) -> None:
    """With its follower killed in the middle the activation ends by itself, and tells it to the next who asks."""
    new = host.sealed("new")
    line = f"test $(basename $PWD) = {old} || {{ {gate}; }}"
    request = host.request(new, healthcheck=command(line, timeout=20 if outcome == "committed" else 0.7))
    process = asked(host, request)
    assert eventually(lambda: host.live == new)
    cut(process)
    assert eventually(lambda: len(host.journal) == 2, within=10)
    assert host.journal[1]["outcome"] == outcome
    answer = host.call("activate", request)
    assert ((answer.result or {})["state"]["phase"], host.live) == (outcome, new if outcome == "committed" else old)


def test_a_killed_activation_is_settled_by_its_follower(host: LocalAgent, old: str) -> None:
    """Without any recovery of the host's own, the next contact restores; the answer says what happened."""
    gate = f"test $(basename $PWD) = {old} || {{ kill -9 $PPID; sleep 60; }}"
    answer = host.activate(host.sealed("new"), healthcheck=command(gate))
    ended = (answer.result or {})["state"]
    assert (ended["phase"], ended["reason"]) == ("restored", "interrupted after 'restarted'")
    assert (answer.phases, host.live) == (["prepared", "swapped", "restarted", "restoring", "restored"], old)
    assert len(host.journal) == 2


NO_MORE = ("ended", "ended well and waits", "recovered and waits")  # it will not act again, whatever it waits for


@pytest.mark.parametrize(("sets", "settled"), [(("a" * 16, "b" * 16), False), ((None, None), True)])
def test_a_host_that_goes_down_leaves_units_to_the_boot(
    host: LocalAgent, old: str, monkeypatch: pytest.MonkeyPatch, sets: tuple[str | None, str | None], settled: bool
) -> None:
    """Root's systemd-run starts nothing then: what changed units stays unfinished, and the boot unit puts them back."""
    request = host.request(host.sealed("new"))
    die_in(host, request, "phase", "swapped")
    found = state.load(host.paths.state)
    assert found is not None
    state.save(host.paths.state, found._replace(units_before=sets[0], units=sets[1], units_begun=sets[0] != sets[1]))
    monkeypatch.setattr(units, "going_down", lambda: True)
    launch.recover(host.paths, request)  # type: ignore[arg-type]
    after = state.load(host.paths.state)
    assert (after and after.final, host.live == old) == (settled, settled)
    assert host.paths.unfinished.is_symlink() != settled


@pytest.mark.parametrize("case", [*NO_MORE, "recovers", "held", "second name taken"])
def test_an_ended_unit_that_systemd_cannot_put_away(
    host: LocalAgent, old: str, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """It holds the name, and nobody the lock: there is a second name.  One that may still recover keeps the host."""
    request = host.request(host.sealed("new"), detached=False)
    asked: list[str] = []

    def systemd_run(argv: Any, **_: Any) -> process.Ended:
        asked.extend(word[len("--unit=") :] for word in argv if word.startswith("--unit="))
        taken = asked[-1] == launch.UNIT or case == "second name taken"
        return process.Ended(1, f"Unit {asked[-1]} already exists", 0.0) if taken else process.Ended(0, "", 0.0)

    def show(names: Any) -> dict[str, units.Unit]:
        active = "active" if case == "second name taken" else "failed"
        first = {
            "recovers": ("deactivating", "stop-sigkill", "9"),
            "ended well and waits": ("deactivating", "stop-sigkill", "0"),
            "recovered and waits": ("deactivating", "final-sigkill", "9"),
        }.get(case, ("failed", "", "0"))
        return {name: a_unit(name, *(first if name == launch.UNIT else (active,))) for name in names}

    monkeypatch.setattr(process, "run", systemd_run)
    monkeypatch.setattr(units, "show", show)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    clock = itertools.count(step=0.5)
    monkeypatch.setattr(turn.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(turn.time, "sleep", lambda _: None)
    monkeypatch.setattr(lock, "is_held", lambda _: case == "held")
    if case in NO_MORE:
        launch.start_unit(host.paths, request, nobody_hears)
        assert asked[-1] == launch.SECOND
    else:
        with pytest.raises(Refusal) as refused:
            launch.start_unit(host.paths, request, nobody_hears)
        assert (refused.value.kind, launch.SECOND in asked) == ("busy", case == "second name taken")


def a_unit(name: str, active: str, sub: str = "", status: str = "0") -> units.Unit:
    return units.Unit(name, "loaded", active, sub, "exec", "", "0", "", "0", False, status)


@pytest.fixture
def plain(request: pytest.FixtureRequest) -> Iterator[LocalAgent]:
    """A root of an ordinary login, which what is root's can stop."""
    require_another_user()
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield LocalAgent(
            Path(directory) / "srv", user=65534, group=65534, extra_groups=[], env={"PATH": "/usr/bin:/bin"}
        )


def give(host: LocalAgent) -> None:
    for path in (host.root, *host.root.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)


def take(path: Path) -> None:
    path.chmod(0o700 if path.is_dir() else 0o600)
    os.chown(path, 0, 0)


BROKEN: dict[str, tuple[Callable[[LocalAgent, Path], object], str, str]] = {
    "the attempt is root's": (lambda host, attempt: take(attempt), "committed", ""),
    "the journal's lock is root's": (lambda host, attempt: take(host.paths.ours / "journal.lock"), "committed", ""),
    "nothing can be made beside the state": (lambda host, attempt: host.paths.ours.chmod(0o500), "restored", "denied"),
    "ours is removed": (lambda host, attempt: shutil.rmtree(host.paths.ours), "restored", "No such file"),
    "the links cannot be moved": (
        lambda host, attempt: (take(host.paths.tmp), host.paths.ours.chmod(0o500)),
        "restored",
        "Permission denied",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BROKEN)
def test_what_breaks_after_the_switch_is_not_told_as_nothing(plain: LocalAgent, case: str) -> None:
    """Whoever asked hears the end, once restored at most, and who asks again or only looks is answered."""
    old, new = plain.sealed("old"), plain.sealed("new")
    give(plain)
    assert plain.activate(old).phases == GOOD
    damage, phase, reason = BROKEN[case]
    go = plain.root.parent / "go"
    request = plain.request(new, healthcheck=command(f"until test -e {go}; do sleep 0.02; done", timeout=60))
    answers: list[Answer] = []
    asker = threading.Thread(target=lambda: answers.append(plain.call("activate", request)))
    asker.start()
    log = plain.paths.attempt(request["attempt"]) / "log.jsonl"
    assert eventually(lambda: log.exists() and '"gating"' in log.read_text())
    damage(plain, log.parent)
    go.touch()
    asker.join()
    ended = (answers[0].result or {})["state"]
    assert (ended["phase"], reason in ended["reason"]) == (phase, True)
    assert plain.live == (new if phase == "committed" else old)
    restores = log.read_text().count('"phase": "restoring"')
    assert restores == (phase == "restored")
    assert plain.facts()["live"] == plain.live


@pytest.mark.parametrize("removed", ["agent", ""], ids=["the agent", "all of ours"])
def test_an_agent_that_is_removed_during_the_gate(host: LocalAgent, old: str, removed: str) -> None:
    """What runs of it has all that a restore needs: the previous release is back, and whoever asked is told so."""
    gate = command(f"test $(basename $PWD) = {old} || {{ rm -rf {host.paths.ours / removed}; exit 78; }}")
    answer = host.activate(host.sealed("new"), healthcheck=gate)
    assert ((answer.result or {})["state"]["phase"], answer.refusal, host.live) == ("restored", None, old)
    assert ((answer.result or {})["state"]["reason"], (answer.result or {})["live"]) == (
        "the gate was not passed: the health command exited 78, which no later try changes",
        old,
    )


def test_an_end_that_can_be_written_nowhere(plain: LocalAgent) -> None:
    """It is not known, and not called unchanged, when neither state nor journal can be written after the switch."""
    old, new = plain.sealed("old"), plain.sealed("new")
    give(plain)
    assert plain.activate(old).phases == GOOD
    ours = plain.paths.ours
    spoil = f"rm {plain.paths.state}; chmod 0400 {plain.paths.journal}; chmod 0500 {ours}"
    answer = plain.activate(new, healthcheck=command(f"test $(basename $PWD) = {old} || {{ {spoil}; exit 78; }}"))
    refusal = answer.refusal or {}
    assert (refusal["kind"], refusal["message"].partition(":")[0], plain.live) == (
        "unknown",
        "how the activation ended cannot be read on this host",
        old,
    )


def test_a_torn_state_of_a_killed_activation_is_known_by_its_traces(host: LocalAgent, old: str) -> None:
    """What was switched and not gated is taken back, although the state says nothing any more."""
    torn = f"echo torn >{host.paths.state}; kill -9 $PPID; sleep 60"
    answer = host.activate(host.sealed("new"), healthcheck=command(f"test $(basename $PWD) = {old} || {{ {torn}; }}"))
    ended = (answer.result or {})["state"]
    assert (ended["phase"], ended["source"], ended["switched"], host.live) == ("restored", old, True, old)
    assert [entry["outcome"] for entry in host.journal] == ["committed", "restored"]


def test_an_activation_that_never_began_is_told_so(host: LocalAgent, old: str, monkeypatch: Any) -> None:
    """It died before it changed anything: nobody waits for it for ever."""
    monkeypatch.setattr(launch, "GRACE", 0.1)
    request = host.request(host.sealed("new"))
    host.keep(request)
    before = tree(host.root)
    with pytest.raises(Refusal, match="died before it changed anything"):
        launch.follow(host.paths, request["attempt"], None)  # type: ignore[arg-type]
    assert (tree(host.root), len(host.journal)) == (before, 1)


def test_one_that_was_given_up_does_not_act_any_more(host: LocalAgent, old: str) -> None:
    """A process that starts very late finds that its attempt was refused, and does nothing."""
    request = host.request(host.sealed("new"))
    host.keep(request)
    launch.recover(host.paths, request)
    launch.run(host.paths, request)
    assert (host.live, (host.answer(request["attempt"]).refusal or {})["hint"]) == (old, "type the same command again")


def test_a_recovery_leaves_a_living_activation_alone(host: LocalAgent, old: str, monkeypatch: Any) -> None:
    """Whoever holds the lock is alive, and ends its attempt itself."""
    monkeypatch.setattr(launch, "GRACE", 0.1)
    request = host.request(host.sealed("new"))
    host.keep(request)
    with lock.take(host.paths.lock):
        launch.recover(host.paths, request)
    assert not (host.paths.attempt(request["attempt"]) / "result.json").exists()


def test_following_again_goes_on_where_it_was(host: LocalAgent, old: str) -> None:
    """Whatever line the link was lost after, nothing is told twice and nothing is left out."""
    request = host.request(host.sealed("new"))
    whole = host.call("activate", request).events
    for after in range(len(whole) + 1):
        if after in (0, 1, len(whole) - 1, len(whole)):
            assert host.call("activate", {**request, "after": after}).events == whole[after:]


def test_a_line_that_is_still_being_written_is_waited_for(host: LocalAgent, tmp_path: Path) -> None:
    """Half a line is no line yet."""
    sent: list[dict[str, Any]] = []

    class Wire:
        def send(self, value: dict[str, Any]) -> None:
            sent.append(value)

    log = tmp_path / "log"
    log.write_bytes(b'{"event": 1}\n{"eve')
    with log.open("rb") as reader:
        launch.pass_on(reader, Wire())  # type: ignore[arg-type]
        assert sent == [{"event": 1}]
        with log.open("ab") as writer:
            writer.write(b'nt": 2}\n')
        launch.pass_on(reader, Wire())  # type: ignore[arg-type]
    assert sent == [{"event": 1}, {"event": 2}]


@pytest.mark.parametrize("made", [False, True])
def test_an_attempt_nobody_asked_for_is_not_known(host: LocalAgent, old: str, made: bool) -> None:
    """Neither one that never was, nor one that was built only, is waited for."""
    if made:
        host.paths.attempt("f" * 32).mkdir()
    assert host.call("follow", {"attempt": "f" * 32}).refusal == {
        "kind": "missing",
        "message": f"attempt {'f' * 32} is not known on this host",
        "hint": "fab -H HOST audit  shows the attempts that this host knows",
    }


def test_the_activation_is_out_of_reach_of_a_hang_up(host: LocalAgent, old: str) -> None:
    """It has a session of its own: what ends the login's processes does not end it."""
    new = host.sealed("new")
    request = host.request(new, healthcheck=command("sleep 0.5"))
    login = LocalAgent(host.root, start_new_session=True)
    process = asked(login, request)
    assert eventually(lambda: host.live == new)
    os.killpg(process.pid, signal.SIGHUP)
    process.communicate()
    assert eventually(lambda: len(host.journal) == 2)
    assert host.journal[1]["outcome"] == "committed"


@pytest.mark.parametrize("there", [True, False])
def test_the_unit_may_read_what_services_say(host: LocalAgent, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    """It joins the journal's group where there is one; in a group that is not there it would not start."""
    monkeypatch.setattr(sys, "argv", ["/srv/agent.pyz"])
    monkeypatch.setattr(grp, "getgrnam", {"systemd-journal": None}.__getitem__ if there else {}.__getitem__)
    command = launch.unit_command(host.paths, host.request("a" * 40))
    assert ("--property=SupplementaryGroups=systemd-journal" in command) == there


@pytest.mark.parametrize("path", ["/srv/100%/a.pyz", "/srv/my shop/a.pyz", "/srv/$HOME/a.pyz", '/srv/"a".pyz', "/s/'a"])
def test_no_unit_has_a_path_that_systemd_would_read_otherwise(
    host: LocalAgent, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """It is refused before anything is started."""
    monkeypatch.setattr(sys, "argv", [path])
    with pytest.raises(Refusal, match="holds characters that systemd would interpret") as refusal:
        launch.unit_command(host.paths, host.request("a" * 40))
    assert (refusal.value.kind, "name a `root` of letters" in str(refusal.value.hint)) == ("invalid", True)


def test_the_unit_of_the_login_itself(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """The login's own manager starts it without sudo, as that login, and can give it no rights of root's."""
    monkeypatch.setattr(sys, "argv", ["/srv/agent.pyz"])
    with manager.serving("user"):
        command = launch.unit_command(host.paths, host.request("a" * 40))
        assert command[: command.index("--quiet")] == manager.of("user").acting("systemd-run")
    words = " ".join(command)
    assert [word in words for word in ("sudo", "--uid", "SupplementaryGroups", "OOMScoreAdjust")] == [False] * 4
    assert "--property=ExecStopPost=" in words


def test_the_unit_has_a_bound_and_a_recovery(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends by itself, is recovered when it does not end well, and hangs on no connection."""
    monkeypatch.setattr(sys, "argv", ["/srv/agent.pyz"])
    request = host.request("a" * 40)
    command = launch.unit_command(host.paths, request)
    properties = dict(word.removeprefix("--property=").split("=", 1) for word in command if "--property=" in word)
    there, back = time_limits.way_there(request), time_limits.way_back(request)
    assert (properties["RuntimeMaxSec"], properties["TimeoutStopSec"]) == (f"{there + back:.0f}", f"{back:.0f}")
    assert f"{sys.executable} -IS /srv/agent.pyz recover {request['attempt']}" in properties["ExecStopPost"]
    assert ("--no-block" in command, {"--pipe", "--pty"} & {*command}) == (True, set())


@pytest.mark.parametrize("kept", ["migrate", "healthcheck"])
def test_with_least_privilege_no_activation_keeps_the_right_to_become_root(
    host: LocalAgent, old: str, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    """It is refused before the switch, by the name of what keeps it."""
    helped = manager.Helped(*manager.chosen()._replace(application="shop"))
    monkeypatch.setattr(manager, "chosen", lambda: helped)
    gate = {**command("true"), **({"privileged": True} if kept == "healthcheck" else {})}
    more = {"migrate": "true", "migrate_privileged": True} if kept == "migrate" else {}
    answer = host.activate_here(host.sealed("new"), healthcheck=gate, **more)
    what = (
        f"nothing was switched: with least privilege nothing keeps the right to become root: `privileged` names {kept}"
    )
    assert (answer.refusal or {})["message"] == what
    assert host.live == old
