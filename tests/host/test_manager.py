"""The two service managers: how each is called, and what keeps a login from its own."""

from __future__ import annotations

import json
import os
import pwd
import socket
from pathlib import Path

import pytest

from oroboros_deploy.host import manager

USER = pwd.getpwuid(1).pw_name  # a user that every system has, and that no test is


@pytest.fixture
def login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A login that is not root, and the directory in which its manager would be."""
    monkeypatch.setattr(os, "getuid", lambda: 1)
    monkeypatch.setattr(manager, "RUN", tmp_path)
    monkeypatch.setattr(manager, "LINGER", tmp_path / "linger")
    (tmp_path / "linger").mkdir()
    return tmp_path / "user/1"


def up(login: Path, *, bus: bool = True) -> None:
    """The manager of the login runs."""
    (login / "systemd").mkdir(parents=True)
    (login / "systemd/private").touch()
    if bus:
        (login / "bus").touch()


def test_how_each_is_called(login: Path) -> None:
    """The system's obeys root, by sudo; the login's own is reached by its fixed places, whatever a session says."""
    system, own = manager.of("system"), manager.of("user")
    place = ["/usr/bin/env", f"XDG_RUNTIME_DIR={login}", f"DBUS_SESSION_BUS_ADDRESS=unix:path={login}/bus"]
    assert system.asking("systemctl", "show") == ["systemctl", "show"]
    assert system.acting("systemctl", "stop") == ["sudo", "-n", "systemctl", "stop"]
    assert own.asking("systemctl", "show") == [*place, "systemctl", "--user", "show"]
    assert own.acting("systemd-run", "x") == [*place, "systemd-run", "--user", "x"]
    assert (system.login, own.login) == (("--uid=1",), ())
    assert [each.typed("systemctl") for each in (system, own)] == ["systemctl", "systemctl --user"]


def test_who_writes_units(login: Path) -> None:
    """Root does, for the system's manager; the login itself for its own, which asks nobody to become root."""
    system, own = manager.of("system"), manager.of("user")
    run = ["sudo", "-n", "systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--", "/bin/sh", "-c", "true"]
    assert (system.writing("true"), own.writing("true")) == (run, ["/bin/sh", "-c", "true"])
    assert (system.as_root("echo", "a$b", "${c}") or [])[-3:] == ["echo", "a$$b", "$${c}"]  # or systemd fills them in
    assert (own.as_root("true"), own.units) == (None, Path(pwd.getpwuid(1).pw_dir) / ".config/systemd/user")


