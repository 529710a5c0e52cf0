"""Activation: the release is live and gated, or everything is as it was."""

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

from oroboros_deploy.host import activation, durable, gate, launch, lock, process, seal, state, unit_files, unit_sets
from oroboros_deploy.host.journal_entry import digest
from oroboros_deploy.host.words import PHASES
from tests.support.clock import Hasty
from tests.support.local_agent import LocalAgent
from tests.support.watching import eventually, processes, tree

pytestmark = pytest.mark.slow  # whole builds and activations

HEALTH = {"command": "sh ./health", "timeout": 5, "interval": 0.02, "stable_for": 0}
ONCE = {**HEALTH, "timeout": 10, "interval": 20}  # one try, with time for it
ROOT = Path(__file__).parents[2]
GOOD = ["prepared", "swapped", "restarted", "gated", "committed"]


@pytest.fixture
def old(host: LocalAgent) -> str:
    """A release that is live and healthy."""
    sha = host.sealed("old", health="exit 0")
    assert host.activate_here(sha, healthcheck=HEALTH).phases == GOOD
    return sha


def health(**changes: Any) -> dict[str, Any]:
    return {**HEALTH, **changes}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses of the gate take no time: nobody waits for a deadline that is far enough away for a slow machine."""
    monkeypatch.setattr(gate, "time", Hasty())


def staged(host: LocalAgent) -> list[str]:
    return [path.name for path in host.paths.tmp.iterdir()]


def journaled(host: LocalAgent) -> list[tuple[str, str, str | None]]:
    """The journal in short; its chain is checked on the way."""
    assert [entry for entry in host.journal if digest(entry) != entry["hash"]] == []
    return [(entry["target"], entry["outcome"], entry["live"]) for entry in host.journal]


def test_a_release_that_passes_is_committed(host: LocalAgent, old: str) -> None:
    """The link is relative and names it; state, result and journal agree; nothing temporary is left."""
    new = host.sealed("new", health="exit 0")
    answer = host.activate_here(new, healthcheck=HEALTH)
    assert (answer.phases, answer.refusal) == (GOOD, None)
    assert os.readlink(host.paths.current) == f"releases/{new}"
    assert ((answer.result or {})["live"], staged(host)) == (new, [])
    found = state.load(host.paths.state)
    assert found and found.as_dict() == (answer.result or {})["state"]
    assert journaled(host) == [(old, "committed", old), (new, "committed", new)]
    assert {name: host.journal[1][name] for name in ("kind", "source", "reason", "actor", "migration_marker")} == {
        "kind": "deploy",
        "source": old,
        "reason": "",
        "actor": "tester",
        "migration_marker": None,
    }
    assert sorted(host.journal[1]["seconds"]) == ["gating", "restarting", "swapping"]


def test_a_release_that_fails_is_taken_back(host: LocalAgent, old: str, hasty: None) -> None:
    """The previous release is live again, the failed one is noted as bad, and the reason is told with its output."""
    bad = host.sealed("bad", health="echo no database; exit 3")
    answer = host.activate_here(bad, healthcheck=ONCE)
    assert answer.phases == ["prepared", "swapped", "restarted", "restoring", "restored"]
    ended = (answer.result or {})["state"]
    reason = "the gate was not passed: the health command exited 3 (gave up after 10 s)"
    told = f"{reason}; last output: no database"
    assert (ended["reason"], ended["transcript"], ended["switched"]) == (told, "no database", True)
    assert (host.live, host.paths.bad(bad).read_text(), staged(host)) == (old, reason, [])
    assert journaled(host)[1:] == [(bad, "restored", old)]


@pytest.mark.parametrize(("gate", "skipped"), [(HEALTH, [False, True, False]), (None, [False, True, True])])
def test_steps_say_that_they_are_skipped(host: LocalAgent, old: str, gate: Any, skipped: list[bool]) -> None:
    """Without services nothing is restarted, and without a health command as well nothing is asked: both are told."""
    answer = host.activate_here(host.sealed("new", health="exit 0"), healthcheck=gate)
    steps = [event["data"] for event in answer.events if event["event"] == "step"]
    assert [step["step"] for step in steps] == ["swapping", "restarting", "gating"]
    assert [step["skipped"] for step in steps] == skipped


def test_a_bad_release_that_passes_later_is_bad_no_more(host: LocalAgent, old: str) -> None:
    """The note goes when the release proves itself."""
    new = host.sealed("new", health="exit 0")
    host.paths.bad(new).write_text("an earlier failure")
    host.activate_here(new, healthcheck=HEALTH)
    assert (host.paths.bad(new).exists(), host.live) == (False, new)


def test_a_gate_that_hangs_is_ended(host: LocalAgent, old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A health command that ignores TERM is killed with its children, and the host restored."""
    monkeypatch.setattr(process, "GRACE", 0.2)
    mark = f"659.{os.getpid()}"
    bad = host.sealed("bad", health=f"trap '' TERM; sleep {mark} & sleep {mark}; sleep {mark}")
    answer = host.activate_here(bad, healthcheck=health(timeout=0.2))
    assert (answer.phases[-1], host.live) == ("restored", old)
    assert "did not end within" in (answer.result or {})["state"]["reason"]
    assert eventually(lambda: not processes(mark))


