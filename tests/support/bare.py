"""A Debian host as it comes, and `fab` on a terminal: what `setup` meets."""

from __future__ import annotations

import os
import pty
import select
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from disposable_host import DisposableHost

from tests.support.fab import FAB, Fab, Ran

_STATE = "find /etc /srv /home /root /usr/bin /var/lib/systemd/linger -xdev -printf '%p %y %m %U %s %T@\\n' | sort"


def reaches_packages(host: DisposableHost) -> None:
    """Skip where the host reaches no packages of Debian."""
    ran = host.run("apt-get", "update", "-qq", check=False)
    if ran.returncode:
        pytest.skip(f"needs Debian's packages: {ran.stderr.strip()}")


def state(host: DisposableHost) -> str:
    """All that an administrator may have done to a host: names, owners, modes, sizes and times."""
    return host.run("sh", "-c", _STATE, check=False).stdout


def sudo_login(host: DisposableHost, login: str, password: str) -> None:
    """A user who logs in with root's key, and becomes root by sudo with a password."""
    host.run("useradd", "--create-home", "--shell", "/bin/bash", "--groups", "sudo", login)
    host.run("chpasswd", stdin=f"{login}:{password}\n")
    keys = Path("/home") / login / ".ssh"
    host.run("install", "-d", "-m", "700", "-o", login, "-g", login, str(keys))
    host.run("install", "-m", "600", "-o", login, "/root/.ssh/authorized_keys", f"{keys}/authorized_keys")


def may(host: DisposableHost, login: str) -> list[str]:
    """What sudo lets a user do, in sudo's own words."""
    said = host.run("sudo", "-l", "-U", login).stdout.splitlines()
    return [line.strip() for line in said if line.startswith("    (")]


def in_terminal(fab: Fab, *arguments: str, answers: Sequence[tuple[str, str]], seconds: float = 600) -> Ran:
    """Run `fab` on a terminal of its own, and type each answer when its question has come."""
    process, terminal = pty.fork()
    if not process:
        os.chdir(fab.directory)
        os.execve(FAB, [str(FAB), "--ssh-config", str(fab.ssh_config), *arguments], fab.environ)
    said, left, end = "", list(answers), time.monotonic() + seconds
    while time.monotonic() < end:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            said += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # it has ended
            break
        if left and left[0][0] in said:
            os.write(terminal, f"{left.pop(0)[1]}\n".encode())
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return Ran(status, said.replace("\r\n", "\n"), "")
