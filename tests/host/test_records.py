"""Records: a way back is judged by what the release that it goes back to passed here."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, cast

import pytest

from oroboros_deploy.host import configuration, contract, gate, launch, manager, records, state, units
from oroboros_deploy.host.contract import ActivateRequest
from oroboros_deploy.host.process import Ended
from oroboros_deploy.host.units import Unit
from tests.host.test_claim import ASKED, given_to
from tests.support.answering import answer, serving
from tests.support.clock import Hasty
from tests.support.local_agent import Answer, LocalAgent

pytestmark = pytest.mark.slow  # whole builds and activations

UP = Unit("", "loaded", "active", "running", "simple", "success", "100", "i0", "0", False, "0", file_state="enabled")
AWAY = UP._replace(active="inactive", sub="dead", pid="0", file_state="disabled")
DOWN = UP._replace(active="failed", sub="failed", result="exit-code", pid="0", status="203")
OWN = {"command": "sh ./health", "timeout": 5.0, "interval": 0.02, "stable_for": 0}
UNSET = {"command": "sh ./health", "timeout": 5.0, "interval": 0.02}
PROBE: dict[str, Any] = {"url": "http://127.0.0.1:1/", "status": 200, "timeout": 5.0}
NEWER = {"command": "test -e newer", "timeout": 5.0, "interval": 1, "stable_for": 0}  # the tests are hasty


class Systemd:
    """Units that serve the releases whose directory has a file of their name."""

    def __init__(self, host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = host
        self.units: dict[str, Unit] = {}
        self.ends_after = 0.0  # seconds after each start of a service, which systemd then starts again
        self.began = 0.0
        self.takes_down = ""  # a unit that ends when others are restarted
        self.wants: dict[str, tuple[str, ...]] = {}  # what the text of a unit wants, and is started with it
        self.asked: list[tuple[str, str]] = []
        for name in ("show", "restart", "stop", "recent_log"):
            monkeypatch.setattr(units, name, getattr(self, name))

    def show(self, names: Sequence[str]) -> dict[str, Unit]:
        known = {name: self._by_now(self.units.get(name, DOWN)) for name in names}
        return {name: unit._replace(name=name, wants=self.wants.get(name, ())) for name, unit in known.items()}

    def _by_now(self, unit: Unit) -> Unit:
        times = int((gate.time.monotonic() - self.began) / self.ends_after) if self.ends_after else 0
        again = {"restarts": str(times), "invocation": f"{unit.invocation}-{times}", "result": "exit-code"}
        return unit._replace(**again) if times else unit

    def restart(self, before: dict[str, Unit], deadline: float, *away: str) -> Ended:
        self.asked.append(("restart", " ".join(before)))
        self.began = gate.time.monotonic()
        started = {name for name, unit in units.wanted(self.show([*before])).items() if not unit.runs}
        self.units.update(dict.fromkeys(started.difference(away), UP))
        number = len(self.asked)
        if self.takes_down and self.takes_down not in before:
            self.units[self.takes_down] = DOWN
        for name in before:
            serves = (self.host.paths.current / name).exists()
            self.units[name] = (UP if serves else DOWN)._replace(invocation=f"i{number}")
        return Ended(0 if all(self.units[name].serving for name in before) else 1, "", 0.0)

    def stop(self, names: Sequence[str], deadline: float) -> Ended:
        self.asked.append(("stop", " ".join(names)))
        self.units.update(dict.fromkeys(names, DOWN._replace(active="inactive", result="success")))
        return Ended(0, "", 0.0)

    def recent_log(self, name: str, since: float) -> str:
        return ""


@pytest.fixture
def systemd(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    monkeypatch.setattr(gate, "time", Hasty())
    return Systemd(host, monkeypatch)


def activate(host: LocalAgent, sha: str, *services: str, **changes: Any) -> Answer:
    return host.activate_here(sha, **{"services": list(services), "restart": True, "healthcheck": OWN, **changes})


def committed(host: LocalAgent, name: str, *services: str, **changes: Any) -> str:
    sha = host.sealed(name, health="exit 0", **dict.fromkeys(services, ""))
    assert activate(host, sha, *services, **changes).phases[-1] == "committed"
    return sha


def of_another_tool(host: LocalAgent) -> str:
    """A live release that was made, and switched to, by something else."""
    old = host.sealed("old", health="exit 0", api="")
    (release := host.paths.release(old)).chmod(0o755)
    (release / ".deploy-seal").unlink()
    (release / ".deploy-meta").unlink()
    (release / ".deploy-meta").write_text(f"commit_sha={old}\n")
    host.paths.current.symlink_to(f"releases/{old}")
    return old


def failing(host: LocalAgent, *services: str, **changes: Any) -> Answer:
    """A release whose services start, with a health command that no release has."""
    sha = host.sealed("failing", health="exit 0", **dict.fromkeys(services, ""))
    return activate(host, sha, *services, **{"healthcheck": NEWER, **changes})


def end(host: LocalAgent, answer: Answer) -> tuple[str, str | None]:
    return (answer.result or {})["state"]["phase"], host.live


def warned(answer: Answer) -> list[str]:
    return [said for said in answer.said("warning") if "no release is live" not in said]


def test_what_a_record_says(host: LocalAgent, systemd: Systemd) -> None:
    """The gate, the services, whether the gate was skipped, and which attempt committed it when."""
    old = committed(host, "old", "api", attempt="one")
    record = json.loads(host.paths.record(old).read_text())
    known = contract.ReleaseRecord
    assert set(record) == known.__required_keys__ | known.__optional_keys__
    assert record == {
        "attempt": "one",
        "at": record["at"],
        "services": ["api"],
        "restarted": True,
        "healthcheck": OWN,
        "skipped": False,
        "enabled": ["api.service"],
        "scope": "system",
        "configuration": None,
        "units": None,
        "skipped_since": False,
    }
    assert host.journal[-1]["at"] - record["at"] < 60


@pytest.mark.parametrize("left", ["", "{", "3", "[]", "{}", '{"services": "api"}'])
def test_a_record_that_cannot_be_read(host: LocalAgent, systemd: Systemd, left: str) -> None:
    """A way back ends all the same: the request of the attempt that committed the release says what it passed."""
    old = committed(host, "old", "api")
    host.paths.record(old).chmod(0o600)
    host.paths.record(old).write_text(left)
    assert end(host, failing(host, "api")) == ("restored", old)


DAMAGED = {
    "enabled is a number": {"enabled": 3},
    "enabled has a number": {"enabled": ["api.service", 3]},
    "no attempt": {"attempt": None},
    "no time": {"at": None},
    "the time is a text": {"at": "noon"},
    "a limit is a text": {"healthcheck": {**OWN, "timeout": "60"}},
    "the command is a number": {"healthcheck": {**OWN, "command": 3}},
    "a probe without a status": {"healthcheck": {**OWN, "http": [{"url": "http://127.0.0.1/", "timeout": 1}]}},
    "a header is a number": {"healthcheck": {**OWN, "http": [{**PROBE, "header": {"X": 1}}]}},
    "the probes are a text": {"healthcheck": {**OWN, "http": "http://127.0.0.1/"}},
    "a place without a port": {"healthcheck": {**OWN, "tcp": ["127.0.0.1"]}},
    "the successes are a text": {"healthcheck": {**OWN, "successes": "1"}},
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_record_with_a_damaged_field(host: LocalAgent, systemd: Systemd, case: str) -> None:
    """It counts as one that cannot be read: it stops neither the way there nor the way back, nor a recovery."""
    old = committed(host, "old", "api")
    record = json.loads(host.paths.record(old).read_text()) | DAMAGED[case]
    host.paths.record(old).write_text(json.dumps({key: kept for key, kept in record.items() if kept is not None}))
    systemd.units["mailer"] = AWAY
    assert end(host, failing(host, "api", "mailer")) == ("restored", old)
    request = killed(host, "swapped", "api", healthcheck=UNSET)
    launch.recover(host.paths, request)
    assert end(host, host.answer(request["attempt"])) == ("restored", old)


def test_a_gate_that_no_release_passes(host: LocalAgent, systemd: Systemd) -> None:
    """The old release is held to the gate that it passed, and restored; nobody runs the new health command in it."""
    old = committed(host, "old", "api")
    answer = failing(host, "api", healthcheck={**OWN, "command": "echo ran >>../../ran; false", "interval": 1})
    assert end(host, answer) == ("restored", old)
    assert answer.said("gate.try")[-1] == "the health command exited 0"
    assert (host.root / "ran").read_text().count("ran") == len(answer.said("gate.try")) - 1


def test_an_old_release_that_fails_its_own_gate(host: LocalAgent, systemd: Systemd) -> None:
    """What it passed once and does not pass now is not restored, though the new release asks for less."""
    host.root.mkdir()
    (host.root / "database").touch()
    old = committed(host, "old", "api", healthcheck={**NEWER, "command": "test -e ../../database"})
    (host.root / "database").unlink()
    answer = failing(host, "api", healthcheck={**NEWER, "command": "test ! -e name"})
    assert end(host, answer) == ("restore_failed", old)


def test_the_services_of_the_attempt_are_restarted_too(host: LocalAgent, systemd: Systemd) -> None:
    """One that ran before runs the old release again; one that the old release cannot run is told, and stopped."""
    old = committed(host, "old", "api")
    (old_release := host.paths.release(old)).chmod(0o755)
    (old_release / "mailer").write_text("")
    systemd.units["mailer"] = UP
    answer = failing(host, "api", "mailer", "worker")
    assert end(host, answer) == ("restored", old)
    assert systemd.asked[-2:] == [("restart", "api mailer worker"), ("stop", "worker")]
    told = "worker is failed (exit-code, status 203) after the restart; the live release was deployed without worker"
    assert f"{told}, so the restart counts as good" in warned(answer)


def test_a_service_of_the_record_decides(host: LocalAgent, systemd: Systemd) -> None:
    """Also when the attempt that failed does not name it, but has taken it down."""
    old = committed(host, "old", "api", "worker")
    systemd.takes_down = "worker"
    (release := host.paths.release(old)).chmod(0o755)
    (release / "worker").unlink()
    assert end(host, failing(host, "api")) == ("restore_failed", old)


def test_a_unit_that_was_taken_from_the_host(host: LocalAgent, systemd: Systemd) -> None:
    """A record names it and nobody can start it any more: it is told and left out."""
    old = committed(host, "old", "api", "worker")
    systemd.units["worker"] = DOWN._replace(load="not-found")
    answer = failing(host, "api")
    assert end(host, answer) == ("restored", old)
    assert "worker is not-found on this host: it is left out" in warned(answer)


@pytest.mark.parametrize("how", ["adopted", "skipped", "restart skipped"])
def test_only_what_ran_decides(host: LocalAgent, systemd: Systemd, how: str) -> None:
    """For an adopted release, or one whose gate was skipped: the services that ran before the switch."""
    if how == "adopted":
        old = of_another_tool(host)
    elif how == "skipped":
        old = committed(host, "old", "api", healthcheck={**OWN, "command": None})
    else:
        old = committed(host, "old", "api", restart=False)
    systemd.units.update({"api": UP, "worker": DOWN})
    assert end(host, failing(host, "api", "worker")) == ("restored", old)
    (release := host.paths.release(old)).chmod(0o755)
    (release / "api").unlink()
    another = host.sealed("another", api="", worker="")
    assert end(host, activate(host, another, "api", "worker", healthcheck=NEWER)) == ("restore_failed", old)


def test_a_service_that_ran_and_is_in_the_record_alone(host: LocalAgent, systemd: Systemd) -> None:
    """The gate was skipped: a service that the attempt does not name was looked at before the switch, and decides."""
    old = committed(host, "old", "api", "worker", healthcheck={**OWN, "command": None})
    systemd.takes_down = "worker"
    (release := host.paths.release(old)).chmod(0o755)
    (release / "worker").unlink()
    answer = failing(host, "api")
    assert end(host, answer) == ("restore_failed", old)
    assert sorted((answer.result or {})["state"]["ran"]) == ["api", "worker"]


def test_a_release_without_a_record(host: LocalAgent, systemd: Systemd) -> None:
    """As 0.1.0 left it: the request of its committed attempt says the same while that is kept; then the settings do."""
    old = committed(host, "old", "api", attempt="one")
    host.paths.record(old).unlink()
    assert end(host, failing(host, "api")) == ("restored", old)
    (host.paths.attempt("one") / "request.json").unlink()
    assert end(host, activate(host, host.sealed("another", api=""), "api", healthcheck=NEWER)) == (
        "restore_failed",
        old,
    )


def test_a_gate_by_hand_says_nothing_of_another_release(host: LocalAgent, systemd: Systemd) -> None:
    """Without a record, what a variable of this one command asks for is not in the settings: the services decide."""
    old = committed(host, "old", "api", attempt="one")
    host.paths.record(old).unlink()
    (host.paths.attempt("one") / "request.json").unlink()
    assert end(host, failing(host, "api", said=["healthcheck.command"])) == ("restored", old)


def test_a_push_to_a_release_without_a_service(host: LocalAgent, systemd: Systemd) -> None:
    """One that the settings name by now, and the record does not, need not be there; one of the record has to."""
    old = committed(host, "old", "api")
    systemd.units["web"] = DOWN._replace(load="not-found")
    pushed = activate(host, old, "api", "web", kind="env", said=[])
    assert pushed.phases[-1] == "committed"
    assert [said for said in warned(pushed) if "web" in said] == ["web is not-found on this host: it is left out"]
    systemd.units["api"] = DOWN._replace(load="not-found")
    refusal = activate(host, old, "api", kind="env", said=[]).refusal
    assert (refusal or {})["message"] == "unit api is not-found on this host"


def test_a_rollback_is_held_to_its_record(host: LocalAgent, systemd: Systemd) -> None:
    """The settings by now ask for what the old release does not have; what it passed still counts, and is kept."""
    old = committed(host, "old", "api")
    new = committed(host, "new", "api", "worker", healthcheck={**OWN, "command": "test -e worker"})
    settings = {"kind": "rollback", "healthcheck": {**OWN, "command": "test -e worker", "timeout": 0.2}}
    answer = activate(host, old, "api", "worker", said=[], **settings)
    assert end(host, answer) == ("committed", old)
    assert systemd.asked[-1] == ("restart", "api worker")
    assert (records.found(host.paths, old) or {})["healthcheck"] == OWN
    assert end(host, activate(host, new, "api", "worker", said=[], **settings)) == ("committed", new)


@pytest.mark.parametrize(("ours", "theirs"), [(True, False), (False, True)])
def test_the_right_to_become_root_goes_with_its_line(host: LocalAgent, ours: bool, theirs: bool) -> None:
    """A rollback asks what the release passed, with the right that it passed with; a line by hand has the setting's."""
    gates = [{**OWN, **({"privileged": True} if each else {})} for each in (ours, theirs)]
    old = committed(host, "old", healthcheck=gates[0])
    request = cast(ActivateRequest, host.request(old, kind="rollback", restart=True, healthcheck=gates[1], said=[]))
    assert records.asked(host.paths, request)["healthcheck"] == gates[0]
    request["said"] = ["healthcheck.command"]
    assert records.asked(host.paths, request)["healthcheck"] == gates[1]


