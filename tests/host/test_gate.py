"""The gate: the command passes, and the services stay the same processes."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import gate, masking, strays, units
from oroboros_deploy.host.contract import GateRequest
from oroboros_deploy.host.strays import Stray
from oroboros_deploy.host.units import Unit
from tests.support.answering import answer, free_port, serving
from tests.support.clock import SLOW, Hasty, within

UP = Unit("api", "loaded", "active", "running", "simple", "success", "100", "aaa", "0", False, "0")
STARTING = UP._replace(active="activating", sub="auto-restart", pid="0")
FAILED = UP._replace(active="failed", sub="failed", result="exit-code", pid="0", status="203")
STABLE = 0.1


class Systemd:
    """Answers each look with the next of a script, and the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *script: Unit | list[Unit]) -> None:
        self.script = [step if isinstance(step, list) else [step] for step in script]
        self.times: list[float] = []
        monkeypatch.setattr(units, "show", self.show)
        monkeypatch.setattr(units, "recent_log", lambda unit, since: f"the log of {unit} since {since}")
        monkeypatch.setattr(gate, "LOOK", 0.01)

    def show(self, names: Any) -> dict[str, Unit]:
        seen = self.script[min(len(self.times), len(self.script) - 1)]
        self.times.append(time.monotonic())
        return {unit.name: unit for unit in seen}


def hold(command: str | None = None, services: tuple[str, ...] = ("api",), timeout: float = 20) -> float:
    """Hold the gate; returns the seconds it took."""
    began = time.monotonic()
    gate.Gate(command, services, timeout, 0.01, STABLE).hold(Path("/"), lambda *_, **__: None, 7.0)
    return time.monotonic() - began


def crash_loop() -> Iterator[Unit]:
    for restarts in range(1000):
        yield UP._replace(pid=str(100 + restarts), invocation=str(restarts), restarts=str(restarts))


def test_services_that_stay_pass_after_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before ``stable_for``, and not long after it."""
    Systemd(monkeypatch, UP)
    assert STABLE <= hold(timeout=60) < 10 * SLOW


@pytest.mark.slow
def test_a_crash_loop_never_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Active at every look, but never the same process twice."""
    Systemd(monkeypatch, *crash_loop())
    with pytest.raises(gate.GateFailed) as failed:
        hold(timeout=0.5)
    assert (str(failed.value), failed.value.transcript) == (
        "the services did not stay the same processes for 0.1 s (gave up after 0.5 s)",
        "--- api\nthe log of api since 7.0",
    )


def test_the_third_restart_of_a_service_that_fails_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the end of the gate; the restart before the first look is not counted."""
    looks = [
        look._replace(restarts=str(count))
        for count in (1, 2, 3, 4, 5)
        for look in (UP._replace(pid=str(count)), STARTING._replace(result="exit-code", status="1"))
    ]
    systemd = Systemd(monkeypatch, *looks)
    with within(10), pytest.raises(gate.GateFailed) as failed:
        hold(timeout=60)
    assert (str(failed.value), failed.value.transcript, len(systemd.times)) == (
        "api is restarted again and again: it failed 3 times",
        "--- api\nthe log of api since 7.0",
        7,
    )


@pytest.mark.parametrize("code", [78, 126, 127])
def test_a_command_that_can_never_pass_decides_at_once(tmp_path: Path, code: int) -> None:
    """What is configured wrongly, cannot be executed or is not there is tried once; its words are told."""
    with within(10), pytest.raises(gate.GateFailed) as failed:
        command = f"echo try >>{tmp_path}/tries; echo why; exit {code}"
        gate.Gate(command, (), 60, 0.01, 0).hold(tmp_path, lambda *_, **__: None, 0.0)
    assert (str(failed.value), failed.value.transcript) == (
        f"the health command exited {code}, which no later try changes",
        "why",
    )
    assert (tmp_path / "tries").read_text() == "try\n"


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"pid": "101"}, {"invocation": "bbb"}, {"restarts": "1"}])
def test_one_restart_begins_the_window_again(monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]) -> None:
    """Whatever gives the new process away, it has to stay for the whole window itself."""
    systemd = Systemd(monkeypatch, UP, UP, UP._replace(**change))
    gate.Gate(None, ("api",), 20, 0.01, 0.5).hold(Path("/"), lambda *_, **__: None, 7.0)
    assert time.monotonic() - systemd.times[2] >= 0.5


@pytest.mark.slow
def test_a_new_process_has_to_pass_the_command_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A command that passed against the process before says nothing about this one."""
    tries = tmp_path / "tries"
    Systemd(monkeypatch, *[UP] * 5, UP._replace(pid="101"))
    gate.Gate(f"echo >>{tries}", ("api",), 20, 0.01, 0.5).hold(Path("/"), lambda *_, **__: None, 7.0)
    assert tries.read_text() == "\n\n"


