"""Records: a way back is judged by what the release that it goes back to passed here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from oroboros_deploy.host import contract, launch, records, units
from oroboros_deploy.host.process import Ended
from oroboros_deploy.host.units import Unit
from tests.support.local_agent import Answer, LocalAgent

pytestmark = pytest.mark.slow  # whole builds and activations

UP = Unit("", "loaded", "active", "running", "simple", "success", "100", "i0", "0", False, "0")
DOWN = UP._replace(active="failed", sub="failed", result="exit-code", pid="0", status="203")
OWN = {"command": "sh ./health", "timeout": 5.0, "interval": 0.02, "stable_for": 0}
NEWER = {"command": "test -e newer", "timeout": 0.2, "interval": 0.02, "stable_for": 0}


class Systemd:
    """Units that serve the releases whose directory has a file of their name."""

    def __init__(self, host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = host
        self.units: dict[str, Unit] = {}
        self.takes_down = ""  # a unit that ends when others are restarted
        self.asked: list[tuple[str, str]] = []
        for name in ("show", "restart", "stop", "recent_log"):
            monkeypatch.setattr(units, name, getattr(self, name))

    def show(self, names: Sequence[str]) -> dict[str, Unit]:
        return {name: self.units.get(name, DOWN)._replace(name=name) for name in names}

    def restart(self, before: dict[str, Unit], deadline: float) -> Ended:
        self.asked.append(("restart", " ".join(before)))
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
    return Systemd(host, monkeypatch)


def activate(host: LocalAgent, sha: str, *services: str, **changes: Any) -> Answer:
    return host.activate_here(sha, **{"services": list(services), "restart": True, "healthcheck": OWN, **changes})


def committed(host: LocalAgent, name: str, *services: str, **changes: Any) -> str:
    sha = host.sealed(name, health="exit 0", **dict.fromkeys(services, ""))
    assert activate(host, sha, *services, **changes).phases[-1] == "committed"
    return sha


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
    }
    assert host.journal[-1]["at"] - record["at"] < 60


def test_a_gate_that_no_release_passes(host: LocalAgent, systemd: Systemd) -> None:
    """The old release is held to the gate that it passed, and restored; nobody runs the new health command in it."""
    old = committed(host, "old", "api")
    answer = failing(host, "api", healthcheck={**OWN, "command": "echo ran >>../../ran; false", "timeout": 0.1})
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
    told = "worker is failed (exit-code, status 203); the release that serves now was not committed with it"
    assert told in warned(answer)


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
        old = host.sealed("old", api="")
        (release := host.paths.release(old)).chmod(0o755)
        (release / ".deploy-seal").unlink()
        (release / ".deploy-meta").unlink()
        (release / ".deploy-meta").write_text(f"commit_sha={old}\n")
        host.paths.current.symlink_to(f"releases/{old}")
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


@pytest.mark.parametrize("phase", ["prepared", "swapped", "restarted", "restoring"])
def test_a_recovery_is_judged_alike(
    host: LocalAgent, systemd: Systemd, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in any phase, the attempt is restored by the record of the old release."""

    class Killed(BaseException):
        pass

    def dying(path: Any) -> Any:
        def say(event: str, message: str = "", **data: object) -> None:
            if (event, data.get("phase")) == ("phase", phase):
                raise Killed

        return say

    old = committed(host, "old", "api")
    new = host.sealed("new", api="", worker="")
    request = host.request(new, services=["api", "worker"], restart=True, healthcheck=NEWER)
    host.keep(request)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(launch, "log_to", dying)
        launch.run(host.paths, request)
    launch.recover(host.paths, request)
    assert end(host, host.answer(request["attempt"])) == ("restored", old)


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
    assert "--property=RuntimeMaxSec=558" in command
