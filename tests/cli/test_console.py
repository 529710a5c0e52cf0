"""The terminal of whoever types: raw while a program has it, and as before afterwards."""

from __future__ import annotations

import os
import pty
import sys
import termios
import time

import pytest

from oroboros_deploy.cli.console import need_terminal
from oroboros_deploy.errors import InvalidInput

TYPIST = """\
import sys, termios
from oroboros_deploy.cli.console import Console
from oroboros_deploy.events import Event

terminal = Console()
before = termios.tcgetattr(0)
with terminal.held():
    blocks = terminal.typed()
    terminal(Event("console.began"))
    terminal(Event("console.output", data={"shown": "c2hvd24h"}))
    for block in blocks:
        print(block, end="|", flush=True)
        if b"q" in block:
            break
sys.exit(0 if termios.tcgetattr(0) == before else 3)
"""


def test_a_console_needs_a_terminal() -> None:
    """Without one it is refused, with what to type instead."""
    with pytest.raises(InvalidInput) as refused:
        need_terminal("fab -H web1 run LINE")
    assert refused.value.hint == "fab -H web1 run LINE  runs a line without one"


@pytest.mark.slow
def test_a_terminal() -> None:
    """Ctrl-C and keys go to the host as they are, a new size too; at the end the terminal is as it was."""
    pid, near = pty.fork()
    if pid == 0:
        termios.tcsetwinsize(0, (24, 80))
        os.execv(sys.executable, [sys.executable, "-c", TYPIST])
    seen = read_until(near, "shown!b's24 80'|")
    os.write(near, b"\x03\x04")
    seen += read_until(near, "|")
    termios.tcsetwinsize(near, (50, 132))
    seen += read_until(near, "|")
    os.write(near, b"q")
    seen += read_until(near, "|")
    _, status = os.waitpid(pid, 0)
    os.close(near)
    assert os.waitstatus_to_exitcode(status) == 0
    assert seen == r"shown!b's24 80'|b't\x03\x04'|b's50 132'|b'tq'|"


def read_until(near: int, words: str) -> str:
    seen, give_up = "", time.monotonic() + 60
    while not seen.endswith(words):
        assert time.monotonic() < give_up, seen
        seen += os.read(near, 4096).decode()
    return seen
