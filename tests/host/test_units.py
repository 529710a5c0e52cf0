"""systemd's words, as the agent understands them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import environment, manager, process, units
from oroboros_deploy.host.units import Unit

RUNNING = """\
Type=notify
MainPID=412
NRestarts=0
ExecMainStatus=0
Result=success
Id=ouroboros-api.service
LoadState=loaded
ActiveState=active
SubState=running
InvocationID=0f1a6c2f5c4b4a0b9d8f0e4f7a3c9b21
NeedDaemonReload=no
"""
FAILED = """\
Type=exec
MainPID=0
NRestarts=5
ExecMainStatus=203
Result=exit-code
Id=ouroboros-worker.service
LoadState=loaded
ActiveState=failed
SubState=failed
InvocationID=5b8d3c1e9f7a4d2c8b6a0e4f1c3d5a79
NeedDaemonReload=yes
"""
ABSENT = """\
Type=
MainPID=0
NRestarts=0
ExecMainStatus=0
Result=success
Id=nope.service
LoadState=not-found
ActiveState=inactive
SubState=dead
InvocationID=
NeedDaemonReload=no
"""


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that notes how it was called and answers with the file ``answer``."""
    tools = tmp_path / "bin"
    tools.mkdir()
    script = f'#!/bin/sh\necho "$(basename $0) $*" >>{tmp_path}/calls\ncat {tmp_path}/answer 2>/dev/null\nexit 0\n'
    for name in ("systemctl", "sudo"):
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    monkeypatch.setattr(environment, "SYSTEM", f"{tools}:{environment.SYSTEM}")
    return tmp_path


def settled(shown: str, seconds: float = 1e5, interval: str = "10s") -> str:
    """What systemd shows of a unit that became active so long ago, with that interval of its start limit."""
    since = max(1, int((time.monotonic() - seconds) * 1e6))
    return f"{shown}ActiveEnterTimestampMonotonic={since}\nStartLimitIntervalUSec={interval}\n"


ACTIONS = [f"systemctl {action}" for action in ("restart", "stop", "reset-failed", "is-system-running")]


def calls(commands: Path) -> list[str]:
    return (commands / "calls").read_text().splitlines()


def test_all_units_are_asked_for_in_one_call(commands: Path) -> None:
    """The answer is keyed by the names that were given, each with its own block."""
    (commands / "answer").write_text("\n".join([RUNNING, FAILED, ABSENT]))
    api, worker, nope = units.show(["ouroboros-api", "ouroboros-worker.service", "nope"]).values()
    assert api == Unit(
        name="ouroboros-api",
        load="loaded",
        active="active",
        sub="running",
        type="notify",
        result="success",
        pid="412",
        invocation="0f1a6c2f5c4b4a0b9d8f0e4f7a3c9b21",
        restarts="0",
        stale=False,
        status="0",
    )
    assert [(u.name, u.load, u.serving, u.dead, u.stale, u.condition) for u in (api, worker, nope)] == [
        ("ouroboros-api", "loaded", True, False, False, "active (running)"),
        ("ouroboros-worker.service", "loaded", False, True, True, "failed (exit-code, status 203)"),
        ("nope", "not-found", False, True, False, "inactive (dead)"),
    ]
    (call,) = calls(commands)
    assert call.endswith(" -- ouroboros-api.service ouroboros-worker.service nope.service")


@pytest.mark.parametrize(
    ("unit", "recurs"),
    [
        ({}, False),
        ({"restarts": "4", "age": 9.0}, True),
        ({"restarts": "4", "age": 11.0}, False),  # it crashed once, long ago
        ({"restarts": "0", "age": 1.0}, False),
        ({"active": "activating", "sub": "auto-restart"}, True),
        ({"active": "activating", "sub": "auto-restart", "result": "exit-code"}, False),
        ({"invocation": "", "active": "inactive", "sub": "dead"}, True),
    ],
)
def test_which_services_may_end_again_and_again(unit: dict[str, Any], recurs: bool) -> None:
    """Those that ended well and were started again a moment before the switch, and those that nobody has seen run."""
    up = Unit("api", "loaded", "active", "running", "simple", "success", "100", "i0", "0", False, "0", age=1e6)
    assert up._replace(**unit).recurs(10) is recurs


