"""What one host's answer says, finding by finding."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, cast

import pytest

from oroboros_deploy.config import Config
from oroboros_deploy.control import plan
from oroboros_deploy.control.plan import Job
from oroboros_deploy.doctor.finding import Finding
from oroboros_deploy.doctor.of_host import Look, findings
from oroboros_deploy.errors import HostNotTrusted, InvalidInput
from oroboros_deploy.host import words
from oroboros_deploy.host.contract import DoctorAnswer, Facts
from oroboros_deploy.setup.rules import put

LIVE, OTHER = "a" * 40, "b" * 40
UNTIL = "a deploy is refused until then"
UNIT = {"load": "loaded", "active": "active", "condition": "active (running)", "stale": False}
FACTS = {
    "hostname": "web1",
    "user": "deploy",
    "systemd": True,
    "may_manage": True,
    "git": True,
    "live": LIVE,
    "releases": [{"id": LIVE, "state": "sealed", "built_at": None, "bad": False}],
    "target": None,
    "units": {"api": UNIT},
    "running": None,
    "hold": None,
    "last": None,
    "journal": [],
    "problems": [],
    "unmanaged": [],
    "unit_changes": None,
}
ANSWER = {
    "problems": [],
    "disk": [{"path": "/srv/shop", "bytes": 900, "inodes": 90}],
    "last": {"bytes": 800, "entries": 80},
    "tools": {},
    "pip": True,
    "script": "ready",
    "only_login": [],
    "shell": "/bin/bash",
    "strangers": [],
    "as_root": [],
    "view": None,
    "name_by_dns": None,
    "unknown": [],
    "clock": 0.0,
}
SETTINGS: dict[str, Any] = {
    "root": "/srv/shop",
    "services": ["api"],
    "healthcheck": {"command": "ops/check.sh"},
    "build": {"frontend": None, "venvs": {}},
}
JOB = Job("", "deploy", "", "ada", Config.from_mapping(SETTINGS), "test")


def answer(facts: dict[str, Any] | None = None, **changes: Any) -> DoctorAnswer:
    return cast("DoctorAnswer", {**ANSWER, **changes, "facts": {**FACTS, **(facts or {})}})


def told(facts: dict[str, Any] | None = None, look: dict[str, Any] | None = None, **changes: Any) -> list[Finding]:
    return [*findings(JOB, "web1", Look(answer(facts, **changes), **(look or {})))]


def of_settings(privileged: list[str], facts: dict[str, Any] | None = None, **changes: Any) -> list[Finding]:
    job = replace(JOB, config=Config.from_mapping({**SETTINGS, "privileged": privileged}))
    return [*findings(job, "web1", Look(answer(facts, **changes)))]


def with_build(**build: Any) -> Job:
    return Job("", "deploy", "", "ada", Config.from_mapping({**SETTINGS, "build": {"venvs": {}, **build}}), "test")


def test_nothing() -> None:
    """A host where all is well has no finding."""
    assert told() == []


def test_what_could_not_be_looked_at() -> None:
    """It is told as not known, and refuses nothing; of somebody else's root whose it is says enough."""
    unknown = ["the space on the disks: [Errno 5] Input/output error"]
    why = "no deploy is refused for it; what it would tell is missing here"
    assert told(unknown=unknown) == [Finding("note", f"not known: {unknown[0]}", why, None)]
    theirs = {"message": "/srv/shop belongs to ada", "hint": None}
    assert [each.level for each in told({}, {"refused": [theirs]}, unknown=unknown)] == ["refused"]


def test_everything_that_a_deploy_is_refused_for() -> None:
    """All of it at once, in the words of a deploy, and each with its line."""
    sudo = {"message": "deploy may not: sudo refuses systemctl stop", "hint": "add to sudoers: deploy ALL"}
    facts = {
        "git": False,
        "unmanaged": [sudo],
        "may_manage": False,
        "problems": [{"message": "/srv/shop is writable by everybody", "hint": "on the host: chmod o-w /srv/shop"}],
        "units": {"api": {**UNIT, "load": "masked"}},
        "hold": {"actor": "ada", "at": 0.0, "reason": "the fair"},
    }
    assert told(facts) == [
        Finding("refused", "/srv/shop is writable by everybody", UNTIL, "ssh web1 chmod o-w /srv/shop"),
        Finding("refused", "git is not installed on this host", UNTIL, "ssh -t web1 sudo apt install git"),
        Finding(
            "refused",
            "deploy may not: sudo refuses systemctl stop",
            UNTIL,
            f"ssh -t web1 \"echo 'deploy ALL' | sudo sh -c '{put('deploy', 'cat')}'\"",
        ),
        Finding(
            "refused",
            "units that this host cannot start: api (masked)",
            UNTIL,
            "install them there, or set `services` in fabric.yaml or DEPLOY_SERVICES",
        ),
        Finding(
            "refused",
            "this host is held by ada since 1970-01-01 00:00:00 UTC: the fair",
            UNTIL,
            "fab -H web1 unlock",
        ),
    ]


