"""Activations on a real systemd host: how each kind of failure ends, asked of the host itself."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from disposable_host import DisposableHost

from oroboros_deploy import Registry
from tests.support.fab import Fab
from tests.support.shop import ROOT, SERVE, Shop, current, serving

pytestmark = pytest.mark.host

UNIT = "oroboros-activate.service"
LOOP = "exit 1"
LATER = "sleep 0.4; exit 1"
MISSING = "exec /no/such/binary"


def test_settings_alone_deploy_an_unknown_application(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A repository with its own root, units and health script deploys with settings alone, and twice is a no-op."""
    first, second = shop.release(), shop.release(check="test -d services")
    fab.ok("-H", "prod", "deploy", f"--sha={first}")
    assert (current(host), serving(host), serving(host, "shop-mailer")) == (first, first, first)
    fab.ok("-H", "prod", "deploy", f"--sha={second}")
    assert (current(host), serving(host), serving(host, "shop-mailer")) == (second, second, second)
    again = fab.ok("-H", "prod", "deploy", f"--sha={second}")
    assert "already" in again.out
    assert fab.statuses() == {first: "replaced", second: "deployed"}


@pytest.mark.parametrize(
    ("api", "check", "cause"),
    [
        (SERVE, "echo no route to the database; exit 3", "the health command exited 3"),
        (SERVE, "trap '' TERM; sleep 600 & sleep 600", "did not end within"),
        (LOOP, "true", "shop-api is"),
        (LATER, "true", "shop-api is"),
        (MISSING, "true", "shop-api is"),
    ],
    ids=["failing gate", "hanging gate", "crash loop", "dies a little later", "missing binary"],
)
def test_a_bad_release_is_taken_back(
    host: DisposableHost, shop: Shop, fab: Fab, api: str, check: str, cause: str
) -> None:
    """Whatever is wrong with a release, the previous one serves again, the exit code is 10 and the cause is said."""
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    bad = shop.release(api=api, check=check)
    ran = fab("-H", "prod", "deploy", f"--sha={bad}")
    assert (ran.code, current(host), serving(host)) == (10, good, good)
    assert cause in ran.out
    assert fab.statuses() == {good: "deployed", bad: "deploy_failed"}
    assert "sleep 600" not in host.run("ps", "-eo", "args").stdout


@pytest.mark.parametrize(
    ("pause", "check"), [("0", "true"), ("0.4", "true"), ("1.5", "exit 1")], ids=["at once", "later", "again and again"]
)
def test_the_last_words_of_a_service_are_told(
    tmp_path: Path, host: DisposableHost, shop: Shop, fab: Fab, pause: str, check: str
) -> None:
    """What a service said before it ended is what `fab` says, and is kept on the host and in the registry."""
    fab.ok("-H", "prod", "deploy", f"--sha={shop.release()}")
    bad = shop.release(api=f"sleep {pause}; echo no water >&2; exit 1", check=check)
    ran = fab("-H", "prod", "deploy", f"--sha={bad}")
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as registry:
        [attempt] = registry.reader.attempts(limit=1).items
    kept = host.rootfs / ROOT.removeprefix("/") / ".deploy/attempts" / attempt["attempt"] / "result.json"
    told = [ran.out, kept.read_text(), attempt["hosts"][0]["log"]]
    assert (ran.code, ["no water" in each for each in told]) == (10, [True] * 3), ran.said


@pytest.mark.parametrize("check", ["true", "exit 1"], ids=["failed at last", "again and again"])
def test_the_reason_of_a_crash_is_told_however_much_was_said_before(
    host: DisposableHost, shop: Shop, fab: Fab, check: str
) -> None:
    """Of a service that says more than is shown, its last words are shown, in the order in which they were said."""
    fab.ok("-H", "prod", "deploy", f"--sha={shop.release()}")
    talk = "sleep 0.2; for i in $(seq 40); do echo start $i; done; echo half a reason; echo the real reason >&2; exit 1"
    ran = fab("-H", "prod", "deploy", f"--sha={shop.release(api=talk, check=check)}")
    first, _, last = ran.out.rpartition("the real reason")
    assert (ran.code, "half a reason" in first, "half a reason" in last) == (10, True, False), ran.said
    assert "start 1\n" not in ran.out


