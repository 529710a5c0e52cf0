"""The demo on a host that is booted for it: it tells the whole story, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from disposable_host import cache_directory, ensure_image, locked, sweep

from tests.support.rights import require_hosts

pytestmark = pytest.mark.host
DEMO = Path(__file__).parents[2] / "examples/demo.py"
STARTED = "/current/backend/.venv/bin/ouroboros-api --threads=8"


@pytest.fixture
def alone() -> Iterator[None]:
    """No other run of these tests plays the demo now: what a demo leaves is looked for on the whole machine."""
    require_hosts()
    with locked(cache_directory() / "test-demo.lock"):
        yield


def left(place: Path) -> set[str]:
    """What demos left: files, directories of their hosts, mounts and control groups."""
    hosts = {str(path) for path in (cache_directory() / "hosts").glob("demo-*")}
    mounts = {line for line in Path("/proc/mounts").read_text().splitlines() if "/hosts/demo-" in line}
    found = (path for path, _, _ in os.walk("/sys/fs/cgroup") if Path(path).name.startswith("demo-"))
    groups = {path for path in found if "/payload/" not in path}  # in a host of another test a demo may be played
    return hosts | mounts | groups | set(os.listdir(place))


@pytest.mark.usefixtures("alone")
def test_the_whole_story(tmp_path: Path) -> None:
    """Through the front door, with systemd: deploys, two failures that are taken back, a rollback; nothing is left."""
    ensure_image()
    sweep()
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    before = left(tmp_path)  # of a demo that somebody plays at the same time
    command = [sys.executable, str(DEMO), "--booted"]  # what demo.sh ends as
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert (told.returncode, told.stdout.splitlines()[-2].partition(",")[0]) == (0, "all as promised"), told
    assert "a host booted: Debian 12" in told.stdout
    assert "broken on purpose" in told.stdout  # the reason of the failure
    assert "UPLOAD_LIMIT is not a number of bytes" in told.stdout  # and of the configuration's
    assert told.stdout.count(f"{STARTED}\n") == 3  # as the host has the unit of v2, after each step
    assert told.stdout.count("\nIt is still here.\n") == 5  # the upload, after each step
    assert left(tmp_path) - before == set()
