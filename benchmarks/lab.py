"""What both subjects work on: real hosts at the end of the delay line, each with the same application twice.

Two hundred files and three units, an API that tells its release over HTTP, a worker and a web server; once below
``/srv/ours``, once below ``/srv/script``, so that neither subject meets what the other did.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from disposable_host import DisposableHost, free_port

from tests.support.repository import Repository

FILES = 200
UPSTREAM = "/srv/upstream.git"  # on each host: where it may fetch commits from
PUBLISH = f"""\
cd {UPSTREAM} && git init --quiet --bare . && git fetch --quiet /srv/upstream.bundle +main:main
"""
PARTS = ("api", "worker", "web")
SERVE = """\
import os, socket, sys
release = os.path.basename(os.getcwd())
body = f"HTTP/1.0 200 OK\\r\\nContent-Length: {len(release)}\\r\\n\\r\\n{release}".encode()
server = socket.create_server(("127.0.0.1", int(os.environ[sys.argv[1]])), backlog=64)
while True:
    connection, _ = server.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(body)
"""
CHECK = """\
. "/etc/lab/$1"
test "$(curl --silent --max-time 2 "http://127.0.0.1:$API_PORT/healthz")" = "$(basename "$(pwd -P)")"
"""
COMMANDS = {
    "api": "/usr/bin/python3 -IS serve.py API_PORT",
    "worker": "/usr/bin/sleep infinity",
    "web": "/usr/bin/python3 -IS serve.py WEB_PORT",
}
UNIT = """\
[Unit]
Description=The %p of %i
StartLimitIntervalSec=0

[Service]
Type=exec
User=nobody
WorkingDirectory=/srv/%i/current
EnvironmentFile=/etc/lab/%i
ExecStart={command}
"""
# Both read it: one login method, no multiplexing, no question to anybody.
SSH_CONFIG = """\
Host {name}
  HostName {address}
  Port {port}
  User {user}
  IdentityFile {identity}
  IdentitiesOnly yes
  IdentityAgent none
  PreferredAuthentications publickey
  GSSAPIAuthentication no
  UserKnownHostsFile {known_hosts}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  ControlMaster no
  ControlPath none
"""


class NotServing(Exception):
    """After a run a host does not serve what was asked for: the run is no figure."""


@dataclass(frozen=True)
class Seen:
    """What sshd has logged of a host: connections, and channels with a command."""

    connections: int
    channels: int

    def since(self, before: Seen) -> Seen:
        return Seen(self.connections - before.connections, self.channels - before.channels)


def units(root: str) -> list[str]:
    """The services of the application below ``/srv/<root>``."""
    return [f"{part}@{root}" for part in PARTS]


class Lab:
    """Hosts, prepared; ``repository`` is where their releases come from."""

    def __init__(self, directory: Path, hosts: Sequence[DisposableHost], address: str, roots: Sequence[str]) -> None:
        self.hosts = list(hosts)
        self.names = [host.name for host in hosts]
        self.ssh_config = directory / "ssh_config"
        self.ssh_config.write_text("".join(_client(host, address, directory) for host in hosts))
        self.repository = Repository(directory / "source")
        ports = _free_ports(2 * len(hosts) * len(roots))
        for host in hosts:
            _prepare(host, address, {root: (ports.pop(), ports.pop()) for root in roots})

    def commit(self, text: str) -> str:
        """A release with one file changed."""
        if not (self.repository.path / "serve.py").exists():
            self._fill()
        return self.repository.commit(text, site__page__0=f"{text}\n")

    def publish(self) -> None:
        """Put all commits where the hosts fetch from."""
        for host in self.hosts:
            bundle = host.rootfs / "srv/upstream.bundle"
            git = ["git", "-C", str(self.repository.path), "bundle", "create", "--quiet", str(bundle), "main"]
            subprocess.run(git, check=True)
            host.run("install", "--directory", "--owner=deploy", UPSTREAM)
            host.run("runuser", "--user=deploy", "--", "sh", "-c", PUBLISH)

    def processes(self, root: str) -> dict[str, list[str]]:
        """The main processes of each host's services."""
        return {host.name: _main_pids(host, root) for host in self.hosts}

    def check(self, root: str, sha: str, before: dict[str, list[str]]) -> None:
        """Raise NotServing unless each service of each host is a new process that runs in the release."""
        for host in self.hosts:
            pids = _main_pids(host, root)
            places = host.run("readlink", *(f"/proc/{pid}/cwd" for pid in pids), check=False).stdout.split()
            if places != [f"/srv/{root}/releases/{sha}"] * len(PARTS) or set(pids) & set(before[host.name]):
                raise NotServing(f"{host.name}: processes {pids} (before: {before[host.name]}) run in {places}")

    def seen(self, host: DisposableHost) -> Seen:
        """What its sshd has logged so far."""
        host.run("journalctl", "--sync")
        log = host.run("journalctl", "--quiet", "--identifier=sshd", "--output=cat").stdout
        return Seen(len(re.findall("Accepted publickey", log)), len(re.findall("Starting session", log)))

    def _fill(self) -> None:
        files = {"serve.py": SERVE, "ops__check.sh": CHECK}
        files |= {f"site__page__{number}": f"page {number}\n" * 40 for number in range(FILES - len(files))}
        self.repository.commit("the application", **files)


def _client(host: DisposableHost, address: str, directory: Path) -> str:
    known_hosts = directory / f"{host.name}.known_hosts"
    known_hosts.write_text(
        (host.directory / "known_hosts").read_text().replace("[127.0.0.1]", f"[{address}]", 1),
    )
    return SSH_CONFIG.format(
        name=host.name,
        address=address,
        port=host.port,
        user=host.user,
        identity=host.identity,
        known_hosts=known_hosts,
    )


def _free_ports(count: int) -> set[int]:
    """Ports that are free and all different: the hosts share the machine's network."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return ports


def _prepare(host: DisposableHost, address: str, ports: Mapping[str, tuple[int, int]]) -> None:
    """What an administrator does once, and an sshd at the end of the line that tells what it is asked for."""
    etc = host.rootfs / "etc"
    (etc / "ssh/sshd_config.d/lab.conf").write_text(f"ListenAddress {address}\nLogLevel VERBOSE\n")
    (etc / "lab").mkdir()
    for root, (api, web) in ports.items():
        (etc / "lab" / root).write_text(f"API_PORT={api}\nWEB_PORT={web}\n")
        host.run("install", "--directory", "--owner=deploy", f"/srv/{root}")
    for part, command in COMMANDS.items():
        (etc / f"systemd/system/{part}@.service").write_text(UNIT.format(command=command))
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", "ssh")


def _main_pids(host: DisposableHost, root: str) -> list[str]:
    return host.run("systemctl", "show", "--value", "--property=MainPID", *units(root)).stdout.split()