@pytest.mark.parametrize("said", [["healthcheck.command"], None], ids=["a variable", "an older control node"])
@pytest.mark.slow
def test_a_rollback_by_hand(host: LocalAgent, systemd: Systemd, said: list[str] | None) -> None:
    """A flag or variable wins over the record; a control node that does not say what was given gets what it asks."""
    old = committed(host, "old", "api")
    new = committed(host, "new", "api")
    more = {} if said is None else {"said": said}
    asked = {**OWN, "command": "test -e worker", "timeout": 0.2}
    answer = activate(host, old, "api", kind="rollback", healthcheck=asked, **more)
    assert end(host, answer) == ("restored", new)


def test_the_services_of_a_rollback_by_hand(host: LocalAgent, systemd: Systemd) -> None:
    """`--services` names all that is restarted."""
    old = committed(host, "old", "api", "worker")
    committed(host, "new", "api", "worker")
    activate(host, old, "api", kind="rollback", said=["services"])
    assert systemd.asked[-1] == ("restart", "api")


class Killed(BaseException):
    """The process of an activation is gone."""


def killed(host: LocalAgent, phase: str, *services: str, **changes: Any) -> dict[str, Any]:
    """The request of an activation of a new release that died as soon as it had entered the phase."""

    def dying(path: Any) -> Any:
        def say(event: str, message: str = "", **data: object) -> None:
            if (event, data.get("phase")) == ("phase", phase):
                raise Killed

        return say

    new = changes.pop("sha", None) or host.sealed("new", health="exit 0", **dict.fromkeys(services, ""))
    request = host.request(new, **{"services": list(services), "restart": True, "healthcheck": OWN, **changes})
    host.keep(request)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(launch, "log_to", dying)
        launch.run(host.paths, request)
    return request


