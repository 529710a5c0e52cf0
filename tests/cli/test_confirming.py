"""A question is asked at a terminal alone, and only a yes goes on."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from oroboros_deploy.cli.confirming import confirm
from oroboros_deploy.errors import Interrupted, InvalidInput


@pytest.mark.parametrize(
    ("typed", "goes_on"), [("y", True), (" YES ", True), ("n", False), ("", False), ("yess", False)]
)
def test_only_a_yes_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, goes_on: bool
) -> None:
    """It shows what will happen, on the error stream: the answer of a command stays alone on the other."""
    controller, terminal = pty.openpty()
    os.write(controller, typed.encode() + b"\n")
    with os.fdopen(terminal, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        if goes_on:
            confirm("what", "Do it?")
        else:
            with pytest.raises(Interrupted, match="nothing was changed: the answer was no"):
                confirm("what", "Do it?")
    os.close(controller)
    assert capsys.readouterr() == ("", "what\nDo it? [y/N] ")


def test_nobody_to_ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal it says what it would have done, and which flag does it; a host's words stay words there."""
    with open(os.devnull) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(InvalidInput, match="no terminal to ask on\n  → add --yes"):
            confirm("what\nhost: \x1b[2JDebian\u202e\x9b31m", "Do it?")
    assert capsys.readouterr().err == "what\nhost: Debian\\u202e\\x9b31m\n"


def test_an_input_that_was_closed_is_nobody_to_ask() -> None:
    """The same words where there is no standard input at all, as from a daemon: no traceback."""
    code = "from oroboros_deploy.cli.confirming import confirm; confirm('what', 'Do it?')"
    ran = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" <&-', sys.executable, code], capture_output=True, text=True)
    told = "nothing was changed: there is no terminal to ask on\n  → add --yes to do it unasked"
    assert (ran.returncode, ran.stderr.startswith("what\n"), ran.stderr.endswith(f"InvalidInput: {told}\n")) == (
        *(1, True, True),
    ), ran.stderr
