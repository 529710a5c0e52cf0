"""The demo on a host that is booted for it: it tells the whole story, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from disposable_host import cache_directory, ensure_image, sweep

from tests.support.rights import require_hosts

pytestmark = pytest.mark.host
DEMO = Path(__file__).parents[2] / "examples/demo.py"
STARTED = "/current/backend/.venv/bin/ouroboros-api --threads=8"


def left(place: Path) -> tuple[list[str], list[str], list[str], list[str]]:
    """What a demo left: files, directories of its host, mounts and control groups."""
    hosts = [path.name for path in (cache_directory() / "hosts").glob("demo-*")]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if "/hosts/demo-" in line]
    groups = [path for path, _, _ in os.walk("/sys/fs/cgroup") if Path(path).name.startswith("demo-")]
    return os.listdir(place), hosts, mounts, groups


def test_the_whole_story(tmp_path: Path) -> None:
    """Through the front door, with systemd: deploys, two failures that are taken back, a rollback; nothing is left."""
    require_hosts()
    ensure_image()
    sweep()
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    before = left(tmp_path)
    command = [sys.executable, str(DEMO), "--booted"]  # what demo.sh ends as
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert (told.returncode, told.stdout.splitlines()[-2].partition(",")[0]) == (0, "all as promised"), told
    assert "a host booted: Debian 12" in told.stdout
    assert "broken on purpose" in told.stdout  # the reason of the failure
    assert "UPLOAD_LIMIT is not a number of bytes" in told.stdout  # and of the configuration's
    assert told.stdout.count(f"{STARTED}\n") == 3  # as the host has the unit of v2, after each step
    assert told.stdout.count("\nIt is still here.\n") == 5  # the upload, after each step
    assert left(tmp_path) == before == ([], [], [], [])