def test_a_gate_may_take_several_tries(host: LocalAgent, old: str, tmp_path: Path) -> None:
    """A service that is healthy at the third look is healthy."""
    tries = tmp_path / "tries"
    new = host.sealed("new", health=f"echo >>{tries}; test $(wc -l <{tries}) = 3")
    answer = host.activate_here(new, healthcheck=HEALTH)
    assert (answer.phases, tries.read_text()) == (GOOD, "\n\n\n")
    assert answer.said("gate.try") == [f"the health command exited {status}" for status in (1, 1, 0)]


def test_a_first_deploy_that_fails_leaves_no_current(host: LocalAgent) -> None:
    """With nothing to go back to, nothing is live."""
    bad = host.sealed("bad", health="exit 1")
    answer = host.activate_here(bad, healthcheck=health(timeout=0.1))
    assert (answer.phases[-1], (answer.result or {})["live"], host.live) == ("restored", None, None)
    assert answer.said("warning") == ["no release is live: there is nothing to go back to"]
    assert journaled(host) == [(bad, "restored", None)]


def test_a_restore_that_fails_is_left_for_a_person(host: LocalAgent, tmp_path: Path, hasty: None) -> None:
    """The previous release is put back once; when it fails as well, nothing bounces a second time."""
    gates = tmp_path / "gates"
    old = host.sealed("old", health=f"echo old >>{gates}; test -e {tmp_path}/database")
    bad = host.sealed("bad", health=f"echo bad >>{gates}; exit 1")
    (tmp_path / "database").touch()
    host.activate_here(old, healthcheck=ONCE)
    (tmp_path / "database").unlink()
    gates.unlink()
    answer = host.activate_here(bad, healthcheck={**ONCE, "timeout": 9})
    assert answer.phases == ["prepared", "swapped", "restarted", "restoring", "restore_failed"]
    why = "the gate was not passed: the health command exited 1 (gave up after 9 s)"
    same = "look for a cause outside of the releases, such as a file, a database or a full disk"
    told = (answer.result or {})["state"]["reason"]
    assert told == f"{why}; and the restore failed in the same way: {same}"
    assert (gates.read_text(), host.live) == ("bad\nold\n", old)
    assert journaled(host)[1:] == [(bad, "restore_failed", old)]


def test_without_any_gate_the_switch_is_the_activation(host: LocalAgent) -> None:
    """Restart and health check skipped: the link is switched and that is said."""
    sha = host.sealed("a")
    assert host.activate_here(sha, healthcheck=None).phases == GOOD
    assert host.live == sha


@pytest.mark.parametrize("left", [False, True])
def test_units_that_stay_are_told_once(host: LocalAgent, old: str, left: bool) -> None:
    """The host tells it where the settings have no `units`, and not where the control node has told it already."""
    kept, place = unit_sets.keep(host.paths, unit_files.NONE), host.paths.record(old)
    durable.write_json(place, {**json.loads(place.read_text()), "units": kept})
    answer = host.activate_here(host.sealed("two"), units_left=left)
    told = [event["message"] for event in answer.events if "units that are installed" in event["message"]]
    words = "the units that are installed stay as they are: the settings have no `units`"
    assert (answer.phases[-1], told) == ("committed", [] if left else [words])


