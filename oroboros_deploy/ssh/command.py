"""One command on a host: its bytes, its exit status, and its end."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType

import paramiko

from ..errors import DeployError, HostUnreachable, InvalidInput, LineTooLong, LinkLost
from .transport import Transport

STDERR_LIMIT = 64 * 1024
LINE_LIMIT = 4 * 1024 * 1024
_CHUNK = 1024 * 1024
_PIECE = 32 * 1024
# How long one wait may last before the clock is looked at again; data wakes it at once.
_SLICE = 0.25
_TERM_SECONDS = 2.0
_KILL_SECONDS = 1.0
_OPEN_SECONDS = 2.0
# What the caller gets to notice the deadline by itself before the connection is closed under it.
_GRACE = _OPEN_SECONDS + _TERM_SECONDS + _KILL_SECONDS + 1.0
# The kernel hands a program no single argument of more than 128 KiB.
_LONGEST_LINE = 127 * 1024

# Every script first tells its process id, because sshd passes no signals to commands of root.
_ANNOUNCE = 'echo "oroboros-pid $$" >&2\n'
_ANNOUNCED = re.compile(rb"^oroboros-pid ([0-9]+)\n", re.MULTILINE)
# It runs on its own to the end, even if the connection is lost meanwhile.
_REAP = """end() {{ kill -s "$1" -- -{pid} 2>/dev/null || kill -s "$1" {pid} 2>/dev/null; }}
end TERM
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do end 0 || exit 0; sleep 0.1; done
end KILL"""


def shell_line(script: str) -> str:
    """The line that makes any login shell (POSIX ones, fish and csh) run ``script`` with /bin/sh.

    Raises InvalidInput when the script cannot travel on a command line.
    """
    # In single quotes csh takes newlines and "!" for its own, fish a backslash before a quote: /bin/sh decodes them.
    encoded = re.sub(r"['\\\n!]", lambda found: f"\\0{ord(found[0]):03o}", script)
    line = f"""exec /bin/sh -c 'eval "$(printf %b "$0")"' '{encoded}'"""
    if "\0" in script:
        raise InvalidInput("a script for a host holds a NUL byte")
    if len(line.encode()) > _LONGEST_LINE:
        raise InvalidInput(f"a script for a host is longer than {_LONGEST_LINE} bytes", hint="send it as input")
    return line


class Command:
    """A running command.  Leaving its ``with`` block kills it if it still runs.

    ``deadline`` limits the whole command and ``silence`` every wait for it, both
    in seconds.  When either is over, or the connection is gone, the command is
    killed as far as it can be reached, and LinkLost is raised: what it did is not
    known.  It never reconnects.
    """

    def __init__(
        self, transport: Transport, script: str, *, host: str, deadline: float, silence: float | None = None
    ) -> None:
        self._transport = transport
        self._host = host
        self._deadline = deadline
        self._silence = silence
        self._end = time.monotonic() + deadline
        self._heard = time.monotonic()
        self._stderr = b""
        self._pid: int | None = None
        self._pid_known = threading.Event()
        self._channel: paramiko.Channel | None = None
        self._started = threading.Event()
        self._guard = threading.Thread(target=self._watch, name="ssh-command-guard", daemon=True)
        self._guard.start()
        try:
            self._running = self._start(shell_line(_ANNOUNCE + script))
        finally:
            self._started.set()

    def __enter__(self) -> Command:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def ended(self) -> bool:
        """Whether it has ended, as far as is known here; one whose connection is gone has."""
        return self._running.status_event.is_set() or not self._transport.is_active()

    @property
    def stderr(self) -> bytes:
        """The last 64 KiB of standard error; complete once ``wait`` has returned."""
        return self._stderr

    def extend(self, deadline: float) -> None:
        """Let the command run so many seconds more, from now on; for one that is asked for more than one thing."""
        self._deadline = deadline
        self._end = time.monotonic() + deadline

    def write(self, data: bytes) -> None:
        """Send bytes to standard input.

        What a command that has ended no longer reads is dropped: its exit status
        tells.  Raises LinkLost.
        """
        position, since = 0, time.monotonic()
        while position < len(data):
            self._check(since)
            try:
                sent = self._running.send(data[position : position + _PIECE])
            except TimeoutError:
                continue
            except (OSError, EOFError):
                sent = 0
            if not sent:
                return self._check_ended()
            position, since = position + sent, time.monotonic()
        return None

    def close_stdin(self) -> None:
        """Send the end of standard input."""
        with suppress(OSError, EOFError):
            self._running.shutdown_write()

    def lines(self) -> Iterator[bytes]:
        """The lines of standard output without their newlines, as they come, byte for byte.

        The rest after the last newline, if any, is the last line.  Raises LinkLost, and LineTooLong for one of
        more than 4 MiB.
        """
        rest = b""
        while chunk := self._receive():
            *complete, rest = (rest + chunk).split(b"\n")
            yield from complete
            if len(rest) > LINE_LIMIT:
                self.kill()
                raise LineTooLong(f"the command sent a line longer than {LINE_LIMIT} bytes", host=self._host)
        if rest:
            yield rest

    def wait(self) -> int:
        """Drop the rest of standard output and return the exit status.

        A command killed by signal n has the status 128 + n.  Raises LinkLost.
        """
        while self._receive():
            pass
        since = time.monotonic()
        while not self._running.status_event.wait(_SLICE):
            self._check(since)
        if self._running.exit_status < 0:
            raise self._broken()
        self._guard.join(_SLICE)
        return self._running.exit_status

    def kill(self) -> None:
        """End the command: TERM, after 2 s KILL, then close the channel.  Never raises."""
        patience = (_TERM_SECONDS, _KILL_SECONDS)
        try:
            self._reap()
        except paramiko.ChannelException:
            # No room for another session; a signal needs none, but sshd passes none to root.
            pass
        except (OSError, EOFError, paramiko.SSHException):
            patience = (0, 0)
        for name, seconds in zip(("TERM", "KILL"), patience, strict=True):
            self._signal(name, seconds)
        self._close()

    def _reap(self) -> None:
        if self.ended or not self._pid_known.wait(_OPEN_SECONDS):
            return
        with self._transport.open_session(timeout=_OPEN_SECONDS) as channel:
            self._transport.send_command(channel, shell_line(_REAP.format(pid=self._pid)))
            self._running.status_event.wait(_TERM_SECONDS + _KILL_SECONDS)

    def _signal(self, name: str, seconds: float) -> None:
        if not self.ended:
            with suppress(OSError, EOFError, paramiko.SSHException):
                self._transport.send_signal(self._running, name)
                self._running.status_event.wait(seconds)

    def _start(self, line: str) -> paramiko.Channel:
        try:
            self._channel = channel = self._transport.open_command(line, timeout=self._deadline)
            channel.settimeout(_SLICE)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._not_started(error) from None
        except BaseException:
            self._abandon()
            raise
        return channel

    def _abandon(self) -> None:
        # Ctrl-C, while the command may be running already.
        if self._channel is None:
            self._transport.close()
            return
        self._running = self._channel
        self._started.set()
        self.kill()

    def _not_started(self, error: Exception) -> DeployError:
        if isinstance(error, paramiko.ChannelException):
            return self._refused(error.text)
        self._transport.close()  # it may have started all the same, and nobody would read what it says
        return self._lost("the host stopped answering, or the connection was lost, when the command was to start")

    def _refused(self, reason: str) -> HostUnreachable:
        return HostUnreachable(
            f"the server refused to run a command: {reason}",
            hint="look at sshd_config on the host (MaxSessions) and at authorized_keys (command=) of the login",
            host=self._host,
        )

    def _receive(self) -> bytes:
        since = time.monotonic()
        while True:
            try:
                data = self._running.recv(_CHUNK)
            except TimeoutError:
                self._check(since)
                continue
            except (OSError, EOFError):
                raise self._broken() from None
            if not data:
                self._check_ended()
                return data
            self._heard = time.monotonic()
            self._check(since)
            return data

    def _check(self, waiting_since: float) -> None:
        now = time.monotonic()
        if now > self._end:
            self.kill()
            raise self._lost(f"the command was still running after {self._deadline:g} s and was stopped")
        # Silence counts only while somebody listens: a busy caller is not a dead host.
        if self._silence is not None and now - max(self._heard, waiting_since) > self._silence:
            self.kill()
            raise self._lost(f"nothing was heard from the command for {self._silence:g} s")

    def _check_ended(self) -> None:
        cut_off = not self._running.eof_received and self._running.exit_status < 0
        if cut_off or self._transport.refused(self._running):
            raise self._broken()

    def _broken(self) -> DeployError:
        if self._transport.refused(self._running):
            return self._refused("Channel closed.")
        self.kill()
        return self._lost("the connection was lost while the command ran")

    def _lost(self, problem: str) -> LinkLost:
        return LinkLost(problem, hint=f"see what the host did: fab -H {self._host} status", host=self._host)

    def _close(self) -> None:
        with suppress(OSError, EOFError, paramiko.SSHException):
            self._running.close()
        self._guard.join(_KILL_SECONDS)

    def _watch(self) -> None:
        patience = min(self._deadline, self._silence or self._deadline)
        if not self._started.wait(patience):
            # Nothing else wakes a thread that waits for the server's reply on a stalled connection.
            self._transport.close()
        elif self._channel:
            self._drain(self._channel)

    def _drain(self, channel: paramiko.Channel) -> None:
        while True:
            try:
                data = channel.recv_stderr(_CHUNK)
            except TimeoutError:
                data = None
            except (OSError, EOFError):
                return
            if data == b"":
                return
            if data:
                self._heard = time.monotonic()
                self._keep(data)
            elif time.monotonic() > self._end + _GRACE:
                self._transport.close()

    def _keep(self, data: bytes) -> None:
        self._stderr = (self._stderr + data)[-STDERR_LIMIT:]
        if self._pid is None and (announced := _ANNOUNCED.search(self._stderr)):
            self._pid = int(announced[1])
            self._stderr = self._stderr[: announced.start()] + self._stderr[announced.end() :]
            self._pid_known.set()