TARGET = """\
Id=app.target
LoadState=loaded
ActiveState=active
Wants={wants}
ConsistsOf=app-web.service app.target
"""


def member(name: str, load: str = "loaded", more: str = "") -> str:
    return f"Type=exec\nId={name}\nLoadState={load}\nActiveState=active\n{more}"


def test_a_target_stands_for_its_members(commands: Path) -> None:
    """What it wants and what is PartOf it, through further targets; not what is absent or kept off by a condition."""
    unmet = "ConditionResult=no\nConditionTimestampMonotonic=5\n"
    answers = [
        "\n".join([RUNNING, TARGET.format(wants="app-jobs.target app-a.socket absent.service off.service")]),
        "\n".join(
            [
                TARGET.replace("app.target", "app-jobs.target").format(wants="app-job@1.service"),
                member("absent.service", "not-found"),
                member("off.service", more=unmet).replace("active", "inactive"),
                member("app-web.service"),
            ]
        ),
        member("app-job@1.service"),
    ]
    for number, answer in enumerate(answers):
        (commands / f"answer{number}").write_text(answer)
    script = (commands / "bin/systemctl").read_text().replace("/answer ", "/answer$(($(wc -l <calls) - 1)) ")
    (commands / "bin/systemctl").write_text(script.replace("cat ", f"cd {commands}; cat "))
    seen = units.with_members(["api", "app.target"])
    assert [*seen] == ["api", "app.target", "app-jobs.target", "app-web.service", "app-job@1.service"]
    assert [call.rpartition(" -- ")[2] for call in calls(commands)] == [
        "api.service app.target",
        "app-jobs.target absent.service off.service app-web.service",
        "app-job@1.service",
    ]


def shown(name: str, active: str = "active", **properties: str) -> str:
    lines = {"Id": name, "LoadState": "loaded", "ActiveState": active, **properties}
    return "\n".join(f"{key}={value}" for key, value in lines.items())


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What systemd shows of each unit."""
    units_known: dict[str, str] = {}

    def apart(argv: Sequence[str], sink: Callable[[bytes], None], **_: object) -> process.Ended:
        names = argv[argv.index("--") + 1 :]
        sink("\n\n".join(units_known[name] for name in names).encode())
        return process.Ended(0, "", 0.0)

    monkeypatch.setattr(process, "apart", apart)
    return units_known


def test_what_systemd_restarts_with_a_unit_is_a_part_of_it(known: dict[str, str]) -> None:
    """PartOf= a service, in a slice, or behind a socket; not what is stopped, a timer starts, or a connection has."""
    known["app.service"] = shown("app.service", ConsistsOf="web.service app.target idle.service")
    known["app.slice"] = shown("app.slice", SliceOf="app-jobs.slice one.scope", ConsistsOf="web.service")
    known["app-jobs.slice"] = shown("app-jobs.slice", SliceOf="job.service")
    known["app.socket"] = shown("app.socket", Triggers="api.service")
    known["app.timer"] = shown("app.timer", Triggers="night.service")
    known["line.socket"] = shown("line.socket", Triggers="line@1-2-3.service", Accept="yes")
    known["web.service"] = shown("web.service", ConsistsOf="app.service")
    known["idle.service"] = shown("idle.service", "inactive")
    known["job.service"] = shown("job.service", "failed")
    known["api.service"] = shown("api.service")

    def of(*names: str, ran: Sequence[str] = ()) -> list[str]:
        seen = units.show(names)
        return units.whole(names, {**seen, **units.parts(seen, ran)})

    assert of("app.service") == ["app.service", "web.service"]
    assert of("app.service", ran=["idle.service"]) == ["app.service", "web.service", "idle.service"]
    assert of("app.slice") == ["app.slice", "app-jobs.slice", "web.service", "job.service", "app.service"]
    assert of("app.service", "web") == ["app.service", "web"]
    assert of("app.socket", "app.timer") == ["app.socket", "app.timer", "api.service"]
    assert of("line.socket") == ["line.socket"]


def test_an_open_socket_is_not_restarted(commands: Path, known: dict[str, str]) -> None:
    """systemd refuses to open it again while its service runs, and it would be closed from then on."""
    for name in ("app.socket", "app.service"):
        known[name] = shown(name)
    before = units.show([*known])
    assert units.restart(before, time.monotonic() + 5).ok
    assert calls(commands)[-1].endswith("systemctl restart -- app.service")


def test_a_unit_systemd_says_nothing_of_is_not_forgotten(commands: Path) -> None:
    """An answer cut short leaves no unit unjudged: it counts as neither serving nor loaded."""
    (commands / "answer").write_text(RUNNING)
    shown = units.show(["ouroboros-api", "worker"])
    assert [(unit.name, unit.load, unit.serving) for unit in shown.values()] == [
        ("ouroboros-api", "loaded", True),
        ("worker", "not-found", False),
    ]


def test_a_question_that_failed_is_asked_again(commands: Path) -> None:
    """While systemd is re-executed it answers nobody for a moment; that says nothing of a unit."""
    (commands / "answer").write_text(RUNNING)
    answering = commands / "bin" / "systemctl"
    failing = f'[ $(wc -l <{commands}/calls) -gt 3 ] || {{ echo "Failed to connect to bus" >&2; exit 1; }}\ncat '
    answering.write_text(answering.read_text().replace("cat ", failing))
    assert [(unit.load, unit.pid) for unit in units.show(["api"]).values()] == [("loaded", "412")]
    assert len(calls(commands)) == 4


def test_a_question_that_goes_on_failing_is_no_answer(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a bound it is the host's trouble, told with systemd's words, and no unit is said to be absent."""
    monkeypatch.setattr(units, "PATIENCE", 0.3)
    (commands / "bin" / "systemctl").write_text('#!/bin/sh\necho "Failed to connect to bus" >&2\nexit 1\n')
    with pytest.raises(units.Silent, match="systemctl show exited 1: Failed to connect to bus"):
        units.show(["api"])


