"""The demo on a machine whose caller has a service manager of their own: it plays with a unit there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from disposable_host import DisposableHost, ensure_image

from tests.support.rights import refused, require_hosts

pytestmark = pytest.mark.host
ROOT = Path(__file__).resolve().parents[2]
LOOK = r"""
import json, os, pathlib, subprocess
files = [str(path) for path in pathlib.Path.home().joinpath(".config").rglob("*")]
pgrep = ["pgrep", "--uid", str(os.getuid()), "--full", "[o]roboros-demo-"]
found = subprocess.run(pgrep, capture_output=True, text=True).stdout
print(json.dumps([files, found, os.listdir("/tmp")]))
"""


@pytest.fixture
def machine() -> Iterator[DisposableHost]:
    """A Debian 12 with a checkout, whose ordinary user has a manager that lingers, and no right of sudo."""
    require_hosts()
    with DisposableHost("linger", ensure_image()) as host:
        checkout = host.rootfs / "home/deploy/checkout"
        if failed := refused("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(checkout)):
            pytest.skip(f"needs a git repository to clone: {failed}")
        host.run("sh", "-c", "rm /etc/sudoers.d/*; chown -R deploy: /home/deploy; loginctl enable-linger deploy")
        host.run("sh", "-c", "until test -S /run/user/1000/bus; do sleep 0.05; done")
        yield host


def left(machine: DisposableHost) -> list[object]:
    """What is in the login's directory of settings, which processes of a demo it has, and what lies in /tmp."""
    line = f"HOME=/home/deploy python3 -c '{LOOK}'"
    files, processes, places = json.loads(machine.run("sh", "-c", line, user="deploy").stdout)
    return [files, processes, [place for place in places if place.startswith("oroboros")]]


def test_it_plays_with_a_unit_and_leaves_nothing(machine: DisposableHost) -> None:
    """The whole story by the login's own manager; SIGTERM in the middle of another one takes its unit away, too."""
    before = left(machine)
    demo = "cd /home/deploy/checkout && HOME=/home/deploy exec sh examples/demo.sh --here"
    told = machine.run("sh", "-c", demo, user="deploy", check=False, timeout=900)
    assert (told.returncode, "your own service manager (systemctl --user)" in told.stdout) == (0, True), told
    assert "broken on purpose" in told.stdout
    assert "UPLOAD_LIMIT is not a number of bytes" in told.stdout
    assert told.stdout.count("/ouroboros-api --threads=8\n") == 3  # as the host has the unit of v2, after each step
    assert told.stdout.count("\nIt is still here.\n") == 5
    assert told.stdout.splitlines()[-1].startswith("all as promised")
    assert left(machine) == before == [[], "", []]
    until = "until ls /home/deploy/.config/systemd/user/oroboros-boot-*; do sleep 0.1; done"
    killed = f"({demo}) & {until} >/dev/null 2>&1; kill -TERM $!; wait $!"
    stopped = machine.run("bash", "-c", killed, user="deploy", check=False, timeout=300)
    assert (stopped.returncode, left(machine)) == (143, before), stopped
