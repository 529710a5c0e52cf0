"""The local command that an ssh_config ProxyCommand reaches a host through."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile

_GRACE_SECONDS = 2.0


class Proxy:
    """A running ProxyCommand; ``socket`` is its standard input and output."""

    def __init__(self, command: str) -> None:
        self.socket, remote = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the proxy
        with remote:
            self._process = subprocess.Popen(
                [os.environ.get("SHELL") or "/bin/sh", "-c", f"exec {command}"],  # the user's shell, as ssh does it
                stdin=remote.fileno(),
                stdout=remote.fileno(),
                stderr=self._stderr,
                # Ctrl-C must reach us first: we still have something to say to the host.
                start_new_session=True,
            )

    def complaint(self) -> str:
        """The last line the command wrote to its standard error."""
        self._stderr.seek(0)
        lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""

    def close(self) -> None:
        """End the command."""
        self.socket.close()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_SECONDS)
        self._process.kill()
        self._process.wait()
        self._stderr.close()
