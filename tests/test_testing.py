"""The kit for other people's tests: what its page shows is run, and nothing outside its directory is touched."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from oroboros_deploy.config import load
from oroboros_deploy.errors import LinkLost
from oroboros_deploy.testing import LocalConnection, LocalHosts
from tests.support.repository import Repository
from tests.support.watching import tree

pytestmark = pytest.mark.slow  # whole deploys, or servers that have to start

PAGE = (Path(__file__).parent.parent / "docs/testing.md").read_text()
SETTINGS = {"root": "/srv/shop", "build": {"frontend": None, "venvs": {}}, "healthcheck": {"command": "test -e file"}}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_examples_of_its_page_pass(tmp_path: Path) -> None:
    """The page's settings and tests, put into a repository as it says, are collected and pass."""
    project = Repository(tmp_path / "shop")
    (settings,), tests = blocks("yaml"), blocks("python")
    files = {"fabric.yaml": settings, "page.txt": "hello NAME\n", "test_deploy.py": "\n\n".join(tests)}
    (project.path / "healthy").touch(mode=0o755)
    project.commit("first", healthy="#!/bin/sh\ntest -s public/page.txt\n", **files)
    project.git("switch", "--quiet", "--create", "sick")
    project.commit("broken", healthy="#!/bin/sh\nexit 1\n")
    project.git("switch", "--quiet", "main")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_deploy.py"]
    # A pytest with the usual place for its directories would close that place to the other users of tests at work.
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DEBUG_TEMPROOT": str(tmp_path)}
    ran = subprocess.run(command, cwd=project.path, env=environ, capture_output=True, text=True)
    count = sum(text.count("def test_") for text in tests)
    assert (ran.returncode, f"{count} passed" in ran.stdout) == (0, True), ran.stdout + ran.stderr
    assert project.git("status", "--porcelain") == ""


def test_nothing_outside_its_directory_is_used(tmp_path: Path, repository: Repository) -> None:
    """Neither the registry nor the places of the settings, nor the user's own state directory."""
    sha = repository.commit("first", file="1")
    outside = {
        "registry_url": f"sqlite:///{tmp_path}/production.db",
        "releases_dir": f"{tmp_path}/releases",
        "current_link": f"{tmp_path}/current",
        "repo_root": f"{tmp_path}/repo",
    }
    before = tree(tmp_path)
    hosts = LocalHosts(load([("fabric.yaml", {**SETTINGS, **outside})], {}), tmp_path / "kit", source=repository.path)
    assert hosts.deployment().deploy(["web1"], sha=sha).ok
    hosts.deployment().status(["web1"])
    assert hosts.live("web1") == sha
    written = {path: what for path, what in tree(tmp_path).items() if path.partition("/")[0] != "kit"}
    assert written == before
    assert (tmp_path / "kit/state/registry.db").is_file()


def test_no_service_is_restarted(tmp_path: Path) -> None:
    """Units of the settings that this machine may have are left alone."""
    config = load([("fabric.yaml", {**SETTINGS, "services": ["ssh"]})], {})
    assert not config.skip_restart
    assert LocalHosts(config, tmp_path).deployment().config == replace(config, skip_restart=True)


def test_each_host_has_a_root_of_its_own(tmp_path: Path, repository: Repository) -> None:
    """Hosts with the same settings do not see each other's releases, and options go to the deployment."""
    sha = repository.commit("first", file="1")
    hosts = LocalHosts(load([("fabric.yaml", SETTINGS)], {}), tmp_path / "kit", source=repository.path)
    heard = []
    outcome = hosts.deployment(actor="ada@desk", listener=heard.append).deploy(["web1"], sha=sha)
    assert (hosts.live("web1"), hosts.live("web2")) == (outcome.release_id, None)
    assert (hosts.events, bool(heard)) == ([], True)
    assert [connection.commands for connection in hosts.connections["web1"]] == [["facts", "build", "activate"]]
    (entry,) = hosts.deployment().audit(["web1"])["web1"]["entries"]  # type: ignore[index]
    assert entry["actor"] == "ada@desk"


def test_a_link_can_be_cut(tmp_path: Path) -> None:
    """After so many lines of the named call, as a network does; the lines before are there."""
    connection = LocalConnection()
    connection.cut_after = {"two": 1}
    command = connection.command("printf 'a\\nb\\n' # two", deadline=10)
    with pytest.raises(LinkLost):
        assert next(command.lines()) == b"a"
        list(command.lines())
    connection.close()
    assert (connection.commands, connection.closed) == (["two"], True)