@pytest.mark.parametrize(
    "facts",
    [
        {"git": False},
        {"systemd": False},
        {"may_manage": False},
        {"units": {"api": {**UNIT, "load": "not-found"}}},
        {"units": {"api": {**UNIT, "refuses": True}}},
        {"problems": [{"message": "one", "hint": None}]},
        {"running": {}},
        {},
    ],
)
def test_it_refuses_by_what_a_deploy_refuses_by(facts: dict[str, Any]) -> None:
    """There is one list: whatever stops a deploy is a finding that stops it, and nothing else is."""
    try:
        plan.check(JOB, cast("Facts", {**FACTS, **facts}), "web1")
        stopped = ""
    except Exception as error:
        stopped = str(error)
    refused = [each.what for each in told(facts) if each.level == "refused"]
    assert [each in stopped for each in refused] == [True] * bool(stopped)


def test_whose_the_root_is_is_told_once() -> None:
    """What cannot be read of it for that reason is no finding of its own, and what the same line mends is one."""
    refused = {
        "message": "/srv/shop belongs to ada, and this login is deploy: nothing was changed",
        "hint": "on the host: sudo chown deploy /x",
    }
    same = {"message": "deploy may not write in /x, where current is", "hint": "on the host: chown deploy /x"}
    other = {
        "message": "the host could not go on: [Errno 13] Permission denied: '/srv/shop/.deploy/state.json'",
        "hint": None,
    }
    found = told({"problems": [same]}, {"refused": [refused]}, problems=[other])
    what = "/srv/shop belongs to ada, and this login is deploy"
    assert found == [Finding("refused", what, UNTIL, "ssh -t web1 sudo chown deploy /x")]


def test_a_host_that_cannot_be_asked() -> None:
    """Its error, what was heard before, and that the rest is not known."""
    error = HostNotTrusted("its key is unknown", hint="ssh-keyscan web1 >> ~/.ssh/known_hosts", host="web1")
    (found,) = findings(JOB, "web1", Look(error=error))
    assert found == Finding(
        "refused",
        "its key is unknown",
        "a deploy stops here (exit 50); nothing else could be asked",
        "ssh-keyscan web1 >> ~/.ssh/known_hosts",
    )
    heard = Look(error=InvalidInput("nothing was changed: no python3"), refused=[{"message": "a root", "hint": None}])
    assert [each.what for each in findings(JOB, "web1", heard)] == ["a root", "no python3"]


def test_a_shell_that_prints() -> None:
    """Its first words, and the line that keeps it quiet where no terminal is."""
    (found,) = told(look={"printed": ["welcome", "again"]})
    assert (found.what, found.mend) == (
        "the login's shell prints before a command begins: 'welcome', and 1 more",
        "ssh web1 'sed -i \"1i [[ \\$- = *i* ]] || return\" ~/.bashrc'",
    )
    (other,) = told(look={"printed": ["welcome"]}, shell="/usr/bin/zsh")
    assert other.mend == "the start-up files of this login's shell: let them print on a terminal alone"


def test_space_and_inodes() -> None:
    """Each against what the last release took; old releases are what can go first."""
    small = [{"path": "/srv/shop", "bytes": 700, "inodes": 70}]
    assert [(each.what, each.mend) for each in told(disk=small)] == [
        ("700 B are free at /srv/shop, 800 B are needed", "ssh web1 df -h /srv/shop"),
        ("70 files more fit at /srv/shop, 80 are needed", "ssh web1 df -h /srv/shop"),
    ]
    (first, _) = told({"releases": FACTS["releases"] * 3}, disk=small)  # type: ignore[operator]
    assert first.mend == "fab -H web1 prune --keep=2"
    assert told(disk=[{"path": "/srv/shop", "bytes": 900, "inodes": None}]) == []
    assert told(disk=small, last=None) == []


