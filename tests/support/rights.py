"""What a machine allows, found out by trying: a test that needs what is refused is skipped with what was said."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

import cgroup
import pytest
from disposable_host import missing

MOUNT = ("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt")  # in a namespace that ends with it

IMMUTABLE = 'chattr +i "$1" && chattr -i "$1"'  # of a shell, for not every machine has chattr

GIVE = """\
test "$(id -u)" = 0 || { echo "this is uid $(id -u)" >&2; exit 1; }
file=$(mktemp)
trap 'rm -f "$file"' EXIT
chown 65534 "$file"
"""


def require(needs: str, *command: str) -> None:
    """Skip the test when this command, which does what the test needs and changes nothing, does not work."""
    if said := refused(*command):
        pytest.skip(f"needs {needs}: {said}")


@cache
def refused(*command: str) -> str:
    """What a command said that failed; empty when it did not fail."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    return (ran.stderr.strip() or f"{command[0]} exited {ran.returncode}") if ran.returncode else ""


def require_mount() -> None:
    """Skip the test where nothing can be mounted."""
    require("the right to mount", *MOUNT)


def require_immutable(directory: Path) -> None:
    """Skip the test where the filesystem of this directory, or this user, can make no file that nobody can change."""
    trial = directory / "immutable"
    trial.touch()
    try:
        require("files that nobody can change", "sh", "-c", IMMUTABLE, "sh", str(trial))
    finally:
        trial.unlink()


def require_another_user() -> None:
    """Skip the test where no process can become another user's."""
    require("the right to become another user", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "true")


def require_giving_away() -> None:
    """Skip the test where this is not root, or a root that cannot give a file to another user."""
    require("root's right to give files to others", "sh", "-ec", GIVE)


def require_hosts() -> None:
    """Skip the test where no host can be booted, or where its systemd would not hear that a service has ended."""
    if lacks := [*missing(), *filter(None, [cgroup.unheard()])]:
        pytest.skip(f"a real host needs {', '.join(lacks)}")


def above(path: Path) -> list[Path]:
    """The directories above a test's own that pytest made; a worker of pytest-xdist has one more than a run alone."""
    return [parent for parent in path.parents if Path(tempfile.gettempdir()) in parent.parents]
