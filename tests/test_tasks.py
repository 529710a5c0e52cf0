"""The tasks as people use them: the real `fab` program, in the fabfiles they write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from oroboros_deploy.registry import Registry
from oroboros_deploy.registry.url import default_url
from tests.support.repository import Repository
from tests.support.rights import require
from tests.support.samples import host, record

FAB = Path(sys.executable).with_name("fab")
NAMESPACE = "from oroboros_deploy.tasks import ns\n"
FABFILES = {
    "namespace": (NAMESPACE, ""),
    "bare import": ("from oroboros_deploy.tasks import deploy, rollback, status\n", ""),
    "collection": (
        "from invoke import Collection\nfrom oroboros_deploy import tasks\n"
        "ns = Collection()\nns.add_collection(tasks.ns, 'oro')\nns.configure({'other': {'key': 1}})\n",
        "oro.",
    ),
    "single task": (
        "from invoke import Collection\nfrom oroboros_deploy.tasks import deploy, rollback, status\n"
        "ns = Collection()\n[ns.add_task(task) for task in (deploy, rollback, status)]\n",
        "",
    ),
}


def fab(directory: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(FAB), *arguments],
        cwd=directory,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def project(repository: Repository) -> Path:
    """A repository with the fabfile of the README."""
    (repository.path / "fabfile.py").write_text(NAMESPACE)
    repository.commit("first")
    return repository.path


@pytest.mark.slow
@pytest.mark.parametrize(("text", "prefix"), FABFILES.values(), ids=FABFILES.keys())
def test_every_way_to_import(project: Path, text: str, prefix: str) -> None:
    """Listed, helped and run, the tasks work however a fabfile takes them in, with the fabric.yaml beside it."""
    (project / "fabfile.py").write_text(text)
    (project / "fabric.yaml").write_text("deploy: {root: /srv/elsewhere, environments: {prod: {hosts: ['-bad']}}}\n")
    listed = fab(project, "--list")
    assert (listed.returncode, f"{prefix}deploy" in listed.stdout) == (0, True), listed.stderr
    assert "--sha=STRING" in fab(project, "--help", f"{prefix}deploy").stdout
    ran = fab(project, "-H", "prod", f"{prefix}deploy", "--sha=HEAD")
    assert (ran.returncode, "-bad" in ran.stderr, "Traceback" in ran.stderr) == (2, True, False), ran.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("deploy",), "--sha=SHA"),
        (("deploy", "--sha=HEAD"), "no host was named"),
        (("-H", "web1", "deploy", "--sha="), "--sha=SHA"),
        (("-H", "web1", "deploy", "--sha=nothing-like-this"), "nothing-like-this"),
        (("-H", "web1", "deploy", "--sha=" + "a" * 40), "a" * 40),
        (("-H", "web1", "deploy", "--sha=HEAD", "--root=relative"), "must be an absolute path"),
        (("-H", "web1", "deploy", "--sha=HEAD", "--services=a*"), "plain systemd unit names"),
        (("-H", "user@-oProxyCommand=x", "deploy", "--sha=HEAD"), "host names"),
        (("-H", "web1:port", "deploy", "--sha=HEAD"), "web1:port"),
        (("rollback",), "--release=ID"),
        (("-H", "web1", "lock"), "--reason="),
        (("lock", "--reason=x"), "no host was named"),
        (("unlock",), "no host was named"),
        (("-H", "web1", "pin"), "--release=ID"),
        (("-H", "web1", "pin", "--release=../../etc"), "../../etc"),
        (("-H", "web1", "unpin"), "--release=ID"),
        (("-H", "web1", "prune", "--keep=1"), "must be a whole number from 2 to 1000"),
        (("-H", "web1", "prune", "--keep=-1"), "must be a whole number"),
        (("prune", "--dry-run"), "no host was named"),
        (("-H", "web1", "audit", "--limit=-1"), "whole number"),
        (("rollback", "--release=../../etc"), "../../etc"),
        (("rollback", "--release=" + "b" * 40), "knows no host"),
        (("registry.list", "--limit=many"), "whole number"),
        (("registry.list", "--status=fine"), "fine"),
        (("registry.upsert", "--release=x"), "--status=STATUS"),
    ],
)
def test_bad_input_exits_2_without_a_traceback(project: Path, arguments: tuple[str, ...], words: str) -> None:
    """Whatever a person mistypes is named in a message, with exit code 2 and no traceback."""
    ran = fab(project, *arguments)
    assert (ran.returncode, words in ran.stderr, "Traceback" in ran.stderr) == (2, True, False), ran.stderr


def test_unknown_settings_are_refused_by_name(project: Path) -> None:
    """A mistyped key in fabric.yaml is refused with the nearest right one and the file it stands in."""
    (project / "fabric.yaml").write_text("deploy:\n  helthcheck: {timeout: 3}\n")
    ran = fab(project, "config")
    assert ran.returncode == 2
    assert "helthcheck" in ran.stderr and "did you mean healthcheck" in ran.stderr
    assert str(project / "fabric.yaml") in ran.stderr


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("deploy: {root: [", (), "fabric.yaml"),
        ("- deploy", (), "fabric.yaml: it must hold settings, not a list"),
        ("deploy: {}", ("--ssh-config", "/no/such/file"), "/no/such/file"),
        ("deploy: {}", ("--ssh-config", "odd"), "Unparsable line"),
    ],
    ids=["broken YAML", "a list", "missing ssh_config", "broken ssh_config"],
)
def test_files_that_cannot_be_read_are_named(project: Path, text: str, arguments: tuple[str, ...], words: str) -> None:
    """A file that Fabric itself cannot read is named in a message, with exit code 2 and no traceback."""
    (project / "fabric.yaml").write_text(text)
    (project / "odd").write_text('Host a\n  this is no directive, only words\n"\n')
    ran = fab(project, *arguments, "-H", "web1", "deploy", "--sha=HEAD")
    assert (ran.returncode, words in ran.stderr, "Traceback" in ran.stderr) == (2, True, False), ran.stderr


def test_config_says_where_each_value_comes_from(project: Path) -> None:
    """`fab config` shows each setting with its source: default, file, environment, variable or flag."""
    (project / "fabric.yaml").write_text(
        "deploy:\n  services: [api]\n  environments: {prod: {hosts: [web1], migrate: ./migrate}}\n"
    )
    ran = fab(
        project,
        *("-H", "prod", "config", "--json", "--root=/srv/flag"),
        DEPLOY_HEALTHCHECK_CMD="true",
        DEPLOY_REGISTRY_URL="postgresql://app:secret@db/app",
    )
    shown = json.loads(ran.stdout)
    file = str(project / "fabric.yaml")
    assert {name: shown[name] for name in ("root", "healthcheck.command", "services", "migrate", "repo_url")} == {
        "root": {"value": "/srv/flag", "from": "flag --root"},
        "healthcheck.command": {"value": "true", "from": "DEPLOY_HEALTHCHECK_CMD"},
        "services": {"value": "api", "from": f"fabric.yaml ({file})"},
        "migrate": {"value": "./migrate", "from": f"environments.prod in {file}"},
        "repo_url": {"value": "none", "from": "default"},
    }
    assert "secret" not in ran.stdout


@pytest.mark.slow
def test_registry_from_the_command_line(project: Path) -> None:
    """upsert writes and prints a row, get prints it again, list prints an array, newest first."""
    first, second = "1" * 40, "2" * 40
    written = fab(project, "registry.upsert", f"--release={first}", "--status=deployed", "--migration-marker=4f2a")
    row = json.loads(written.stdout)
    assert row.pop("deployed_at").endswith("+00:00")
    assert row == {
        "id": 1,
        "release_id": first,
        "commit_sha": first,
        "migration_marker": "4f2a",
        "status": "deployed",
    }
    fab(project, "registry.upsert", f"--release={second}", "--status=deploying")
    assert json.loads(fab(project, "registry.get", f"--release={first}").stdout)["status"] == "deployed"
    assert [row["release_id"] for row in json.loads(fab(project, "registry.list").stdout)] == [second, first]
    missing = fab(project, "registry.get", "--release=" + "3" * 40)
    assert (missing.returncode, json.loads(missing.stdout)) == (
        2,
        {"error": "release_not_found", "release_id": "3" * 40},
    )


@pytest.mark.slow
def test_release_ids_have_one_spelling(project: Path) -> None:
    """In upper case too a release is the same one."""
    fab(project, "registry.upsert", f"--release={'AB' * 20}", "--status=deployed")
    row = json.loads(fab(project, "registry.get", f"--release={'Ab' * 20}").stdout)
    assert (row["release_id"], row["commit_sha"]) == ("ab" * 20, "ab" * 20)


def test_json_errors_are_one_object(project: Path) -> None:
    """With --json a refusal is one JSON object, with its exit code and hint."""
    ran = fab(project, "deploy", "--sha=HEAD", "--json")
    said = json.loads(ran.stderr)
    assert (ran.returncode, said["error"], said["exit_code"]) == (2, "InvalidInput", 2)


def test_other_tasks_run_as_ever(project: Path) -> None:
    """A task of somebody else's in the same fabfile still gets Fabric's connection, once a host."""
    (project / "fabfile.py").write_text(
        "from fabric import task\nfrom oroboros_deploy.tasks import deploy\n\n"
        "@task\ndef who(c):\n    print(type(c).__name__, c.host)\n"
    )
    assert fab(project, "-H", "a,b", "who").stdout == "Connection a\nConnection b\n"


@pytest.mark.parametrize("named", ["box", "person@box", "box:2222", "other@box", "box:2200"])
def test_a_host_has_one_name_in_every_fabfile(project: Path, named: str) -> None:
    """A task of ours that a task of somebody's calls takes the host as it was named, and its environment's settings."""
    (project / "fabfile.py").write_text(
        "from fabric import task\nfrom oroboros_deploy.tasks import show_config as config\n\n"
        "@task\ndef mine(c):\n    config(c, json=True)\n"
    )
    (project / "ssh").write_text("Host box\n  Port 2222\n  User person\n")
    (project / "fabric.yaml").write_text("deploy: {environments: {prod: {hosts: [box], root: /srv/prod}}}\n")
    shown = json.loads(fab(project, "-S", "ssh", "-H", named, "mine").stdout)
    name = named if named in ("other@box", "box:2200") else "box"
    root = "/srv/prod" if name != "box:2200" else "/srv/oroboros"
    assert (shown["hosts"]["value"], shown["root"]["value"]) == (name, root)


def test_a_mistyped_environment_is_no_mystery(project: Path) -> None:
    """A name that leads nowhere but is nearly an environment's is told so."""
    (project / "fabric.yaml").write_text("deploy: {environments: {prod: {hosts: [web1]}}}\n")
    ran = fab(project, "-H", "prdo", "status")
    assert (ran.returncode, "if prod was meant: fab -H prod; otherwise" in ran.stderr) == (50, True), ran.stderr