def test_instances_are_found_by_their_template(commands: Path) -> None:
    """All that systemd has loaded, each by its full name; it names them itself, in no order."""
    blocks = "\n".join(["Id=app@2.service", "ActiveState=active", "", "Id=app@1.service", "ActiveState=inactive"])
    (commands / "answer").write_text(blocks)
    found = units.instances(["app@.service"])
    assert {name: unit.active for name, unit in found.items()} == {
        "app@2.service": "active",
        "app@1.service": "inactive",
    }
    assert calls(commands)[-1].endswith(" -- app@*.service")
    assert units.instances([]) == {}


def test_no_units_ask_nothing(commands: Path) -> None:
    """Without services systemd is not called at all."""
    assert (units.show([]), (commands / "calls").exists()) == ({}, False)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("api", "api.service"),
        ("web@preview1", "web@preview1.service"),
        ("app.v2", "app.v2.service"),
        ("api.service", "api.service"),
        ("app.target", "app.target"),
    ],
)
def test_a_name_without_suffix_is_a_service(name: str, full: str) -> None:
    """A dot in a name is not a suffix."""
    assert units.full_name(name) == full


def test_a_restart_clears_the_start_limit_first(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a release that crash-looped would keep the good one from being started."""
    monkeypatch.setattr(os, "getuid", lambda: 0)
    (commands / "answer").write_text("\n".join([settled(RUNNING), settled(FAILED)]))
    before = units.show(["api", "worker"])
    assert units.restart(before, time.monotonic() + 5).ok
    assert calls(commands)[1:] == [
        "systemctl reset-failed -- api.service worker.service",
        "systemctl restart -- api.service worker.service",
    ]


def test_what_is_put_away_is_not_started_by_what_wants_it(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The restart leaves out what is away, and starts all else that is wanted and does not run; order is systemd's."""
    monkeypatch.setattr(os, "getuid", lambda: 0)
    (commands / "answer").write_text(settled(RUNNING) + "Wants=away.service other.target\nRequires=sysinit.target\n")
    before = units.show(["api"])
    stopped = "Id=other.target\nLoadState=loaded\nActiveState=inactive\n"
    (commands / "answer").write_text(f"{ABSENT.replace('not-found', 'loaded')}\n{stopped}")
    assert units.restart(before, time.monotonic() + 5, "away.service").ok
    shown, *restarted = calls(commands)[1:]
    assert shown.endswith(" -- away.service other.target")
    alone = "systemctl restart --job-mode=ignore-requirements --"
    assert restarted == [f"{alone} other.target", f"{alone} api.service"]


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("Failed to restart api.service: Message recipient disconnected from message bus without replying", 2),
        ("Failed to connect to bus: Connection refused", 2),
        ("Job for api.service failed because the control process exited with error code.", 1),
    ],
)
def test_a_restart_is_asked_for_again_when_systemd_went_away(
    commands: Path, monkeypatch: pytest.MonkeyPatch, said: str, asked: int
) -> None:
    """It executes itself again, or its bus starts anew: that says nothing of a unit.  A failed one is not."""
    monkeypatch.setattr(os, "getuid", lambda: 0)
    (commands / "answer").write_text(settled(RUNNING))
    before = units.show(["api"])
    (commands / "calls").unlink()
    second = f"test $(wc -l <{commands}/calls) = 2"
    script = f"#!/bin/sh\necho $* >>{commands}/calls\n{second} || {{ echo '{said}'; exit 1; }}\n"
    (commands / "bin/systemctl").write_text(script)
    ended = units.restart(before, time.monotonic() + 5)
    assert (calls(commands), ended.ok) == (["restart -- api.service"] * asked, asked == 2)


