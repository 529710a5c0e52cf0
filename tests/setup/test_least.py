"""What root writes down of an application, and what is done on a host so that its login is not root."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from oroboros_deploy.host.words import boot_unit, sudo_rule
from oroboros_deploy.least import helper
from oroboros_deploy.setup.actions import actions, problems
from oroboros_deploy.setup.found import Account, Found, Place, probe, read
from oroboros_deploy.setup.least import HELPER, Least, digest
from oroboros_deploy.setup.wanted import Wanted

LEAST = Least(
    "shop", "/srv/shop", ("web-api", "worker@1", "jobs.timer", "web-api.socket"), ("shop",), "#!/usr/bin/python3 -I\n"
)
WANTED = Wanted("deploy", None, directories=("/srv/shop",), least=LEAST)
FILES = LEAST.files("deploy")
BOOT = f"/etc/systemd/system/{boot_unit('/srv/shop')}"
BARE = Found(
    *("deploy", "root"),
    systemd=True,
    apt=True,
    account=Account("deploy", 1000, "/home/deploy", "/bin/bash"),
    places={"/srv/shop": Place("deploy", "deploy", 0o755, "dir")},
)
READY = replace(
    BARE,
    **dict.fromkeys(("enabled", "obeyed", "reads", "rule"), True),
    digests={file: digest(text) for file, text in FILES.items()},
    listed=(LEAST.list_file,),
)


def test_what_root_writes_down() -> None:
    """Units by the names of the application and of its services, users with the login, and where it is deployed."""
    said = json.loads(FILES["/etc/oroboros_deploy/shop.json"])
    units = ["shop", "shop-*", "shop@*", "web-api", "web-api@*", "worker", "worker@*", "jobs", "jobs@*"]
    assert said == {"login": "deploy", "root": "/srv/shop", "units": units, "users": ["shop", "deploy"]}
    assert [*FILES] == [HELPER, "/etc/oroboros_deploy/shop.json", BOOT]
    assert "User=deploy\n" in FILES[BOOT] and "Before=web-api.service worker@1.service jobs.timer\n" in FILES[BOOT]


def test_what_is_done() -> None:
    """Three files, each whole before it has its name, the boot unit, the journal, and the one rule of sudo at last."""
    done = actions(WANTED, BARE)
    rule = f"printf '%s\\n' '{sudo_rule('deploy', HELPER)}'"
    assert [each.reason for each in done] == [
        *(f"{file} is not as it has to be" for file in FILES),
        "a boot would not settle an activation that a power cut interrupted",
        "deploy may not read what the services said",
        f"sudo's rule for deploy is not as it has to be: to run {HELPER} as root, and nothing else",
    ]
    assert all(f"chmod {'0755' if n == 0 else '0644'} " in each.command for n, each in enumerate(done[:3]))
    assert done[0].shown.startswith(f"# {HELPER} is written: 1 lines, SHA-256 {digest(LEAST.helper)}")
    assert (done[1].shown, done[-1].command.startswith(rule)) == (done[1].command, True)
    assert (actions(WANTED, READY), problems(WANTED, READY)) == ([], [])


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (replace(BARE, sudo=True), "by a rule of yours"),
        (replace(READY, more=("shop-api.service has no User=",)), "shop-api.service has no User=: applications"),
        (
            replace(READY, mighty=("shop is in the group docker",)),
            "shop is in the group docker, and so can become root; the login",
        ),
        (replace(READY, linked=("/etc/systemd/system/shop-api.service",)), "is a link out of /etc/systemd/system"),
        (replace(READY, packaged=("/usr/lib/systemd/system/shop-x.service",)), "its name is one of shop's"),
        (replace(READY, claimed=(("web-api", "/etc/oroboros_deploy/web.json"),)), "web.json gives web-api to another"),
        (replace(READY, claimed=(("shop-b-*", "/etc/oroboros_deploy/b.json"),)), "shop needs the units shop-*"),
    ],
)
def test_what_makes_it_useless(found: Found, said: str) -> None:
    """Rights of another rule, services of root's and names of others are refused by name."""
    assert [said in each.message for each in problems(WANTED, found)] == [True]


