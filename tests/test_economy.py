"""What the tool costs, counted: connections and commands by sshd, start-up by the clock."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from oroboros_deploy import Deployment, Outcome, SshOptions
from oroboros_deploy.config import load
from tests.support.repository import Repository
from tests.support.sshd import Sshd, requires_sshd

FAB = Path(sys.executable).with_name("fab")


LISTED = {"", ".errors", ".tasks", ".version", ".cli"} | {
    f".cli.{name}" for name in ("arguments", "debug_log", "interrupts", "program", "running", "settings_file")
}  # what is imported for a list of the tasks
SHOWN = 98  # modules of ours that `fab status` imports at most
SWITCHED = 102  # that a rollback imports at most, DEPLOYED a deploy
DEPLOYED = 111
DIALLED = 66  # that are imported before the first packet to a host
COLLECTED = 2  # collections of garbage while a rollback runs, at most
# What a switch has time for while the host is being connected to.
LATER = {".records.record", ".remote.host", ".control.attempt", ".source", ".registry.registry"}
FABFILE = """\
import atexit
import gc
from pathlib import Path

from oroboros_deploy.tasks import ns

before = sum(each["collections"] for each in gc.get_stats())
told = Path(__file__).with_name("collections")
atexit.register(lambda: told.write_text(str(sum(each["collections"] for each in gc.get_stats()) - before)))
"""
# What a status has no use for: the ways of a deploy, values, other users, and all that serves pages.
UNSHOWN = {f".{name}" for name in ("control.attempt", "control.push", "control.secrets", "web", "testing")}


class Project:
    """A deployment over a real sshd, without services."""

    def __init__(self, tmp_path: Path, repository: Repository, sshd: Sshd) -> None:
        settings = {"root": str(tmp_path / "srv/app"), "build": {"frontend": None, "venvs": {}}}
        flags = {"skip_restart": True, "healthcheck.command": "true"}
        self.sshd = sshd
        self.hosts = [sshd.alias]
        self.old = repository.commit("old", file="1")
        self.new = repository.commit("new", file="2")
        self.deployment = Deployment(
            load([("fabric.yaml", settings)], {}, flags=flags),
            source=repository.path,
            ssh=SshOptions(config_path=str(sshd.config_path)),
        )

    def deploy(self, sha: str) -> Outcome:
        return self.deployment.deploy(self.hosts, sha=sha).raise_for_status()

    def rollback(self, sha: str) -> Outcome:
        return self.deployment.rollback(self.hosts, release=sha).raise_for_status()


@pytest.fixture
def project(tmp_path: Path, repository: Repository) -> Project:
    with Sshd(tmp_path / "sshd", settings="LogLevel VERBOSE") as sshd:
        yield Project(tmp_path, repository, sshd)


def counted(sshd: Sshd, act: Callable[[], object]) -> tuple[int, int]:
    """Connections and commands that sshd saw while something was done."""
    before = len(sshd.log())
    act()
    log = sshd.log()[before:]
    return len(re.findall("Accepted publickey", log)), len(re.findall("Starting session", log))


@requires_sshd
@pytest.mark.slow
def test_connections_and_commands(project: Project) -> None:
    """Whatever is done costs one connection and one command on it."""
    sshd = project.sshd
    assert counted(sshd, lambda: project.deploy(project.old)) == (1, 1)
    assert counted(sshd, lambda: project.deploy(project.new)) == (1, 1)
    assert counted(sshd, lambda: project.rollback(project.old)) == (1, 1)
    assert counted(sshd, lambda: project.deploy(project.new)) == (1, 1)
    assert counted(sshd, lambda: project.deploy(project.new)) == (1, 1)


@requires_sshd
@pytest.mark.slow
def test_processes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deploy without a build and a rollback ask git and ssh only what they have to."""
    started: list[str] = []
    start = subprocess.Popen.__init__
    monkeypatch.setattr(
        subprocess.Popen,
        "__init__",
        lambda self, argv, *rest, **more: (started.append(argv[0]), start(self, argv, *rest, **more))[1],
    )
    project.deploy(project.old)
    project.deploy(project.new)
    # What the repository is, the commit, and those since what is live.  A deploy asks as well how far the commits are
    # apart, whether a remote has this one and, where none has, if there are any, and what is not committed.
    for act, sha, gits in ((project.rollback, project.old, 3), (project.deploy, project.new, 7)):
        started.clear()
        act(sha)
        assert (started.count("git"), started.count("ssh"), {*started}) == (gits, 1, {"git", "ssh"})


