"""A real Debian host to throw away: systemd, sshd and sudo, booted in a second on Linux as root.

    with DisposableHost("demo", ensure_image()) as host:
        host.run("systemctl", "status")
        subprocess.run(["ssh", "-F", host.ssh_config, "demo", "uptime"])

A host is the image under an overlay of its own, booted by systemd-nspawn. It shares the machine's network (its sshd
listens on 127.0.0.1 and a free port) and leaves nothing behind.
"""

from __future__ import annotations

import fcntl
import os
import random
import shlex
import shutil
import socket
import subprocess
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

import cgroup
from host_image import NSPAWN, HostError, cache_directory, ensure_image, locked, missing, tail

__all__ = ["DisposableHost", "HostError", "cache_directory", "ensure_image", "free_port", "missing", "sweep"]

BOOT_SECONDS = 30
CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"


class DisposableHost:
    """One host, alive inside its ``with`` block; ``name`` is its hostname and its alias in ``ssh_config``.

    ``port`` is its sshd's, ``http_port`` another free one for what is deployed there, ``rootfs`` its file system as
    seen from the machine. ``user`` logs in by key, owns /srv/oroboros and may sudo systemctl and systemd-run only;
    root logs in with the same key.
    """

    user = "deploy"
    address = "127.0.0.1"
    network: tuple[str, ...] = ()  # options of systemd-nspawn; none: the machine's own network

    def __init__(self, name: str, image: Path) -> None:
        self.name = name
        self.image = image
        self.directory = cache_directory() / "hosts" / f"{name}-{uuid.uuid4().hex[:8]}"
        self.rootfs = self.directory / "rootfs"
        self.ssh_config = self.directory / "ssh_config"
        self.identity = self.directory / "id_ed25519"
        self.port = free_port()
        self.http_port = free_port()
        self._owner: IO[str] | None = None
        self._nspawn: subprocess.Popen[bytes] | None = None
        self.leader = 0

    def __enter__(self) -> DisposableHost:
        sweep()
        try:
            self.boot()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def boot(self) -> None:
        """Start the host, or start it again after ``power_cut``; returns when its boot is finished and sshd answers.

        Raises HostError, with the end of its console, when it does not come up within 30 seconds.
        """
        if not self.directory.exists():
            self._create()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(b"")  # the kernel chooses an abstract address
            self._nspawn = self._spawn(notify)
            self._await_ready(notify)
        self.run("systemctl", "is-active", "--quiet", "ssh.service")

    def run(
        self, *argv: str, check: bool = True, user: str | None = None, stdin: str | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, without ssh, as root or as ``user``; raises HostError when it fails and ``check``."""
        enter = ["nsenter", f"--target={self.leader}", "--all", "--root", "--wd"]
        clean = ["/usr/bin/env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG=C.UTF-8"]
        become = ["runuser", f"--user={user}", "--"] if user else ["HOME=/root"]
        command = [*enter, *clean, *become, *argv]
        # A host that shuts down stops its processes first, and nsenter with them: it would wait for ever.
        done = subprocess.run(command, input=stdin or "", text=True, capture_output=True, timeout=timeout)
        if check and done.returncode:
            raise HostError(f"{shlex.join(argv)} on {self.name} failed ({done.returncode})\n{done.stdout}{done.stderr}")
        return done

    @property
    def is_up(self) -> bool:
        """Whether its first process lives."""
        return Path(f"/proc/{self.leader}").exists()

    def power_cut(self) -> None:
        """Kill everything inside at once, as a lost power supply does; ``boot`` starts it again on the same disk."""
        cgroup.kill(self.directory)
        if self._nspawn:
            self._nspawn.kill()  # only when it was interrupted before it joined its cgroup
            self._nspawn.wait()

    def stop(self) -> None:
        """Kill the host and remove every trace of it; harmless when it is gone."""
        if self._owner:
            self.power_cut()
            with locked(cache_directory() / "hosts.lock"):  # a sweep would open the lock of the owner anew
                _remove(self.directory)
            self._owner.close()
            self._owner = None

    def _create(self) -> None:
        with locked(cache_directory() / "hosts.lock"):
            for part in ("rootfs", "layers"):
                (self.directory / part).mkdir(parents=True)
            self._owner = _own(self.directory)
        self._mount()
        self._personalise(self.rootfs / "etc")
        self._arrange_login()

    def _mount(self) -> None:
        """Mount the host's file system; where the cache is an overlay itself, what is written lies in memory."""
        try:
            self._mount_overlay()
        except HostError:
            _do("mount", "-t", "tmpfs", "tmpfs", str(self.directory / "layers"))
            self._mount_overlay()

    def _mount_overlay(self) -> None:
        layers = self.directory / "layers"
        for part in ("upper", "work"):
            (layers / part).mkdir(exist_ok=True)
        options = f"lowerdir={self.image},upperdir={layers}/upper,workdir={layers}/work"
        _do("mount", "-t", "overlay", "overlay", "-o", options, str(self.rootfs))

    def _personalise(self, etc: Path) -> None:
        (etc / "hostname").write_text(f"{self.name}\n")
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n")
        (etc / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
        (etc / "ssh/sshd_config.d/host.conf").write_text(f"ListenAddress {self.address}\nPort {self.port}\n")
        if Path("/", CA_BUNDLE).exists():  # it trusts what this machine trusts
            shutil.copy(Path("/", CA_BUNDLE), self.rootfs / CA_BUNDLE)

    def _arrange_login(self) -> None:
        host_key = self.rootfs / "etc/ssh/ssh_host_ed25519_key"
        for key in (self.identity, host_key):
            _do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", str(key))
        for home, uid in (("root", 0), ("home/deploy", 1000)):
            authorized = self.rootfs / home / ".ssh/authorized_keys"
            if authorized.parent.is_dir():  # a bare host has root alone
                shutil.copy(self.identity.with_suffix(".pub"), authorized)
                os.chown(authorized, uid, uid)
        known_hosts = self.directory / "known_hosts"
        known_hosts.write_text(f"[{self.address}]:{self.port} {host_key.with_suffix('.pub').read_text()}")
        self.ssh_config.write_text(
            f"Host {self.name}\n  HostName {self.address}\n  Port {self.port}\n  User {self.user}\n"
            f"  IdentityFile {self.identity}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {known_hosts}\n  StrictHostKeyChecking yes\n"
        )

    def _spawn(self, notify: socket.socket) -> subprocess.Popen[bytes]:
        nspawn = [*NSPAWN, f"--directory={self.rootfs}", f"--machine={self.directory.name}", f"--hostname={self.name}"]
        nspawn += ["--boot", "--notify-ready=yes", "--timezone=off", "--console=read-only", *self.network]
        # With --keep-unit two hosts in one cgroup would manage each other's services: each gets its own.
        join = [f"echo $$ > {shlex.quote(str(group))}/cgroup.procs" for group in cgroup.make(self.directory)]
        with (self.directory / "console.log").open("ab") as console:
            return subprocess.Popen(
                ["sh", "-ec", "\n".join([*join, f"exec {shlex.join(nspawn)}"])],
                env={**os.environ, "NOTIFY_SOCKET": f"@{notify.getsockname()[1:].decode()}"},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    def _await_ready(self, notify: socket.socket) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        notify.settimeout(0.1)
        while time.monotonic() < deadline and self._nspawn and self._nspawn.poll() is None:
            try:
                message = dict(line.split("=", 1) for line in notify.recv(4096).decode().splitlines())
            except TimeoutError:
                continue
            self.leader = int(message.get("X_NSPAWN_LEADER_PID", self.leader))
            if message.get("READY") == "1":
                return
        raise HostError(f"the host {self.name} did not boot\n{tail(self.directory / 'console.log')}")


def sweep() -> None:
    """Remove the hosts whose owners died before they could."""
    with locked(cache_directory() / "hosts.lock"):
        for directory in (cache_directory() / "hosts").glob("*"):
            try:
                owner = _own(directory)
            except BlockingIOError:
                continue
            with owner, suppress(HostError):  # somebody may still look into it: the next sweep removes it
                cgroup.kill(directory)
                _remove(directory)


def free_port() -> int:
    """A port on 127.0.0.1 that nothing uses, below the range that outgoing connections draw from."""
    for port in random.sample(range(20000, 32000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise HostError("no free port between 20000 and 32000 on 127.0.0.1")


def _own(directory: Path) -> IO[str]:
    """Take the lock that tells a living owner; it goes with the process. Raises BlockingIOError when it lives."""
    owner = (directory / "owner").open("a")
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner.close()
        raise
    return owner


def _remove(directory: Path) -> None:
    for part in ("rootfs", "layers"):
        if (directory / part).is_mount():
            _do("umount", str(directory / part))
    cgroup.remove(directory)
    # Somebody may have made a file there that not even root can remove; without e2fsprogs nobody has.
    with suppress(FileNotFoundError):
        subprocess.run(["chattr", "-R", "-f", "-i", str(directory)], stdin=subprocess.DEVNULL, capture_output=True)
    shutil.rmtree(directory)


def _do(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise HostError(f"{shlex.join(argv)} failed\n{done.stderr.strip()}")
