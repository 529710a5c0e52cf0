"""Somebody at a terminal who types `fab`, and sees what it shows."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import termios
import time

from tests.support.fab import FAB, Fab


class Terminal:
    """Somebody at a terminal who types `fab`."""

    def __init__(self, fab: Fab, *words: str) -> None:
        self.near, far = os.openpty()
        self.resize(30, 100)
        command = [str(FAB), "--ssh-config", str(fab.ssh_config), *words]
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command], cwd=fab.directory, env=fab.environ, stdin=far, stdout=far, stderr=far
        )
        os.close(far)
        self.seen = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.near, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        if "$ " not in self.seen:
            self.sees("$ ")  # before that the terminal is not raw yet
        os.write(self.near, text.encode())

    def sees(self, words: str) -> None:
        give_up = time.monotonic() + 120
        while words not in self.seen:
            assert self._look() and time.monotonic() < give_up, self.seen

    def exit_code(self) -> int:
        give_up = time.monotonic() + 120
        while self._look():
            assert time.monotonic() < give_up, self.seen
        return self.process.wait(60)

    def _look(self) -> bool:
        try:
            data = os.read(self.near, 65536) if select.select([self.near], [], [], 1)[0] else b"-"
        except OSError:
            return False
        self.seen += data.decode("utf-8", "replace") if data != b"-" else ""
        return bool(data)
