"""What a host has: the script that finds it out, run here, and what it says, read."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from oroboros_deploy.setup.found import Account, Found, Place, probe, read
from oroboros_deploy.setup.wanted import Need, Wanted

TOLD = """\
what a shell prints
oroboros-fact login deploy
oroboros-fact caller root
oroboros-fact system Debian GNU/Linux 12 (bookworm)
oroboros-fact systemd yes
oroboros-fact python 3.11
oroboros-fact account staff:deploy:x:1000:1000:A name:/home/deploy:/bin/bash
oroboros-fact key yes
oroboros-fact user shop 998
oroboros-fact group shop
oroboros-fact missing git
oroboros-fact missing npm
oroboros-fact missing npm
oroboros-fact place root:domain users:2775:dir:empty:/srv/a: shop
"""


def test_what_is_read() -> None:
    """Each fact has its place, what else is printed has none."""
    assert read(TOLD.splitlines()) == Found(
        login="deploy",
        caller="root",
        system="Debian GNU/Linux 12 (bookworm)",
        systemd=True,
        python=(3, 11),
        account=Account("staff", 1000, "/home/deploy", "/bin/bash"),
        key=True,
        missing=("git", "npm"),
        groups=("shop",),
        users={"shop": 998},
        places={"/srv/a: shop": Place("root", "domain users", 0o2775, "dir", empty=True)},
    )


@pytest.mark.parametrize(
    "text", ["", "oroboros-fact login \noroboros-fact caller root", f"{TOLD}oroboros-fact place x"]
)
def test_what_cannot_be_read(text: str) -> None:
    """Whoever says less than a host does is not understood."""
    with pytest.raises(ValueError):
        read(text.splitlines())


def looked(wanted: Wanted) -> tuple[Found, str]:
    """What this machine says, asked without sudo: its rules are not this test's."""
    asked = probe(wanted).replace("command -v sudo", "false")
    ran = subprocess.run(["/bin/sh", "-c", asked], capture_output=True, text=True, check=True)
    return read(ran.stdout.splitlines()), ran.stderr


def test_the_script_here(tmp_path: Path) -> None:
    """It finds users, places with blanks in their names and what is missing here, and complains of nothing."""
    full, empty, file = tmp_path / "a full one", tmp_path / "empty", tmp_path / "a full one/file"
    full.mkdir()
    empty.mkdir(mode=0o700)
    file.write_text("1")
    (tmp_path / "gone").symlink_to("/no/such/place")
    needs = (Need("there", "command -v sh"), Need("lacking", "command -v no-such-program"))
    places = (str(full), str(empty), f"{tmp_path}/none", f"{tmp_path}/gone")
    user = pwd.getpwuid(os.getuid())
    wanted = Wanted(None, "ssh-ed25519 QUJD of nobody", directories=places, users=("no-such-user",), needs=needs)
    found, complaints = looked(wanted)
    assert (found.account and found.account.uid, found.login, complaints) == (os.getuid(), found.caller, "")
    assert (found.missing, found.users, found.key, found.rule) == (("lacking",), {}, False, False)
    assert {path: (each.owner, each.kind, each.empty) for path, each in found.places.items()} == {
        str(full): (user.pw_name, "dir", False),
        str(empty): (user.pw_name, "dir", True),
        f"{tmp_path}/gone": (user.pw_name, "link", False),
    }


def test_a_key_in_a_comment(tmp_path: Path) -> None:
    """It lets nobody in; one after options does."""
    key = "ssh-ed25519 AAAA"
    (tmp_path / ".ssh").mkdir()
    asked = probe(Wanted(None, key)).replace("$(printf '%s' \"$account\" | cut -d: -f6)", str(tmp_path))
    for line, known in ((f"# {key} away", False), (f" #{key}", False), (f"no-pty {key} ann", True)):
        (tmp_path / ".ssh/authorized_keys").write_text(f"{line}\n")
        ran = subprocess.run(["/bin/sh", "-c", asked], capture_output=True, text=True, check=True)
        assert read(ran.stdout.splitlines()).key is known, line


def test_a_login_that_is_not_there() -> None:
    """Nothing is known of it, and nothing is asked for it."""
    found, complaints = looked(Wanted("no-such-user", None))
    assert (found.login, found.account, found.sudo, complaints) == ("no-such-user", None, False, "")