@pytest.mark.parametrize(
    ("seconds", "interval", "cleared"),
    [
        (11, "10s", False),
        (9, "10s", True),
        (1, "0", False),
        (70, "1min 5s", False),
        (60, "1min 5s", True),
        (5, "1.5s", False),
        (1e6, "infinity", True),
        (1e6, "1d 2h", True),
        (1e6, "", True),
    ],
)
def test_a_start_limit_is_cleared_only_while_starts_count(
    commands: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, interval: str, cleared: bool
) -> None:
    """Units that have all been active for longer than the interval of their limit are restarted and no more."""
    monkeypatch.setattr(os, "getuid", lambda: 0)
    (commands / "answer").write_text(settled(RUNNING, seconds, interval))
    assert units.restart(units.show(["api"]), time.monotonic() + 5).ok
    assert [call.split()[1] for call in calls(commands)] == ["show", *["reset-failed"] * cleared, "restart"]


@pytest.mark.parametrize(
    ("starts", "restarts", "asked"),
    [
        (False, True, [*ACTIONS, "systemd-run"]),
        (True, True, ACTIONS),
        (False, False, ["systemd-run"]),
        (True, False, ["systemd-run"]),
    ],
)
def test_what_sudo_is_asked_for(
    commands: Path, monkeypatch: pytest.MonkeyPatch, starts: bool, restarts: bool, asked: list[str]
) -> None:
    """For what is needed: not for restarts that are skipped, nor where trying it tells as well."""
    monkeypatch.setattr(os, "getuid", lambda: 65534)  # nobody: there is one everywhere
    monkeypatch.setattr(units, "path_of", lambda name: name)
    monkeypatch.setattr(environment, "of_this_user", lambda *_: {"PATH": environment.SYSTEM})
    assert units.refused(starts, restarts, ["api", "web@main"]) == []
    arguments = {
        "systemctl is-system-running": "systemctl is-system-running",
        "systemd-run": "systemd-run --version",
    }
    usual = " --help -- api.service web@main.service"
    assert sorted(calls(commands)) == sorted(f"sudo -n -k {arguments.get(name, name + usual)}" for name in asked)