def test_a_user_without_a_name(project: Path) -> None:
    """A number that no name belongs to, as in some containers of CI, is told how to get one."""
    stranger = ("unshare", "--user", "--map-user=54321")
    require("user namespaces", *stranger, "true")
    names = ("USER", "LOGNAME", "LNAME", "USERNAME")
    status = [*stranger, "env", *(f"--unset={name}" for name in names), str(FAB), "-H", "127.0.0.1:1", "status"]
    ran = subprocess.run(status, cwd=project, capture_output=True, text=True, timeout=60)
    words = "nothing was changed: user 54321 has no name on this machine\n  → export LOGNAME=somebody\n"
    assert (ran.returncode, ran.stderr) == (2, words)


@pytest.mark.slow
def test_hosts_that_nobody_named(project: Path) -> None:
    """A rollback without -H takes the environment's hosts and settings: the only one, else that of the release."""
    release = "1" * 40
    settings = "deploy:\n  environments:\n    prod: {hosts: [127.0.0.1:1], root: /srv/prod}\n"
    (project / "fabric.yaml").write_text(settings)
    only = fab(project, "rollback", f"--release={release}")
    assert (only.returncode, "127.0.0.1 port 1" in only.stderr) == (50, True), only.stderr
    (project / "fabric.yaml").write_text(settings + "    staging: {hosts: [127.0.0.1:2]}\n")
    unknown = fab(project, "rollback", f"--release={release}")
    assert (unknown.returncode, "knows no host" in unknown.stderr) == (2, True), unknown.stderr