def test_a_restart_that_systemd_refuses_is_taken_back(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A unit whose start fails outright ends like any other bad release (the old script left it live)."""
    unit = host.rootfs / "etc/systemd/system/shop-api.service"
    unit.write_text(unit.read_text().replace("ExecStart=/bin/sh", f"ExecStart={ROOT}/current/bin/server"))
    host.run("systemctl", "daemon-reload")
    (shop.repository.path / "bin").mkdir()
    server = shop.repository.path / "bin/server"
    server.write_text('#!/bin/sh\nexec /bin/sh "$@"\n')
    server.chmod(0o755)
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    server.unlink()
    ran = fab("-H", "prod", "deploy", f"--sha={shop.release()}")
    assert (ran.code, current(host), serving(host)) == (10, good, good)
    assert "systemctl restart exited 1: shop-api is" in ran.out


def test_a_systemd_that_is_executed_anew_is_no_failure(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """While systemd starts itself again it answers nobody; the activation asks again and takes nothing back."""
    fab.ok("-H", "prod", "deploy", f"--sha={shop.release()}")
    anew = "until [ -e /tmp/gating ]; do sleep 0.05; done; for i in 1 2 3 4 5 6; do systemctl daemon-reexec; done"
    host.run("systemd-run", "--quiet", "--unit=anew", "sh", "-c", anew)
    new = shop.release(check="touch /tmp/gating")
    fab.ok("-H", "prod", "deploy", f"--sha={new}")
    assert (current(host), serving(host)) == (new, new)


def test_a_restart_that_systemd_would_refuse_is_refused_before(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A unit that only a dependency may start or stop is named before anything is switched or marked bad."""
    good, other = shop.release(), shop.release(check="test -d ops")
    for sha in (other, good):
        fab.ok("-H", "prod", "deploy", f"--sha={sha}")
    unit = host.rootfs / "etc/systemd/system/shop-api.service"
    unit.write_text(unit.read_text().replace("[Unit]", "[Unit]\nRefuseManualStart=yes"))
    host.run("systemctl", "daemon-reload")
    commands = (("deploy", f"--sha={shop.release(check='test -d .')}"), ("rollback", f"--release={other}"))
    for command in commands:
        ran = fab("-H", "prod", *command)
        assert (ran.code, current(host), serving(host)) == (2, good, good), ran.said
        assert "refuse to restart" in ran.said
        assert "shop-api" in ran.said
    assert host.run("ls", f"{ROOT}/.deploy/bad", check=False).stdout == ""


def test_a_first_deploy_that_fails_is_not_left_live(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """With nothing to go back to, no release is live, the services are stopped, and the exit code is 11."""
    bad = shop.release(check="exit 78")
    ran = fab("-H", "prod", "deploy", f"--sha={bad}")
    assert (ran.code, current(host), serving(host)) == (11, None, None)
    assert fab.statuses() == {bad: "deploy_failed"}
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    assert serving(host) == good


def test_the_gate_waits_until_the_services_listen(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A service that needs two seconds to be ready passes a gate that gives it five."""
    slow = shop.release(api=f"rm -f /tmp/ready; sleep 2; touch /tmp/ready; {SERVE}", check="test -f /tmp/ready")
    fab.ok("-H", "prod", "deploy", f"--sha={slow}")
    assert serving(host) == slow


def test_a_release_that_used_up_the_start_limit_can_be_replaced(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A unit that systemd has given up on is started again by the next deploy."""
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    host.run("sh", "-c", "for i in 1 2 3 4 5 6 7; do systemctl restart shop-api; done", check=False)
    assert host.run("systemctl", "is-failed", "shop-api", check=False).stdout.strip() == "failed"
    better = shop.release(check="test -d ops")
    fab.ok("-H", "prod", "deploy", f"--sha={better}")
    assert serving(host) == better


def test_a_start_limit_with_nothing_to_clear_is_left_alone(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """Units that were just started are cleared; those whose starts count no more are not, as sudo's log tells."""

    def cleared() -> int:
        host.run("journalctl", "--sync")
        said = host.run("journalctl", "--quiet", "--identifier=sudo", "--output=cat").stdout.splitlines()
        return sum("reset-failed" in line and "--help" not in line for line in said)  # --help: it only asks sudo

    good, better = shop.release(), shop.release(check="test -d ops")
    for sha in (good, better):
        fab.ok("-H", "prod", "deploy", f"--sha={sha}")
    before = cleared()
    for unit in ("shop-api", "shop-mailer"):
        limit = host.rootfs / f"etc/systemd/system/{unit}.service.d/limit.conf"
        limit.parent.mkdir()
        limit.write_text("[Unit]\nStartLimitIntervalSec=1ms\n")
    host.run("systemctl", "daemon-reload")
    fab.ok("-H", "prod", "rollback", f"--release={good}")
    assert (before, cleared(), serving(host)) == (2, 2, good)


def test_a_rollback_that_fails_its_gate_goes_back(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A rollback is gated like a deploy: when its target fails, the release it left serves again."""
    old = shop.release(check="test ! -e /tmp/broken || exit 78")
    new = shop.release()
    for sha in (old, new):
        fab.ok("-H", "prod", "deploy", f"--sha={sha}")
    host.run("touch", "/tmp/broken")
    ran = fab("rollback", f"--release={old}")
    assert (ran.code, current(host), serving(host)) == (10, new, new)
    assert fab.statuses() == {old: "rollback_failed", new: "deployed"}


def test_two_deploys_at_once(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """One host takes one activation at a time: the other control node is told who holds it, with exit code 20."""
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    settings = shop.repository.path / "fabric.yaml"
    settings.write_text(settings.read_text().replace("timeout: 5", "timeout: 60"))
    slow = shop.release(check="until [ -e /tmp/go ]; do sleep 0.1; done")
    first = fab.start("-H", "prod", "deploy", f"--sha={slow}")
    _await_phase(host, "restarted")
    second = fab("-H", "prod", "rollback", f"--release={good}")
    host.run("touch", "/tmp/go")
    out, _ = first.communicate(timeout=60)
    assert (first.returncode, second.code) == (0, 20), (out, second.said)
    assert f"deploy of {slow} by " in second.said
    assert serving(host) == slow


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_control_node_dies(host: DisposableHost, shop: Shop, fab: Fab, number: int) -> None:
    """When `fab` dies after the switch, the host finishes alone: here it restores, for the release is bad."""
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    running = fab.start("-H", "prod", "deploy", f"--sha={shop.release(check='sleep 1; exit 1')}")
    _await_phase(host, "restarted")
    running.send_signal(number)
    running.communicate(timeout=30)
    _await_phase(host, "restored")
    assert (current(host), serving(host)) == (good, good)


def test_ctrl_c_before_the_switch(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """Interrupted while it builds, a deploy exits 130, leaves nothing running, no half-built release, and no switch."""
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    settings = shop.repository.path / "fabric.yaml"
    step = "steps: [{name: compile, command: 'sleep 300 & sleep 301'}]"
    settings.write_text(settings.read_text().replace("venvs: {}", "venvs: {}, " + step))
    bad = shop.release()
    running = fab.start("-H", "prod", "deploy", f"--sha={bad}")
    _await(lambda: "sleep 301" in host.run("ps", "-eo", "args").stdout)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert (running.returncode, "nothing was switched" in err, "Traceback" in err) == (130, True, False), err
    _await(lambda: "sleep 30" not in host.run("ps", "-eo", "args").stdout)
    _await(lambda: not (host.rootfs / "srv/shop/releases" / bad).exists())
    assert (current(host), serving(host)) == (good, good)
    assert fab.statuses() == {good: "deployed", bad: "deploy_failed"}


def test_the_agent_is_killed(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """When the activation itself is killed half way, systemd starts its recovery and the old release serves again."""
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    running = fab.start("-H", "prod", "deploy", f"--sha={shop.release(check='sleep 30')}")
    _await_phase(host, "restarted")
    host.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
    out, _ = running.communicate(timeout=60)
    assert (running.returncode, current(host), serving(host)) == (10, good, good), out


def test_nothing_that_an_activation_ran_outlives_it(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """Deaf to a polite signal, it keeps neither the recovery of a killed agent nor the next deploy waiting."""
    left = "setsid bash -c \"trap '' TERM; exec sleep 300\" >/dev/null 2>&1 & sleep 0.5"
    good = shop.release(check=left)
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    _await(lambda: _activating(host) == "inactive", seconds=45)
    deaf = shop.release(check=f"trap '' TERM; {left}; sleep 301")
    running = fab.start("-H", "prod", "deploy", f"--sha={deaf}")
    _await_phase(host, "restarted")
    _await(lambda: "sleep 300" in host.run("ps", "-eo", "args").stdout)
    host.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
    _await_phase(host, "restored", seconds=45)
    out, _ = running.communicate(timeout=60)
    assert (running.returncode, current(host), serving(host)) == (10, good, good), out
    _await(lambda: _activating(host) == "inactive", seconds=45)
    assert "sleep 30" not in host.run("ps", "-eo", "args").stdout


def test_an_agent_that_is_killed_with_restarts_skipped(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """It has its unit and its recovery as well: `current` names the old release again, whoever watches or not."""
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    bad = shop.release(check=f"test $(basename $PWD) = {good} || sleep 60")
    running = fab.start("-H", "prod", "deploy", f"--sha={bad}", DEPLOY_SKIP_SERVICE_RESTART="1")
    _await_phase(host, "restarted")
    running.kill()
    running.communicate()
    host.run("sh", "-c", "pkill -KILL -f 'pyz (activate|follow|facts|run)'", check=False)  # whatever it runs in
    _await_phase(host, "restored", seconds=45)
    assert (current(host), serving(host)) == (good, good)


def test_restarts_skipped_without_sudo(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A login that may start no unit deploys by a process of its own."""
    host.run("sh", "-c", "rm /etc/sudoers.d/*")
    sha = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={sha}", DEPLOY_SKIP_SERVICE_RESTART="1")
    assert current(host) == sha


@pytest.mark.parametrize("state", ["not-found", "masked"])
def test_a_unit_that_cannot_start_is_found_before_anything_changes(
    host: DisposableHost, shop: Shop, fab: Fab, state: str
) -> None:
    """A missing or masked unit is named, with exit code 2, and nothing is switched."""
    good = shop.release()
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    unit = host.rootfs / "etc/systemd/system/shop-mailer.service"
    unit.unlink()
    if state == "masked":
        unit.symlink_to("/dev/null")
    host.run("systemctl", "daemon-reload")
    ran = fab("-H", "prod", "deploy", f"--sha={shop.release()}")
    assert (ran.code, current(host), serving(host)) == (2, good, good)
    assert f"shop-mailer ({state})" in ran.said


def test_sudo_that_asks_for_a_password(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A login that may not restart units is told the sudoers line to add, before anything changes."""
    host.run("sh", "-c", "rm /etc/sudoers.d/*")
    ran = fab("-H", "prod", "deploy", f"--sha={shop.release()}")
    assert (ran.code, current(host)) == (2, None)
    assert "deploy ALL=(root) NOPASSWD: /usr/bin/systemctl, /usr/bin/systemd-run" in ran.said


BOTH = "deploy ALL=(root) NOPASSWD: /usr/bin/systemctl, /usr/bin/systemd-run\n"
# Of several rules that fit the last one counts; what sudo -l says of each is yes.
ASKING = {
    "of one program": BOTH + "deploy ALL=(root) PASSWD: /usr/bin/systemctl\n",
    "of restarts": BOTH + "deploy ALL=(root) PASSWD: /usr/bin/systemctl restart *\n",
    "of one service": BOTH + "deploy ALL=(root) PASSWD: /usr/bin/systemctl restart *shop-mailer*\n",
    "by an alias": "Cmnd_Alias UNITS = /usr/bin/systemctl, /usr/bin/systemd-run\n"
    + BOTH
    + "deploy ALL = PASSWD: UNITS\n",
    "with a longer memory": "Defaults:deploy timestamp_timeout=-1\ndeploy ALL=(root) PASSWD: ALL\n",
    "denied": BOTH + "deploy ALL=(root) !/usr/bin/systemctl restart *\n",
    "by whole lines": "deploy ALL=(root) NOPASSWD: /usr/bin/systemd-run, /usr/bin/systemctl restart shop-api, "
    "/usr/bin/systemctl restart shop-mailer\n",
    "of all but restarts": "deploy ALL=(root) NOPASSWD: /usr/bin/systemd-run, /usr/bin/systemctl restart *\n",
    "of stops": BOTH + "deploy ALL=(root) PASSWD: /usr/bin/systemctl stop *\n",
    "of what is failed": BOTH + "deploy ALL=(root) !/usr/bin/systemctl reset-failed *\n",
}
OF_RESTARTS = "systemctl stop, systemctl reset-failed, systemctl is-system-running"
NAMED = {
    "by whole lines": f"systemctl restart, {OF_RESTARTS}",
    "of all but restarts": OF_RESTARTS,
    "of stops": "systemctl stop",
    "of what is failed": "systemctl reset-failed",
}
LETTING = {
    "in the other order": "deploy ALL=(root) PASSWD: ALL\n" + BOTH,
    "without passwords at all": "Defaults:deploy !authenticate\ndeploy ALL=(root) ALL\n",
    "by an alias": "Cmnd_Alias UNITS = /usr/bin/systemctl, /usr/bin/systemd-run\ndeploy ALL=(root) NOPASSWD: UNITS\n",
}


def test_rules_of_sudo_that_ask_for_a_password_are_seen_before(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A login that may restart units after typing a password may not here; no release is switched to or marked bad."""
    first, good, new = shop.release(), shop.release(check="test -d ops"), shop.release(check="test -d .")
    for sha in (first, good):
        fab.ok("-H", "prod", "deploy", f"--sha={sha}")
    rules = host.rootfs / "etc/sudoers.d/deploy"
    host.run("sh", "-c", "rm /etc/sudoers.d/*")
    for how, text in ASKING.items():
        rules.write_text(text)
        ran = fab("-H", "prod", "deploy", f"--sha={new}")
        assert (ran.code, current(host), serving(host)) == (2, good, good), (how, ran.said)
        assert "deploy may not restart units here without a password" in ran.said, how
        assert f"sudo refuses {NAMED.get(how, 'systemctl')}" in ran.said, (how, ran.said)
        assert host.run("ls", f"{ROOT}/.deploy/bad", check=False).stdout == "", how
    ran = fab("-H", "prod", "rollback", f"--release={first}")
    assert (ran.code, current(host), serving(host)) == (2, good, good), ran.said
    assert "sudo refuses systemctl reset-failed" in ran.said, ran.said
    for how, text in LETTING.items():
        rules.write_text(text)
        new, good = good, new
        ran = fab("-H", "prod", "deploy", f"--sha={good}")
        assert (ran.code, current(host), serving(host)) == (0, good, good), (how, ran.said)


def test_sudo_that_lets_nothing_be_started(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A rollback learns by starting that it may not: it says what a deploy says, and nothing was changed."""
    old, new = shop.release(), shop.release(check="test -d ops")
    for sha in (old, new):
        fab.ok("-H", "prod", "deploy", f"--sha={sha}")
    host.run("sh", "-c", "rm /etc/sudoers.d/*; echo 'deploy ALL=(root) NOPASSWD: /usr/bin/systemctl' >>/etc/sudoers")
    ran = fab("-H", "prod", "rollback", f"--release={old}")
    assert (ran.code, current(host), serving(host)) == (2, new, new)
    assert "nothing was changed: deploy may not restart units here without a password" in ran.said
    assert "deploy ALL=(root) NOPASSWD: /usr/bin/systemctl, /usr/bin/systemd-run" in ran.said


def test_a_release_of_the_old_scripts_is_adopted(host: DisposableHost, shop: Shop, fab: Fab) -> None:
    """A release with a .deploy-meta but no seal is the way back, and can be rolled back to."""
    old = shop.release()
    release = host.rootfs / ROOT.removeprefix("/") / "releases" / old
    release.mkdir(parents=True)
    shop.repository.git("--work-tree", str(release), "checkout", old, "--", ".")
    shop.repository.git("reset", "--quiet", "--hard")
    (release / ".deploy-meta").write_text(f"commit_sha={old}\nbuilt_at_utc=2024-05-01T10:00:00Z\nbuild_host=elder\n")
    host.run("ln", "-s", f"releases/{old}", f"{ROOT}/current")
    host.run("chown", "-R", "deploy", ROOT)
    host.run("chmod", "-R", "a+rX", ROOT)
    host.run("systemctl", "restart", "shop-api", "shop-mailer")
    bad, good = shop.release(check="exit 78"), shop.release()
    assert fab("-H", "prod", "deploy", f"--sha={bad}").code == 10
    assert serving(host) == old
    assert "it never passed a gate here" in fab.ok("-H", "prod", "deploy", f"--sha={old}").said
    assert "already" in fab.ok("-H", "prod", "deploy", f"--sha={old}").out
    fab.ok("-H", "prod", "deploy", f"--sha={good}")
    fab.ok("-H", "prod", "rollback", f"--release={old}")
    assert (current(host), serving(host)) == (old, old)


def _activating(host: DisposableHost) -> str:
    """What systemd says of the activation's unit."""
    return host.run("systemctl", "is-active", UNIT, check=False).stdout.strip()


def _await_phase(host: DisposableHost, phase: str, seconds: float = 120) -> None:
    """Wait until the host's own state says so."""
    state = host.rootfs / ROOT.removeprefix("/") / ".deploy/state.json"
    _await(lambda: state.exists() and f'"phase": "{phase}"' in state.read_text(), seconds)


def _await(condition: Callable[[], bool], seconds: float = 120) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it never came to that"
        time.sleep(0.02)