@pytest.mark.parametrize("phase", ["prepared", "swapped", "restarted", "restoring"])
def test_a_recovery_is_judged_alike(host: LocalAgent, systemd: Systemd, phase: str) -> None:
    """Killed in any phase, the attempt is restored by the record of the old release."""
    old = committed(host, "old", "api")
    request = killed(host, phase, "api", "worker", healthcheck=NEWER)
    launch.recover(host.paths, request)
    assert end(host, host.answer(request["attempt"])) == ("restored", old)


def test_a_recovery_of_a_journal_that_cannot_be_read(host: LocalAgent, systemd: Systemd) -> None:
    """The old release serves again before anybody finds that the end cannot be written down."""
    old = committed(host, "old", "api")
    request = killed(host, "restarted", "api", healthcheck=UNSET)
    host.paths.journal.unlink()
    host.paths.journal.mkdir()
    with pytest.raises(IsADirectoryError):
        launch.recover(host.paths, request)
    found = state.load(host.paths.state)
    assert (found and found.phase, host.live, systemd.asked[-1]) == ("restored", old, ("restart", "api"))


def test_a_line_of_the_journal_that_somebody_changed(host: LocalAgent, systemd: Systemd) -> None:
    """One that names no attempt says nothing of the release: what its record says counts."""
    sha = committed(host, "one", "api")
    with host.paths.journal.open("a") as journal:
        journal.write('{"seq": 9, "hash": "of nothing", "kind": "deploy"}\n')
    assert records.gate_of(host.paths, sha) == "passed"