def test_the_clock() -> None:
    """Both ways; a few seconds are what an answer takes."""
    assert [each.what for each in told(look={"ahead": 90.0})] == [
        "the clock is 1 min 30 s ahead of that of this machine"
    ]
    (behind,) = told(look={"ahead": -7200.0})
    assert (behind.what, behind.mend) == (
        "the clock is 2 h behind that of this machine",
        "ssh -t web1 sudo timedatectl set-ntp true",
    )
    assert told(look={"ahead": 5.0}) == []


def test_tools_that_only_fail() -> None:
    """A line of the recipe that begins with what a build does not find."""
    (found,) = told(tools={"make": None, "sh": "/bin/sh"})
    assert (found.level, found.what) == (
        "note",
        "make is in no directory of a build's PATH, which is not that of the login",
    )


def test_a_program_of_a_unit() -> None:
    """One that this host has not is told with the unit; it is no line of the recipe."""
    look = {"runs": {"/usr/bin/caddy": "infra/web.service", "/bin/sh": "infra/web.service"}}
    (found,) = told(look=look, tools={"/usr/bin/caddy": None, "/bin/sh": "/bin/sh"})
    assert (found.level, found.what, found.mend) == (
        "note",
        "infra/web.service runs /usr/bin/caddy, which this host has not, or not as an executable",
        "install it on the host, or correct ExecStart in infra/web.service",
    )


@pytest.mark.parametrize(
    ("required", "absent", "level"),
    [(False, False, ["note"]), (True, False, ["refused"]), (False, True, []), (True, True, [])],
)
def test_a_host_without_npm(required: bool, absent: bool, level: list[str]) -> None:
    """The frontend is left out, or the build is refused; a commit without that directory needs no npm."""
    look = Look(answer(tools={"npm": None}), absent=frozenset({"frontend"} if absent else ()))
    found = findings(with_build(frontend={"required": required}), "web1", look)
    assert [each.level for each in found] == level
    assert {each.mend for each in found} <= {"ssh -t web1 sudo apt install npm"}


def test_what_no_environment_can_be_made_without() -> None:
    """uv where it alone is allowed, else a pip or what makes one."""
    uv = findings(with_build(frontend=None, installer="uv"), "web1", Look(answer(tools={"uv": None}, pip=False)))
    assert [(each.level, each.mend) for each in uv] == [
        ("refused", "install it there, or set build.installer: auto (uv is used only where the host has it)"),
        ("refused", "ssh -t web1 sudo apt install python3-venv"),
    ]


def test_a_chosen_python_that_makes_no_environment() -> None:
    """Debian has no package that is known to help it: the line shows what it lacks."""
    build = with_build(frontend=None, python="/usr/bin/python3.13")
    (found,) = findings(build, "web1", Look(answer(pip=False)))
    assert (found.level, found.mend) == ("refused", "ssh web1 /usr/bin/python3.13 -m venv /tmp/venv")


def test_the_health_script_of_the_live_release() -> None:
    """One that is not executable, where no shell is given it; the next commit's is another finding."""
    (found,) = told(script="closed")
    assert (found.what, found.mend) == (
        "ops/check.sh of the live release is not executable",
        "fab -H web1 deploy --sha=HEAD",
    )
    (closed,) = told(look={"script": "100644"}, script="closed")
    assert closed.mend == (
        "git update-index --chmod=+x ops/check.sh && git commit -m executable && fab -H web1 deploy --sha=HEAD"
    )
    assert told(script="missing") == told(script=None) == []


def test_a_part_that_cannot_be_read() -> None:
    """It is told, and the other parts are."""
    found = told(look={"ahead": 90.0}, disk=[{}])
    assert [each.what for each in found] == [
        "a part of this host's answer cannot be read (KeyError: 'path')",
        "the clock is 1 min 30 s ahead of that of this machine",
    ]


def test_no_mend_writes_in_a_release() -> None:
    """A release that is whole stays as it was built: whoever changes it breaks its seal."""
    small = [{"path": "/srv/shop/releases", "bytes": 1, "inodes": 1}]
    unit = {"api": {**UNIT, "stale": True}}
    found = told({"units": unit}, {"printed": ["hi"], "ahead": 99.0}, disk=small, script="closed", strangers=["api"])
    lines = [each.mend or "" for each in found]
    assert len(lines) == 7
    assert [line for line in lines if re.search("(current|releases)/", line) or "chmod +x" in line] == []


def test_what_the_host_says_is_quoted() -> None:
    """A path of the host's is one word there."""
    small = [{"path": "/srv/a b;reboot", "bytes": 1, "inodes": None}]
    (found,) = told(disk=small)
    assert found.mend == "ssh web1 \"df -h '/srv/a b;reboot'\""


