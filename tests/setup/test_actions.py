"""From what a host has to what is done there: exactly these commands, and none where something is in the way."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host.words import sudo_rule
from oroboros_deploy.setup.actions import Action, actions, notes, problems, script
from oroboros_deploy.setup.found import Account, Found, Place
from oroboros_deploy.setup.wanted import Wanted

KEY = "ssh-ed25519 AAAA"
WANTED = Wanted("deploy", KEY, directories=("/srv/shop",))
BARE = Found("deploy", "root", systemd=True, apt=True, missing=("git", "python3"))
ACCOUNT = Account("deploy", 1000, "/home/deploy", "/bin/bash")
OURS = Place("deploy", "deploy", 0o755, "dir")
READY = Found(
    *("deploy", "root"),
    systemd=True,
    apt=True,
    python=(3, 11),
    account=ACCOUNT,
    key=True,
    sudo=True,
    places={"/srv/shop": OURS},
)
UPDATE = actions(WANTED, BARE)[0].command.partition(" && DEBIAN")[0]
RULES = "/etc/sudoers.d/oroboros-deploy"
SUDO = (
    f"printf '%s\\n' '{sudo_rule('deploy')}' >{RULES}.new && chmod 0440 {RULES}.new"
    f" && visudo -cf {RULES}.new && mv {RULES}.new {RULES}"
)


def commands(wanted: Wanted, found: Found) -> list[str]:
    return [each.command for each in actions(wanted, found)]


def test_a_bare_host() -> None:
    """Packages, login, deploy root, the rule of sudo checked before it is in its place, and the key at last."""
    key = f"umask 077; mkdir -p ~deploy/.ssh && printf '%s\\n' '{KEY}' >>~deploy/.ssh/authorized_keys"
    quoted = key.replace("'", "'\"'\"'")
    options = "--yes --no-install-recommends -o DPkg::Lock::Timeout=300"
    install = f"{UPDATE} && DEBIAN_FRONTEND=noninteractive apt-get install {options}"
    assert actions(WANTED, BARE) == [
        Action("packages that are not there: git, python3", f"{install} git python3"),
        Action(
            "the login of the deploys, deploy, is no user here",
            "useradd --create-home --user-group --shell /bin/bash deploy",
        ),
        Action("/srv/shop is not there", "install -d -o deploy -g deploy /srv/shop"),
        Action("deploy may not run systemctl and systemd-run as root", SUDO),
        Action("the key that logged in may not log in as deploy", f"runuser -u deploy -- sh -c '{quoted}'"),
    ]
    assert problems(WANTED, BARE) == []


def test_a_host_that_is_ready() -> None:
    """Nothing is done, whichever way its login came to its rights."""
    assert (actions(WANTED, READY), problems(WANTED, READY)) == ([], [])
    assert actions(WANTED, replace(READY, rule=True)) == []


@pytest.mark.parametrize(
    ("lacks", "command"),
    [
        ({"sudo": False}, SUDO),
        ({"places": {}}, "install -d -o deploy -g deploy /srv/shop"),
        ({"places": {}, "account": replace(ACCOUNT, group="staff")}, "install -d -o deploy -g staff /srv/shop"),
        (
            {"places": {}, "account": replace(ACCOUNT, group="domain users")},
            "install -d -o deploy -g 'domain users' /srv/shop",
        ),
        ({"places": {}, "account": replace(ACCOUNT, home="/srv")}, "runuser -u deploy -- sh -c 'mkdir -p /srv/shop'"),
        ({"places": {"/srv/shop": Place("root", "root", 0o755, "dir", True)}}, "chown deploy:deploy /srv/shop"),
    ],
)
def test_what_is_lacking_alone(lacks: dict[str, Any], command: str) -> None:
    """What is there is left alone; below the login's home its own rights are used."""
    assert (commands(WANTED, replace(READY, **lacks)), problems(WANTED, replace(READY, **lacks))) == ([command], [])


def test_a_group_that_is_there_without_its_user() -> None:
    """The user is made with it: useradd makes no group twice."""
    found = replace(READY, account=None, key=False, groups=("deploy", "shop"))
    made = commands(replace(WANTED, users=("shop",)), found)[:2]
    assert made == ["useradd --create-home --gid deploy --shell /bin/bash deploy", "useradd --system --gid shop shop"]


@pytest.mark.parametrize("home", ["/", "/srv/shop"])
def test_a_home_that_is_no_place_of_the_logins(home: str) -> None:
    """Below `/`, and where the deploy root is the home itself, root makes the directory and gives it away."""
    found = replace(READY, places={}, account=replace(ACCOUNT, home=home))
    assert commands(WANTED, found) == ["install -d -o deploy -g deploy /srv/shop"]