def test_a_recovery_leaves_alone_what_was_put_away(host: LocalAgent, systemd: Systemd) -> None:
    """Killed after its gate, the attempt is committed, and the unit that it had left alone is still known as such."""
    old = committed(host, "old", "api", "mailer")
    systemd.units["mailer"] = AWAY
    request = killed(host, "gated", "api", "mailer")
    launch.recover(host.paths, request)
    assert end(host, host.answer(request["attempt"])) == ("committed", request["sha"])
    assert (systemd.asked[1:], records.enabled(host.paths)) == ([("restart", "api")], {"api.service", "mailer.service"})
    answer = activate(host, old, "api", "mailer", kind="rollback", said=[])
    assert (answer.phases[-1], warned(answer)) == ("committed", [told_of_the_mailer()])


def test_a_recovery_without_a_unit_that_is_gone(host: LocalAgent, systemd: Systemd) -> None:
    """A rollback to a record that names a unit which the host has no longer is committed without it, as if it lived."""
    old = committed(host, "old", "api", "worker")
    committed(host, "new", "api")
    systemd.units["worker"] = DOWN._replace(load="not-found")
    request = killed(host, "gated", "api", sha=old, kind="rollback", said=[])
    launch.recover(host.paths, request)
    answer = host.answer(request["attempt"])
    assert (end(host, answer), systemd.asked[-1]) == (("committed", old), ("restart", "api"))


def test_a_restart_makes_no_record(host: LocalAgent, systemd: Systemd) -> None:
    """A restart of one service of an adopted release says nothing of the others, so it has no record."""
    old = of_another_tool(host)
    answer = activate(host, old, "api", kind="restart", said=["services"])
    assert end(host, answer) == ("committed", old)
    assert (records.found(host.paths, old), records.gate_of(host.paths, old)) == (None, "never")