def test_services() -> None:
    """A unit that systemd has not read, one that does not serve, one that runs from no release, one that is root's."""
    units = {"api": {**UNIT, "stale": True}, "mailer": {**UNIT, "serving": False, "condition": "failed (exit-code)"}}
    assert [(each.what, each.mend) for each in told({"units": units}, strangers=["api"], as_root=["mailer"])] == [
        (
            "api was changed on this host, and systemd has not read it since",
            "ssh -t web1 sudo systemctl daemon-reload",
        ),
        ("mailer is failed (exit-code)", "fab -H web1 restart"),
        ("api runs from no release", "ssh -t web1 sudo systemctl edit api"),
        ("mailer runs as root", "ssh -t web1 sudo systemctl edit mailer"),
    ]


def test_a_live_release_that_is_not_as_it_was_built() -> None:
    """It serves, and would not start again; what is whole is not told."""
    gone: Any = {"target": {"state": "missing", "damage": None, "bad": None}}
    [alone], [found] = told(gone), told({**gone, "releases": [{**FACTS["releases"][0], "id": OTHER}]})  # type: ignore[index]
    what = f"the live release {LIVE} is not as it was built, and may not start: it is gone"
    assert (found.level, found.what, found.mend) == ("note", what, f"fab -H web1 rollback --release={OTHER}")
    assert alone.mend == "fab -H web1 deploy --sha=SHA"
    assert told({"target": {"state": "sealed", "damage": None, "bad": None}}) == []


def test_the_login() -> None:
    """root, what its environment has alone, and no view for builds."""
    found = told({"user": "root"}, only_login=["TOKEN", "/opt/bin in PATH"], view="nsenter is not installed")
    assert [(each.level, each.what) for each in found] == [
        ("note", "the login is root"),
        (
            "note",
            "the login has variables, or directories in PATH, that no command of a deploy gets:"
            " TOKEN, /opt/bin in PATH",
        ),
        (
            "note",
            "builds see the whole host, because this host cannot limit what a build sees: nsenter is not installed",
        ),
    ]


def test_a_name_that_dns_alone_knows() -> None:
    """sudo waits for DNS where the network is gone, so it is a note with the line that mends it."""
    why = "sudo looks that name up: without the network each sudo of a restart or restore may wait 10 s and more"
    assert told(name_by_dns="shop-1") == [
        Finding(
            "note",
            "this host finds its own name shop-1 by DNS alone",
            why,
            "ssh -t web1 \"echo '127.0.1.1 shop-1' | sudo tee -a /etc/hosts\"",
        )
    ]


def test_who_needs_no_sudo_needs_no_name() -> None:
    """root, a manager of the login's own, and a host without systemd wait for nothing."""
    own = replace(JOB, config=Config.from_mapping({**SETTINGS, "scope": "user"}))
    found = [
        *told({"user": "root"}, name_by_dns="shop-1"),
        *told({"systemd": False}, name_by_dns="shop-1"),
        *findings(own, "web1", Look(answer(name_by_dns="shop-1"))),
    ]
    assert [each.what for each in found if "DNS" in each.what] == []


@pytest.mark.parametrize(
    ("kinds", "user", "what"),
    [
        ([], "deploy", []),
        (["hooks"], "deploy", []),
        (["healthcheck"], "root", ["the login is root"]),
        (["migrate", "healthcheck"], "deploy", ["migrate, healthcheck may become root: `privileged` says so"]),
    ],
)
def test_what_may_become_root(kinds: list[str], user: str, what: list[str]) -> None:
    """Told by name; of a login that is root that alone is told, for all is root then."""
    assert [each.what for each in of_settings(kinds, {"user": user})] == what


def test_where_nothing_may_become_root() -> None:
    """A host that refuses the right is not said to give it."""
    problem = {"message": words.keeps_root(("build",)), "hint": words.WITHOUT_ROOT}
    found = of_settings(["build"], {"problems": [problem]})
    assert [(each.level, each.what) for each in found] == [("refused", words.keeps_root(["build"]))]


def test_a_build_that_may_become_root() -> None:
    """It gets no view of its own, and why the host would give none is no matter then."""
    [found] = of_settings(["build"], view="nsenter is not installed")
    assert found.why == (
        "code of the repository that runs there can do everything on this host by `sudo`, "
        "and a build sees the whole host"
    )
