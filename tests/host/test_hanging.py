"""What hangs in the kernel, where no signal reaches it: an activation ends all the same, and says what hangs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from oroboros_deploy.host import strays, units
from oroboros_deploy.host.process import Ended
from tests.host.test_services import UP, Systemd, ended
from tests.support.clock import within
from tests.support.local_agent import LocalAgent
from tests.support.small_filesystem import frozen, small_filesystem
from tests.support.watching import eventually

pytestmark = [
    pytest.mark.slow,  # it waits for what does not end
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]

HEALTH = {"command": ". ./health", "timeout": 0.5, "interval": 0.05, "stable_for": 0}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk on which every write hangs, as on a server that does not answer."""
    with small_filesystem(tmp_path / "disk", "ext4") as disk, frozen(disk):
        yield disk


@pytest.fixture
def hanging(disk: Path) -> Iterator[int]:
    """A process that hangs, and that somebody has killed."""
    process = subprocess.Popen(["/bin/sh", "-c", f"echo >{disk}/file"])
    assert eventually(lambda: state_of(process.pid) == "D")
    process.kill()
    yield process.pid
    subprocess.run(["fsfreeze", "--unfreeze", disk], check=True)
    process.wait(30)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize(("old", "end"), [("true", "restored"), ("hangs", "restore_failed")])
def test_a_health_command_that_hangs(host: LocalAgent, disk: Path, tmp_path: Path, old: str, end: str) -> None:
    """It is given up, and the release taken back; where the old one's hangs too, a person is told so."""
    line = f"echo >{disk}/file"
    armed = tmp_path / "armed"
    before = host.sealed("old", health=f"test ! -e {armed} || {line if old == 'hangs' else old}")
    own = {**HEALTH, "timeout": 5}  # as long as it hangs, it is waited for
    assert host.activate(before, healthcheck=own).phases[-1] == "committed"
    armed.touch()
    with within(40):
        answer = host.activate(host.sealed("new", health=line), healthcheck=HEALTH)
    state = ended(answer)
    assert (state["phase"], host.live, host.journal[-1]["outcome"]) == (end, before, end)
    assert state["reason"].count(" s and cannot be killed") == (2 if old == "hangs" else 1)


def test_a_migration_that_hangs(host: LocalAgent, disk: Path) -> None:
    """Nothing is switched, and whoever asked hears why."""
    old = host.sealed("old")
    assert host.activate(old).phases[-1] == "committed"
    with within(40):
        answer = host.activate(host.sealed("new"), migrate=f"echo >{disk}/file", migrate_timeout=0.5)
    state = ended(answer)
    assert (state["phase"], state["switched"], host.live) == ("restored", False, old)
    assert state["reason"].endswith(" s and cannot be killed")


@pytest.mark.parametrize("first", [False, True])
def test_a_service_that_hangs(host: LocalAgent, monkeypatch: pytest.MonkeyPatch, hanging: int, first: bool) -> None:
    """Neither a restart nor a stop ends it: each is told with the process that hangs, and a person is called."""
    systemd = Systemd(host, monkeypatch)
    if not first:
        assert systemd.activate(host.sealed("old")).phases[-1] == "committed"
    stuck = UP._replace(active="deactivating", sub="stop-sigkill", pid=str(hanging), job=True)
    before = systemd.unit

    def restart(names: object, deadline: float) -> Ended:
        systemd.unit = stuck
        return Ended(None, "", 10.0)

    monkeypatch.setattr(units, "restart", restart)
    monkeypatch.setattr(units, "stop", restart)
    systemd.unit = before._replace(active="inactive") if first else before
    state = ended(systemd.activate(host.sealed("new")))
    told = f"api is deactivating (stop-sigkill), its process {hanging} hangs in the kernel, where no signal reaches it"
    assert (state["phase"], state["reason"].count(told)) == ("restore_failed", 2 if first else 1)


def test_which_processes_hang(hanging: int) -> None:
    """Those that no signal reaches, and no other: not one that runs, nor one that ended."""
    found = [strays.hanging(UP._replace(pid=pid)) for pid in (str(hanging), "1", "0", str(2**22))]
    assert found == [[hanging], [], [], []]
