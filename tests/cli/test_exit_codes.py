"""How a command ends: its exit code, and the last words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from invoke import Exit

from oroboros_deploy.cli.exit_codes import exit_codes, tell
from oroboros_deploy.errors import Busy, HostUnreachable
from oroboros_deploy.outcome import HostOutcome, Outcome, State
from tests.support.fabfiles import fab


def test_json_errors_are_one_object(project: Path) -> None:
    """With --json a refusal is one JSON object, with its exit code and hint."""
    ran = fab(project, "deploy", "--sha=HEAD", "--json")
    said = json.loads(ran.stderr)
    assert (ran.returncode, said["error"], said["exit_code"]) == (2, "InvalidInput", 2)


def test_an_error_is_its_message_and_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """The host, what is so, what to type; nothing in it can move a cursor or turn what is read around."""
    error = Busy("held by \x1b]52;c;cm0=\x07eve\u202e\nsince noon", hint="\x1b[2Jwait", host="web1")
    with pytest.raises(Exit) as ended, exit_codes(as_json=False):
        raise error
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (20, "")
    assert said.err == "web1: held by eve\\u202e\nsince noon\n  → wait\n"


def test_of_several_hosts_each_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """An attempt that ended early shows a row for each of its hosts, then the error."""
    error = HostUnreachable("no route", host="web1")
    hosts = (HostOutcome("web1", State.UNREACHABLE, message="no route"), HostOutcome("web2", State.SKIPPED))
    error.outcome = Outcome("id", "deploy", "a" * 40, hosts)
    with pytest.raises(Exit), exit_codes(as_json=False):
        raise error
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["HOST", "web1", "web2", "web1:"]


def test_an_interrupt_has_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C before anything was asked for ends with 130."""
    with pytest.raises(Exit) as ended, exit_codes(as_json=False):
        raise KeyboardInterrupt
    assert (ended.value.code, capsys.readouterr().err) == (130, "interrupted; nothing was switched\n")


def test_what_is_said_on_the_way_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines beside the answer are cleaned like all others."""
    tell("reading \x1b[31mweb1\x1b[0m\u2066")
    assert capsys.readouterr().err == "reading web1\\u2066\n"