def test_sudo_is_asked_beside_other_work(commands: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever asks goes on meanwhile, and waits for the answers when they are needed."""
    (commands / "bin/sudo").write_text(f"#!/bin/sh\nuntil [ -e {tmp_path}/go ]; do sleep 0.01; done\n")
    monkeypatch.setattr(os, "getuid", lambda: 65534)  # nobody: there is one everywhere
    monkeypatch.setattr(environment, "of_this_user", lambda *_: {"PATH": environment.SYSTEM})
    answers = units.asking(True, True, ["api"])
    (tmp_path / "go").touch()
    assert answers() == []


@pytest.mark.parametrize("refuses", ["restart", "stop", "reset-failed", "is-system-running", "systemd-run"])
def test_each_command_that_sudo_refuses_is_named(commands: Path, monkeypatch: pytest.MonkeyPatch, refuses: str) -> None:
    """A host whose rules lack one line is told which, whatever the others allow; a system that is degraded is none."""
    degraded = 'case "$*" in *is-system-running) echo degraded; exit 1;; esac'
    refusing = f'case "$*" in *{refuses}*) echo "a password is required" >&2; exit 1;; esac'
    (commands / "bin/sudo").write_text(f"#!/bin/sh\n{refusing}\n{degraded}\n")
    monkeypatch.setattr(os, "getuid", lambda: 65534)  # nobody: there is one everywhere
    monkeypatch.setattr(environment, "of_this_user", lambda *_: {"PATH": environment.SYSTEM})
    assert units.refused(services=["api"]) == [refuses if refuses == "systemd-run" else f"systemctl {refuses}"]


def test_without_a_journal_systemctl_says_what_a_unit_said(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without journalctl tells what systemctl has; a booted host reads the journal (tests/machines)."""
    monkeypatch.setattr(os, "getuid", lambda: 0)
    (commands / "answer").write_text("what systemctl says")
    monkeypatch.setattr(process, "find", lambda name: None)
    assert units.recent_log("api", 1700000000.25) == "what systemctl says"
    assert calls(commands) == ["systemctl status --no-pager --full --lines=30 -- api.service"]


def test_what_is_said_beside_an_answer_is_no_part_of_it(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sudo complains of a host name that does not resolve, and systemd's answer is read all the same."""
    monkeypatch.setattr(os, "getuid", lambda: 65534)  # nobody: there is one everywhere
    monkeypatch.setattr(units, "present", lambda: True)
    for tool in ("sudo", "systemctl"):
        script = (commands / "bin" / tool).read_text()
        (commands / "bin" / tool).write_text(script.replace("cat ", "echo 'unable to resolve host x' >&2\ncat "))
    (commands / "answer").write_text("stopping\n")
    assert units.going_down()
    (commands / "answer").write_text(f"{RUNNING}\n{FAILED}")
    assert [unit.pid for unit in units.show(["api", "worker"]).values()] == ["412", "0"]


def test_anybody_but_root_goes_through_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never with a password prompt."""
    monkeypatch.setattr(os, "getuid", lambda: 65534)  # nobody: there is one everywhere
    assert units.privileged("systemctl", "stop") == ["sudo", "-n", "systemctl", "stop"]


def test_the_logins_own_manager_is_asked_without_sudo(commands: Path) -> None:
    """Each call says which manager it means, and none goes through sudo."""
    (commands / "answer").write_text(RUNNING)
    with manager.serving("user"):
        assert units.restart(units.show(["api"]), time.monotonic() + 5).ok
        assert not units.going_down()
    assert [call.split()[:3] for call in calls(commands)] == [
        ["systemctl", "--user", "show"],
        ["systemctl", "--user", "reset-failed"],
        ["systemctl", "--user", "restart"],
    ]


@pytest.mark.parametrize(
    ("more", "known"),
    [
        ("", (0.0, False)),
        ("TimeoutStopUSec=1min 30s\nJob=\n", (90.0, False)),
        ("TimeoutStopUSec=infinity\nJob=812\n", (float("inf"), True)),
    ],
)
def test_how_long_a_stop_may_take(commands: Path, more: str, known: tuple[float, bool]) -> None:
    """systemd's own limit, and whether it still has work to do on the unit."""
    (commands / "answer").write_text(RUNNING + more)
    unit = units.show(["ouroboros-api"])["ouroboros-api"]
    assert (unit.stops_within, unit.job) == known