def test_a_key_for_a_login_that_is_there() -> None:
    """It is added on a line of its own; whoever logs in as the login itself needs none."""
    (command,) = commands(WANTED, replace(READY, key=False))
    assert f"\n{KEY}" in command and ">>~deploy/.ssh/authorized_keys" in command
    assert commands(WANTED, replace(READY, key=False, caller="deploy")) == []
    assert commands(replace(WANTED, key=None), replace(READY, key=False)) == []


def test_a_login_with_a_dot() -> None:
    """sudo reads no file with a dot in its name."""
    found = replace(READY, login="a.b", caller="a.b", sudo=False, places={"/srv/shop": replace(OURS, owner="a.b")})
    assert commands(WANTED, found)[0].endswith("mv /etc/sudoers.d/oroboros-a+b.new /etc/sudoers.d/oroboros-a+b")


def test_the_scope_user() -> None:
    """The login lingers, and nothing is said of sudo, whatever its rules are."""
    wanted = replace(WANTED, scope="user")
    assert commands(wanted, replace(READY, sudo=False)) == ["loginctl enable-linger deploy"]
    assert commands(wanted, replace(READY, linger=True)) == []
    assert problems(wanted, replace(READY, sudo=False, rule=True)) == []


def test_users_and_shared_places() -> None:
    """Root gives away what lies directly in `shared` alone, deeper ones their owner makes; files are a person's."""
    shared = {"media": "dir", "a/b": "dir", "old/new": "dir", "local.yml": "file"}
    wanted = replace(WANTED, shared=shared, owner="www-data", users=("www-data", "shop"))
    old = {"/srv/shop/shared": OURS, "/srv/shop/shared/old": replace(OURS, owner="www-data")}
    found = replace(READY, users={"www-data": 33}, places={**READY.places, **old})
    made, given = "runuser -u deploy -- sh -c 'mkdir /srv/shop/shared", "chown -h www-data: /srv/shop/shared"
    assert commands(wanted, found) == [
        "useradd --system --user-group shop",
        f"{made}/a' && {given}/a && runuser -u www-data -- sh -c 'mkdir -p /srv/shop/shared/a/b'",
        f"{made}/media' && {given}/media",
    ]
    assert notes(wanted, found) == [
        "the shared file /srv/shop/shared/local.yml is not there yet: the first deploy needs it"
    ]
    assert commands(replace(WANTED, shared={"a/b": "dir"}), READY) == [
        "runuser -u deploy -- sh -c 'mkdir -p /srv/shop/shared'",
        "runuser -u deploy -- sh -c 'mkdir -p /srv/shop/shared/a/b'",
    ]


@pytest.mark.parametrize(
    ("has", "message"),
    [
        ({"systemd": False}, "systemd does not run there"),
        ({"apt": False, "missing": ("git",)}, "there is no apt-get to install what is missing: git"),
        ({"python": (3, 8)}, "its python3 is 3.8"),
        ({"login": "root", "account": None, "places": {}}, "the login of the deploys must not be root, and root is"),
        ({"account": replace(ACCOUNT, uid=0)}, "the login of the deploys must not be root, and deploy is"),
        (
            {"account": replace(ACCOUNT, shell="/usr/sbin/nologin")},
            "deploy cannot log in: its shell is /usr/sbin/nologin",
        ),
        (
            {"login": "-o x", "account": None, "places": {}},
            "the login of the deploys cannot have the name '-o x': a to z or _ first, then a to z, 0 to 9, _ . or -, "
            "at most 32 in all",
        ),
        ({"users": {"toor": 0}}, "run_as names toor, which is root there"),
        (
            {"sudo": False, "rule": True},
            f"{RULES} is there, but sudo still refuses deploy the commands that a deploy needs",
        ),
        ({"places": {"/srv/shop": replace(OURS, kind="file")}}, "/srv/shop is no directory"),
        ({"places": {"/srv/shop": replace(OURS, kind="link")}}, "/srv/shop is a link to nothing"),
        ({"places": {"/srv/shop": replace(OURS, owner="ann")}}, "/srv/shop belongs to ann and is not empty"),
        (
            {"places": {"/srv/shop": replace(OURS, owner="ann", empty=True)}},
            "/srv/shop belongs to ann and is empty",
        ),
        ({"places": {"/srv/shop": replace(OURS, owner="root")}}, "/srv/shop belongs to root and is not empty"),
        ({"places": {"/srv/shop": replace(OURS, mode=0o777)}}, "/srv/shop is writable by everybody"),
        (
            {"places": {"/srv/shop": replace(OURS, mode=0o775, group="staff")}},
            "/srv/shop is writable by the group staff",
        ),
    ],
)
def test_what_is_in_the_way(has: dict[str, Any], message: str) -> None:
    """Each is one problem, with something to type or to know."""
    (problem,) = problems(WANTED, replace(READY, **has))
    assert (problem.message, bool(problem.hint)) == (message, True)


