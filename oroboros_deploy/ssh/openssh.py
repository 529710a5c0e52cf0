"""Asking OpenSSH's own client what the ssh_config files say: ``ssh -G``, which connects to nothing.

It reads Include, Match, quotes and canonical names as the user's own ``ssh`` does, for it is that.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress

from ..errors import ConfigError
from .answer import Values, read

DEADLINE = 30.0  # seconds: a Match exec may hang, and canonical names are looked up
_LINES = 5  # of what ssh complains about; more than that is one mistake told many times


class NoOpenSsh(Exception):
    """There is no program ``ssh`` here, or none that works for this user."""


class Question:
    """A running ``ssh -G``, with the environment of whoever runs this; raises NoOpenSsh where there is none."""

    def __init__(self, host: str, flags: Sequence[str] = ()) -> None:
        _refuse_nobody()
        self._host = host
        self._asked = threading.Lock()
        self._values: Values | None = None
        # Not a pipe: what a Match exec leaves running may hold it open for ever.
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the answer
        try:
            self._process = subprocess.Popen(
                ["ssh", "-TG", *flags, "--", host],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                start_new_session=True,  # so that a Match exec that hangs can be ended with it
            )
        except OSError as error:
            self._complaints.close()
            raise NoOpenSsh(error.strerror) from None

    def answer(self) -> Values:
        """What it printed, for any number of threads.

        Raises ConfigError, in ssh's own words, when it refuses the configuration or does not end in time.
        """
        with self._asked:
            if self._values is None:
                self._values = self._wait()
        return self._values

    def _wait(self) -> Values:
        with self._complaints, self._process:
            try:
                printed, _ = self._process.communicate(timeout=DEADLINE)
            except subprocess.TimeoutExpired:
                raise self._error(
                    f"`ssh -G` did not end within {DEADLINE:g} s", "look for a Match exec that hangs"
                ) from None
            finally:
                self._end()
            if self._process.returncode:
                raise self._error(
                    f"ssh refuses its configuration: {self._said()}", f"compare with: ssh -G {self._host}"
                )
        return read(printed.decode("utf-8", "surrogateescape"))

    def _end(self) -> None:
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _said(self) -> str:
        self._complaints.seek(0)
        lines = self._complaints.read().decode("utf-8", "replace").split("\n")
        return "; ".join(filter(None, map(_clean, lines[-_LINES - 1 :]))) or f"exit {self._process.returncode}"

    def _error(self, problem: str, hint: str) -> ConfigError:
        return ConfigError(problem, hint=hint, host=self._host)


class Usual:
    """What ``ssh`` does where no file says anything; one process finds it out once."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._question: Question | None = None

    def ask(self) -> Question:
        """Begin to find it out, unless that has begun."""
        with self._starting:
            if self._question is None:
                self._question = Question("localhost", ["-F", "none"])
        return self._question


def _refuse_nobody() -> None:
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        raise NoOpenSsh("ssh serves nobody who has no name on this machine") from None


def _clean(line: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in line.strip())
