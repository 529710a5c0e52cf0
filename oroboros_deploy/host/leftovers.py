"""What this login cannot wholly remove of a release, for others wrote there: root removes it, where sudo allows that.

Root is asked by the rule that this login has for `systemd-run`, and gets a view of the host in which nothing can be
written but below the one directory that was set aside.  So whoever owns a directory in there leads it nowhere else.

Pruning alone asks root: that may take minutes, for which no build has to wait.
"""

from __future__ import annotations

import os
import shlex
import stat
import time
from pathlib import Path

from . import manager, process, seal, units
from .annotations import List, Optional

LONGEST = 300.0  # seconds that root may take for all; what is left then is removed by the next pruning
_ENDING = 10.0
# `rm` opens each directory from the one above it and follows no link, and sees no other file system.
_REMOVE = ("/bin/rm", "-rf", "--one-file-system", "--")
# The place that is covered has nothing to do with it: without such a wish systemd goes on where it can give no view.
_VIEW = (
    *("ProtectSystem=strict", "PrivateDevices=yes", "ProtectKernelTunables=yes", "ProtectControlGroups=yes"),
    *("TemporaryFileSystem=/var/cache:ro", "NoNewPrivileges=yes", "CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_FOWNER"),
)


def remove(aside: Path, until: float) -> None:
    """Delete what was set aside; raises OSError where neither this login nor root can, ``until`` then.

    That is of the monotonic clock, and the same for all that one pruning removes.
    """
    try:
        seal.remove(aside)
    except OSError:
        if not _removed_by_root(aside, until):
            raise


def remove_all(releases: Path, until: float) -> None:
    """Try again to delete what was set aside; it was told when that failed first."""
    seal.discard_set_aside(releases)
    left = seal.set_aside_before(releases)
    if left and _may_ask():
        for path in left:
            _empty(path, until)


def told(aside: Path, error: OSError) -> str:
    """What is left, why, and what removes it."""
    return f"the rest is in {aside}: {error.strerror} (on the host, as root: {line(aside)})"


def line(aside: Path) -> str:
    """What root types."""
    return f"rm -rf --one-file-system -- {shlex.quote(str(aside))}"


def _removed_by_root(aside: Path, until: float) -> bool:
    return _may_ask() and _empty(aside, until)


def _may_ask() -> bool:
    """Whether this login is not root already, and sudo lets it ask systemd."""
    system = manager.chosen()
    asks = os.getuid() != 0 and system.present and system.as_root("/bin/true") is not None
    return asks and not units.refused(restarts=False)


def _empty(aside: Path, until: float) -> bool:
    """Let root remove all that is in there; the directory itself is this login's to remove, which tells how it went."""
    left = until - time.monotonic()
    command = _command(aside, left) if left > 0 else None
    if command is None:
        return False
    process.run(command, cwd=Path("/"), deadline=until + _ENDING)
    try:
        os.rmdir(aside)
    except OSError:
        return False
    return True


def _command(aside: Path, seconds: float) -> Optional[List[str]]:
    """What removes the content of a directory; None where it may not be what was set aside."""
    if not _is_ours(aside):
        return None
    options = [
        f"--property={each}" for each in (*_VIEW, f"RuntimeMaxSec={seconds:.3f}", f"ReadWritePaths={_quoted(aside)}")
    ]
    return manager.chosen().as_root(*_REMOVE, str(aside), options=options)


def _is_ours(aside: Path) -> bool:
    """Whether it is a directory that nobody but this login can have put, or can put another thing in the place of."""
    above, status = os.lstat(aside.parent), os.lstat(aside)
    alone = above.st_uid == os.getuid() and not above.st_mode & 0o022
    return alone and stat.S_ISDIR(above.st_mode) and stat.S_ISDIR(status.st_mode) and status.st_dev == above.st_dev


def _quoted(path: Path) -> str:
    """A path as systemd reads a list of them."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
