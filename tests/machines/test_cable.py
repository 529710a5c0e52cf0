"""The link between the control node and its host fails after the switch: the host ends alone, and `fab` finds out how.

The cable is real as far as both kernels can tell. In one direction only, it loses packets because their frames are
addressed to nobody (tests/support/cable.py).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.machines.test_power_cut import WAIT, await_phase, await_true, journal, state
from tests.support.cable import CUTS, CabledHost, Cut
from tests.support.fab import Fab
from tests.support.oracle import processes
from tests.support.shop import Shop, current, serving, set_gate_timeout

pytestmark = pytest.mark.host
# What a person writes who wants to know of a dead link sooner than after 30 s.
SOONER = "Host *\n  ServerAliveInterval 2\n  ServerAliveCountMax 3\n"


@pytest.fixture
def host(image: Path) -> Iterator[CabledHost]:
    with CabledHost("cabled", image) as host:
        yield host


@pytest.fixture
def shop(tmp_path: Path, host: CabledHost) -> Shop:
    """Its gate waits as long as a test keeps it waiting."""
    shop = Shop(tmp_path / "shop", host)
    set_gate_timeout(shop, 60)
    return shop


@pytest.fixture
def fab(fab: Fab) -> Fab:
    fab.ssh_config.write_text(fab.ssh_config.read_text() + SOONER)
    return fab


@pytest.fixture
def old(shop: Shop, fab: Fab) -> str:
    """A release that is live."""
    sha = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={sha}")
    return sha


Start = Callable[[str], "Running"]


class Running:
    """A deploy that waits in its gate, after the switch, and what it has said so far."""

    def __init__(self, host: CabledHost, fab: Fab, sha: str) -> None:
        host.run("touch", "/tmp/gate")
        self.host = host
        self.process = fab.start("-H", "prod", "deploy", f"--sha={sha}")
        self.said = ""
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        await_phase(host, "restarted")

    def go_on(self) -> None:
        """Let the gate decide."""
        self.host.run("rm", "/tmp/gate")

    def ends(self) -> int:
        """Its exit code."""
        self._listener.join(90)
        _, err = self.process.communicate(timeout=10)
        self.said += err
        return self.process.returncode

    def kill(self) -> None:
        """End it, however far it is; harmless when it has ended."""
        self.process.kill()
        self._listener.join()
        self.process.communicate()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line


@pytest.fixture
def start(host: CabledHost, fab: Fab) -> Iterator[Start]:
    """Start a deploy that the test goes on with."""
    started: list[Running] = []

    def start(sha: str) -> Running:
        started.append(Running(host, fab, sha))
        return started[-1]

    yield start
    for running in started:
        running.kill()


@pytest.mark.parametrize("cut", CUTS)
def test_a_cable_that_is_cut(host: CabledHost, shop: Shop, fab: Fab, start: Start, old: str, cut: Cut) -> None:
    """The host commits while the link is dead; `fab` finds back by itself as soon as it is mended: exit code 0."""
    new = shop.release(check=WAIT + "true")
    running = start(new)
    host.cable.cut(cut)
    running.go_on()
    await_phase(host, "committed")
    assert (current(host), serving(host)) == (new, new)
    await_true(lambda: "trying again in" in running.said)
    host.cable.mend()
    assert running.ends() == 0, running.said
    assert fab.statuses() == {old: "replaced", new: "deployed"}


def test_a_bad_release_behind_a_cut_cable(host: CabledHost, shop: Shop, fab: Fab, start: Start, old: str) -> None:
    """The host restores while nobody can reach it; `fab` learns of it afterwards: exit code 10, with the reason."""
    bad = shop.release(check=WAIT + "echo no database; exit 78")
    running = start(bad)
    host.cable.cut("both ways")
    running.go_on()
    await_phase(host, "restored")
    assert (current(host), serving(host)) == (old, old)
    await_true(lambda: "trying again in" in running.said)
    host.cable.mend()
    assert running.ends() == 10, running.said
    assert "the health command exited 78" in running.said
    assert fab.statuses() == {old: "deployed", bad: "deploy_failed"}


def test_a_cable_that_is_mended_soon(host: CabledHost, shop: Shop, fab: Fab, start: Start, old: str) -> None:
    """An interruption shorter than the keepalive is nothing to talk about."""
    running = start(shop.release(check=WAIT + "true"))
    host.cable.cut("both ways")
    threading.Event().wait(2)
    host.cable.mend()
    running.go_on()
    assert (running.ends(), "trying again" in running.said) == (0, False), running.said


def test_a_cable_that_stays_cut(host: CabledHost, shop: Shop, fab: Fab, start: Start, old: str) -> None:
    """After `reconnect_timeout` it is exit code 40 and the command that tells; that command and the next deploy do."""
    settings = shop.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text() + "  reconnect_timeout: 5\n")
    new = shop.release(check=WAIT + "true")
    running = start(new)
    host.cable.cut("both ways")
    running.go_on()
    assert running.ends() == 40, running.said
    assert f"fab --ssh-config={fab.ssh_config} -H prod status" in running.said
    assert "Traceback" not in running.said
    await_phase(host, "committed")
    host.cable.mend()
    status = fab.ok("-H", "prod", "status", "--json").json[host.name]
    assert (status["live"], status["last"]["phase"], status["journal"][-1]["outcome"]) == (
        new,
        "committed",
        "committed",
    )
    again = fab.ok("-H", "prod", "deploy", f"--sha={new}")
    assert "was live already" in again.said
    assert [entry["target"] for entry in journal(host)] == [old, new]


@pytest.mark.parametrize("which", ["its session", "all of it"])
def test_sshd_is_frozen(host: CabledHost, shop: Shop, fab: Fab, start: Start, old: str, which: str) -> None:
    """A server that answers nothing, though its kernel acknowledges everything, is noticed and tried again."""
    new = shop.release(check=WAIT + "true")
    running = start(new)
    frozen = sshds(host, sessions_only=which == "its session")
    signal_all(frozen, signal.SIGSTOP)
    running.go_on()
    await_phase(host, "committed")
    await_true(lambda: "trying again in" in running.said)
    if which == "all of it":
        signal_all(frozen, signal.SIGCONT)
    assert running.ends() == 0, running.said
    assert (current(host), serving(host)) == (new, new)


def test_sshd_is_killed(host: CabledHost, shop: Shop, fab: Fab, start: Start, old: str) -> None:
    """A session that is killed is replaced by another within seconds."""
    new = shop.release(check=WAIT + "true")
    running = start(new)
    signal_all(sshds(host), signal.SIGKILL)
    await_true(lambda: "trying again in 1 s" in running.said)
    running.go_on()
    assert running.ends() == 0, running.said
    assert fab.statuses() == {old: "replaced", new: "deployed"}


def test_a_laptop_that_is_closed(host: CabledHost, shop: Shop, fab: Fab, start: Start, old: str) -> None:
    """Asleep for longer than the keepalive, `fab` wakes up, makes another connection and tells the outcome."""
    new = shop.release(check=WAIT + "true")
    running = start(new)
    running.process.send_signal(signal.SIGSTOP)
    host.cable.cut("both ways")
    running.go_on()
    await_phase(host, "committed")
    assert serving(host) == new
    threading.Event().wait(12)
    host.cable.mend()
    running.process.send_signal(signal.SIGCONT)
    assert running.ends() == 0, running.said
    assert fab.statuses() == {old: "replaced", new: "deployed"}


def test_a_cable_that_is_cut_before_the_switch(host: CabledHost, shop: Shop, fab: Fab, old: str) -> None:
    """While it builds, a dead link ends the deploy: exit code 50, nothing was switched, and the same command works."""
    settings = shop.repository.path / "fabric.yaml"
    step = "steps: [{name: compile, command: 'touch ~/.cache/builds; sleep 2'}]"
    settings.write_text(settings.read_text().replace("venvs: {}", "venvs: {}, " + step))
    new = shop.release()
    running = fab.start("-H", "prod", "deploy", f"--sha={new}")
    await_true(lambda: host.run("test", "-e", "/home/deploy/.cache/builds", check=False).returncode == 0)
    host.cable.cut("both ways")
    out, err = running.communicate(timeout=60)
    assert (running.returncode, "nothing was switched" in err, state(host)["target"]) == (50, True, old), out + err
    host.cable.mend()
    fab.ok("-H", "prod", "deploy", f"--sha={new}")
    assert (current(host), serving(host)) == (new, new)


def sshds(host: CabledHost, *, sessions_only: bool = False) -> list[int]:
    """The servers' processes: ``sshd: deploy@notty`` is a session, ``sshd: /usr/sbin/sshd`` waits for new ones."""
    found = {pid: argv[0] for pid, argv in processes(host).items() if argv[0].startswith("sshd: ")}
    return [pid for pid, title in found.items() if not (sessions_only and "/sshd" in title)]


def signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