def test_least_privilege(login: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where root's list names this login and this deploy root, the helper is asked for all that takes root."""
    monkeypatch.setattr(manager, "HELPED", tmp_path / "lists")
    for name, text in {
        "shop": {"root": "/srv/shop", "login": USER},
        "other": {"root": "/srv/shop", "login": "x"},
    }.items():
        (tmp_path / "lists").mkdir(exist_ok=True)
        (tmp_path / f"lists/{name}.json").write_text(json.dumps(text))
    (tmp_path / "lists/broken.json").write_text("{")
    try:
        manager.choose("system", Path("/srv/shop"))
        helped = manager.chosen()
        manager.choose("system", Path("/srv/more"))
        other = manager.chosen()
    finally:
        manager.choose("system", Path("/"))
    asked = ["sudo", "-n", manager.HELPER, "shop"]
    assert helped.acting("systemctl", "stop", "--", "a.service") == [*asked, "stop", "--", "a.service"]
    assert (helped.helping("watch", "1"), helped.as_root("true")) == ([*asked, "watch", "1"], None)
    assert (other.application, other.acting("systemctl", "stop")) == ("", ["sudo", "-n", "systemctl", "stop"])


def test_what_roots_helper_does() -> None:
    """With least privilege each has a command of the helper's, and elsewhere it has none, or is root's by sudo."""
    system = manager.of("system")._replace(acts=("sudo", "-n"))
    helped = manager.Helped(*system._replace(application="shop"))
    asked, user = ["sudo", "-n", manager.HELPER, "shop"], pwd.getpwuid(os.getuid())
    agent, path = ("python3", "agent.pyz", "a1"), Path("/srv/shop/env")
    found = {
        "activate": (helped.helper_activates("u", agent, ("9", "5")), system.helper_activates("u", agent, ("9", "5"))),
        "tidy": (helped.helper_tidies(agent), system.helper_tidies(agent)),
        "run-as": (helped.helper_runs("ada", "u", "30"), system.helper_runs("ada", "u", "30")),
        "watch": (helped.helper_watches([1, 2]), system.helper_watches([1, 2])),
        "own-config": (helped.helper_copies_env(), system.helper_copies_env()),
        "put": (helped.helper_puts("9.0"), system.helper_puts("9.0")),
    }
    assert found == {
        "activate": ([*asked, "activate", "u", *agent, "9", "5"], None),
        "tidy": ([*asked, "tidy", "", *agent], None),
        "run-as": ([*asked, "run-as", "ada", "u", "30"], None),
        "watch": ([*asked, "watch", "1", "2"], None),
        "own-config": ([*asked, "own-config", "env"], None),
        "put": ([*asked, "put", "9.0"], None),
    }
    assert (helped.helper_judges(), system.helper_judges()) == ([*asked[2:], "judge"], None)
    for alone, kind, owner in ((False, "shared", f"+{user.pw_uid}"), (True, "config", "")):
        chown = ["/bin/chown", "--no-dereference", f"{owner}:+{user.pw_gid}", "--", str(path)]
        assert helped.giving(path, user, group_alone=alone) == [*asked, "own-config", kind, user.pw_name, "env"]
        assert system.giving(path, user, group_alone=alone) == system.as_root(*chown)
    lines = {"systemd-run": ("systemd-run", "--version")}
    assert (helped.questions(lines), system.questions(lines)) == ({"oroboros-helper": (*asked[2:], "ask")}, lines)
    assert (helped.bound, helped.root_installs, helped.env) == (True, True, f"{manager.HELPED}/env/shop")
    assert (system.bound, system.root_installs, system.env) == (False, False, "")
    assert (helped.named("a1"), system.named("a1")) == ("shop:a1", "a1")


def test_another_application_of_a_login_with_least_privilege(
    login: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told to have root list that one, too, and not to take the rules of sudo, by which it would be root."""
    monkeypatch.setattr(manager, "HELPED", tmp_path)
    (tmp_path / "shop.json").write_text(json.dumps({"root": "/srv/shop", "login": USER}))
    try:
        manager.choose("system", Path("/srv/more"))
        [told] = manager.without_sudo(["systemd-run"])
        (tmp_path / "shop.json").write_text(json.dumps({"root": "/srv/shop", "login": "x"}))
        [other] = manager.without_sudo(["systemd-run"])
    finally:
        manager.choose("system", Path("/"))
    assert "names this deploy root" in told.message
    assert told.hint == f"fab -H root@HOST setup --login={USER} --least-privilege"
    assert other.hint.startswith("add to sudoers: ")


def test_root_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What root runs needs no sudo."""
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert (manager.of("system").acts, manager.of("system").login) == ((), ())


def test_a_manager_that_ends_with_the_session(login: Path) -> None:
    """Without lingering all would end with the last session: that is the one thing told, with the line to type."""
    up(login)
    [told] = manager.of("user").troubles()
    assert told.message == f"lingering is off for {USER}, so that its services end with its last session"
    assert told.hint == f"on the host, as root, once: loginctl enable-linger {USER}"


@pytest.mark.parametrize(
    ("running", "bus", "message"),
    [
        (False, False, f"the service manager of {USER} does not run: there is no {{login}}/systemd/private"),
        (True, False, f"{USER} has no bus, which systemd-run needs: there is no {{login}}/bus"),
        (True, True, None),
    ],
)
def test_what_else_a_login_may_lack(login: Path, running: bool, bus: bool, message: str | None) -> None:
    """A manager that does not run, and a bus, are told by name; with all there nothing is."""
    (manager.LINGER / USER).touch()
    if running:
        up(login, bus=bus)
    assert manager.of("user").present is running
    assert [each.message for each in manager.of("user").troubles()] == (
        [message.format(login=login)] if message else []
    )


def test_when_it_began(login: Path) -> None:
    """Its process tells, as the kernel knows it; where nobody listens there is no time, and the system's has none."""
    assert (manager.of("user").began(), manager.of("system").began()) == ("0", None)
    (login / "systemd").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listens:
        listens.bind(str(login / "systemd/private"))
        listens.listen()
        ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
        assert manager.of("user").began() == ticks


def test_one_is_chosen(login: Path) -> None:
    """The system's, until a target says otherwise; for what another scope left, that one for a while."""
    assert (manager.chosen().scope, manager.other().scope) == ("system", "user")
    with manager.serving("user"):
        assert (manager.chosen().scope, manager.other().scope) == ("user", "system")
    assert manager.chosen().scope == "system"