def test_the_revision_is_the_last_line_of_the_migration(host: LocalAgent, old: str) -> None:
    """It runs in the target before the switch; noise on the error stream is no revision."""
    new = host.sealed("new", health="exit 0")
    line = "echo upgrading; echo $DEPLOY_RELEASE $(cat name) $(basename $(readlink ../../current)); echo noise >&2"
    answer = host.activate_here(new, healthcheck=HEALTH, migrate=line)
    assert (answer.result or {})["state"]["migration_marker"] == f"{new} new {old}"
    assert (answer.phases, host.journal[-1]["migration_marker"]) == (["prepared", *GOOD], f"{new} new {old}")


def test_a_migration_that_says_nothing_has_no_revision(host: LocalAgent, old: str) -> None:
    """No output, no marker."""
    answer = host.activate_here(host.sealed("new", health=""), healthcheck=HEALTH, migrate="echo >&2 done")
    assert ((answer.result or {})["state"]["migration_marker"], answer.phases[-1]) == (None, "committed")


@pytest.mark.parametrize(
    ("migrate", "seconds", "reason"),
    [
        ("echo the cause >&2; exit 5", 10, "the migration exited 5"),
        ("echo the cause >&2; exec sleep 60", 1.5, "the migration did not end within 1.5 s and was killed"),
    ],
)
@pytest.mark.slow
def test_a_failing_migration_switches_nothing(
    host: LocalAgent, old: str, migrate: str, seconds: float, reason: str
) -> None:
    """Files and link are as before, no gate was held, and the release is noted as one that failed."""
    new = host.sealed("new", health="exit 0")
    before = tree(host.root)
    answer = host.activate_here(new, healthcheck=HEALTH, migrate=migrate, migrate_timeout=seconds)
    ended = (answer.result or {})["state"]
    told = f"{reason}; last output: the cause"
    assert (ended["reason"], ended["transcript"], ended["switched"]) == (told, "the cause\n", False)
    assert (answer.phases, answer.said("gate.try")) == (["prepared", "restoring", "restored"], [])
    assert (tree(host.root), host.paths.bad(new).read_text(), staged(host)) == (before, reason, [])


@pytest.mark.parametrize("fails", [{"healthcheck": health(command="false", timeout=0.2)}, {"migrate": "exit 1"}])
def test_what_served_before_is_not_noted_as_failed(host: LocalAgent, old: str, fails: dict[str, Any]) -> None:
    """A deploy of the live commit that fails says nothing of the release: it is also the way back."""
    assert host.activate_here(old, **{"healthcheck": HEALTH, **fails}).phases[-1] in ("restored", "restore_failed")
    assert (host.live, host.paths.bad(old).exists()) == (old, False)


@pytest.mark.parametrize("free", [(), ("gate",), ("migration",)], ids=["nothing", "the gate", "the migration"])
def test_what_keeps_the_right_to_become_root(host: LocalAgent, free: tuple[str, ...]) -> None:
    """Nothing does, unless the request names it; the one says nothing of the other."""
    new, line = host.sealed("new"), f"grep NoNewPrivs /proc/self/status >{host.root}/"
    gate = health(command=f"{line}gate", **({"privileged": True} if "gate" in free else {}))
    more = {"migrate_privileged": True} if "migration" in free else {}
    assert host.activate_here(new, healthcheck=gate, migrate=f"{line}migration", **more).phases[-1] == "committed"
    status = Path("/proc/self/status").read_text()
    own = next(line for line in status.splitlines() if line.startswith("NoNewPrivs"))
    wanted = {name: own if name in free else "NoNewPrivs:\t1" for name in ("gate", "migration")}
    assert {name: (host.root / name).read_text().strip() for name in wanted} == wanted


def test_python_in_a_sealed_release_leaves_nothing_behind(host: LocalAgent, old: str) -> None:
    """A root login could write there: a migration or a gate in Python must not damage what it runs from."""
    line = "python3 -c 'import code_of_ours'"
    new = host.sealed("new", **{"code_of_ours.py": "x = 1"})
    answer = host.activate_here(new, healthcheck=health(command=line), migrate=line)
    assert (answer.phases[-1], seal.verify(host.paths.release(new))) == ("committed", None)


