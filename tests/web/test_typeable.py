"""The commands that pages show can be typed as they stand."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from oroboros_deploy.registry import Registry
from oroboros_deploy.web.site import site
from oroboros_deploy.web.typeable import Commands
from tests.support.fab import FAB, FABFILE, Fab
from tests.support.html import text
from tests.support.repository import Repository
from tests.support.samples import A, B, host, record
from tests.support.sshd import Sshd, requires_sshd

TARGETS: list[dict[str, Any]] = [
    {"application": "shop", "host": "web1", "root": "/srv/shop"},
    {"application": "shop", "host": "web2", "root": "/srv/shop"},
    {"application": "shop", "host": "web2", "root": "/srv/shop 2"},
    {"application": "blog", "host": "web1", "root": "/srv/blog"},
    {"application": "", "host": "old", "root": ""},
]
SHOP = {"application": "shop", "environment": "prod"}


@pytest.mark.parametrize(
    ("about", "hosts", "command", "several"),
    [
        (SHOP, ["web1"], "fab -H web1 status --environment=prod --root=/srv/shop", []),
        ({**SHOP, "application": "blog", "environment": None}, ["web1"], "fab -H web1 status --root=/srv/blog", []),
        ({**SHOP, "environment": "a b"}, ["old"], "fab -H old status '--environment=a b'", []),
        (SHOP, ["web2", "web1"], "fab -H web2,web1 status --environment=prod --root=/srv/shop", []),
        (SHOP, ["web2"], "fab -H web2 status --environment=prod --root=ROOT", ["/srv/shop", "/srv/shop 2"]),
        ({**SHOP, "application": ""}, ["web1"], "fab -H web1 status --environment=prod --root=ROOT",
         ["/srv/blog", "/srv/shop"]),
        (SHOP, ["new"], "fab -H new status --environment=prod", []),
        (SHOP, [], "fab -H HOST status --environment=prod", []),
        (SHOP, ["web1;reboot", "$(id)"], "fab -H 'web1;reboot,$(id)' status --environment=prod", []),
    ],
)  # fmt: skip
def test_a_command_has_what_the_registry_knows(
    about: dict[str, Any], hosts: list[str], command: str, several: list[str]
) -> None:
    """The environment, and the root where it is one, else which there are; a name from the registry runs nothing."""
    commands = Commands(lambda: TARGETS)
    assert (commands("status", about, hosts), commands.several(about, hosts)) == (command, several)


def test_pages_name_the_program_that_was_typed(tmp_path: Path) -> None:
    """Who serves with `oroboros` is shown no `fab`; before the first deploy, too."""
    with (
        Registry.open(f"sqlite:///{tmp_path}/registry.db") as registry,
        TestClient(site(lambda: registry.reader, program="oroboros"), base_url="http://localhost") as client,
    ):
        empty = text(client.get("/").text)
        registry.finish(record(A, host("w1", "live", live=A, previous=B)))
        first, there = text(client.get("/").text), text(client.get("/hosts/w1").text)
    assert "The first: oroboros -H HOST deploy --sha=HEAD" in empty
    assert f"oroboros -H prod rollback --release={B}" in first
    assert [("fab " in each, "oroboros status" in each) for each in (empty, first, there)] == [(False, True)] * 3


def test_an_environment_stands_for_its_hosts() -> None:
    """Then it is named once."""
    assert Commands(lambda: TARGETS)("status", SHOP, ["web1"], "prod") == "fab -H prod status --root=/srv/shop"


def test_nothing_is_asked_for_where_no_command_is_shown() -> None:
    """Most pages show none."""
    Commands(lambda: pytest.fail("asked"))


@requires_sshd
@pytest.mark.slow
@pytest.mark.parametrize("root_by", ["the file", "a variable"])
def test_what_a_page_says_can_be_typed(tmp_path: Path, repository: Repository, root_by: str) -> None:
    """Copied to a shell where fabric.yaml is, the way back goes back; also where DEPLOY_ROOT had the root."""
    root = str(tmp_path / "srv/shop")
    settings: dict[str, Any] = {"services": [], "environments": {"prod": {"hosts": ["box"]}}}
    settings |= {"build": {"frontend": None, "venvs": {}}, "healthcheck": {"command": "true"}}
    settings |= {"root": root} if root_by == "the file" else {}
    files = {"fabfile.py": FABFILE, "fabric.yaml": json.dumps({"deploy": settings})}
    first, second = repository.commit("one", **files), repository.commit("two", file="2")
    with Sshd(tmp_path / "sshd") as sshd:
        fab = Fab(repository.path, sshd.config_path, f"sqlite:///{tmp_path}/registry.db")
        for sha in (first, second):
            fab.ok("-H", "prod", "deploy", f"--sha={sha}", DEPLOY_ROOT=root)
        with Registry.open(f"sqlite:///{tmp_path}/registry.db") as registry:
            html = TestClient(site(lambda: registry.reader), base_url="http://localhost").get("/").text
        command = text(html.partition(", which served before:</p>")[2].partition("</code>")[0])
        assert command == f"fab -H prod rollback --release={first} --root={root}"
        typed = command.replace("fab ", f"{FAB} --ssh-config={shlex.quote(str(sshd.config_path))} ", 1)
        subprocess.run(["bash", "-c", typed], cwd=repository.path, env=fab.environ, check=True, capture_output=True)
        assert Path(root, "current").resolve().name == first


def test_every_page_says_where_to_type(past: TestClient) -> None:
    """The registry knows no directory, and not always a root: that is said."""
    said = "Type a command in the directory that has the fabric.yaml of its application. When the deploys have a --root"
    assert said in text(past.get("/hosts").text)
