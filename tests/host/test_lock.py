"""The lock is held by a living process and by nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from oroboros_deploy.host import lock
from tests.support.watching import eventually

_HOLD = "from oroboros_deploy.host import lock; import pathlib, sys, time\nwith lock.take(pathlib.Path(sys.argv[1])): "


def holder(path: Path, then: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", _HOLD + then, str(path)], stdout=subprocess.PIPE)
    assert eventually(lambda: path.exists() and lock.is_held(path))
    return process


def test_a_lock_dies_with_its_holder(tmp_path: Path) -> None:
    """A killed holder leaves nothing to unlock, and the file stays for the next."""
    path = tmp_path / "lock"
    process = holder(path, "time.sleep(60)")
    with pytest.raises(lock.Held), lock.take(path, wait=0.1):
        pass
    process.kill()
    process.communicate()
    assert (lock.is_held(path), path.exists()) == (False, True)


def test_a_daemon_left_behind_does_not_keep_the_lock(tmp_path: Path) -> None:
    """Children do not inherit it."""
    path = tmp_path / "lock"
    process = holder(path, "time.sleep(0.3); import subprocess; subprocess.Popen(['sleep', '5'], stdout=-3)")
    process.communicate()
    assert not lock.is_held(path)


def test_waiting_ends_when_the_lock_is_free(tmp_path: Path) -> None:
    """Somebody who waits long enough gets it."""
    process = holder(tmp_path / "lock", "time.sleep(0.3)")
    with lock.take(tmp_path / "lock", wait=5):
        assert lock.is_held(tmp_path / "lock")
    process.communicate()


def test_those_who_ask_are_not_taken_for_holders(tmp_path: Path) -> None:
    """Any number may look at the lock at the same moment and all see it free."""
    import fcntl

    path = tmp_path / "lock"
    with lock.take(path, kind=fcntl.LOCK_SH):  # what asking does, stretched out
        assert not lock.is_held(path)


def test_looking_writes_nothing(tmp_path: Path) -> None:
    """A lock that was never taken is not held, and whoever looks does not make its file."""
    assert (lock.is_held(tmp_path / "lock"), list(tmp_path.iterdir())) == (False, [])
