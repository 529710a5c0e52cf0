"""What services said: exactly theirs is asked for, told line by line, and an error of journalctl is an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.local_agent import PLAIN, LocalAgent

pytestmark = pytest.mark.slow  # whole calls

ASKED = {"services": ["api", "web@one"], "lines": 7, "follow": False}
ENTRY = {"__REALTIME_TIMESTAMP": "1500000", "SYSLOG_IDENTIFIER": "sh", "_PID": "7", "_SYSTEMD_UNIT": "api.service"}


@pytest.fixture
def journalctl(host: LocalAgent, tmp_path: Path) -> Path:
    """A journalctl that notes its arguments and says what is in a file, and a systemctl that knows no unit."""
    tools = tmp_path / "tools"
    tools.mkdir()
    said = tmp_path / "said"
    said.touch()
    (tmp_path / "status").write_text("0")
    notes = f'printf "%s\\n" "$@" >{tmp_path}/asked'
    for name, text in {
        "journalctl": f"{notes}; cat {said}; exit $(cat {tmp_path}/status)",
        "systemctl": "exit 0",
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    host.settled = {"PATH": f"{tools}:{PLAIN['PATH']}"}
    return tmp_path


def entry(message: Any, **more: str) -> str:
    return json.dumps({**ENTRY, "MESSAGE": message, **more})


def test_what_is_told(host: LocalAgent, journalctl: Path) -> None:
    """Each entry with its unit, name, process and time; what systemd says of a unit is its own; bytes become text."""
    lines = [entry("one"), entry("Started", UNIT="web@one.service", SYSLOG_IDENTIFIER="systemd"), entry([104, 105])]
    (journalctl / "said").write_text("\n".join([*lines, ""]))
    answer = host.call("logs", ASKED)
    assert (answer.said("log.line"), answer.result) == (["one", "Started", "hi"], {"lines": 3})
    told = [event["data"] for event in answer.events if event["event"] == "log.line"]
    assert told[0] == {"unit": "api.service", "who": "sh", "pid": "7", "said_at": 1.5}
    assert (told[1]["unit"], told[1]["who"]) == ("web@one.service", "systemd")


def test_what_is_asked(host: LocalAgent, journalctl: Path) -> None:
    """The units by name, the last lines, or all since a time; what a person gives is one argument each."""
    host.call("logs", ASKED)
    asked = (journalctl / "asked").read_text().splitlines()
    assert {"--unit=api.service", "--unit=web@one.service", "--lines=7"} <= set(asked)
    host.call("logs", {**ASKED, "since": "-2h; id", "grep": "--all x"})
    asked = (journalctl / "asked").read_text().splitlines()
    assert {"--since=-2h; id", "--grep=--all x"} <= set(asked) and "--lines=7" not in asked


def test_secrets_are_masked(host: LocalAgent, journalctl: Path) -> None:
    """A service that prints a secret of the configuration in use does not tell it to who reads its log."""
    sources = {"file": None, "values": {"MODE": "plain"}, "secrets": {"PASSWORD": "hunter-two"}, "build": []}
    assert host.call("configure", {"sha": host.sealed("one"), "env": sources}).refusal is None
    (journalctl / "said").write_text(entry("hunter-two is the password, plain is the mode") + "\n")
    answer = host.call("logs", ASKED)
    assert answer.said("log.line") == ["*** is the password, plain is the mode"]
    assert "hunter-two" not in json.dumps([answer.events, answer.result, answer.stderr])


def test_what_is_refused(host: LocalAgent, journalctl: Path) -> None:
    """Without a service the whole journal of the host would be told; what journalctl refuses is said."""
    assert (host.call("logs", {**ASKED, "services": []}).refusal or {})["message"] == "no service is named"
    (journalctl / "said").write_text("Failed to parse timestamp: soon\n")
    (journalctl / "status").write_text("1")
    refusal = host.call("logs", {**ASKED, "since": "soon"}).refusal or {}
    assert (refusal["message"], refusal["hint"]) == (
        "the journal was not read: Failed to parse timestamp: soon",
        "man journalctl  has the times that --since takes, and --grep takes a regular expression",
    )


def test_no_match_is_no_error(host: LocalAgent, journalctl: Path) -> None:
    """journalctl ends with 1 then and says nothing; what sudo only warns of is no reason, and beside one not told."""
    (journalctl / "status").write_text("1")
    warned = "sudo: unable to resolve host web1: Name or service not known\n"
    (journalctl / "said").write_text(warned)
    assert host.call("logs", {**ASKED, "grep": "x"}).result == {"lines": 0}
    (journalctl / "said").write_text(f"{warned}sudo: a password is required\n")
    for asked in (ASKED, {**ASKED, "grep": "x"}):
        refusal = host.call("logs", asked).refusal or {}
        assert (refusal["message"], refusal["hint"]) == (
            "the journal was not read: sudo: a password is required",
            "fab -H HOST doctor  checks what this login may do as root",
        )
