"""A real OpenSSH server on a loopback port, with keys that are thrown away.

    with Sshd(tmp_path) as sshd, connect("box", SshOptions(config_path=sshd.config_path)) as host:
        ...

It runs as the user who runs the tests and logs in only as that user.  Several can
run at once, each in a directory of its own.
"""

from __future__ import annotations

import getpass
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import pytest

from tests.support import mounted

BINARY = "/usr/sbin/sshd"
_START_SECONDS = 10.0


def _why_not() -> str:
    """Why no server can be started here; empty when one can."""
    if not (os.access(BINARY, os.X_OK) and shutil.which("ssh-keygen")):
        return f"needs OpenSSH's server: {BINARY} and ssh-keygen (apt-get install openssh-server)"
    try:
        shell = pwd.getpwuid(os.getuid()).pw_shell
    except KeyError:
        return f"needs a user who can log in: {os.getuid()} has no name on this machine"
    return "" if not shell.endswith(("/nologin", "/false")) else f"needs a user who can log in: the shell is {shell}"


_REASON = _why_not()

requires_sshd = pytest.mark.skipif(bool(_REASON), reason=_REASON)


def keygen(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make a key pair at ``path`` and ``path``.pub, and return ``path``."""
    bits = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-C", "", "-f", str(path)], check=True, timeout=30
    )
    return path


class Sshd:
    """A server that is up inside its ``with`` block; skips the test where there is no sshd.

    ``alias`` is the Host in the ssh_config file it writes at ``config_path``;
    ``settings`` are lines for sshd_config, which win over its own; ``instead`` (for root) are files
    that the server sees in place of others; it skips where nothing can be mounted.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        directory: Path,
        *,
        alias: str = "box",
        host_keys: Iterable[str] = ("ed25519",),
        settings: str = "",
        instead: Mapping[str, Path] | None = None,
    ) -> None:
        if _REASON:
            pytest.skip(_REASON)
        self.directory = directory
        self.alias = alias
        self.user = getpass.getuser()
        self.port = 0
        directory.mkdir(parents=True, exist_ok=True)
        self.identity = keygen(directory / "identity")
        self._host_keys = {kind: keygen(directory / f"host_{kind}", kind) for kind in host_keys}
        self._log = directory / "sshd.log"
        self._settings = settings
        self._instead = dict(instead or {})
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Sshd:
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        # The port is free when it is chosen and may be gone when sshd binds it.
        for _ in range(5):
            self.port = self.port or _free_port()
            if self._start():
                return self
            self.port = 0
        raise RuntimeError(f"sshd does not start:\n{self.log()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the listening server."""
        assert self._process is not None
        return self._process.pid

    @property
    def known_hosts_line(self) -> str:
        """The known_hosts lines, without final newline, that make a client trust this server."""
        return "\n".join(f"[{self.host}]:{self.port} {self.host_key(kind)}" for kind in self._host_keys)

    @property
    def known_hosts(self) -> Path:
        """The file with those lines, which the ssh_config file points to."""
        return self.directory / "known_hosts"

    @property
    def config_path(self) -> str:
        """An ssh_config file with a Host ``alias`` for this server."""
        return str(self.directory / "ssh_config")

    def host_key(self, kind: str = "ed25519") -> str:
        """The public host key: ``type base64``."""
        return " ".join(Path(f"{self._host_keys[kind]}.pub").read_text().split()[:2])

    def log(self) -> str:
        """What the server has logged."""
        return self._log.read_text() if self._log.exists() else ""

    def sessions(self) -> list[int]:
        """The process ids of the server's children: one or two for each connection."""
        return _descendants(self.pid, named="sshd")

    def signal(self, name: signal.Signals) -> None:
        """Send every child of the server a signal, and those that it started meanwhile; one that has ended is none."""
        told: set[int] = set()
        while fresh := set(self.sessions()) - told:
            for pid in fresh:
                _signal(pid, name)
            told |= fresh

    def processes(self) -> list[int]:
        """The process ids of all that runs below the server, commands too."""
        return _descendants(self.pid)

    def write_config(self, *lines: str) -> str:
        """Write the ssh_config file again, with more lines for the alias; return its path."""
        block = [
            f"HostName {self.host}",
            f"Port {self.port}",
            f"User {self.user}",
            f"IdentityFile {self.identity}",
            "IdentitiesOnly yes",
            "IdentityAgent none",
            f"UserKnownHostsFile {self.known_hosts}",
            "GlobalKnownHostsFile none",
            "StrictHostKeyChecking yes",
        ]
        # The first value wins in ssh_config, so what the test says comes first.
        Path(self.config_path).write_text(
            f"Host {self.alias}\n" + "".join(f"    {line}\n" for line in [*lines, *block])
        )
        return self.config_path

    def stop(self) -> None:
        """Stop the server and every session it still has."""
        if self._process is None:
            return
        doomed = [*self.processes(), self.pid]
        for name in (signal.SIGCONT, signal.SIGKILL):
            for pid in doomed:
                _signal(pid, name)
        self._process.wait(10)
        self._process = None

    def _start(self) -> bool:
        shutil.copy(f"{self.identity}.pub", self.directory / "authorized_keys")
        (self.directory / "sshd_config").write_text(self._config())
        self.known_hosts.write_text(self.known_hosts_line + "\n")
        self.write_config()
        command = [BINARY, "-D", "-f", str(self.directory / "sshd_config"), "-E", str(self._log)]
        if self._instead:
            command = mounted.command(command, self._instead)
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            if f"listening on {self.host} port {self.port}" in self.log():
                return True
            time.sleep(0.005)
        self.stop()
        return False

    def _config(self) -> str:
        # bash reads ~/.bashrc for every sshd command unless SHLVL says it is not the first shell.
        keys = "\n".join(f"HostKey {path}" for path in self._host_keys.values())
        return f"""{self._settings}
Port {self.port}
ListenAddress {self.host}
{keys}
AuthorizedKeysFile {self.directory / "authorized_keys"}
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
UseDNS no
LogLevel VERBOSE
{_patience(self._settings)}
Subsystem sftp internal-sftp
SetEnv SHLVL=2
"""


def _patience(settings: str) -> str:
    """Lines that let a test log in, and fail to, as often as it likes, unless its own settings say otherwise."""
    said = subprocess.run(["ssh", "-V"], capture_output=True, text=True).stderr
    version = re.match(r"OpenSSH_(\d+)\.(\d+)", said)
    penalties = version is not None and (int(version[1]), int(version[2])) >= (9, 8)
    lines = ["MaxStartups 100", *(["PerSourcePenalties no"] if penalties else [])]
    return "\n".join(line for line in lines if line.split()[0] not in settings)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _descendants(root: int, named: str = "") -> list[int]:
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            head, _, tail = (entry / "stat").read_text().rpartition(") ")
        except OSError:
            continue
        state, parent = tail.split()[:2]
        if state != "Z":
            pid = int(entry.name)
            names[pid], parents[pid] = head.partition("(")[2], int(parent)
    below = [pid for pid in parents if _is_below(pid, root, parents)]
    return [pid for pid in below if names[pid].startswith(named)]


def _is_below(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid in parents and parents[pid] != root:
        pid = parents[pid]
    return pid in parents


def _signal(pid: int, name: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, name)