def test_a_dead_unit_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd will not start it again, so nobody waits; its log is the evidence."""
    Systemd(monkeypatch, UP, FAILED)
    with within(10), pytest.raises(gate.GateFailed) as failed:
        hold(timeout=60)
    assert (str(failed.value), failed.value.transcript) == (
        "api is failed (exit-code, status 203)",
        "--- api\nthe log of api since 7.0",
    )


def test_a_service_that_ended_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 0 is no excuse for a service that is not there."""
    Systemd(monkeypatch, UP._replace(active="inactive", sub="dead", pid="0"))
    with pytest.raises(gate.GateFailed, match=r"api is inactive \(dead\)"):
        hold()


@pytest.mark.parametrize("active", ["active", "inactive"])
def test_a_oneshot_that_succeeded_serves(monkeypatch: pytest.MonkeyPatch, active: str) -> None:
    """Its work is done, whether systemd keeps it active or not."""
    Systemd(monkeypatch, UP._replace(type="oneshot", active=active, pid="0"))
    hold()


def test_a_oneshot_that_failed_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is dead like any other."""
    Systemd(monkeypatch, FAILED._replace(type="oneshot"))
    with pytest.raises(gate.GateFailed, match="api is failed"):
        hold()


def test_a_slow_start_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit between two starts is not dead, and one that comes up in time is good."""
    Systemd(monkeypatch, STARTING, STARTING, UP)
    hold()


@pytest.mark.slow
def test_a_start_that_never_ends_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the deadline the reason is what was seen last, of the units that were not serving."""
    Systemd(monkeypatch, [UP, STARTING._replace(name="worker")])
    with pytest.raises(gate.GateFailed) as failed:
        hold(services=("api", "worker"), timeout=0.5)
    assert (str(failed.value), failed.value.transcript) == (
        "worker is activating (auto-restart) (gave up after 0.5 s)",
        "--- worker\nthe log of worker since 7.0",
    )


@pytest.mark.slow
def test_a_command_that_fails_for_a_service_that_ends_is_not_the_only_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command said comes first, then why nothing answered it; a service that stayed says nothing."""
    stays = UP._replace(name="worker")
    Systemd(monkeypatch, *[[api, stays] for api in crash_loop()])
    with pytest.raises(gate.GateFailed) as failed:
        command = "echo connection refused; exit 7"
        gate.Gate(command, ("api", "worker"), 3, 2.9, STABLE).hold(Path("/"), lambda *_, **__: None, 7.0)
    assert (str(failed.value), failed.value.transcript) == (
        "the health command exited 7 (gave up after 3 s)",
        "connection refused\n--- api\nthe log of api since 7.0",
    )