@pytest.mark.slow
def test_reconcile_without_hosts_goes_to_those_of_the_registry(project: Path) -> None:
    """Each with the settings of its environment; hosts that cannot be read are named, with exit code 50."""
    nobody = fab(project, "registry.reconcile")
    assert (nobody.returncode, "no host was named" in nobody.stderr) == (2, True), nobody.stderr
    environments = "prod: {hosts: [a], root: /srv/prod}, test: {hosts: [b], root: /srv/test}"
    (project / "fabric.yaml").write_text(f"deploy: {{environments: {{{environments}}}}}\n")
    with Registry.open(default_url()) as registry:
        for number, place in enumerate(("prod", "test", None), 1):
            registry.finish(
                record("a" * 40, host(f"127.0.0.1:{number}", "live"), attempt=str(number), environment=place)
            )
    ran = fab(project, "registry.reconcile", "--dry-run", "--json")
    found = json.loads(ran.stdout)
    unread = [repairs["unread"] for repairs in found]
    assert (ran.returncode, unread) == (50, [["127.0.0.1:1"], ["127.0.0.1:2"], ["127.0.0.1:3"]]), ran.stderr
    told = fab(project, "-H", "127.0.0.1:9", "registry.reconcile")
    assert (told.returncode, "127.0.0.1:9: it was not read" in told.stdout) == (50, True), told.stderr


