"""The configuration: kept with the release, switched with `current`, and restored with it."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import configuration, durable, gate, launch, prune, records, state
from oroboros_deploy.host.facts import facts
from oroboros_deploy.host.refusal import Refusal
from tests.support.local_agent import LocalAgent

pytestmark = pytest.mark.slow  # whole activations

FILE = "prod.env"
SECRET = "hunter-two"
HEALTH = {"command": "sh ./health", "timeout": 30, "interval": 0.02, "stable_for": 0}
TELL = 'echo "$PORT $PASSWORD $DEPLOY_RELEASE"'


def sources(**changes: Any) -> dict[str, Any]:
    usual = {"file": FILE, "values": {"PORT": "8000"}, "secrets": {"PASSWORD": SECRET}, "build": []}
    return {**usual, **changes}


def release(host: LocalAgent, name: str, health: str = "true", file: str = "COLOUR=blue\nPORT=1\n") -> str:
    return host.sealed(name, health=health, **{FILE: file})


def configured(host: LocalAgent, sha: str, **changes: Any) -> str:
    answer = configuration.configure(host.paths, {"sha": sha, "env": sources(**changes)})  # type: ignore[typeddict-item]
    return answer["revision"]


def live(host: LocalAgent) -> tuple[str | None, str | None]:
    """The release and the configuration that are in use, as the file system says."""
    env = host.root / "env"
    return host.live, env.readlink().name if env.is_symlink() else None


def deploy(host: LocalAgent, name: str, health: str = "true", **changes: Any) -> tuple[str, str]:
    sha = release(host, name, health)
    revision = configured(host, sha, **changes)
    host.activate_here(sha, configuration=revision, healthcheck=HEALTH)
    return sha, revision


def advice(host: LocalAgent, sha: str, **changes: Any) -> str | None:
    with pytest.raises(Refusal) as caught:
        configured(host, sha, **changes)
    return caught.value.hint


def refused(host: LocalAgent, sha: str, **changes: Any) -> str:
    with pytest.raises(Refusal) as caught:
        configured(host, sha, **changes)
    assert not list(host.paths.config.glob("*"))
    return caught.value.message


def test_it_is_kept_for_the_login_alone(host: LocalAgent) -> None:
    """The file has all values, the later source winning, and says where each name comes from; nobody else reads it."""
    place = host.paths.config / configured(host, release(host, "one"))
    assert place.read_text() == (
        f'# file: COLOUR\n# values: PORT\n# secrets: PASSWORD\nCOLOUR="blue"\nPASSWORD="{SECRET}"\nPORT="8000"\n'
    )
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (place, place.parent, host.paths.ours)]
    assert modes == [0o600, 0o700, 0o700]


def test_a_revision_is_of_its_values_and_of_its_root(host: LocalAgent, tmp_path: Path) -> None:
    """The same values have the same revision; other values, and the same ones with another key, have another."""
    sha = release(host, "one")
    first = configured(host, sha)
    again, other = configured(host, sha), configured(host, sha, secrets={"PASSWORD": "x"})
    durable.write(host.paths.key, os.urandom(32))
    assert (again == first, len({first, other, configured(host, sha)})) == (True, 3)


def test_what_is_refused(host: LocalAgent) -> None:
    """A file that is not there or no such file, and names that a build is to see and none has, by name."""
    sha, bad = release(host, "one"), release(host, "bad", file=f"A=1\n{SECRET}\n")
    link = release(host, "link")
    entry = host.paths.release(link) / FILE
    entry.parent.chmod(0o755)
    entry.unlink()
    entry.symlink_to("/etc/passwd")
    said = [
        refused(host, sha, file="no.env"),
        refused(host, bad),
        refused(host, link),
        refused(host, sha, build=["PORT", "NODE_ENV"]),
        refused(host, sha, secrets={"PASSWORD": "\7"}),
    ]
    assert said == [
        f"nothing was switched: release {sha} has no file no.env",
        f"nothing was switched: {FILE}: line 2 has no NAME=value",
        f"nothing was switched: release {link} has no file {FILE}",
        "nothing was switched: env.build names NODE_ENV, which the configuration does not have",
        "nothing was switched: env.secrets: the value of PASSWORD has control characters",
    ]


def test_a_file_that_is_there_is_corrected(host: LocalAgent) -> None:
    """The hint of a file that is not in the commit names the setting; a wrong file or secret is to be corrected."""
    sha, bad = release(host, "one"), release(host, "bad", file="A=1\nB\n")
    secret = advice(host, sha, secrets={"PASSWORD": "\7"})
    assert [advice(host, sha, file="no.env"), advice(host, bad), secret] == [
        "commit it, or correct env.file in fabric.yaml: no.env",
        f"correct the file, and commit it: {FILE}",
        "correct this secret in the place from which env.secrets in fabric.yaml takes it",
    ]


def test_it_is_switched_with_the_release(host: LocalAgent) -> None:
    """After a commit `env` names it by a relative link, and record, journal and facts have its revision."""
    first, old = deploy(host, "one")
    sha = release(host, "two", file="COLOUR=red\nSIZE=1\n")
    new = configured(host, sha, secrets={})
    assert live(host) == (first, old)
    answer = host.activate_here(sha, configuration=new, healthcheck=HEALTH)
    assert (answer.phases[-1], live(host)) == ("committed", (sha, new))
    assert os.readlink(host.root / "env") == f".deploy/config/{new}"
    names = {"added": ["SIZE"], "changed": ["COLOUR"], "removed": ["PASSWORD"]}
    assert [host.journal[-1][key] for key in ("configuration", "names")] == [new, names]
    found = facts(host.paths, {"sha": first})
    assert found["target"]
    assert (records.configuration_of(host.paths, sha), found["configuration"], found["target"]["configuration"]) == (
        new,
        new,
        old,
    )
    assert list(host.paths.tmp.iterdir()) == []


def test_it_is_restored_with_the_release(host: LocalAgent) -> None:
    """A release that fails its gate takes its configuration with it; the same release with another one does too."""
    good, old = deploy(host, "one", 'test "$PORT" = 8000 || exit 78')
    _, other = deploy(host, "two", "exit 78", values={"PORT": "9"})
    assert (live(host), host.journal[-1]["outcome"], other != old) == ((good, old), "restored", True)
    worse = configured(host, good, values={"PORT": "9"})
    answer = host.activate_here(good, configuration=worse, healthcheck=HEALTH)
    assert (live(host), answer.phases[-1], host.journal[-1]["configuration"]) == ((good, old), "restored", old)
    assert (answer.result or {})["state"]["switched"]


def test_a_first_configuration_goes_when_it_fails(host: LocalAgent) -> None:
    """Where there was no `env` before, there is none after the restore."""
    sha = host.sealed("one", health="true")
    host.activate_here(sha, healthcheck=HEALTH)
    deploy(host, "two", "exit 78")
    assert (live(host), os.path.lexists(host.root / "env")) == ((sha, None), False)


def test_what_a_command_gets(host: LocalAgent) -> None:
    """Migration and health command have the whole configuration over all but DEPLOY_*, of the release they are for."""
    first, _ = deploy(host, "one", f"{TELL} >{host.root}/gate", values={"PORT": "1", "DEPLOY_RELEASE": "x"})
    assert (host.root / "gate").read_text() == f"1 {SECRET} {first}\n"
    bad = release(host, "two", f"{TELL} >>{host.root}/gates; exit 78")
    new = configured(host, bad, values={"PORT": "2"}, secrets={"PASSWORD": "other"})
    host.activate_here(bad, configuration=new, healthcheck=HEALTH, migrate=f"{TELL} >{host.root}/migration")
    assert (host.root / "migration").read_text() == f"2 other {bad}\n"
    assert set((host.root / "gates").read_text().splitlines()) == {f"2 other {bad}"}
    assert (host.root / "gate").read_text() == f"1 {SECRET} {first}\n"  # asked again on the way back


def test_a_rollback_brings_it_back(host: LocalAgent) -> None:
    """With the release comes the configuration that it was committed with last, and without `env` none does, told."""
    first, old = deploy(host, "one")
    second, new = deploy(host, "two", values={"PORT": "9"})
    left = host.activate_here(first, kind="rollback", healthcheck=HEALTH)
    assert (live(host), left.said("warning")) == (
        (first, new),
        [f"the configuration {new} stays in use: the settings have no `env`"],
    )
    assert records.configuration_of(host.paths, first) == new
    host.activate_here(second, kind="rollback", recorded=True, healthcheck=HEALTH)
    assert live(host) == (second, new)
    host.activate_here(first, configuration=old, healthcheck=HEALTH)
    host.activate_here(second, kind="rollback", recorded=True, healthcheck=HEALTH)
    assert live(host) == (second, new)
    host.activate_here(first, kind="rollback", recorded=True, healthcheck=HEALTH)
    assert live(host) == (first, old)


def test_a_release_without_one_leaves_it(host: LocalAgent) -> None:
    """A rollback to a release of which nobody noted a configuration keeps the present one, told."""
    plain = host.sealed("plain", health="true")
    host.activate_here(plain, healthcheck=HEALTH)
    _, revision = deploy(host, "one")
    answer = host.activate_here(plain, kind="rollback", recorded=True, healthcheck=HEALTH)
    assert live(host) == (plain, revision)
    assert answer.said("warning") == [f"the configuration {revision} stays in use: nobody noted one for this release"]


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_somebody_else_put_there_is_refused(host: LocalAgent, kind: str) -> None:
    """A file, a directory or another link at `env` is refused by name, and stays; without the setting nobody minds."""
    sha, there = release(host, "one"), host.root / "env"
    revision = configured(host, sha)
    if kind == "directory":
        there.mkdir()
    elif kind == "file":
        there.write_text("A=1")
    else:
        there.symlink_to("/etc/environment")
    what = f"{there} is not a link that this tool made, and `env` in fabric.yaml needs that place"
    with pytest.raises(Refusal, match=what):
        configured(host, sha)
    assert [each["message"] for each in facts(host.paths, {"env": True})["problems"]] == [what]
    answer = host.activate_here(sha, configuration=revision, healthcheck=HEALTH)
    assert ((answer.refusal or {})["message"], host.live) == (f"nothing was switched: {what}", None)
    assert facts(host.paths, {})["problems"] == []
    assert host.activate_here(sha, healthcheck=HEALTH).phases[-1] == "committed"
    assert not there.is_symlink() or os.readlink(there) == "/etc/environment"


def test_one_that_is_gone_is_refused(host: LocalAgent) -> None:
    """A revision that is not on the host any more is refused before anything is switched."""
    good, old = deploy(host, "one")
    answer = host.activate_here(release(host, "two"), configuration="0" * 16, healthcheck=HEALTH)
    assert "the configuration 0000000000000000 is not on this host any more" in (answer.refusal or {})["message"]
    assert live(host) == (good, old)


def test_no_secret_is_kept_or_told(host: LocalAgent) -> None:
    """What gate and migration say is masked in log, result, journal, the note of a bad release, and what is kept."""
    deploy(host, "one")
    for line, sha in (("true", "bad gate"), (f"echo {SECRET}; echo $PASSWORD >&2; exit 78", "bad migration")):
        bad = release(host, sha, f"echo the password is $PASSWORD; exit 78 # {SECRET}")
        revision = configured(host, bad)
        answer = host.activate_here(bad, configuration=revision, healthcheck=HEALTH, migrate=line)
        assert "***" in (answer.result or {})["state"]["transcript"]
    there = [path for path in host.paths.ours.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    asked = [
        path for path in there if path.name == "request.json"
    ]  # the line of this test has it, not the configuration
    assert {path.parent for path in set(there) - set(asked)} == {host.paths.config}
    assert [path.read_text() for path in host.paths.ours.rglob("migration.err") if path.stat().st_size] == ["***\n"]


def test_env_that_somebody_moved_before(host: LocalAgent) -> None:
    """What it named comes back with a restore, in use since it was put there; secrets of the other are masked too."""
    first = release(host, "one")
    other = configured(host, first, secrets={"PASSWORD": "hunter-three"})
    assert host.activate_here(first, configuration=other, healthcheck=HEALTH).phases[-1] == "committed"
    good, new = deploy(host, "two")
    served = time.time()
    (host.root / ".somebody").symlink_to(f".deploy/config/{other}")
    (host.root / ".somebody").rename(host.root / "env")
    bad = release(host, "three", "echo it was hunter-three; exit 78")
    revision = configured(host, bad, values={"PORT": "9"})
    state = (host.activate_here(bad, configuration=revision, healthcheck=HEALTH).result or {})["state"]
    assert (state["phase"], state["transcript"].strip(), live(host)) == ("restored", "it was ***", (good, new))
    assert (configuration.since(host.paths) or served) < served


def test_a_move_by_somebody_else_is_not_committed(host: LocalAgent) -> None:
    """When somebody moves `env` while the gate is asked, the activation goes back, and says so."""
    good, old = deploy(host, "one")
    sha = release(host, "two", f"ln -sfn .deploy/config/{old} {host.root}/env")
    new = configured(host, sha, values={"PORT": "9"})
    answer = host.activate_here(sha, configuration=new, healthcheck=HEALTH)
    assert (answer.phases[-1], live(host)) == ("restored", (good, old))
    assert (answer.result or {})["state"]["reason"] == (
        f"somebody moved env to the configuration {old}; it named {new}"
    )


@pytest.mark.parametrize("phase", ["prepared", "swapped", "restarted", "gated", "restoring"])
@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn state"])
def test_what_a_power_cut_leaves_is_settled(
    host: LocalAgent, monkeypatch: pytest.MonkeyPatch, phase: str, torn: bool
) -> None:
    """Wherever it strikes, release and configuration belong together again; a torn state changes nothing of that."""
    good, old = deploy(host, "one")
    sha = release(host, "two", "exit 78" if phase == "restoring" else "true")
    new = configured(host, sha, values={"PORT": "9"})
    die_in(monkeypatch, phase)
    request = host.request(sha, configuration=new, healthcheck=HEALTH)
    host.keep(request)
    with pytest.raises(KeyboardInterrupt):
        launch.run(host.paths, request)  # type: ignore[arg-type]
    monkeypatch.undo()
    if torn:
        host.paths.state.write_text("{")
    launch.recover(host.paths, request)  # type: ignore[arg-type]
    forward = phase == "gated" and not torn
    assert live(host) == ((sha, new) if forward else (good, old))
    assert list(host.paths.tmp.iterdir()) == []


def test_a_cut_between_the_two_links(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `env` switched and `current` not, the recovery brings `env` back."""
    good, old = deploy(host, "one")
    sha = release(host, "two")
    new = configured(host, sha, values={"PORT": "9"})
    put = configuration.put
    monkeypatch.setattr(configuration, "put", lambda *given: _die(put(*given)))
    request = host.request(sha, configuration=new, healthcheck=HEALTH)
    host.keep(request)
    with pytest.raises(KeyboardInterrupt):
        launch.run(host.paths, request)  # type: ignore[arg-type]
    assert live(host) == (good, new)
    monkeypatch.undo()
    launch.recover(host.paths, request)  # type: ignore[arg-type]
    assert live(host) == (good, old)