def test_a_root_that_the_helper_would_refuse() -> None:
    """It takes plain ASCII alone; without it such a root is in order."""
    wanted = replace(WANTED, directories=("/srv/ü",))
    found = replace(READY, places={"/srv/ü": BARE.places["/srv/shop"]})
    said = f"the deploy root '/srv/ü' has letters outside of ASCII, which {HELPER} does not take"
    assert [each.message for each in problems(wanted, found)] == [said]
    assert problems(replace(wanted, least=None), replace(found, listed=(), sudo=True)) == []


def test_a_shared_place() -> None:
    """The login makes it, and the helper gives it away, who follows no link; so that comes after the helper."""
    wanted = replace(WANTED, shared={"a/b": "dir"}, owner="shop", users=("shop",))
    places = {**READY.places, "/srv/shop/shared": READY.places["/srv/shop"]}
    done = actions(wanted, replace(BARE, users={"shop": 999}, places=places))
    made = "runuser -u deploy -- sh -c 'mkdir /srv/shop/shared/a'"
    given = f"env -u SUDO_UID {HELPER} shop own-config shared shop a"
    assert done[-1].command == f"{made} && {given} && runuser -u shop -- sh -c 'mkdir -p /srv/shop/shared/a/b'"
    assert done[-2].reason.startswith("sudo's rule for deploy")


@pytest.mark.parametrize("mode", [0o755, 0o777])
def test_no_link_above_the_deploy_root(tmp_path: Path, mode: int) -> None:
    """Root makes and gives away no directory where the login, or anybody, can write above it."""
    if tmp_path.stat().st_uid != 0:
        pytest.skip("only root can give directories away")
    for name, places in (("a", {}), ("b", {f"{tmp_path}/b/shop": replace(BARE.places["/srv/shop"], owner="root")})):
        root, shop = tmp_path / name, tmp_path / name / "shop"
        root.mkdir()
        root.chmod(mode)
        if places:
            shop.mkdir()
        wanted = replace(WANTED, directories=(str(shop),))
        account = Account("daemon", 1, "/usr/sbin", "/bin/bash")
        command = actions(wanted, replace(BARE, login="daemon", account=account, places=places))[0].command
        ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
        made = shop.exists() and shop.owner() == "daemon"
        assert (made, ran.returncode, "can write in a directory above" in ran.stdout) == (
            mode == 0o755,
            int(mode != 0o755),
            mode != 0o755,
        )


def test_one_command_of_root_is_as_good_as_two() -> None:
    """A login that may run systemctl alone, or systemd-run alone, is found; without the flag both are needed."""
    one, both = "may /usr/bin/systemctl || may /usr/bin/systemd-run;", "may /usr/bin/systemctl && may"
    assert (one in probe(WANTED), both in probe(WANTED), both in probe(replace(WANTED, least=None))) == (
        *(True, False),
        True,
    )


def test_who_could_become_root(tmp_path: Path) -> None:
    """A user of a group that is as good as root, or with a rule of sudo without a password, is found by name."""
    (tmp_path / "id").write_text('#!/bin/sh\n[ "$2" = shop ] && echo shop docker || echo root\n')
    (tmp_path / "sudo").write_text("#!/bin/sh\n")
    (tmp_path / "runuser").write_text(
        '#!/bin/sh\n[ "$2" != shop ] || echo "User shop may run the following commands"\n'
    )
    for name in ("id", "sudo", "runuser"):
        (tmp_path / name).chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    asked = probe(replace(WANTED, login="no-such-user"))
    ran = subprocess.run(["sh", "-c", asked], env=environ, capture_output=True, text=True)
    assert read(ran.stdout.splitlines()).mighty == (
        *("shop is in the group docker",),
        "shop may use sudo without a password",
    )


def test_units_that_could_not_be_checked() -> None:
    """A check that failed is told as such, and not as something that is wrong with the units."""
    [told] = problems(WANTED, replace(READY, unchecked=True))
    assert (told.message, told.hint) == (
        "the units in /etc/systemd/system could not be checked: the check by the host's python3 failed; without this "
        "check no application gets least privilege",
        "on the host: python3 --version  has to say 3.9 or later; or leave out --least-privilege",
    )


def test_names_that_differ() -> None:
    """Lists of two applications stand beside each other where no name is in both."""
    claimed = tuple((unit, "/etc/oroboros_deploy/x.json") for unit in ("web", "web@*", "web-apis", "shops-*", "sho"))
    assert problems(WANTED, replace(READY, claimed=claimed)) == []


