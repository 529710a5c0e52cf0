"""The last resort: what nobody foresaw is told in words, with its traceback in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from invoke import Exit

from oroboros_deploy.cli.exit_codes import exit_codes
from oroboros_deploy.cli.unforeseen import Switches, Unforeseen, caught
from oroboros_deploy.errors import Busy
from oroboros_deploy.events import Event


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where tracebacks are written."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "oroboros_deploy/tracebacks"


def asked(host: str, **finished: Any) -> list[Event]:
    ended = [Event("host.finished", host=host, data=finished)] if finished else []
    return [Event("switch.asked", host=host), *ended]


def test_before_a_switch_nothing_is_switched(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 1, the message is one line and a hint, and the traceback is a file that only its user reads."""
    with pytest.raises(Exit) as ended, exit_codes(as_json=False):
        raise KeyError("two\nlines")
    (file,) = kept.iterdir()
    what = "oroboros_deploy failed in a way that nobody foresaw (KeyError: 'two\\nlines')"
    assert capsys.readouterr().err == (
        f"no host was asked to switch: {what}\n  → the traceback, for a report of the fault, is in {file}\n"
    )
    assert (ended.value.code, file.stat().st_mode & 0o777) == (1, 0o600)
    assert "Traceback" in file.read_text() and "in test_before_a_switch" in file.read_text()


def test_after_a_switch_was_asked_for_the_outcome_is_unknown() -> None:
    """The exit code is 40; each host that was asked is told with how it ended, as far as that is known."""
    switches = Switches()
    told = [*asked("web1", state="already_live"), *asked("web2"), Event("host.finished", host="web3")]
    for event in told:
        switches(event)
    with pytest.raises(Unforeseen) as caught_error, caught(switches):
        raise ValueError
    error = caught_error.value
    assert (error.code, error.exit_code) == (40, 40)
    assert error.message.startswith(
        "web1 already live; web2 goes on alone, how it ends is not known here: oroboros_deploy failed"
    )
    assert (error.hint or "").startswith("fab -H web1,web2 status  tells what they serve; the traceback")


def test_for_programs_it_is_an_error_like_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json it is one object, with the exit code that the command ends with."""
    with pytest.raises(Exit), exit_codes(as_json=True):
        raise RuntimeError("why")
    said = json.loads(capsys.readouterr().err)
    assert (said["error"], said["exit_code"], said["outcome"]) == ("Unforeseen", 1, None)


def test_a_traceback_that_cannot_be_kept_stops_nothing(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message says that there is no file."""
    kept.parent.mkdir()
    kept.write_text("in the way")
    with pytest.raises(Exit), exit_codes(as_json=False):
        raise RuntimeError
    assert capsys.readouterr().err.endswith("  → the traceback could not be written\n")


def test_what_is_foreseen_is_left_as_it_is(kept: Path) -> None:
    """An error of ours and an exit keep their codes, and write no file."""
    with pytest.raises(Busy), caught():
        raise Busy("held")
    with pytest.raises(Exit) as ended, exit_codes(as_json=False):
        raise Exit(code=7)
    assert (ended.value.code, kept.exists()) == (7, False)