def imported(*arguments: str, directory: Path) -> list[str]:
    """The modules of ours that a command imports, one after another, without the name of the package."""
    command = [sys.executable, "-X", "importtime", str(FAB), *arguments]
    ran = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=True)
    names = [line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()]
    return [name.removeprefix("oroboros_deploy") for name in names if name.partition(".")[0] == "oroboros_deploy"]


def test_a_list_of_the_tasks_imports_nothing_that_they_need(tmp_path: Path) -> None:
    """Who looks for a task, or completes its name, waits for neither settings, connections nor registry."""
    (tmp_path / "fabfile.py").write_text("from oroboros_deploy.tasks import ns\n")
    assert {*imported("--list", directory=tmp_path)} == LISTED


@pytest.fixture
def fab(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Runs a task on the host, which serves the old release, and tells what it imported."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DEPLOY_SKIP_SERVICE_RESTART", "1")
    project.deploy(project.old)
    settings = f"root: {tmp_path}/srv/app\n  services: []\n  healthcheck: {{command: 'true'}}"
    (tmp_path / "fabric.yaml").write_text(f"deploy:\n  {settings}\n  build: {{frontend: null, venvs: {{}}}}\n")
    (tmp_path / "fabfile.py").write_text(FABFILE)
    git = tmp_path / ".git"
    git.write_text(f"gitdir: {project.deployment.node.source().path}/.git\n")
    login = (f"--ssh-config={project.sshd.config_path}", "-H", project.sshd.alias)
    return lambda *arguments: imported(*login, *arguments, directory=tmp_path)


@requires_sshd
@pytest.mark.slow
def test_what_a_status_imports(fab: Callable[..., list[str]]) -> None:
    """A status imports nothing of a deploy, and no more modules than it did when this was measured."""
    seen = {*fab("status")}
    assert (".remote.host" in seen, seen & UNSHOWN) == (True, set())
    assert len(seen) <= SHOWN, sorted(seen)


@requires_sshd
@pytest.mark.slow
def test_what_a_switch_imports(project: Project, tmp_path: Path, fab: Callable[..., list[str]]) -> None:
    """A deploy and a rollback import no more than when this was measured, and little before they call the host."""
    deployed = fab("deploy", f"--sha={project.new}")
    switched = fab("rollback", f"--release={project.old}")
    assert (".registry.registry" in deployed, ".registry.registry" in switched) == (True, True)
    assert (len(deployed) <= DEPLOYED, len(switched) <= SWITCHED) == (True, True), sorted(deployed)
    before = switched[: switched.index(".ssh.connection")]
    assert LATER & {*before} == set()
    assert len(before) <= DIALLED, before
    assert int((tmp_path / "collections").read_text()) <= COLLECTED


@pytest.mark.slow
def test_listing_the_tasks_costs_what_an_empty_fabfile_costs(tmp_path: Path) -> None:
    """`fab --list` costs at most 1.25 times what it costs on an empty fabfile (best of several, taken in turn).

    In processor time: that is what start-up is made of, and a busy machine does not change it.
    """
    ours, empty = tmp_path / "ours", tmp_path / "empty"
    for directory, text in ((ours, "from oroboros_deploy.tasks import ns\n"), (empty, "")):
        directory.mkdir()
        (directory / "fabfile.py").write_text(text)
    times = [(_listing(ours), _listing(empty)) for _ in range(12)]
    ratio = min(time for time, _ in times) / min(time for _, time in times)
    print(f"fab --list: {ratio:.2f} times that of an empty fabfile")
    assert ratio <= 1.25


def _listing(directory: Path) -> float:
    quiet = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(FAB), "--list"], cwd=directory, env=quiet, capture_output=True, timeout=30)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