@pytest.mark.parametrize("root", ["/srv/100%", "/srv/my shop", "/srv/$HOME", '/srv/"shop"', "/srv/a'b", "/srv/a\\b"])
def test_a_root_that_systemd_would_read_otherwise(root: str) -> None:
    """Is refused by name, for units name it."""
    wanted = replace(WANTED, directories=(root,))
    (problem,) = problems(wanted, replace(READY, places={root: OURS}))
    assert (problem.message, problem.hint) == (
        f"the deploy root {root!r} holds characters that systemd would interpret",
        "name a `root` of letters, digits and _ . / @ : + , = - in fabric.yaml",
    )


def test_a_login_that_nobody_could_use() -> None:
    """A new login without a key to let in is no login; a shared place of another kind is told."""
    nobody = problems(replace(WANTED, key=None), BARE)
    assert [each.message for each in nobody] == [
        "there is no key to let in as deploy: this login was without a key, or by a certificate"
    ]
    wanted = replace(WANTED, shared={"media": "dir"})
    places = {**READY.places, "/srv/shop/shared": OURS, "/srv/shop/shared/media": replace(OURS, kind="file")}
    (problem,) = problems(wanted, replace(READY, places=places))
    assert problem.message == "/srv/shop/shared/media is no directory"


def test_the_script_stops_at_the_first_that_fails() -> None:
    """Each action is announced, and none begins after one that failed; `exit` and `cd` stay within their action."""
    steps = [Action("", "cd /tmp; exit 0"), Action("", "true && echo here; pwd"), Action("", "false"), Action("", "ls")]
    ran = subprocess.run(["/bin/sh", "-c", script(steps)], capture_output=True, text=True, cwd="/")
    said = ["oroboros-step 0", "oroboros-step 1", "here", "/", "oroboros-step 2"]
    assert (ran.returncode, ran.stdout.splitlines()) == (1, said)


def test_our_rule_without_sudo_or_without_the_user() -> None:
    """What could not help before is written again, and refuses nobody."""
    for has in ({"missing": ("sudo",)}, {"account": None}):
        found = replace(READY, sudo=False, rule=True, **has)  # type: ignore[arg-type]
        assert (problems(WANTED, found), SUDO in commands(WANTED, found)) == ([], True)


@pytest.mark.parametrize(
    ("parent", "message"),
    [
        (replace(OURS, owner="root"), "/srv/shop/shared belongs to root, and deploy is to make a directory in it"),
        (replace(OURS, kind="link"), "/srv/shop/shared is a link to nothing"),
        (replace(OURS, kind="file"), "/srv/shop/shared is no directory"),
    ],
)
def test_what_a_shared_place_would_lie_in(parent: Place, message: str) -> None:
    """It is a problem before anything is done, and not half-way."""
    wanted = replace(WANTED, shared={"media": "dir", "a/b": "dir"})
    found = replace(READY, places={**READY.places, "/srv/shop/shared": parent})
    assert [each.message for each in problems(wanted, found)] == [message]
    group = replace(OURS, owner="root", group="deploy", mode=0o2775)
    assert problems(wanted, replace(found, places={**READY.places, "/srv/shop/shared": group})) == []


APT = """\
#!/bin/sh
echo x >>{here}/tries
[ $(wc -l <{here}/tries) -gt {locked} ] || {{ echo "E: Could not get lock /var/lib/apt/lists/lock." >&2; exit 100; }}
echo "{said}"
exit {status}
"""


@pytest.mark.parametrize(
    ("locked", "status", "tries", "ended"),
    [(3, 0, 4, 0), (3, 100, 4, 1), (99, 0, 60, 1)],
    ids=["a while", "broken", "for ever"],
)
def test_another_update_is_waited_for(tmp_path: Path, locked: int, status: int, tries: int, ended: int) -> None:
    """As long as its lock is what is in the way, and not for ever; whatever else fails is told at once."""
    (tmp_path / "apt-get").write_text(APT.format(here=tmp_path, locked=locked, said="its words", status=status))
    (tmp_path / "sleep").write_text("#!/bin/sh\n")
    for name in ("apt-get", "sleep"):
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    ran = subprocess.run(["/bin/sh", "-c", UPDATE], capture_output=True, text=True, env=env)
    assert (ran.returncode, len((tmp_path / "tries").read_text().split())) == (ended, tries)
    assert ("its words" in ran.stdout) == (status == 100)