REFUSED = {
    "no id": ("../../etc", "'../../etc' is not a release id (a full commit sha)"),
    "short": ("a" * 39, f"'{'a' * 39}' is not a release id (a full commit sha)"),
    "newline": ("a" * 40 + "\n", f"{('a' * 40 + chr(10))!r} is not a release id (a full commit sha)"),
    "missing": ("a" * 40, f"release {'a' * 40} is missing on this host"),
    "unsealed": ("b" * 40, f"release {'b' * 40} is unsealed on this host"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_changes_nothing(host: LocalAgent, old: str, case: str) -> None:
    """The tree is the same to the last bit, and no attempt is recorded."""
    (host.paths.releases / ("b" * 40)).mkdir()
    before, entries = tree(host.root), host.journal
    target, words = REFUSED[case]
    assert (host.activate_here(target).refusal or {})["message"] == words
    assert (tree(host.root), host.journal, staged(host)) == (before, entries, [])


def test_a_current_that_is_no_link_is_refused(host: LocalAgent) -> None:
    """A real directory in its place is somebody's, and is named with the command that moves it."""
    sha = host.sealed("a")
    host.paths.current.mkdir()
    (host.paths.current / "file").write_text("precious")
    before = tree(host.root)
    assert host.activate_here(sha).refusal == {
        "kind": "invalid",
        "message": f"{host.paths.current} is a real directory or file, not a link to a release",
        "hint": f"move it away on the host: mv {host.paths.current} {host.paths.current}.old",
    }
    assert tree(host.root) == before
    assert [problem["message"] for problem in host.facts(sha)["problems"]] == [
        f"{host.paths.current} is a real directory or file, not a link to a release"
    ]


@pytest.mark.parametrize("target", ["releases", "releases/not-an-id", "../elsewhere/" + "a" * 40])
def test_a_current_that_points_elsewhere_is_refused(host: LocalAgent, target: str) -> None:
    """Before the first commit, a link that is neither ours nor another program's is for a person."""
    sha = host.sealed("a")
    host.paths.current.symlink_to(target)
    refusal = host.activate_here(sha).refusal or {}
    assert refusal["message"].startswith(f"{host.paths.current} points to ")
    assert refusal["message"].endswith(f"which is not a release in {host.paths.releases}")
    assert os.readlink(host.paths.current) == target


@pytest.mark.parametrize("target", ["../legacy/v7", "/etc"])
def test_another_programs_current(host: LocalAgent, target: str) -> None:
    """A first deploy takes its place; one that fails puts it back as it was, and the journal tells what it was."""
    (host.root / ".." / "legacy" / "v7").mkdir(parents=True)
    host.paths.create()
    host.paths.current.symlink_to(target)
    assert (host.facts()["live"], host.facts()["problems"]) == (None, [])
    bad = host.activate_here(host.sealed("bad", health="exit 1"), healthcheck=health(timeout=0.1))
    assert (bad.phases[-1], os.readlink(host.paths.current), staged(host)) == ("restored", target, [])
    assert (host.journal[-1]["foreign"], host.journal[-1]["live"]) == (target, None)
    assert bad.said("warning") == [
        f"no release is live: another program made {host.paths.current}, a link to {target}; "
        "if this fails, that link is put back"
    ]
    good = host.sealed("good", health="exit 0")
    assert host.activate_here(good, healthcheck=HEALTH).phases == GOOD
    assert host.live == good


@pytest.mark.parametrize("phase", ["prepared", "swapped", "restarted", "restoring"])
def test_another_programs_current_after_a_death(host: LocalAgent, phase: str) -> None:
    """Killed in any phase, a first deploy puts the other program's link back all the same."""
    (host.root / ".." / "legacy").mkdir(parents=True)
    request = host.request(host.sealed("bad", health="exit 1"), healthcheck=health(timeout=0.1))
    host.paths.current.symlink_to("../legacy")
    die_in(host, request, "phase", phase)
    host.paths.staged("restore").unlink()
    launch.recover(host.paths, request)
    assert (os.readlink(host.paths.current), host.journal[-1]["outcome"]) == ("../legacy", "restored")


def test_a_health_command_that_is_not_in_the_release(host: LocalAgent, old: str) -> None:
    """It could never pass: nothing is switched, and nothing is recorded."""
    new = host.sealed("new")
    refusal = host.activate_here(new, healthcheck=health(command="ops/check --all")).refusal
    assert refusal == {
        "kind": "invalid",
        "message": f"nothing was switched: release {new} has no ops/check, which the health command runs",
        "hint": "commit the file, or say in fabric.yaml what decides instead: healthcheck: {http: {url: "
        "'http://127.0.0.1:PORT/health'}}, {tcp: '127.0.0.1:PORT'} or {command: null}",
    }
    assert (host.live, len(host.journal), staged(host)) == (old, 1, [])


def test_a_current_that_leads_nowhere_can_be_left(host: LocalAgent) -> None:
    """When the live release is gone there is no way back, and that is said; forward is open."""
    sha, gone = host.sealed("a"), "d" * 40
    host.paths.current.symlink_to(f"releases/{gone}")
    answer = host.activate_here(sha)
    assert (answer.phases, host.live) == (GOOD, sha)
    assert answer.said("warning") == [f"the live release {gone} is gone: nothing to go back to"]


@pytest.mark.parametrize("doubtful", ["damaged", "unsealed"])
def test_a_doubtful_way_back_is_said_and_kept(host: LocalAgent, old: str, doubtful: str) -> None:
    """What is live but not sound is still better to go back to than nothing."""
    release = host.paths.release(old)
    release.chmod(0o755)
    if doubtful == "unsealed":
        (release / ".deploy-seal").unlink()
    (release / "health").chmod(0o700)
    answer = host.activate_here(host.sealed("bad", health="exit 1"), healthcheck=health(timeout=0.1))
    why = {"damaged": "'health' changed since the seal", "unsealed": "never completed"}[doubtful]
    assert answer.said("warning") == [f"the live release {old} stays the way back, although: {why}"]
    assert (answer.phases[-1], host.live) == ("restored", old)


def test_paths_through_links_and_overrides_work(tmp_path: Path) -> None:
    """Releases and current may lie anywhere, behind links of other depths too; the link made always leads there."""
    (tmp_path / "far" / "away" / "data").mkdir(parents=True)
    (tmp_path / "app").symlink_to("far/away/data")
    host = LocalAgent(tmp_path / "srv")
    host.layout["current"] = str(tmp_path / "app" / "current")
    shas = [host.sealed(name) for name in ("a", "b")]
    for sha in shas:
        assert host.activate_here(sha, healthcheck=health(command="test -e name")).phases == GOOD
        assert (tmp_path / "app" / "current" / "name").read_text() == {shas[0]: "a", shas[1]: "b"}[sha]
    assert host.facts()["live"] == shas[1]


@pytest.mark.slow
def test_current_is_never_missing(host: LocalAgent) -> None:
    """A reader that never pauses sees one release or the other through 300 switches, and nothing else."""
    shas = [host.sealed(name) for name in ("a", "b")]
    host.activate_here(shas[0], healthcheck=None)
    seen: set[str] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                seen.add((host.paths.current / "name").read_text())
            except OSError as error:
                seen.add(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    request = host.request(shas[0], healthcheck=None)
    for turn in range(300):
        activation.Activation(host.paths, {**request, "sha": shas[turn % 2]}, lambda *_, **__: None).run()
    done.set()
    reader.join()
    assert seen == {"a", "b"}


_DIES_IN = """
import json, os, signal, sys
from pathlib import Path
from oroboros_deploy.host import gate, launch, layout
from tests.support.clock import Hasty
gate.time = Hasty()

def say(event, message="", level="info", **data):
    if data.get(sys.argv[2]) == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)

launch.log_to = lambda path: say
request = json.loads(Path(sys.argv[1]).read_text())
launch.run(layout.Layout.of(request["layout"]), request)
"""


def die_in(host: LocalAgent, request: dict[str, Any], kind: str, name: str) -> None:
    """Run an activation that is killed, as by a power cut, when it says the phase or step."""
    argv = [sys.executable, "-c", _DIES_IN, str(host.keep(request)), kind, name]
    assert subprocess.run(argv, timeout=60, cwd=ROOT).returncode == -signal.SIGKILL


DEATHS = [
    # killed when, target's health, then the attempt is, and this is live
    ("step", "migrating", 0, "restored", "old"),
    ("phase", "prepared", 0, "restored", "old"),
    ("step", "swapping", 0, "restored", "old"),
    ("phase", "swapped", 0, "restored", "old"),
    ("step", "restarting", 0, "restored", "old"),
    ("phase", "restarted", 0, "restored", "old"),
    ("step", "gating", 0, "restored", "old"),
    ("phase", "gated", 0, "committed", "new"),
    ("phase", "committed", 0, "committed", "new"),
    ("phase", "restoring", 1, "restored", "old"),
    ("step", "restoring", 1, "restored", "old"),
    ("phase", "restored", 1, "restored", "old"),
]


@pytest.mark.parametrize(("kind", "name", "status", "outcome", "live"), DEATHS)
def test_a_death_in_any_phase_is_settled(
    host: LocalAgent, old: str, kind: str, name: str, status: int, outcome: str, live: str
) -> None:
    """Whoever comes next ends the attempt: once, as it should have ended, with nothing left over."""
    new = host.sealed("new", health=f"exit {status}")
    request = host.request(new, healthcheck=ONCE, migrate="true")
    die_in(host, request, kind, name)
    for _ in range(2):  # the second time there is nothing left to do
        launch.recover(host.paths, request)
        expected = {"old": old, "new": new}[live]
        assert (journaled(host)[1:], host.live) == ([(new, outcome, expected)], expected)
    answer = host.answer(request["attempt"])
    assert ((answer.result or {})["state"]["phase"], (answer.result or {})["live"]) == (outcome, expected)
    assert (staged(host), lock.is_held(host.paths.lock)) == ([], False)


def test_every_phase_has_its_death() -> None:
    """A phase or step that is added needs a row above."""
    phases = {name for kind, name, *_ in DEATHS if kind == "phase"}
    assert phases | {"restore_failed"} == set(PHASES)


@pytest.mark.slow
def test_a_death_after_a_failed_restore_is_recorded(host: LocalAgent, tmp_path: Path) -> None:
    """Killed between the end and its record, the attempt is recorded as it ended."""
    old = host.sealed("old", health=f"test ! -e {tmp_path}/broken")
    host.activate_here(old, healthcheck=HEALTH)
    (tmp_path / "broken").touch()
    bad = host.sealed("bad", health="exit 1")
    request = host.request(bad, healthcheck=health(timeout=0.1))
    die_in(host, request, "phase", "restore_failed")
    launch.recover(host.paths, request)
    assert journaled(host)[1:] == [(bad, "restore_failed", old)]


def test_a_death_before_the_result_is_journaled_once(host: LocalAgent, old: str) -> None:
    """Killed between the journal and the result, the attempt gets its result and no second entry."""
    request = host.request(host.sealed("new", health=""), healthcheck=HEALTH)
    host.keep(request)
    launch.run(host.paths, request)
    before = host.answer(request["attempt"])
    (host.paths.attempt(request["attempt"]) / "result.json").unlink()
    launch.recover(host.paths, request)
    assert (host.answer(request["attempt"]), len(host.journal)) == (before, 2)


def test_an_end_outranks_a_refusal(host: LocalAgent, old: str) -> None:
    """Whoever wrote meanwhile that the attempt was refused was mistaken: it is live, recorded, and told so."""
    new = host.sealed("new")
    request = host.request(new)
    result = host.paths.attempt(request["attempt"]) / "result.json"
    gate = f"""echo '{{"refusal": {{"kind": "busy"}}}}' >{result}"""
    answer = host.activate_here(new, attempt=request["attempt"], healthcheck=health(command=gate))
    assert ((answer.result or {})["state"]["phase"], answer.refusal) == ("committed", None)
    assert journaled(host)[1:] == [(new, "committed", new)]


def test_a_switch_that_was_not_noted_yet_is_undone(host: LocalAgent, old: str) -> None:
    """Killed between the rename and its note, the attempt is restored all the same."""
    new = host.sealed("new", health="exit 0")
    request = host.request(new, healthcheck=HEALTH)
    die_in(host, request, "step", "swapping")
    durable.replace(host.paths.staged("switch"), host.paths.current)
    launch.recover(host.paths, request)
    assert (host.live, journaled(host)[1:]) == (old, [(new, "restored", old)])


@pytest.mark.parametrize("request_is_lost", [False, True])
def test_the_next_activation_settles_first(host: LocalAgent, old: str, request_is_lost: bool) -> None:
    """Nobody asked after the dead attempt: the next one ends it before it begins, by its own rules if need be."""
    new, next_one = host.sealed("new", health="exit 0"), host.sealed("next", health="exit 78")
    request = host.request(new, healthcheck=HEALTH)
    die_in(host, request, "phase", "swapped")
    if request_is_lost:
        host.keep(request).unlink()
    answer = host.activate_here(next_one, healthcheck=HEALTH)
    assert journaled(host)[1:] == [(new, "restored", old), (next_one, "restored", old)]
    assert (answer.said("settling"), host.live) == (
        [f"attempt {request['attempt']} was interrupted after 'swapped'"],
        old,
    )


def test_a_state_that_cannot_be_read_is_set_aside(host: LocalAgent, old: str) -> None:
    """It is kept for a person, said, and does not stop the host from being deployed to."""
    host.paths.state.write_text('{"attempt": "torn')
    new = host.sealed("new", health="exit 0")
    answer = host.activate_here(new, healthcheck=HEALTH)
    kept = host.paths.ours / "state.unreadable"
    assert answer.said("warning") == [f"the state of the last activation could not be read; it is kept in {kept}"]
    assert (kept.read_text(), answer.phases, host.live) == ('{"attempt": "torn', GOOD, new)


def test_a_link_somebody_changed_meanwhile_is_put_back(host: LocalAgent, old: str) -> None:
    """A current turned into something foreign during the gate ends restored, never in a traceback."""
    link = host.paths.current
    new = host.sealed("new", health=f"ln -sfn /etc {link}; exit 78")
    answer = host.activate_here(new, healthcheck=HEALTH)
    assert (answer.phases[-1], host.live) == ("restored", old)


MOVED = {
    "to another release": ("ln -sfn releases/{other} {link}", "to {other}"),
    "elsewhere": ("ln -sfn /etc {link}", "away from every release"),
    "away": ("rm {link}", "away from every release"),
}


def test_an_attempt_with_a_result_is_not_settled_again(host: LocalAgent, old: str) -> None:
    """A disk that fails may have kept an earlier phase: the result says how the attempt ended."""
    sha = host.sealed("new", health="exit 0")
    assert host.activate_here(sha, healthcheck=HEALTH).phases == GOOD
    found = json.loads(host.paths.state.read_text())
    host.paths.state.write_text(json.dumps({**found, "phase": "restarted"}))
    activation.settle(host.paths, host.request(sha, healthcheck=HEALTH), lambda *_, **__: None)
    assert (host.paths.current.resolve().name, len(host.journal)) == (sha, 2)


@pytest.mark.parametrize("case", MOVED)
def test_a_link_that_somebody_moved_is_no_commit(host: LocalAgent, old: str, case: str) -> None:
    """The gate passed, and something else is live: the previous release is put back, and nothing is called bad."""
    act, where = MOVED[case]
    place = {"other": host.sealed("other"), "link": host.paths.current}
    new = host.sealed("new", health=act.format(**place))
    answer = host.activate_here(new, healthcheck=health())
    said = f"somebody moved current {where.format(**place)}; it named {new}"
    assert (answer.phases[-3:], host.live) == (["gated", "restoring", "restored"], old)
    assert ((answer.result or {})["state"]["reason"], host.paths.bad(new).exists()) == (said, False)
    assert (host.journal[-1]["outcome"], host.journal[-1]["live"]) == ("restored", old)


@pytest.mark.parametrize("case", MOVED)
def test_a_link_that_somebody_moved_before_decides_the_way_back(host: LocalAgent, old: str, case: str) -> None:
    """Another release is the live one from then on; without one it is what was committed here last. Both are told."""
    act, where = MOVED[case]
    other = host.sealed("other", health="exit 0")
    subprocess.run(act.format(other=other, link=host.paths.current), shell=True, cwd=host.root, check=True)
    bad = host.sealed("bad", health="exit 78")
    assert host.facts(bad)["problems"] == []
    answer = host.activate_here(bad, healthcheck=health())
    back = other if case == "to another release" else old
    assert answer.said("warning") == [f"somebody moved current {where.format(other=other)}; it named {old}"]
    assert (answer.phases[-1], host.live, host.journal[-1]["live"]) == ("restored", back, back)


def test_a_clock_that_jumps_decides_nothing(
    host: LocalAgent, old: str, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wall time is shown, never compared: years forth and back change no outcome."""
    jumps = iter(range(10_000))
    monkeypatch.setattr("time.time", lambda: 2e9 if next(jumps) % 2 else 0.0)
    for name, end in (("good", "exit 0"), ("bad", "exit 1")):
        host.activate_here(host.sealed(name, health=end), healthcheck=ONCE)
    assert [outcome for _, outcome, _ in journaled(host)] == ["committed", "committed", "restored"]
