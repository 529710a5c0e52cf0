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

LEAST = Least("shop", "/srv/shop", ("web-api", "worker@1", "jobs.timer"), ("shop",), "#!/usr/bin/python3 -I\n")
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
    units = ["shop", "shop-*", "shop@*", "web-*", "worker", "worker@*", "jobs", "jobs@*"]
    assert said == {"login": "deploy", "root": "/srv/shop", "units": units, "users": ["shop", "deploy"]}
    assert [*FILES] == [HELPER, "/etc/oroboros_deploy/shop.json", BOOT]
    assert "User=deploy\n" in FILES[BOOT] and "Before=web-api.service worker@1.service jobs.timer\n" in FILES[BOOT]


def test_what_is_done() -> None:
    """Three files, each whole before it has its name, the boot unit, the journal, and the one rule of sudo at last."""
    done = actions(WANTED, BARE)
    rule = f"printf '%s\\n' '{sudo_rule('deploy', HELPER)}'"
    assert [each.reason for each in done] == [
        *(f"{file} is not as it has to be" for file in FILES),
        "a boot would not settle what a power cut left",
        "deploy may not read what the services said",
        f"deploy may run {HELPER} as root, and nothing else",
    ]
    assert all(f"chmod {'0755' if n == 0 else '0644'} " in each.command for n, each in enumerate(done[:3]))
    assert done[0].shown.startswith(f"# {HELPER} is written: 1 lines, SHA-256 {digest(LEAST.helper)}")
    assert (done[1].shown, done[-1].command.startswith(rule)) == (done[1].command, True)
    assert (actions(WANTED, READY), problems(WANTED, READY)) == ([], [])


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (replace(BARE, sudo=True), "by a rule of yours"),
        (replace(READY, as_root=("/etc/systemd/system/shop-api.service",)), "shop-api.service names no User="),
    ],
)
def test_what_makes_it_useless(found: Found, said: str) -> None:
    """Rights of another rule, and services of root's, are refused by name."""
    assert [said in each.message for each in problems(WANTED, found)] == [True]


def test_the_two_rules_are_not_had_beside_it() -> None:
    """Ours is replaced by the one; without the flag a host that has least privilege is refused."""
    assert len(actions(WANTED, replace(READY, sudo=True))) == 1
    moving = [each.command for each in actions(WANTED, replace(READY, moves=True))]
    assert moving == [f"{HELPER} shop move-env"]
    assert "two rules of sudo" in problems(replace(WANTED, least=None), READY)[0].message


def test_what_is_found_here(tmp_path: Path) -> None:
    """The script looks at files, the boot unit, groups and units; of what is not there it says nothing."""
    asked = probe(replace(WANTED, login="no-such-user"))
    for place in ("/etc/systemd/system", "/etc/oroboros_deploy", "/usr/local/sbin"):
        asked = asked.replace(place, str(tmp_path))
    said = "\n".join(f"{word} x" for word in ("[Service]", "User=shop"))
    for name, text in (("shop-api.service", "[Service]\n"), ("shop-web.service", said), ("oroboros-helper", "x")):
        (tmp_path / name).write_text(text.replace(" x", ""))
    (tmp_path / "shop-web.service.d").mkdir()
    (tmp_path / "shop-web.service.d/env.conf").write_text(
        "# oroboros_deploy: shop in /srv/shop, 0\n[Service]\nEnvironmentFile=-/srv/shop/env\n"
    )
    (tmp_path / "shop.json").write_text(LEAST.files("no-such-user")[LEAST.list_file])
    (tmp_path / "other.json").write_text(FILES[LEAST.list_file])
    ran = subprocess.run(["sh", "-c", asked.replace("command -v sudo", "false")], capture_output=True, text=True)
    found = read(ran.stdout.splitlines())
    assert (found.as_root, found.enabled, found.obeyed, found.reads, ran.stderr) == (
        (f"{tmp_path}/shop-api.service",),
        *(False, False, False, ""),
    )
    assert found.moves
    assert found.listed == (f"{tmp_path}/shop.json",)
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
