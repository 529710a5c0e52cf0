"""This machine as the demo's host: an sshd of the caller's own on 127.0.0.1, no root and no systemd.

    with Here(scratch) as host:
        subprocess.run(["ssh", "-F", host.ssh_config, "demo", "uptime"])

All that it starts and writes is in ``scratch``, and ends with it.
"""

from __future__ import annotations

import getpass
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, TracebackType

START_SECONDS = 10
TOOLS_OWN = (".cache", ".npm")  # in the home: a build makes them for its tools, which may not use them
# The API and its virtual environment alone: npm and a front door may not be there.
SETTINGS = """\
deploy:
  services: []
  shared: {uploads: dir}
  env: {file: infra/ouroboros.env, values: {}, secrets: {names: [UPLOAD_KEY]}}
  build: {frontend: null, venvs: {backend: [backend]}}
  healthcheck: {timeout: 20, interval: 0.5, stable_for: 0}
"""


class HereError(Exception):
    """This machine could not be made the demo's host; the message has the reason."""


class Here:
    """The host is up inside the ``with`` block; ``ssh_config`` names it ``demo``."""

    files: Mapping[str, str] = MappingProxyType({"fabric.yaml": SETTINGS})
    unit = installed = ""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.root = str(scratch / "root")
        self.ssh_config = scratch / "ssh_config"
        self.port = 0
        self._sshd: subprocess.Popen[bytes] | None = None
        self._made: list[Path] = []

    def __enter__(self) -> Here:
        self._make_keys()
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
        self._made += [path for name in TOOLS_OWN if not (path := home / name).exists()]
        try:
            for _ in range(5):  # the port is free when it is chosen, and may be gone when sshd takes it
                if self._start():
                    self._try_login()
                    return self
            raise HereError(f"sshd does not start\n{self._log()}")
        except BaseException:
            self.stop()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def told(self) -> str:
        """What the demo says of this host."""
        return f"this machine is the host: its sshd on 127.0.0.1:{self.port}, its deploy root in {self.root}"

    @property
    def settings(self) -> dict[str, str]:
        """The variables that fab needs for this host."""
        gate = [sys.executable, str(Path(__file__).with_name("start_api.py")), str(self.scratch)]
        return {
            "DEPLOY_ROOT": self.root,
            "DEPLOY_SKIP_SERVICE_RESTART": "1",
            "DEPLOY_HEALTHCHECK_CMD": shlex.join(gate),
        }

    def get(self, path: str) -> tuple[str, str]:
        """What the API answers to a path, and the command that asks the same."""
        return f"curl {self._api(path)}", ask(self.scratch, path)

    def put(self, path: str, content: str, key: str) -> tuple[str, str]:
        """What the API answers to a file, and the command that sends the same."""
        answer = ask(self.scratch, path, put=content, authorization=f"Bearer {key}")
        send = f'curl --request PUT --header "Authorization: Bearer $UPLOAD_KEY" --data "{content}"'
        return f"{send} {self._api(path)}", answer

    def look(self, *argv: str) -> str:
        """Run a command here."""
        return subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout.strip()

    def _api(self, path: str) -> str:
        return f"--unix-socket {self.scratch}/api.sock http://localhost/api/{path}"

    def stop(self) -> None:
        """End all that runs for the demo: sshd, its sessions, activations, and the API."""
        if self._sshd:
            self._sshd.kill()
            self._sshd.wait()
        self._end()
        for directory in self._made:
            with suppress(OSError):
                directory.rmdir()

    def _end(self) -> None:
        end_all(self.scratch)

    def _make_keys(self) -> None:
        for name in ("identity", "host_key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f", str(self.scratch / name)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        shutil.copy(self.scratch / "identity.pub", self.scratch / "authorized_keys")

    def _start(self) -> bool:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._write_settings()
        self._make_room()
        command = [str(shutil.which("sshd")), "-D", "-f", str(self.scratch / "sshd_config")]
        nothing = subprocess.DEVNULL
        self._sshd = subprocess.Popen(
            [*command, "-E", str(self.scratch / "sshd.log")], stdin=nothing, stdout=nothing, stderr=nothing
        )
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._sshd.poll() is None:
            if f"listening on 127.0.0.1 port {self.port}" in self._log():
                return True
            time.sleep(0.02)
        return False

    def _try_login(self) -> None:
        """An sshd whose rights were taken away may listen, and let nobody in."""
        login = ["ssh", "-F", str(self.ssh_config), "demo", "true"]
        if subprocess.run(login, stdin=subprocess.DEVNULL, capture_output=True).returncode:
            raise HereError(f"sshd lets nobody in\n{self._log()}")

    def _make_room(self) -> None:
        """An sshd of root wants a directory that Debian's own service makes."""
        room = Path("/run/sshd")
        if os.geteuid() == 0 and not room.exists():
            room.mkdir(mode=0o755)
            self._made.append(room)

    def _write_settings(self) -> None:
        place = self.scratch
        (place / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {place}/host_key\n"
            f"AuthorizedKeysFile {place}/authorized_keys\nPidFile none\nUsePAM no\nStrictModes no\n"
            "PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        )
        (place / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {(place / 'host_key.pub').read_text()}")
        self.ssh_config.write_text(
            f"Host demo\n  HostName 127.0.0.1\n  Port {self.port}\n  User {getpass.getuser()}\n"
            f"  IdentityFile {place}/identity\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {place}/known_hosts\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n"
        )

    def _log(self) -> str:
        log = self.scratch / "sshd.log"
        return log.read_text(errors="replace") if log.exists() else ""


def ask(scratch: Path, path: str, put: str | None = None, authorization: str = "") -> str:
    """What the API on its socket in ``scratch`` answers to a path, or to what is ``put`` there.

    Raises OSError while nothing serves there.
    """
    first = f"GET /api/{path} HTTP/1.0" if put is None else f"PUT /api/{path} HTTP/1.0"
    headers = f"Host: localhost\r\nAuthorization: {authorization}\r\nContent-Length: {len(put or '')}"
    with socket.socket(socket.AF_UNIX) as api:
        api.settimeout(5)
        api.connect(str(scratch / "api.sock"))
        api.sendall(f"{first}\r\n{headers}\r\n\r\n{put or ''}".encode())
        answer = b"".join(iter(lambda: api.recv(65536), b""))
    return answer.partition(b"\r\n\r\n")[2].decode()


def is_alive(pid: int) -> bool:
    """Whether a process runs: one that has ended may be left in the table, where nobody asks for how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def end_all(scratch: Path) -> None:
    """Kill all others that were started in the scratch directory or name it, and wait up to 5 s for their end."""
    for _ in range(100):
        found = list(_processes(scratch))
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return
        time.sleep(0.05)


def _processes(scratch: Path) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            said = (entry / "cmdline").read_bytes() + b"\0" + os.fsencode(os.readlink(entry / "cwd"))
            if os.fsencode(scratch) in said and int(entry.name) != os.getpid() and is_alive(int(entry.name)):
                yield int(entry.name)