def test_the_two_rules_are_not_had_beside_it() -> None:
    """Ours is replaced by the one; without the flag a host that has least privilege is refused."""
    assert len(actions(WANTED, replace(READY, sudo=True))) == 1
    moving = [each.command for each in actions(WANTED, replace(READY, moves=True))]
    assert moving == [f"env -u SUDO_UID {HELPER} shop move-env"]
    assert "run systemctl and systemd-run as root" in problems(replace(WANTED, least=None), READY)[0].message


def test_what_is_found_here(tmp_path: Path) -> None:
    """The script looks at files, the boot unit, groups and units; of what is not there it says nothing."""
    least = replace(LEAST, users=("daemon",), helper=Path(helper.__file__).read_text())
    asked = probe(replace(WANTED, login="no-such-user", least=least))
    for place in ("/etc/systemd/system/", "/etc/systemd/system ", "/etc/oroboros_deploy", "/usr/local/sbin"):
        asked = asked.replace(place, f"{tmp_path}{place[19:] if place.startswith('/etc/systemd') else ''}")
    asked = asked.replace("/usr/local/lib/systemd/system", f"{tmp_path}/elsewhere")
    said = "\n".join(f"{word} x" for word in ("[Service]", "User=daemon"))
    more = (
        *(("shop-api", "[Service]\n"), ("shop-b", "[Service]\nUser=root\n"), ("shop-c", f"{said}\nUser=\n")),
        ("shop-d", f"{said}\nExecStart=+/bin/x\n"),
    )
    units = {f"{name}.service": text for name, text in (*more, ("shop-web", said))}
    for name, text in {
        **units,
        "shop-e.socket": "[Socket]\nListenStream=22\n",
        "shop-web.service.d/x.conf": "[Service]\nUser=\n",
        "oroboros-helper": "x",
        "elsewhere/shop-p.timer": "",
        "elsewhere/shops.timer": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text.replace(" x", ""))
    for name, leads in (
        ("shop-l.socket", "/srv/shop/l.socket"),
        ("shop-m.path", "/dev/null"),
        ("shop-o.path", "shop-m"),
    ):
        (tmp_path / name).symlink_to(leads)
    (tmp_path / "shop-web.service.d/env.conf").write_text(
        "# oroboros_deploy: shop in /srv/shop, 0\n[Service]\nEnvironmentFile=-/srv/shop/env\n"
    )
    (tmp_path / "shop.json").write_text(LEAST.files("no-such-user")[LEAST.list_file])
    (tmp_path / "other.json").write_text(FILES[LEAST.list_file])
    ran = subprocess.run(["sh", "-c", asked.replace("command -v sudo", "false")], capture_output=True, text=True)
    found = read(ran.stdout.splitlines())
    assert [each.split()[0].partition(":")[0] for each in found.more] == [
        *(f"{name}.service" for name, _ in more),
        *("shop-e.socket", "shop-web.service.d/x.conf"),
    ]
    assert (found.enabled, found.obeyed, found.reads, ran.stderr) == (False, False, False, "")
    assert (found.moves, found.linked, found.packaged) == (
        *(True, (f"{tmp_path}/shop-l.socket",)),
        (f"{tmp_path}/elsewhere/shop-p.timer",),
    )
    assert found.claimed == tuple((unit, f"{tmp_path}/other.json") for unit in LEAST.units)
    assert found.listed == (f"{tmp_path}/shop.json",)
    broken = asked.replace("python3 -IS", "python3 -IS -bad")
    ran = subprocess.run(["sh", "-c", broken.replace("command -v sudo", "false")], capture_output=True, text=True)
    assert (found.unchecked, read(ran.stdout.splitlines()).unchecked) == (False, True)
    if tmp_path.stat().st_uid == 0:
        assert found.digests[f"{tmp_path}/oroboros-helper"] == digest("x")


def test_the_examples_units_are_in_order() -> None:
    """The application of the examples, whose services have users, can be deployed with least privilege."""
    top = Path(__file__).parents[2] / "examples/ouroboros/infra/systemd"
    users = ("daemon",)
    app = helper.Application("oroboros", "deploy", "/srv/oroboros", ("ouroboros-*",), users)
    put = (("@root@/env", app.env), ("@root@", app.root), ("@user@", "daemon"))
    files = {path.name: path.read_text() for path in top.iterdir()}
    for name, value in put:
        files = {path: text.replace(name, value) for path, text in files.items()}
    assert helper.problems(app, files) == []