def test_a_service_that_dies_behind_a_passing_command_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer may have come from the old process or a sibling: the units have the last word."""
    Systemd(monkeypatch, UP, UP, FAILED)
    with pytest.raises(gate.GateFailed, match="api is failed"):
        hold("true")


def test_a_command_alone_needs_no_window() -> None:
    """With restarts skipped the command decides."""
    began = time.monotonic()
    gate.Gate("true", (), 20, 0.01, 15).hold(Path("/"), lambda *_, **__: None, 0.0)
    assert time.monotonic() - began < 15


def test_the_command_runs_in_current_and_knows_the_release(tmp_path: Path) -> None:
    """Its working directory is the release, its name in the environment, and nothing can be typed."""
    release = tmp_path / ("a" * 40)
    release.mkdir()
    (tmp_path / "current").symlink_to(release.name)
    command = 'pwd -P >out; echo "$DEPLOY_RELEASE" >>out; ! read -r _'
    gate.Gate(command, (), 20, 0.01, 0).hold(tmp_path / "current", lambda *_, **__: None, 0.0)
    assert (release / "out").read_text() == f"{release}\n{'a' * 40}\n"


@pytest.mark.slow
def test_a_last_try_cut_short_hides_no_reason(tmp_path: Path) -> None:
    """The deadline may fall into a try; what the one before said is what went wrong."""
    slow = f"test -e {tmp_path}/slow && sleep 5; touch {tmp_path}/slow; echo the cause; exit 3"
    with pytest.raises(gate.GateFailed) as failed:
        gate.Gate(slow, (), 3, 2.9, 0).hold(tmp_path, lambda *_, **__: None, 0.0)
    assert (str(failed.value), failed.value.transcript) == (
        "the health command exited 3 (gave up after 3 s)",
        "the cause",
    )


@pytest.mark.parametrize(
    ("request_", "services", "expected"),
    [
        (None, (), None),
        ({"command": None, "timeout": 9.0}, (), None),
        (None, ("api",), gate.Gate(None, ("api",), 60.0, 1.0, 2.0)),
        (
            {"command": "check", "timeout": 5.0, "interval": 0.5, "stable_for": 3.0},
            ("api",),
            gate.Gate("check", ("api",), 5.0, 0.5, 3.0),
        ),
    ],
)
def test_there_is_a_gate_when_there_is_something_to_hold(
    request_: dict[str, Any] | None, services: tuple[str, ...], expected: gate.Gate | None
) -> None:
    """A command or services; with neither there is none."""
    assert gate.of(request_, services) == expected


@pytest.mark.parametrize(
    ("settings", "services", "expected"),
    [({}, ("api",), (0.5, True)), ({"stable_for": 3.0}, ("api",), (3.0, False)), ({}, (), (0.5, False))],
)
def test_a_release_that_served_here_is_watched_for_a_shorter_time(
    settings: dict[str, Any], services: tuple[str, ...], expected: tuple[float, bool]
) -> None:
    """Unless somebody said for how long; the gate tells it."""
    found = gate.of({"command": "true", **settings}, services, proven=True)  # type: ignore[typeddict-item]
    assert found is not None
    assert (found.stable_for, found.proven) == expected


class Strays:
    """Answers each look at the processes with the next of a script, and the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *script: list[Stray]) -> None:
        self.script, self.asked = script, list[tuple[Any, ...]]()
        monkeypatch.setattr(strays, "find", self.find)

    def find(self, seen: Any, *asked: Any) -> list[Stray]:
        self.asked.append(([*seen], *asked))
        return self.script[min(len(self.asked), len(self.script)) - 1]


OLD = "b" * 40


@pytest.mark.slow
def test_a_process_of_another_release_is_no_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is named with its release at the deadline, also when unit and command are well."""
    Systemd(monkeypatch, UP)
    found = Strays(monkeypatch, [Stray("api", 7, OLD), Stray("api", 8, None)])
    release = tmp_path / "releases" / ("a" * 40)
    release.mkdir(parents=True)
    (tmp_path / "current").symlink_to(release)
    with pytest.raises(gate.GateFailed) as failed:
        gate.Gate("true", ("api",), 1, 0.01, STABLE).hold(tmp_path / "current", lambda *_, **__: None, 7.0)
    assert str(failed.value) == f"process 7 of api runs from release {OLD} (gave up after 1 s)"
    assert found.asked[0] == ([UP], release.parent, release.name, 7.0)


def test_a_process_of_another_release_that_ends_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old worker may finish what it began; one that only may be old is nothing against the release."""
    Systemd(monkeypatch, UP)
    found = Strays(monkeypatch, [Stray("api", 7, OLD)], [Stray("api", 8, None)])
    hold()
    assert len(found.asked) == 2


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("scripts/runtime-health-check.sh", "scripts/runtime-health-check.sh"),
        ("PORT=80 ./check --fast", "./check"),
        ("sh ./health", "./health"),
        ("python3 ops/check.py", "ops/check.py"),
        ("bash -c ./health", None),
        ("curl --fail http://127.0.0.1/health", None),
        ("/usr/local/bin/check", None),
        ("$HOME/check", None),
        ("test -e a/b", None),
        ("", None),
    ],
)
def test_the_file_that_a_health_command_runs(command: str, file: str | None) -> None:
    """Only one that the line names plainly, by a path in the release."""
    assert gate.file_of(command) == file


def jobs(*ends: str) -> Iterator[Unit]:
    """A worker that ends and is started again at every look; ``ends`` are the results that are seen between."""
    for number in range(1000):
        result = ends[number] if number < len(ends) else "success"
        run = UP._replace(pid=str(100 + number), invocation=f"i{number}", restarts=str(number))
        yield run
        yield STARTING._replace(invocation=f"i{number}", restarts=str(number), result=result)