def test_the_end_of_fab_loses_nothing(project: Path) -> None:
    """What a fabfile has buffered and registered for the end is done, in cycles of objects too."""
    (project / "fabfile.py").write_text(
        NAMESPACE + "import atexit, sys\n"
        "class Cycle:\n"
        "    def __init__(self, path):\n"
        "        self.file, self.itself = open(path, 'w'), self\n"
        "plain, cycle, closed = open('plain', 'w'), Cycle('cycle'), open('closed', 'wb')\n"
        "plain.write('kept'), cycle.file.write('kept'), closed.write(b'kept'), closed.close()\n"
        "atexit.register(lambda: plain.write(', at exit too'))\n"
        "sys.stdout.write('said')\n"
    )
    listed = fab(project, "--list")
    said = {name: (project / name).read_text() for name in ("plain", "cycle", "closed")}
    assert said == {"plain": "kept, at exit too", "cycle": "kept", "closed": "kept"}
    assert (listed.returncode, listed.stdout[:4], listed.stderr) == (0, "said", "")


@pytest.mark.slow
@pytest.mark.parametrize("kept", [True, False])
def test_what_a_task_imports_is_compiled_once(project: Path, tmp_path: Path, kept: bool) -> None:
    """Not at every command; but the fabfile's directory stays clean, and who wants no bytecode at all gets none."""
    cache = tmp_path / "bytecode"
    environ = {"PYTHONPYCACHEPREFIX": str(cache), "PYTHONDONTWRITEBYTECODE": "" if kept else "1"}
    fab(project, "registry.list", **environ)
    found = {path.name.partition(".")[0] for path in cache.rglob("*.pyc")}
    assert {"deployment", "attempts"} & found == ({"deployment", "attempts"} if kept else set())
    assert "fabfile" not in found
