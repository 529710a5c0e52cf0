"""A program at a terminal of its own, which whoever asked sees and types at from afar."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

from . import another_user, environment, process
from .annotations import TYPE_CHECKING, Dict, Iterator, Optional, Set
from .constants import SIZED, TYPED

if TYPE_CHECKING:
    import pwd
    import threading
    from pathlib import Path

    from .contract import TerminalSize
    from .masking import Mask
    from .wire import Say

LONGEST = 30 * 86400.0  # seconds
FULL = 64 * 1024  # typed bytes that wait for the program; more are not taken
_PIECE = 64 * 1024
_SHELL = {"HISTFILE": "", "PS1": r"\u@\h:\w\$ "}  # what is typed is kept nowhere
_TAKEN = 1024  # bytes that are typed at once
_LAST = 256  # pieces that are shown after the end
_KIND = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_FRAME = re.compile(rb"([0-9]{1,7})\n")


def run(
    line: str,
    user: Optional[str],
    attempt: str,
    cwd: Path,
    env: Dict[str, str],
    size: TerminalSize,
    mask: Mask,
    say: Say,
    stop: threading.Event,
) -> Optional[int]:
    """Run one line by bash at a new terminal until it ends; its exit status, None when nobody waits for it any more.

    What it shows is told as it comes, without the secrets of ``mask``.
    """
    kind = size["kind"] if _KIND.fullmatch(size["kind"]) else "dumb"
    other, near, far = another_user.of(user), *os.openpty()
    try:
        _resize(near, size["rows"], size["columns"])
        os.set_blocking(near, False)
        given = another_user.given_to(line, cwd, {**_SHELL, **env, "TERM": kind}, terminal=True, alone=other is None)
        with given as program:
            started = _start(other, attempt, program, far)
        os.close(far)
        return _carried(started, attempt, Relay(near, mask, say), say, stop, near)
    finally:
        _leave_input()


def _carried(
    started: subprocess.Popen[bytes], attempt: str, relay: Relay, say: Say, stop: threading.Event, near: int
) -> Optional[int]:
    """Show and type until the end; the program is ended too when whoever asked can be told nothing any more."""
    ended, status = False, None
    try:
        say("console.began")
        ended = relay.carry(started, stop)
    finally:
        status = _status(started, attempt, ended, near)
    return status


def _start(other: Optional[pwd.struct_passwd], attempt: str, program: Path, far: int) -> subprocess.Popen[bytes]:
    """Start it as another user, or as this login, which the python on the way becomes."""
    command = [*process.binding(), sys.executable, *another_user.PYTHON]
    if other:
        command = another_user.command_for(other, attempt, LONGEST)
    with program.open("rb") as file:
        return subprocess.Popen(
            command,
            cwd="/",
            env=environment.of_our_tools(),
            stdin=file,
            stdout=far,
            stderr=far,
            start_new_session=other is not None,  # sudo finds no terminal of its own in it
        )


def _status(started: subprocess.Popen[bytes], attempt: str, ended: bool, near: int) -> Optional[int]:
    """How it ended; what is still there loses its terminal, and is ended."""
    os.close(near)
    if not ended:
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(process.GRACE)
    process.end_group(started)
    if not ended:
        _end_session(started.pid)
        another_user.stop(attempt)
        return None
    return started.returncode


def _end_session(leader: int) -> None:
    """End the jobs of a shell, which have groups of their own; what they start meanwhile is looked for again."""
    known: Set[int] = set()
    while found := set(_of_session(leader)) - known:
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        known |= found


def _of_session(leader: int) -> Iterator[int]:
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(int(name)) == leader:
                yield int(name)


class Relay:
    """Takes what the program shows to whoever asked, and to the program what is typed."""

    def __init__(self, near: int, mask: Mask, say: Say) -> None:
        self._near, self._say, self._shown = near, say, mask.stream()
        self._heard, self._typed = b"", b""

    def carry(self, started: subprocess.Popen[bytes], stop: threading.Event) -> bool:
        """Until the program has ended; False when whoever asked went away first."""
        while not stop.is_set():
            if started.poll() is not None:
                self._show_rest()
                return True
            reads = [self._near, *([0] if len(self._typed) < FULL else [])]
            writes = [self._near] if self._typed else []
            readable, writable, _ = select.select(reads, writes, [], process.LOOK)
            if 0 in readable and not self._hear(os.read(0, _PIECE)):
                return False
            if writable:
                self._type()
            if not readable and not writable:
                self._tell(self._shown.rest())
            elif self._near in readable and not self._show():
                time.sleep(process.LOOK)  # it has closed its terminal, and runs on
        return False

    def _show(self) -> bool:
        """Tell what is there to be shown; False when there is nothing, or nothing will come."""
        try:
            data = os.read(self._near, _PIECE)
        except OSError:
            return False
        self._tell(self._shown.pass_on(data))
        return bool(data)

    def _show_rest(self) -> None:
        """What the program left; one that it left behind may go on for ever, and is not waited for."""
        for _ in range(_LAST):
            if not self._show():
                break
        self._tell(self._shown.rest())

    def _tell(self, data: bytes) -> None:
        if data:
            self._say("console.output", shown=base64.b64encode(data).decode())

    def _hear(self, data: bytes) -> bool:
        """Take blocks of the input; False at its end."""
        self._heard += data
        for block in self._blocks():
            if block[:1] == TYPED:
                self._typed += block[1:]
            elif block[:1] == SIZED:
                _resize(self._near, *map(int, block[1:].split()))
        return bool(data)

    def _blocks(self) -> Iterator[bytes]:
        while found := _FRAME.match(self._heard):
            end = found.end() + int(found[1])
            if len(self._heard) < end:
                return
            block, self._heard = self._heard[found.end() : end], self._heard[end:]
            yield block

    def _type(self) -> None:
        with contextlib.suppress(OSError):  # it takes no more now, or has ended
            self._typed = self._typed[os.write(self._near, self._typed[:_TAKEN]) :]


def _resize(near: int, rows: int, columns: int) -> None:
    most = 65535
    fcntl.ioctl(near, termios.TIOCSWINSZ, struct.pack("HHHH", min(rows, most), min(columns, most), 0, 0))


def _leave_input() -> None:
    """What is typed after the end is nothing for the next call: there is none."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