@pytest.mark.parametrize(
    ("services", "gate", "whole"),
    [(("api",), OWN, False), (("api", "worker"), None, False), (("worker", "api.service"), OWN, True)],
)
def test_a_restart_notes_what_all_services_passed_with(
    host: LocalAgent, systemd: Systemd, services: tuple[str, ...], gate: Any, whole: bool
) -> None:
    """The record names the configuration in use only where a gated restart started all of its services with it."""
    systemd.units = dict.fromkeys(["api.service"], UP)
    sha = host.sealed("one", **{"health": "exit 0", "api": "", "worker": "", "api.service": ""})
    old, new = (_configured(host, sha, value) for value in ("old", "new"))
    activate(host, sha, "api", "worker", configuration=old)
    activate(host, sha, "api", "worker", kind="env", said=["skip_healthcheck"], healthcheck=None, configuration=new)
    assert records.configuration_of(host.paths, sha) == old
    answer = activate(host, sha, *services, kind="restart", said=["services", "skip_healthcheck"], healthcheck=gate)
    assert end(host, answer) == ("committed", sha)
    assert records.configuration_of(host.paths, sha) == (new if whole else old)


def _configured(host: LocalAgent, sha: str, value: str) -> str:
    env: Any = {"file": None, "values": {"VALUE": value}, "secrets": {}, "build": []}
    return configuration.configure(host.paths, {"sha": sha, "env": env})["revision"]


def test_pruning_takes_records_along(host: LocalAgent, systemd: Systemd) -> None:
    """A release and its record go together; one whose release is gone goes with the next pruning."""
    first, second, third = (committed(host, name, "api") for name in ("a", "b", "c"))
    host.paths.record("d" * 40).write_text("{}")
    assert host.call("prune", {"keep": 2, "dry_run": False}).refusal is None
    kept = sorted(path.name for path in host.paths.records.iterdir())
    assert (kept, host.paths.release(first).exists()) == (sorted([second, third]), False)


@pytest.mark.parametrize("starts", [False, True])
def test_what_systemd_did_not_restart_makes_no_release_bad(
    host: LocalAgent, systemd: Systemd, monkeypatch: pytest.MonkeyPatch, starts: bool
) -> None:
    """A service that did not even stop says nothing of the release; one that was started and failed does."""
    old = committed(host, "old", "api", "worker")

    def restart(before: dict[str, Unit], deadline: float) -> Ended:
        ended = systemd.restart(before, deadline)
        if host.live == old:
            return ended
        systemd.units["worker"] = DOWN._replace(invocation="new" if starts else "i1")
        return Ended(None, "", 10.0)

    monkeypatch.setattr(units, "restart", restart)
    answer = failing(host, "api", "worker")
    assert end(host, answer) == ("restored", old)
    assert host.paths.bad(host.journal[-1]["target"]).exists() == starts


def test_time_for_a_way_back(host: LocalAgent, systemd: Systemd) -> None:
    """systemd gives the restore as long as the old release's own gate may take."""
    committed(host, "old", "api", healthcheck={**OWN, "timeout": 500.0})
    request = host.request(host.sealed("new"), services=["api"], restart=True, healthcheck=NEWER, restart_timeout=10)
    command = launch.unit_command(host.paths, request)
    assert "--property=TimeoutStopSec=544" in command
    assert "--property=RuntimeMaxSec=563" in command


def told_of_the_mailer() -> str:
    again = "systemctl enable --now mailer starts it"
    return f"mailer was stopped and disabled since the last good attempt: it is left so and not watched ({again})"


def test_a_service_that_somebody_stopped_and_disabled(host: LocalAgent, systemd: Systemd) -> None:
    """It stays so, is told by name and not watched: in the next deploy, in the one after it, and on their way back."""
    old = committed(host, "old", "api", "mailer")
    systemd.units["mailer"] = AWAY
    answer = failing(host, "api", "mailer")
    assert (end(host, answer), warned(answer)) == (("restored", old), [told_of_the_mailer()])
    for name in ("new", "newest"):
        answer = activate(host, host.sealed(name, health="exit 0", api=""), "api", "mailer")
        assert (answer.phases[-1], warned(answer)) == ("committed", [told_of_the_mailer()])
    assert (systemd.asked[1:], systemd.units["mailer"]) == ([("restart", "api")] * 4, AWAY)
    activate(host, host.sealed("alone", health="exit 0"), "api", "mailer", restart=False)
    activate(host, old, "api", "mailer", kind="rollback", said=[])
    assert systemd.asked[1:] == [("restart", "api")] * 5


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (UP, AWAY._replace(file_state="enabled")),
        (UP, AWAY._replace(active="active")),
        (UP._replace(file_state="disabled"), AWAY),
        (UP._replace(file_state="static"), AWAY._replace(file_state="static")),
        (UP._replace(type="oneshot", active="inactive"), AWAY._replace(type="oneshot")),
    ],
    ids=["enabled still", "runs", "never enabled", "cannot be enabled", "it ended by itself"],
)
def test_what_was_not_stopped_and_disabled(
    host: LocalAgent, systemd: Systemd, monkeypatch: pytest.MonkeyPatch, before: Unit, now: Unit
) -> None:
    """What somebody only stopped or only disabled, and what no boot ever started, is restarted as the others."""
    restart = systemd.restart

    def as_before(names: dict[str, Unit], deadline: float) -> Ended:
        ended = restart(names, deadline)
        systemd.units["mailer"] = before._replace(invocation=systemd.units["mailer"].invocation)
        return ended

    systemd.units["mailer"] = before
    monkeypatch.setattr(units, "restart", as_before)
    committed(host, "old", "mailer")
    systemd.units["mailer"] = now
    answer = activate(host, host.sealed("new", health="exit 0", mailer=""), "mailer")
    assert (answer.phases[-1], warned(answer), systemd.asked[-1]) == ("committed", [], ("restart", "mailer"))