@pytest.mark.slow
def test_a_worker_that_ends_after_each_job_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each end was a success, and so it was before the switch; that this counts as stable is told."""
    told: list[str] = []
    Systemd(monkeypatch, *jobs())
    monkeypatch.setattr(units, "recent_log", lambda *_: "api.service: Deactivated successfully.")
    kept = gate.Gate(None, ("api",), 20, 0.01, STABLE)
    kept.hold(Path("/"), lambda event, message, **_: told.append(message), 7.0, recurring=["api"])
    assert told == ["api ended with success and was started again, which counts as stable"]
    with pytest.raises(gate.GateFailed, match="gave up after"):
        kept._replace(timeout=0.5).hold(Path("/"), lambda *_, **__: None, 7.0)


CRASH, START = "systemd[1]: api.service: Failed with result 'exit-code'.", "systemd[1]: Started api.service - Shop."


@pytest.mark.slow
@pytest.mark.parametrize(("log", "passes"), [([CRASH, START], True), ([CRASH, START, CRASH, START], False)])
def test_what_failed_before_the_first_start_is_not_this_release(
    monkeypatch: pytest.MonkeyPatch, log: list[str], passes: bool
) -> None:
    """A process of the release before that fails while the restart stops it takes no other release back."""
    Systemd(monkeypatch, *jobs())
    monkeypatch.setattr(units, "recent_log", lambda *_: "\n".join(f"Nov 30 14:26:26 {line}" for line in log))
    kept = gate.Gate(None, ("api",), 20 if passes else 0.5, 0.01, STABLE)
    told: list[str] = []
    with contextlib.nullcontext() if passes else pytest.raises(gate.GateFailed, match="gave up after"):
        kept.hold(Path("/"), lambda event, message, **_: told.append(message), 7.0, recurring=["api"])
    assert told == ["api ended with success and was started again, which counts as stable"] * passes


@pytest.mark.slow
@pytest.mark.parametrize("seen", [True, False])
def test_a_worker_that_crashes_does_not(monkeypatch: pytest.MonkeyPatch, seen: bool) -> None:
    """Whether a look saw the crash or systemd's log alone tells of it."""
    Systemd(monkeypatch, *jobs(*["exit-code"] * 1000 if seen else []))
    monkeypatch.setattr(units, "recent_log", lambda *_: "api.service: Failed with result 'exit-code'.")
    with pytest.raises(gate.GateFailed, match="again and again" if seen else "gave up after"):
        gate.Gate(None, ("api",), 0.5, 0.01, STABLE).hold(Path("/"), lambda *_, **__: None, 7.0, recurring=["api"])


class Told:
    """What a gate says."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, event: str, message: str = "", **data: Any) -> None:
        self.events.append((event, message, data))

    def of(self, event: str) -> list[str]:
        return [message for each, message, _ in self.events if each == event]


def probed(*urls: str, tcp: str | None = None, timeout: float = 60, **more: Any) -> GateRequest:
    """A gate that asks these, quickly again and again."""
    http = [{"url": url, "status": 200, "timeout": 20.0} for url in urls]
    return {"timeout": timeout, "interval": 0.02, "stable_for": 0.0, "http": http, "tcp": [tcp] if tcp else [], **more}  # type: ignore[typeddict-item]


def hold_probes(request: GateRequest, services: tuple[str, ...] = (), mask: masking.Mask | None = None) -> Told:
    told, found = Told(), gate.of(request, services)
    assert found is not None
    found.hold(Path("/"), told, 7.0, configured=gate.Configured(mask=mask))
    return told


def test_a_probe_is_asked_until_it_passes() -> None:
    """Each try is told with its status, its time and what was answered."""
    with serving(answer(503, "starting"), answer(503, "starting"), answer(200, "ok")) as server:
        told = hold_probes(probed(server.url))
    assert told.of("gate.try") == [
        *[f"{server.url} answered 503; 200 is wanted"] * 2,
        f"{server.url} answered 200",
    ]
    last = told.events[-1][2]
    assert last.pop("seconds") < 30
    assert last == {"level": "detail", "tries": 3, "passed": True, "probe": server.url, "status": 200, "text": "ok"}


def test_all_probes_and_the_command_pass_together(tmp_path: Path) -> None:
    """One that passed is asked again while another one does not: the last answers are of one moment."""
    command = f"echo >>{tmp_path}/ran"
    with serving() as good, serving(answer(500), answer(200)) as late:
        told = hold_probes(probed(good.url, late.url, tcp=f"127.0.0.1:{good.port}", command=command))
    assert ((tmp_path / "ran").read_text(), len(good.heard), len(late.heard)) == ("\n\n", 2, 2)
    assert told.of("gate.try")[:4] == [
        "the health command exited 0",
        f"{good.url} answered 200",
        f"{late.url} answered 500; 200 is wanted",
        f"tcp 127.0.0.1:{good.port} took the connection",
    ]


def test_successes_in_a_row() -> None:
    """A failure between them begins the count again; after the last one nobody is asked any more."""
    with serving(answer(200), answer(200), answer(503), answer(200)) as server:
        told = hold_probes(probed(server.url, successes=3))
    assert [data["passed"] for _, _, data in told.events] == [True, True, False, True, True, True]


@pytest.mark.slow
def test_too_few_successes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who passes now and then does not pass."""
    monkeypatch.setattr(gate, "time", Hasty())
    with serving(*[answer(200), answer(503)] * 500) as server, pytest.raises(gate.GateFailed) as failed:
        hold_probes(probed(server.url, successes=2, timeout=10, interval=0.1))
    assert str(failed.value) in (
        "command and probes passed 1 times in a row, 2 are wanted (gave up after 10 s)",
        f"{server.url} answered 503; 200 is wanted (gave up after 10 s)",
    )


