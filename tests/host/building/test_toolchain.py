"""The Python and the node that a recipe chooses: real ones, beside those that the host has anyway."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import environment, process, seal
from oroboros_deploy.host.building import toolchain
from oroboros_deploy.host.refusal import Refusal
from tests.support.builds import PARTS, Site, built
from tests.support.second_tools import another_node, another_python
from tests.support.watching import tree


def ask(argv: Any) -> process.Ended:
    env = environment.of_this_user()
    return process.apart(argv, cwd=Path("/"), deadline=time.monotonic() + 20, env=env, bound=True)


def refused(**recipe: Any) -> dict[str, Any]:
    with pytest.raises(Refusal) as refusal:
        toolchain.chosen(recipe, ask)  # type: ignore[arg-type]
    return refusal.value.as_dict()


def script(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("exit 0", 0o644, "cannot be executed by this login"),
        ("echo broken >&2; exit 3", 0o755, "is no Python that runs: broken"),
        ("exit 3", 0o755, "is no Python that runs: exited 3"),
        ("echo hello", 0o755, "is no Python that runs: hello"),
        ("""echo '[3, 8, "3.8.18", "/bin/sh", "/bin/sh", "/"]'""", 0o755, "is Python 3.8, and 3.9 or later is needed"),
    ],
)
def test_a_python_that_does_not_serve_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, mode: int, why: str
) -> None:
    """What is wrong with it, and what to do; root may execute what nobody may, but not without any x bit."""
    path = script(tmp_path / "python3", text, mode)
    assert refused(python=path) == {
        "kind": "invalid",
        "message": f"nothing was built: build.python: {path} {why}",
        "hint": "install it there, or set build.python in fabric.yaml (null: the host's own python3), "
        "then deploy again",
    }


def test_a_node_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    """Also one that is not there, and another program of that name."""
    told = "nothing was built: build.node:"
    assert refused(node=f"{tmp_path}/node")["message"] == f"{told} {tmp_path}/node is not on this host"
    path = script(tmp_path / "node", "echo 1.1.0")
    assert refused(node=path) == {
        "kind": "invalid",
        "message": f"{told} {path} is no node that runs: 1.1.0",
        "hint": "install it there, or set build.node in fabric.yaml (null: the node in PATH), then deploy again",
    }


def test_without_a_choice_nothing_is_asked() -> None:
    """The agent's own Python is known, and no node need be there."""
    found = toolchain.chosen({}, lambda argv: pytest.fail(f"asked {argv}"))  # type: ignore[typeddict-item]
    assert (found, found.python, found.unreachable()) == (toolchain.of_the_agent(), sys.executable, None)


def test_what_keeps_other_users_from_a_python_is_named(site: Site) -> None:
    """The outermost directory; services of another user could not start from such a release."""
    site.host.root.parent.chmod(0o755)
    home = site.host.root.parent / "home"
    (home / "bin").mkdir(parents=True)
    program = script(home / "bin" / "python3", "")
    found = toolchain.Toolchain(program, "about", (3, 12), files=(program,))
    assert found.unreachable() is None
    home.chmod(0o750)
    assert found.unreachable() == str(home)
    home.chmod(0o751)
    Path(program).chmod(0o750)
    assert found.unreachable() == program


@pytest.mark.slow
def test_environments_and_wheels_are_made_with_the_chosen_python(site: Site) -> None:
    """Their programs work, the next build takes them again, and another choice makes them anew."""
    other = another_python()
    first, second, third = site.commit(), site.commit(docs__notes="two"), site.commit(docs__notes="three")
    assert built(site.build(first, python=str(other))) == PARTS
    venv = site.release(first) / "worker/.venv/bin"
    version = subprocess.run([other, "-c", "import sys; print(sys.version)"], capture_output=True, text=True).stdout
    ran = subprocess.run([venv / "python", "-c", "import sys; print(sys.version)"], capture_output=True, text=True)
    jobs = subprocess.run([venv / "jobs"], capture_output=True, text=True)
    assert (ran.stdout, jobs.stdout, jobs.stderr) == (version, "jobs at work\n", "")
    assert built(site.build(second, python=str(other))) == []
    assert built(site.build(third)) == [part for part in PARTS if part != "frontend"]


@pytest.mark.slow
def test_a_choice_that_fails_changes_nothing(site: Site) -> None:
    """Not a release, not the cache: it is looked at before all."""
    sha = site.commit()
    site.host.facts(sha)
    paths = site.host.paths
    paths.releases.mkdir(exist_ok=True)
    before = (tree(paths.releases), tree(paths.repo))
    refusal = site.build(sha, python="/opt/none/bin/python3").refusal or {}
    assert (refusal["kind"], refusal["message"]) == (
        "invalid",
        "nothing was built: build.python: /opt/none/bin/python3 is not on this host",
    )
    assert (tree(paths.releases), tree(paths.repo)) == before


@pytest.mark.slow
def test_a_python_that_builds_do_not_see_is_refused(site: Site) -> None:
    """One in `.deploy` works for the agent, and not for a build, which sees nothing of it."""
    sha = site.commit()
    site.host.facts(sha)
    hidden = site.host.paths.ours / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--copies", hidden], check=True)
    refusal = site.build(sha, python=f"{hidden}/bin/python3").refusal or {}
    assert refusal["message"] == (
        f"nothing was built: build.python: {hidden}/bin/python3 runs on this host, but not in a build, which sees "
        "neither .deploy nor what the host has in /tmp, /var/tmp and /dev/shm"
    )
    assert not site.release(sha).exists()


@pytest.mark.slow
def test_the_chosen_node_is_the_first_that_commands_find(site: Site, tmp_path: Path) -> None:
    """Those of a build, the migration and the health command; the parts of another node are built anew."""
    node = another_node(tmp_path)
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    usual = shutil.which("node", path=environment.of_this_user()["PATH"])
    tell = {"path": "frontend", "command": "mkdir -p dist && node --version >dist/version", "output": "dist"}
    frontend = {"frontend": tell | {"into": "infra/web"}, "venvs": {}}
    first, second, third = site.commit(), site.commit(docs__notes="two"), site.commit(docs__notes="three")
    assert built(site.build(first, node=str(node), **frontend)) == ["frontend"]
    assert (site.release(first) / "infra/web/version").read_text() == version
    assert seal.read_meta(site.release(first))["node"] == str(node)
    assert built(site.build(second, node=str(node), **frontend)) == []
    there = site.host.root.parent
    keep = "node --version >"
    gate = {"command": f"{keep}{there}/gate", "timeout": 20, "interval": 0.05, "stable_for": 0}
    assert site.host.activate(second, migrate=f"{keep}{there}/migrate", healthcheck=gate).refusal is None
    assert ((there / "gate").read_text(), (there / "migrate").read_text()) == (version, version)
    if usual is not None:
        assert built(site.build(third, **frontend)) == ["frontend"]
        assert (site.release(third) / "infra/web/version").read_text() != version