def test_a_first_configuration_that_is_cut(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing was in use before, a cut after the switch and a torn state leave nothing in use again."""
    good, sha = host.sealed("plain", health="true"), release(host, "one")
    host.activate_here(good, healthcheck=HEALTH)
    request = host.request(sha, configuration=configured(host, sha), healthcheck=HEALTH)
    host.keep(request)
    die_in(monkeypatch, "swapped")
    with pytest.raises(KeyboardInterrupt):
        launch.run(host.paths, request)  # type: ignore[arg-type]
    monkeypatch.undo()
    host.paths.state.write_text("{")
    launch.recover(host.paths, request)  # type: ignore[arg-type]
    assert live(host) == (good, None)


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def die_in(monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    """Let this process die as soon as it has written down that it is in a phase."""
    save = state.save

    def saving(path: Path, entered: state.State) -> None:
        save(path, entered)
        if entered.phase == phase:
            raise KeyboardInterrupt

    monkeypatch.setattr(state, "save", saving)


def die_in_the_second_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process die when it holds a release to its gate again: on the way back."""
    hold, held = gate.Gate.hold, []

    def holding(*arguments: Any) -> None:
        held.append(arguments)
        if len(held) > 1:
            raise KeyboardInterrupt
        hold(*arguments)

    monkeypatch.setattr(gate.Gate, "hold", holding)


def test_one_that_somebody_made_unreadable(host: LocalAgent) -> None:
    """It is refused where it was to be put in use; where it is in use it keeps nobody from deploying."""
    good, old = deploy(host, "one")
    (host.paths.config / old).write_bytes(b"A='\xff")
    answer = host.activate_here(good, kind="rollback", recorded=True, healthcheck=HEALTH)
    assert f"the configuration {old} cannot be read" in (answer.refusal or {})["message"]
    plain = release(host, "two")
    assert host.activate_here(plain, healthcheck=HEALTH).phases[-1] == "committed"
    new = configured(host, plain)
    assert configuration.values(host.paths, new)["PORT"] == "8000"
    host.activate_here(plain, configuration=new, healthcheck=HEALTH)
    assert live(host) == (plain, new)


@pytest.mark.parametrize("health", ["true", "exit 78"], ids=["goes live", "fails"])
def test_what_somebody_edited_serves_until_the_switch(host: LocalAgent, health: str) -> None:
    """Staged anew, the edited file stays as it is, for services may start with it; a restore brings it back."""
    good, old = deploy(host, "one")
    edited = (host.paths.config / old).read_text().replace("8000", "7000")
    (host.paths.config / old).write_text(edited)
    sha = release(host, "two", health)
    new = configured(host, sha)
    assert (new == old, host.paths.env.read_text()) == (False, edited)
    assert configuration.values(host.paths, new) == {**configuration.values(host.paths, old), "PORT": "8000"}
    host.activate_here(sha, configuration=new, healthcheck=HEALTH)
    assert live(host) == ((sha, new) if health == "true" else (good, old))
    assert (host.paths.config / old).read_text() == edited


def test_a_record_that_is_lost(host: LocalAgent) -> None:
    """The configuration that a release was committed with is in the journal, too."""
    good, old = deploy(host, "one")
    deploy(host, "two", values={"PORT": "9"})
    host.paths.record(good).unlink()
    assert records.configuration_of(host.paths, good) == old


def test_what_is_pruned(host: LocalAgent) -> None:
    """A revision stays as long as a release that was committed with it, is in use, or was kept within a day."""
    kept = [deploy(host, f"release {number}", values={"PORT": str(number)})[1] for number in range(4)]
    sha = release(host, "never deployed")
    staged, old = configured(host, sha, values={"PORT": "x"}), configured(host, sha, values={"PORT": "y"})
    for revision in (*kept, old):
        os.utime(host.paths.config / revision, (0, time.time() - 90_000))
    prune.prune(host.paths, {"keep": 3, "dry_run": False}, lambda *_, **__: None)
    assert {path.name for path in host.paths.config.iterdir()} == {*kept[1:], staged}


def test_a_configuration_that_failed_goes_with_a_later_attempt(host: LocalAgent) -> None:
    """It stays for a day, so that its secrets are hidden in logs, and no longer than to the next attempt after that."""
    good, used = deploy(host, "one")
    failed = configured(host, good, values={"PORT": "9"})
    asked: Any = {"kind": "env", "healthcheck": {**HEALTH, "command": "exit 78"}, "said": ["healthcheck.command"]}
    assert host.activate_here(good, configuration=failed, **asked).phases[-1] == "restored"
    assert {path.name for path in host.paths.config.iterdir()} == {used, failed}
    for revision in (used, failed):
        os.utime(host.paths.config / revision, (0, time.time() - 90_000))
    assert (
        host.activate_here(good, kind="rollback", recorded=True, said=[], healthcheck=HEALTH).phases[-1] == "committed"
    )
    assert {path.name for path in host.paths.config.iterdir()} == {used}


def test_a_configuration_that_was_replaced_stays_for_a_day(host: LocalAgent) -> None:
    """From then on: until then services wrote its secrets to their logs, which are hidden while it is there."""
    good, used = deploy(host, "one")

    def pushed(port: str) -> bool:
        new = configured(host, good, values={"PORT": port})
        answer = host.activate_here(good, configuration=new, kind="env", said=[], healthcheck=HEALTH)
        assert answer.phases[-1] == "committed"
        return used in {path.name for path in host.paths.config.iterdir()}

    os.utime(host.paths.config / used, (0, time.time() - 90_000))
    assert (pushed("9"), pushed("10")) == (True, True)
    os.utime(host.paths.config / used, (0, time.time() - 90_000))
    assert pushed("11") is False


def test_a_journal_that_says_nothing_of_configurations(host: LocalAgent) -> None:
    """All of them stay, and nothing fails: nobody knows which of them a release was committed with."""
    _, used = deploy(host, "one")
    failed = configured(host, release(host, "never deployed"), values={"PORT": "9"})
    os.utime(host.paths.config / failed, (0, time.time() - 90_000))
    with host.paths.journal.open("a") as journal:
        journal.write('{"seq": 9, "hash": "of nothing", "kind": "deploy", "attempt": "a"}\n')
    records.forget_configurations(host.paths, state.load(host.paths.state))
    assert {path.name for path in host.paths.config.iterdir()} == {used, failed}


def test_no_record_is_read_where_all_is_in_use(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each activation comes here: what is in use, or was the last attempt's, needs no look into many records."""
    _, used = deploy(host, "one")
    os.utime(host.paths.config / used, (0, time.time() - 90_000))
    read: list[str] = []
    monkeypatch.setattr(records, "configuration_of", lambda _, release_id: read.append(release_id))
    records.forget_configurations(host.paths, state.load(host.paths.state))
    assert (read, [path.name for path in host.paths.config.iterdir()]) == ([], [used])


def test_a_state_of_before_has_none(host: LocalAgent) -> None:
    """A state that knows nothing of configurations is read, and none is touched."""
    deploy(host, "one")
    found = json.loads(host.paths.state.read_text())
    for name in ("configuration", "configuration_before", "names"):
        del found[name]
    host.paths.state.write_text(json.dumps(found))
    read = state.load(host.paths.state)
    assert read and (read.configuration, read.configuration_before, read.names) == (None, None, None)


@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn state"])
@pytest.mark.parametrize("phase", ["prepared", "swapped", "restarted", "gated", "restoring", "gone back"])
def test_what_a_power_cut_leaves_of_a_push(
    host: LocalAgent, monkeypatch: pytest.MonkeyPatch, phase: str, torn: bool
) -> None:
    """The configuration alone was changed: its release stays live wherever it strikes, with a torn state too."""
    good, old = deploy(host, "one")
    new = configured(host, good, values={"PORT": "9"})
    health = {**HEALTH, "command": "exit 78"} if phase in ("restoring", "gone back") else HEALTH
    request = host.request(good, kind="env", configuration=new, healthcheck=health)
    host.keep(request)
    if phase == "gone back":
        die_in_the_second_gate(monkeypatch)
    else:
        die_in(monkeypatch, phase)
    with pytest.raises(KeyboardInterrupt):
        launch.run(host.paths, request)  # type: ignore[arg-type]
    monkeypatch.undo()
    if torn:
        host.paths.state.write_text("{")
    launch.recover(host.paths, request)  # type: ignore[arg-type]
    forward = phase == "gated" and not torn
    assert live(host) == (good, new if forward else old)
    assert (list(host.paths.tmp.iterdir()), list(host.paths.bad(good).parent.iterdir())) == ([], [])


def test_a_push_is_held_to_the_record(host: LocalAgent) -> None:
    """Its gate is the one that the release was committed with, whatever the settings say now, unless a flag says it."""
    good, old = deploy(host, "one")
    asked: Any = {"kind": "env", "healthcheck": {**HEALTH, "command": "exit 78"}}
    new = configured(host, good, values={"PORT": "9"})
    pushed = host.activate_here(good, configuration=new, said=[], **asked)
    assert (pushed.phases[-1], live(host)) == ("committed", (good, new))
    assert (records.found(host.paths, good) or {})["configuration"] == new  # type: ignore[typeddict-item]
    back = host.activate_here(good, configuration=old, said=["healthcheck.command"], **asked)
    assert (back.phases[-1], live(host)) == ("restored", (good, new))


def test_a_push_without_the_gate(host: LocalAgent) -> None:
    """What the release passed stays in its record, and its configuration; the one in use passed nothing yet."""
    good, _ = deploy(host, "one")
    was = records.found(host.paths, good)
    new = configured(host, good, values={"PORT": "9"})
    skipped: Any = {"kind": "env", "healthcheck": {**HEALTH, "command": None}, "said": ["skip_healthcheck"]}
    pushed = host.activate_here(good, configuration=new, **skipped)
    assert (pushed.phases[-1], live(host)) == ("committed", (good, new))
    assert (records.found(host.paths, good), records.gate_of(host.paths, good)) == (was, "skipped")
    assert records.gate_passed(host.paths, good) == "passed"  # a rollback to it brings back what it passed with
    back: Any = records.way_back(host.paths, host.request(release(host, "bad")), good)  # type: ignore[arg-type]
    assert back["healthcheck"]["command"] is None  # with this configuration it passed nothing: what ran decides
    host.activate_here(good, configuration=new, kind="env", said=[], healthcheck=HEALTH)
    assert records.configuration_of(host.paths, good) == new
    assert records.gate_of(host.paths, good) == "passed"


@pytest.mark.parametrize("port", ["8000", "9"], ids=["the same values", "other values"])
@pytest.mark.parametrize("kind", ["deploy", "rollback"])
def test_a_switch_without_the_gate(host: LocalAgent, kind: str, port: str) -> None:
    """A rollback brings back what the release passed, configuration and gate; a restore of it asks what ran alone."""
    good, old = deploy(host, "one")
    was = records.found(host.paths, good)
    _, other = deploy(host, "two", values={"PORT": port})
    asked: Any = {"recorded": False} if kind == "rollback" else {"configuration": other}
    asked |= {"kind": kind, "healthcheck": {**HEALTH, "command": None}, "said": ["skip_healthcheck"]}
    assert host.activate_here(good, **asked).phases[-1] == "committed"
    assert (live(host), records.found(host.paths, good)) == ((good, other), {**(was or {}), "skipped_since": True})
    assert records.gate_of(host.paths, good) == "skipped"
    back: Any = records.way_back(host.paths, host.request(release(host, "bad")), good)  # type: ignore[arg-type]
    assert back["healthcheck"]["command"] is None
    deploy(host, "three", values={"PORT": "7"})
    held = {"kind": "rollback", "recorded": True, "said": [], "healthcheck": {**HEALTH, "command": "exit 78"}}
    assert (host.activate_here(good, **held).phases[-1], live(host)) == ("committed", (good, old))
    assert records.gate_of(host.paths, good) == "passed"


def test_a_gate_that_the_settings_took_out(host: LocalAgent) -> None:
    """A commit whose settings ask services alone is what the release was committed with: nobody skipped its gate."""
    good, _ = deploy(host, "one")
    deploy(host, "two")
    new = configured(host, good, values={"PORT": "9"})
    host.activate_here(good, configuration=new, healthcheck={**HEALTH, "command": None}, said=[])
    record: Any = records.found(host.paths, good)
    told = (record["configuration"], record["healthcheck"]["command"], record["skipped"], record["skipped_since"])
    assert told == (new, None, True, False)


def test_services_of_a_switch_without_the_gate(host: LocalAgent) -> None:
    """A restart takes those that the last commit restarted, also when somebody skipped its gate."""
    good, _ = deploy(host, "one")
    kept: Any = {**(records.found(host.paths, good) or {}), "restarted": True, "services": ["api"]}
    host.paths.record(good).write_text(json.dumps(kept))
    request: Any = {**host.request(good), "kind": "deploy", "restart": True, "services": ["api", "worker"]}
    request |= {"healthcheck": {**HEALTH, "command": None}, "said": ["skip_healthcheck"]}
    records.write(host.paths, request, None)
    assert records.found(host.paths, good) == {
        **kept,
        "services": ["api", "worker"],
        "enabled": None,
        "units": None,
        "skipped_since": True,
    }


def test_a_release_that_was_built_again_passed_nothing_yet(host: LocalAgent) -> None:
    """Its record goes with the build; a switch that skips the gate notes that, whatever the build before passed."""
    good, _ = deploy(host, "one")
    deploy(host, "two")
    records.forget(host.paths, good)
    host.activate_here(good, configuration=configured(host, good, values={"PORT": "9"}), healthcheck=None, said=[])
    record: Any = records.found(host.paths, good)
    assert (record["skipped"], record["configuration"]) == (True, live(host)[1])


def test_a_push_without_restarts(host: LocalAgent) -> None:
    """The record keeps the services that the release was committed with; `env` says since when it is what it is."""
    good, _ = deploy(host, "one")
    kept: Any = {**(records.found(host.paths, good) or {}), "restarted": True, "services": ["api"]}
    host.paths.record(good).write_text(json.dumps(kept))
    new = configured(host, good, values={"PORT": "9"})
    host.activate_here(good, configuration=new, kind="env", said=[], healthcheck=HEALTH, restart=False)
    record: Any = records.found(host.paths, good)
    assert (record["restarted"], record["services"], record["configuration"]) == (True, ["api"], new)


def test_since_when_a_configuration_is_in_use(host: LocalAgent) -> None:
    """From the switch on; after a restore since before, for services that nobody restarted have it."""
    good, _ = deploy(host, "one")
    os.utime(host.root / "env", (1000, 1000), follow_symlinks=False)
    new = configured(host, good, values={"PORT": "9"})
    asked: Any = {"kind": "env", "healthcheck": {**HEALTH, "command": "exit 78"}, "said": ["healthcheck.command"]}
    assert host.activate_here(good, configuration=new, **asked).phases[-1] == "restored"
    assert configuration.since(host.paths) == pytest.approx(1000, abs=5)
    began = time.time() - 1
    new = configured(host, good, values={"PORT": "9"})
    host.activate_here(good, configuration=new, kind="env", said=[], healthcheck=HEALTH)
    assert (configuration.since(host.paths) or 0) >= began


@pytest.mark.parametrize("seconds", [-3600, 3600], ids=["back", "on"])
def test_a_clock_that_was_set_since_the_switch(
    host: LocalAgent, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a configuration was put in use is said by the clock as it goes now, as the age of a service is."""
    began = time.time() - 1
    deploy(host, "one")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + seconds)
    assert began <= (configuration.since(host.paths) or 0) - seconds <= now()


def test_a_configuration_of_an_earlier_boot(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """All services of this boot began with it, whatever the clock was then."""
    deploy(host, "one")
    os.utime(host.root / "env", (2e9, 2e9), follow_symlinks=False)
    monkeypatch.setattr(state, "boot_id", lambda: "the next one")
    assert configuration.since(host.paths) == pytest.approx(time.time() - time.monotonic(), abs=5)


def test_a_configuration_that_failed_goes_after_a_day(host: LocalAgent) -> None:
    """Until then it hides its secrets in logs; pruning takes it, and leaves the one that was there before."""
    _, old = deploy(host, "one")
    _, new = deploy(host, "two", "exit 78", values={"PORT": "9"})
    deploy(host, "three")  # with the configuration of the first, and the last attempt from here on
    there = []
    for revision in (old, new):
        prune.prune(host.paths, {"keep": 3, "dry_run": False}, lambda *_, **__: None)
        there.append({path.name for path in host.paths.config.iterdir()})
        os.utime(host.paths.config / revision, (0, time.time() - 90_000))
    prune.prune(host.paths, {"keep": 3, "dry_run": False}, lambda *_, **__: None)
    there.append({path.name for path in host.paths.config.iterdir()})
    assert there == [{old, new}, {old, new}, {old}]


def test_a_configuration_that_another_attempt_waits_with_stays(host: LocalAgent) -> None:
    """Two attempts asked for it before the first one began: the first one fails, and the other one can switch to it."""
    _, old = deploy(host, "one")
    bad, good = release(host, "two", "exit 78"), release(host, "three")
    new = configured(host, bad, values={"PORT": "9"})
    assert configured(host, good, values={"PORT": "9"}) == new
    seen = [host.activate_here(bad, configuration=new, healthcheck=HEALTH).phases[-1]]
    seen.append(host.activate_here(good, configuration=new, healthcheck=HEALTH).phases[-1])
    assert (seen, configuration.in_use(host.paths)) == (["restored", "committed"], new)
    assert old != new


def test_a_long_journal_is_looked_through(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since when a configuration is in use costs the parsing of one entry, however many attempts had it."""
    deploy(host, "one")
    journal, parsed, parse = host.paths.journal, [], configuration.parse
    monkeypatch.setattr(configuration, "parse", lambda line: parsed.append(line) or parse(line))
    before = configuration.since(host.paths)
    journal.write_bytes(journal.read_bytes() * 500)
    parsed.clear()
    assert (configuration.since(host.paths), len(parsed)) == (pytest.approx(before, abs=1), 1)


@pytest.mark.parametrize("how", ["lost", "open to others"])
def test_a_key_that_is_made_anew(host: LocalAgent, how: str) -> None:
    """What is wrong with the key is told, nobody is said to have edited anything, and the names are compared."""
    good, old = deploy(host, "one")
    said: list[str] = []
    host.paths.key.unlink() if how == "lost" else host.paths.key.chmod(0o644)
    request: Any = {"sha": good, "env": sources(values={"PORT": "9"})}
    answer = configuration.configure(host.paths, request, lambda _, message, **__: said.append(message))
    key = f"{host.paths.key}, the secret that gives configurations their revisions, was lost, or others could read it"
    assert said == [f"{key}: it was made anew, and every configuration has another revision from now on"]
    assert (answer["current"], answer["names"]) == (old, {"added": [], "changed": ["PORT"], "removed": []})
    assert stat.S_IMODE(host.paths.key.stat().st_mode) == 0o600


def test_pruning_waits_for_who_keeps_or_switches(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """A revision is forgotten while no activation runs, and not between the look at its age and its end."""
    deploy(host, "one")
    spare = configured(host, host.live or "", values={"PORT": "7"})
    os.utime(host.paths.config / spare, (1, 1))
    held: list[tuple[bool, bool]] = []
    unlink = Path.unlink

    def unlinking(path: Path, missing_ok: bool = False) -> None:
        if path.name == spare:
            held.append((_taken(host.paths.lock), _taken(host.paths.config)))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlinking)
    prune.prune(host.paths, {"keep": 5, "dry_run": False}, lambda *_, **__: None)
    assert (held, (host.paths.config / spare).exists()) == ([(True, True)], False)


def _taken(path: Path) -> bool:
    """Whether somebody keeps others from taking the lock on a path, as another process would find it."""
    number = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(number)
    return False


def test_facts_say_what_cannot_come_back(host: LocalAgent) -> None:
    """Of a release whose configuration is gone or cannot be read they say why, where a configuration is asked for."""
    good, old = deploy(host, "one")
    deploy(host, "two", values={"PORT": "9"})

    def unusable(**request: Any) -> object:
        target = facts(host.paths, {"sha": good, **request})["target"]  # type: ignore[typeddict-item]
        assert target is not None
        return target.get("unusable", "not asked")

    assert (unusable(), unusable(env=True)) == ("not asked", None)
    (host.paths.config / old).unlink()
    assert unusable(env=True) == f"the configuration {old} is not on this host any more"
