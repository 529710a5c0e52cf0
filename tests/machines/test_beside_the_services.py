"""What an operator does beside the services of a real host: reads what they said, and runs a line as they would."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable

import pytest
from disposable_host import DisposableHost

from tests.support.at_a_terminal import Terminal
from tests.support.fab import Fab
from tests.support.shop import Shop

pytestmark = pytest.mark.host

API = "echo the api has begun; n=0; while :; do n=$((n+1)); echo order $n; sleep 1; done"


def test_logs_run_and_console(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """The journal for a login that may not read it, followed and left; a line and a shell as the service's user."""
    sha = shop.release(api=API)
    fab.ok("-H", "prod", "deploy", f"--sha={sha}")
    assert "systemd-journal" not in host.run("id", user="deploy").stdout
    ran = fab.ok("-H", "prod", "logs")
    assert "sh[" in ran.out and ": the api has begun\n" in ran.out and ": order 1\n" in ran.out
    only = fab.ok("-H", "prod", "logs", "--grep=has begun", "--since=-1h", "--json")
    assert [line["message"] for line in map(_json, only.out.splitlines())] == ["the api has begun"]
    assert fab("-H", "prod", "logs", "--since=soonish").code == 2

    following = fab.start("-H", "prod", "logs", "--follow", "--lines=1")
    assert following.stdout
    seen = [following.stdout.readline() for _ in range(3)]
    assert all(": order " in line for line in seen)
    following.send_signal(signal.SIGINT)
    following.communicate(timeout=60)
    assert following.returncode == 0
    await_true(lambda: host.run("pgrep", "journalctl", check=False).stdout == "")
    assert "oroboros-command" not in host.run("systemctl", "list-units", "--plain", "--no-legend").stdout

    ran = fab("-H", "prod", "run", "id -un; pwd -P; echo $DEPLOY_RELEASE; exit 7")
    assert (ran.code, ran.out) == (1, f"nobody\n/srv/shop/releases/{sha}\n{sha}\n"), ran.said
    assert f"{host.name}: the line exited 7" in ran.err
    running = fab.start("-H", "prod", "run", "echo begun; exec sleep 4711")
    assert running.stdout and running.stdout.readline() == "begun\n"
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == 130
    await_true(lambda: host.run("pgrep", "-f", "sleep 4711$", check=False).stdout == "")
    assert fab("-H", "prod", "run", "true", "--service=nowhere").code == 2
    last = fab.ok("audit", "-H", "prod", "--json").json[host.name]["entries"][-1]
    assert (last["kind"], last["reason"]) == ("run", "echo begun; exec sleep 4711")

    console = Terminal(fab, "-H", host.name, "console")
    console.type("id -un; pwd -P; echo :$DEPLOY_RELEASE:$(stty size):; sudo -n id\r")
    console.sees(f"nobody\r\n/srv/shop/releases/{sha}\r\n:{sha}:30 100:")
    console.resize(40, 120)
    console.type("echo =$(stty size)=\r")
    console.sees("=40 120=")
    console.type("sleep 4712; echo cut\r")
    await_true(lambda: host.run("pgrep", "-f", "sleep 4712$", check=False).stdout != "")
    console.type("\x03echo goes on: $?\r")
    console.sees("goes on: 130")
    console.type("exit 9\r")
    assert console.exit_code() == 9, console.seen
    assert "uid=0" not in console.seen
    console = Terminal(
        fab, "-H", host.name, "console", "--line=trap '' HUP INT TERM; echo begun; sleep 4713; sleep 4713"
    )
    console.sees("begun")
    console.process.kill()
    console.exit_code()
    await_true(lambda: host.run("pgrep", "-f", "sleep 4713$", check=False).stdout == "")
    await_true(lambda: "oroboros-command" not in host.run("systemctl", "list-units", "--plain", "--no-legend").stdout)
    ran = fab("-H", host.name, "console")
    assert (ran.code, "a console needs a terminal" in ran.err, "run LINE" in ran.err) == (2, True, True)


def _json(line: str) -> dict[str, object]:

    found: dict[str, object] = json.loads(line)
    return found


def await_true(condition: Callable[[], bool], seconds: float = 60) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it never came to that"
        time.sleep(0.05)