def test_a_service_that_the_new_release_ends(
    host: LocalAgent, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was disabled and ran on is started again on the way back: nobody stopped it."""
    old = committed(host, "old", "api", "mailer")
    systemd.units["mailer"] = UP._replace(file_state="disabled", invocation="i1")

    def crash(names: dict[str, Unit], deadline: float) -> Ended:
        systemd.asked.append(("restart", " ".join(names)))
        good = host.live == old
        systemd.units["api"] = UP._replace(invocation=f"i{len(systemd.asked)}")
        systemd.units["mailer"] = systemd.units["api"]._replace(file_state="disabled") if good else AWAY
        return Ended(0 if good else 1, "", 0.0)

    monkeypatch.setattr(units, "restart", crash)
    answer = failing(host, "api", "mailer")
    assert (end(host, answer), warned(answer)) == (("restored", old), [])
    assert systemd.asked[-1] == ("restart", "api mailer")


def test_a_service_that_the_record_of_a_rollback_does_not_name(host: LocalAgent, systemd: Systemd) -> None:
    """It was restarted with the others and ran, so whoever stops and disables it afterwards is heeded as well."""
    old = host.sealed("old", health="exit 0", api="", mailer="")
    activate(host, old, "api")
    committed(host, "new", "api", "mailer")
    assert end(host, activate(host, old, "api", "mailer", kind="rollback", said=[])) == ("committed", old)
    assert (systemd.asked[-1], records.enabled(host.paths)) == (
        ("restart", "api mailer"),
        {"api.service", "mailer.service"},
    )
    systemd.units["mailer"] = AWAY
    answer = activate(host, host.sealed("newest", health="exit 0", api=""), "api", "mailer")
    assert (answer.phases[-1], warned(answer)) == ("committed", [told_of_the_mailer()])


@pytest.mark.parametrize("through", ["", "infra.target"])
def test_what_another_unit_wants(host: LocalAgent, systemd: Systemd, through: str) -> None:
    """Stopped and disabled since the last commit, it stays so, is told, and fails nothing, on the way back too."""
    beside = "beside.service"
    systemd.wants = {"api": (through,), through: (beside,)} if through else {"api": (beside,)}
    systemd.units = {beside: UP, through: UP._replace(file_state="static")}
    old = committed(host, "old", "api")
    assert records.enabled(host.paths) == {"api.service", beside}
    systemd.units[beside] = AWAY
    told = told_of_the_mailer().replace("mailer", beside)
    answer = failing(host, "api")
    assert (end(host, answer), warned(answer), systemd.units[beside]) == (("restored", old), [told], AWAY)
    answer = activate(host, host.sealed("new", health="exit 0", api=""), "api")
    assert (answer.phases[-1], warned(answer), systemd.units[beside]) == ("committed", [told], AWAY)
    systemd.units[beside] = AWAY._replace(file_state="enabled")
    assert activate(host, host.sealed("newer", health="exit 0", api=""), "api").phases[-1] == "committed"
    assert systemd.units[beside] == UP


def test_what_another_manager_ran(host: LocalAgent, systemd: Systemd) -> None:
    """Nothing of the other scope counts as put away: its units are others, whatever they are called."""
    committed(host, "old", "api")
    systemd.units["api"] = AWAY
    host.layout["scope"] = "user"
    with manager.serving("user"):
        new = committed(host, "new", "api")
        assert (systemd.asked, records.enabled(host.paths)) == ([("restart", "api")] * 2, {"api.service"})
        assert (records.found(host.paths, new) or {})["scope"] == "user"
        systemd.units["api"] = AWAY
        again = activate(host, host.sealed("newer", health="exit 0"), "api")
    told = told_of_the_mailer().replace("mailer", "api").replace("systemctl", "systemctl --user")
    assert (again.phases[-1], warned(again)) == ("committed", [told])


def test_what_another_machine_ran(host: LocalAgent, systemd: Systemd) -> None:
    """Nothing counts as put away after a claim: what is disabled here was not stopped by anybody."""
    committed(host, "old", "api")
    systemd.units["api"] = AWAY
    given_to(host, "0" * 32)
    assert (host.call("claim", ASKED).result or {})["claimed"]
    answer = activate(host, host.sealed("new", health="exit 0", api=""), "api")
    assert (answer.phases[-1], warned(answer), systemd.asked[-1]) == ("committed", [], ("restart", "api"))
    assert records.enabled(host.paths) == {"api.service"}


@pytest.mark.parametrize("kept", [{}, {"enabled": None}])
def test_a_record_that_says_nothing_of_it(host: LocalAgent, systemd: Systemd, kept: dict[str, Any]) -> None:
    """After a release of an earlier version all services are restarted, as it did."""
    old = committed(host, "old", "mailer")
    record = json.loads(host.paths.record(old).read_text())
    del record["enabled"]
    host.paths.record(old).write_text(json.dumps(record | kept))
    systemd.units["mailer"] = AWAY
    assert activate(host, host.sealed("new", health="exit 0", mailer=""), "mailer").phases[-1] == "committed"
    assert systemd.asked[-1] == ("restart", "mailer")


class Clock:
    """The host's clocks, which a test puts forward: the monotonic one, and that of the wall."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran = self.set = 0.0
        monotonic, wall = time.monotonic, time.time
        monkeypatch.setattr(time, "monotonic", lambda: monotonic() + self.ran)
        monkeypatch.setattr(time, "time", lambda: wall() + self.ran + self.set)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


SHORT = ["this release served here for a long time: its services are watched for 0.5 s"]


def test_a_release_that_served_for_long_is_watched_for_a_shorter_time(
    host: LocalAgent, systemd: Systemd, clock: Clock
) -> None:
    """After 10 minutes with the same record: on a way back, when it is deployed again, and on a rollback to it."""
    old = committed(host, "old", "api", healthcheck=UNSET)
    clock.ran += 601
    new = host.sealed("new", health="exit 0", api="")
    gates = [
        failing(host, "api"),
        activate(host, old, "api", healthcheck=UNSET),
        activate(host, new, "api", healthcheck=UNSET),
        activate(host, old, "api", kind="rollback", said=[], healthcheck=NEWER),
    ]
    assert [answer.phases[-1] for answer in gates] == ["restored", "committed", "committed", "committed"]
    assert [answer.said("gate.proven") for answer in gates] == [SHORT, SHORT, [], []]  # committed anew: a new record
    clock.ran += 601
    activate(host, new, "api", healthcheck=UNSET)
    again = activate(host, old, "api", kind="rollback", said=[], healthcheck=NEWER)
    assert again.said("gate.proven") == SHORT


def test_a_release_whose_gate_was_skipped_by_hand(host: LocalAgent, systemd: Systemd, clock: Clock) -> None:
    """How long it served since then says nothing of what it passed: a rollback to it watches for the whole time."""
    old = committed(host, "old", "api", healthcheck=UNSET)
    activate(host, host.sealed("new", health="exit 0", api=""), "api", healthcheck=UNSET)
    silent = {**UNSET, "command": None}
    assert activate(host, old, "api", healthcheck=silent, said=["skip_healthcheck"]).phases[-1] == "committed"
    clock.ran += 601
    answer = activate(host, old, "api", kind="rollback", said=[], healthcheck=NEWER)
    assert (answer.phases[-1], answer.said("gate.proven")) == ("committed", [])


@pytest.mark.parametrize(
    "why", ["the clock was set", "too short", "another gate", "set", "interrupted", "another boot", "started again"]
)
def test_a_release_that_is_watched_for_the_whole_time(
    host: LocalAgent, systemd: Systemd, clock: Clock, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """It is new without 10 minutes at a time by a clock that nobody sets, with this gate and no start by systemd."""
    old = committed(host, "old", "api", healthcheck=UNSET)
    clock.set, clock.ran = (1e6, 0.0) if why == "the clock was set" else (0.0, 601.0)
    gate = (
        {**UNSET, "timeout": 6.0} if why == "another gate" else {**UNSET, "stable_for": 0.0} if why == "set" else UNSET
    )
    if why in ("too short", "interrupted"):
        clock.ran = 400
    if why == "interrupted":
        assert end(host, failing(host, "api")) == ("restored", old)
        clock.ran += 400
    if why == "another boot":
        monkeypatch.setattr(state, "boot_id", lambda: "another")
    if why == "started again":
        systemd.units["api"] = systemd.units["api"]._replace(restarts="1")
    answer = activate(host, old, "api", healthcheck=gate)
    assert (answer.phases[-1], answer.said("gate.proven")) == ("committed", [])


def test_a_way_back_whose_services_end_later_than_the_short_watch(
    host: LocalAgent, systemd: Systemd, clock: Clock
) -> None:
    """It is not taken for restored where systemd had to start them again before the switch, while it served."""
    old = committed(host, "old", "api", healthcheck=UNSET)
    clock.ran += 601
    systemd.ends_after = 1.0
    assert end(host, failing(host, "api")) == ("restore_failed", old)


@pytest.mark.parametrize(("phase", "outcome"), [("restarted", "restored"), ("gated", "committed")])
def test_a_time_that_nobody_measured(
    host: LocalAgent, systemd: Systemd, clock: Clock, phase: str, outcome: str
) -> None:
    """Where the process that switched died and long after that somebody ended its attempt, the old release is new."""
    old = committed(host, "old", "api", healthcheck=UNSET)
    request = killed(host, phase, "api", healthcheck=OWN)
    clock.ran += 601
    launch.recover(host.paths, request)
    assert [entry["outcome"] for entry in host.journal] == ["committed", outcome]
    assert ["clock" in entry for entry in host.journal] == [True, False]
    answer = activate(host, old, "api", healthcheck=UNSET)
    assert (answer.phases[-1], answer.said("gate.proven")) == ("committed", [])


def test_which_gate_the_live_release_passed(host: LocalAgent, systemd: Systemd) -> None:
    """One that another tool switched to passed none; once it is activated here it did, unless that was skipped."""
    old = of_another_tool(host)

    def gate() -> str:
        found: str = host.facts(old)["target"]["gate"]
        return found

    assert (host.facts(old)["target"]["state"], gate()) == ("adopted", "never")
    for command, passed in ((None, "skipped"), ("sh ./health", "passed")):
        answer = activate(host, old, "api", healthcheck={**OWN, "command": command})
        assert (answer.phases[-1], gate()) == ("committed", passed)
    host.paths.record(old).unlink()
    for request in host.paths.ours.glob("attempts/*/request.json"):
        request.unlink()
    assert gate() == "passed"


def probed(url: str, **more: Any) -> dict[str, Any]:
    return {**{key: value for key, value in OWN.items() if key != "command"}, "http": [{**PROBE, "url": url, **more}]}


def test_a_way_back_is_judged_by_the_probes_of_its_record(host: LocalAgent, systemd: Systemd) -> None:
    """A restore and a rollback ask what the release passed, whatever the attempt or the settings ask now."""
    with serving(answer(200, "old")) as mine:
        old = committed(host, "old", "api", healthcheck=probed(mine.url, contains="old"))
        record = records.found(host.paths, old)
        assert record is not None
        assert (record["healthcheck"], record["skipped"]) == (probed(mine.url, contains="old"), False)
        with serving(answer(404, "not here")) as newer:
            failed = failing(host, "api", healthcheck={**probed(newer.url), "interval": 1})
            assert end(host, failed) == ("restored", old)
            told = (failed.result or {})["state"]
            assert f"{newer.url} answered 404; 200 is wanted" in told["reason"]
            assert f"--- {newer.url}\ntries 1 to " in told["transcript"]
            assert told["transcript"].endswith(": not here")
            assert failed.said("gate.try")[-1] == f"{mine.url} answered 200"
            new = committed(host, "new", "api")
            asked = {"kind": "rollback", "said": [], "healthcheck": probed(newer.url)}
            back = activate(host, old, "api", **asked)
            assert (end(host, back), back.said("gate.try")) == (("committed", old), [f"{mine.url} answered 200"])
            by_hand = {**asked, "said": ["healthcheck.command"], "healthcheck": {**OWN, "command": "true"}}
            activate(host, new, "api")
            beside = activate(host, old, "api", **by_hand)
            assert (end(host, beside), beside.said("gate.try")) == (
                ("committed", old),
                ["the health command exited 0", f"{mine.url} answered 200"],
            )


def test_a_release_that_no_longer_passes_its_own_probe(host: LocalAgent, systemd: Systemd) -> None:
    """It is not taken for well because the attempt that failed asked for less."""
    with serving(answer(200), answer(500)) as mine:
        old = committed(host, "old", "api", healthcheck={**probed(mine.url), "interval": 1})
        assert end(host, failing(host, "api")) == ("restore_failed", old)


def test_an_application_that_was_sick_already_is_told(host: LocalAgent, systemd: Systemd) -> None:
    """Before the switch the probes are asked once: what they find stops nothing, and a first deploy asks none."""
    with serving(answer(200), answer(500), answer(200)) as server:
        first = host.sealed("old", api="")
        began = activate(host, first, "api", healthcheck=probed(server.url))
        assert (end(host, began), len(server.heard)) == (("committed", first), 1)
        cure = activate(host, host.sealed("cure", api=""), "api", healthcheck=probed(server.url))
        assert (cure.phases[-1], len(server.heard)) == ("committed", 3)
    said = f"already before the switch, with release {first}: {server.url} answered 500; 200 is wanted"
    assert warned(cure) == [f"{said}; the attempt goes on"]


def test_a_gate_with_probes_that_was_skipped(host: LocalAgent, systemd: Systemd) -> None:
    """The services alone decide on the way back: what was never asked is not asked then."""
    old = committed(host, "old", "api", healthcheck={**OWN, "command": None})
    failed = failing(host, "api", healthcheck={**probed("http://127.0.0.1:1/"), "timeout": 0.3})
    assert end(host, failed) == ("restored", old)
    phases = [event["data"].get("phase") for event in failed.events]
    assert [event["event"] for event in failed.events[phases.index("restoring") :]].count("gate.try") == 0


def test_a_release_with_probes_that_served_for_long(host: LocalAgent, systemd: Systemd, clock: Clock) -> None:
    """The same record, probes included, is watched for a shorter time; with another probe it is new."""
    with serving() as server:
        gate = {key: value for key, value in probed(server.url).items() if key != "stable_for"}
        old = committed(host, "old", "api", healthcheck=gate)
        clock.ran += 601
        assert activate(host, old, "api", healthcheck=gate).said("gate.proven") == SHORT
        clock.ran += 601
        other = {**gate, "tcp": [f"127.0.0.1:{server.port}"]}
        assert activate(host, old, "api", healthcheck=other).said("gate.proven") == []
