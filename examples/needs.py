"""What the demo needs of this machine: found out by trying, before anything is installed or built."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import cgroup

# Debian keeps these outside of an ordinary user's PATH.
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"

BOOT_TOOLS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}
FAB_TOOLS = {"git": "git", "ssh": "openssh-client", "ssh-keygen": "openssh-client"}
HERE_TOOLS = {**FAB_TOOLS, "sshd": "openssh-server", "bash": "bash"}

# A host is an overlay under a process 1 of its own; its upper layer may have to lie on a tmpfs.
_TRY = """\
mount -t tmpfs tmpfs "$1"
cd "$1"
mkdir lower upper work root
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work root
"""


class Needs(NamedTuple):
    """What this machine lacks: ``unable`` is what no package brings, ``tools`` are commands with their packages."""

    unable: list[str]
    tools: dict[str, str]

    @property
    def lacks(self) -> list[str]:
        """One line for each thing that is missing."""
        named = {name: f"the command {name}" for name in self.tools} | {"ensurepip": "Python's module ensurepip"}
        return [*self.unable, *(f"{named[tool]} (package {package})" for tool, package in self.tools.items())]

    @property
    def packages(self) -> list[str]:
        """Debian's packages that bring the missing tools."""
        return list(dict.fromkeys(self.tools.values()))


def for_booting() -> Needs:
    """What a booted host needs."""
    if sys.platform != "linux":
        return Needs([f"Linux (this is {sys.platform})"], {})
    if os.geteuid() != 0:
        return Needs([f"root (you are uid {os.geteuid()})"], _without(BOOT_TOOLS))
    refused = [*_refused_cgroups(), *_refused_mounts()] if shutil.which("unshare") else []
    return Needs(refused, _without(BOOT_TOOLS))


def for_here() -> Needs:
    """What this machine needs to be the demo's host itself."""
    if sys.platform != "linux":
        return Needs([f"Linux (this is {sys.platform})"], {})
    return Needs(_refused_login(), {**_without(HERE_TOOLS), **_without_venv()})


def for_fab() -> Needs:
    """What the demo's ``fab`` needs, wherever the host is."""
    return Needs(_old_python(), {**_without(FAB_TOOLS), **_without_venv()})


def _without(tools: dict[str, str]) -> dict[str, str]:
    return {tool: package for tool, package in tools.items() if not shutil.which(tool)}


def _without_venv() -> dict[str, str]:
    found = subprocess.run([sys.executable, "-c", "import ensurepip, venv"], capture_output=True).returncode == 0
    return {} if found else {"ensurepip": "python3-venv"}


def _old_python() -> list[str]:
    said = re.search(r"python_requires = >=(\d+)\.(\d+)", (Path(__file__).parents[1] / "setup.cfg").read_text())
    if said is None or sys.version_info >= (int(said[1]), int(said[2])):
        return []
    found = sys.version.split()[0]
    return [
        f"Python {said[1]}.{said[2]} or later ({sys.executable} is {found}): PYTHON=/path/to/python sh examples/demo.sh"
    ]


def _refused_login() -> list[str]:
    try:
        shell = pwd.getpwuid(os.getuid()).pw_shell
    except KeyError:
        return [f"a user who can log in (uid {os.getuid()} has no name on this machine)"]
    return [f"a user who can log in (the shell is {shell})"] if shell.endswith(("/nologin", "/false")) else []


def _refused_cgroups() -> list[str]:
    reason = cgroup.refused()
    return [f"the right to make control groups ({reason})"] if reason else []


def _refused_mounts() -> list[str]:
    alone = ["unshare", "--mount", "--pid", "--fork", "--mount-proc"]
    subprocess.run(["sh", "-c", "command -v modprobe && modprobe overlay"], capture_output=True)
    done = subprocess.run([*alone, "sh", "-ec", _TRY, "sh", tempfile.gettempdir()], capture_output=True, text=True)
    said = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[0]
    return [f"namespaces and overlay mounts ({said})"] if done.returncode else []