@pytest.mark.slow
def test_a_gate_that_fails_tells_all_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names what failed last; the transcript has every try of every probe, without secrets."""
    monkeypatch.setattr(gate, "time", Hasty())
    port = free_port()
    with serving(answer(503, "no hush-hush yet")) as server, pytest.raises(gate.GateFailed) as failed:
        request = probed(server.url, f"http://127.0.0.1:{port}/", timeout=10, interval=3, command="echo fine")
        hold_probes(request, mask=masking.Mask(["hush-hush"]))
    refused = f"http://127.0.0.1:{port}/ refused the connection"
    assert str(failed.value) == f"{server.url} answered 503; 200 is wanted; {refused} (gave up after 10 s)"
    lines = failed.value.transcript.split("\n")
    assert (lines[0], lines[1], lines[3]) == ("fine", f"--- {server.url}", f"--- http://127.0.0.1:{port}/")
    assert lines[2].startswith("tries 1 to ")
    assert lines[2].endswith(": no *** yet")
    assert re.search(r"refused the connection \(in \d+\.\d+", lines[4])


@pytest.mark.slow
def test_the_same_wrong_status_decides_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the deadline; one that a start gives is waited for all the same."""
    monkeypatch.setattr(gate, "SETTLED", 0.3)
    with serving(answer(404)) as server, within(30), pytest.raises(gate.GateFailed) as failed:
        hold_probes(probed(server.url, timeout=600))
    assert (
        str(failed.value)
        == f"{server.url} answered 404; 200 is wanted (the same answer for 0.3 s: not tried any longer)"
    )
    with serving(answer(502)) as server, pytest.raises(gate.GateFailed, match=r"gave up after 1 s"):
        hold_probes(probed(server.url, timeout=1))


@pytest.mark.slow
def test_a_new_process_has_to_pass_the_probes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process before answered says nothing of this one."""
    Systemd(monkeypatch, *[UP] * 5, UP._replace(pid="101"))
    with serving() as server:
        told = hold_probes({**probed(server.url), "stable_for": 0.5}, ("api",))
    assert len(told.of("gate.try")) == 2


def test_a_dead_unit_behind_a_probe_that_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old process, or another program, may answer: the units have the last word, and the tries are told."""
    Systemd(monkeypatch, UP, FAILED)
    with serving() as server, pytest.raises(gate.GateFailed) as failed:
        hold_probes(probed(server.url), ("api",))
    assert str(failed.value) == "api is failed (exit-code, status 203)"
    probes, _, log = failed.value.transcript.partition("\n--- api\n")
    assert (probes.startswith(f"--- {server.url}\ntry 1 at 0."), log) == (True, "the log of api since 7.0")


def test_what_is_wrong_before_a_switch() -> None:
    """The probes are asked once, and those that fail are told."""
    port = free_port()
    with serving() as server:
        found = gate.of(probed(server.url, f"http://127.0.0.1:{port}/"), ())
        assert found is not None
        assert found.baseline(20, masking.Mask()) == [f"http://127.0.0.1:{port}/ refused the connection"]
    assert gate.Gate("false", (), 1, 1, 1).baseline(20, masking.Mask()) == []


def test_a_service_that_runs_from_no_release_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate passes: what it runs is somebody's choice, and no deploy changes it."""
    Systemd(monkeypatch, UP)
    told, asked = Told(), []
    monkeypatch.setattr(strays, "strangers", lambda seen, *more: asked.append(more) or [unit.name for unit in seen])
    gate.Gate(None, ("api",), 20, 0.01, 0).hold(Path("/"), told, 7.0)
    assert (told.events[0][:2], asked) == (
        (
            "warning",
            "api runs from no release: no directory, program, argument or variable of its processes names one, so a "
            "deploy does not change what it runs: set WorkingDirectory=/ in its unit",
        ),
        [(Path("/"), Path("/"))],
    )
