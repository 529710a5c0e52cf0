"""The tasks as people use them: the real `fab` program, in the fabfiles they write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from inspect import signature
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fabric import Config as FabricConfig
from invoke import Context, Exit

from oroboros_deploy import Deployment, tasks
from oroboros_deploy.config import SETTINGS
from oroboros_deploy.errors import HostUnreachable
from tests.control import test_setup
from tests.support.fabfiles import NAMESPACE, fab
from tests.support.site import GATE, Site

pytestmark = pytest.mark.slow  # whole deploys, or servers that have to start

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
        (("rollback",), "no host was named"),
        (("rollback", "--release="), "--release=ID"),
        (("-H", "web1", "lock"), "--reason="),
        (("lock", "--reason=x"), "no host was named"),
        (("unlock",), "no host was named"),
        (("claim", "--yes"), "no host was named"),
        (("setup", "--yes"), "no host was named"),
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
        (("registry.forget",), "--host=NAME"),
        (("registry.forget", "--host=web1"), "the registry knows no host 'web1' of oroboros"),
    ],
)
def test_bad_input_exits_2_without_a_traceback(project: Path, arguments: tuple[str, ...], words: str) -> None:
    """Whatever a person mistypes is named in a message, with exit code 2 and no traceback."""
    ran = fab(project, *arguments)
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
        DEPLOY_REGISTRY_URL="postgresql://app:pw-of-app@db/app",
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
    assert "pw-of-app" not in ran.stdout
    state = {"XDG_STATE_HOME": "/srv/state", "DEPLOY_REGISTRY_URL": ""}
    unset = json.loads(fab(project, "-H", "prod", "config", "--json", "--root=/srv/flag", **state).stdout)
    assert unset["registry_url"] == {"value": "sqlite:////srv/state/oroboros_deploy/registry.db", "from": "default"}


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


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [(False, 1, "no host was asked to switch: "), (True, 40, "web1 goes on alone, how it ends is not known here: ")],
)
def test_what_nobody_foresaw_is_told_in_words(project: Path, asked: bool, code: int, words: str) -> None:
    """A fault of ours shows no traceback: the message says what is known of the hosts, and a file has the rest."""
    (project / "fabfile.py").write_text(
        NAMESPACE + "from oroboros_deploy import Deployment, Event\n"
        "def deploy(deployment, **_):\n"
        f"    {asked} and deployment.node.listener(Event('switch.asked', host='web1'))\n"
        "    raise KeyError('a key')\n"
        "Deployment.deploy = deploy\n"
    )
    ran = fab(project, "-H", "web1", "deploy", "--sha=HEAD", XDG_STATE_HOME=str(project / "state"))
    (file,) = (project / "state/oroboros_deploy/tracebacks").iterdir()
    assert (ran.returncode, ran.stderr.startswith(words), "Traceback" in ran.stderr) == (code, True, False), ran.stderr
    assert str(file) in ran.stderr and "KeyError: 'a key'" in file.read_text()


def test_config_says_what_each_setting_is_for(project: Path) -> None:
    """`fab config --verbose` prints each setting's help below its value and source."""
    ran = fab(project, "config", "--verbose", "--root=/srv/flag")
    lines = ran.stdout.splitlines()
    below = {line.split(":")[0]: help.strip() for line, help in pairwise(lines) if help.startswith("    ")}
    variables = {setting.name: setting.variable and f" ({setting.variable})" for setting in SETTINGS}
    assert below == {setting.name: f"{setting.help}{variables[setting.name] or ''}" for setting in SETTINGS}
    assert lines[0] == "root: /srv/flag  (flag --root)"


def test_hosts_that_were_not_shown_are_not_claimed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A host that did not answer before the question, or was this machine's, is not asked again."""
    was = {"id": "1" * 32, "machine": "0" * 32, "name": "old1", "root": "/srv/shop"}
    shown = {
        "web1": {"was": was, "now": None, "claimed": False},
        "web2": HostUnreachable("no route", host="web2"),
        "web3": {"was": was, "now": was, "claimed": False},
    }
    calls: list[tuple[Sequence[str] | None, bool]] = []

    class Hosts:
        def claim(self, hosts: Sequence[str] | None = None, *, dry_run: bool = False) -> dict[str, Any]:
            calls.append((hosts, dry_run))
            return shown if dry_run else {name: {"was": was, "now": was, "claimed": True} for name in hosts or shown}

    monkeypatch.setattr(tasks, "deployment", lambda *_: Hosts())
    with pytest.raises(Exit) as ended:
        tasks.claim(Context(), yes=True, json=True)
    claimed = {name: answer.get("claimed") for name, answer in json.loads(capsys.readouterr().out).items()}
    assert (ended.value.code, calls) == (50, [(None, True), (["web1"], False)])
    assert claimed == {"web1": True, "web2": None, "web3": False}


# How each task is called, in this order, and whether it asks for secrets. A new task has to take its place here.
ASKING: dict[str, tuple[bool, dict[str, Any]]] = {
    "deploy": (True, {"sha": "good", "skip_restart": True}),
    "plan": (True, {"sha": "better"}),
    "env.push": (True, {"skip_restart": True}),
    "env.diff": (True, {}),
    "env.show": (False, {}),
    "rollback": (False, {"release": "good", "skip_restart": True}),
    "restart": (False, {}),
    "status": (False, {}),
    "logs": (False, {}),
    "run": (False, {"line": "true"}),
    "console": (False, {"line": "true"}),
    "doctor": (False, {}),
    "lock": (False, {"reason": "a look"}),
    "unlock": (False, {}),
    "audit": (False, {}),
    "pin": (False, {"release": "good"}),
    "unpin": (False, {"release": "good"}),
    "prune": (False, {}),
    "claim": (False, {"yes": True}),
    "registry.reconcile": (False, {}),
    "setup": (False, {"dry_run": True}),
    "registry.list": (False, {}),
    "registry.get": (False, {"release": "good"}),
    "registry.upsert": (False, {"release": "good", "status": "deployed"}),
    "registry.forget": (False, {"host": "web1"}),
    "history": (False, {}),
    "figures": (False, {}),
    "serve": (False, {"port": "0"}),
    "token": (False, {}),
    "config": (False, {}),
    "init": (False, {"print": True}),
}


def test_who_asks_for_secrets(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all tasks only deploy, plan, env.push and env.diff run the command of the secrets, and they do it once."""
    assert {*ASKING} == {*tasks.ns.task_names}
    asked = site.tmp / "asked"
    monkeypatch.chdir(site.repository.path)
    monkeypatch.setenv("DEPLOY_REGISTRY_URL", f"sqlite:///{site.tmp}/registry.db")
    monkeypatch.setattr("oroboros_deploy.web.serve.run", lambda *_: None)
    monkeypatch.setattr("oroboros_deploy.cli.console.need_terminal", lambda _: None)
    original = Deployment.of

    def of(context: Context, **options: Any) -> Deployment:
        ready: Any = lambda _: test_setup.ready(before=("oroboros-root",))  # noqa: E731
        connect = ready if setting_up else site.connect
        return original(context, source=site.repository.path, connect=connect, **options)

    monkeypatch.setattr(Deployment, "of", of)
    settings = {
        "root": str(site.root()),
        "build": {"frontend": None, "venvs": {}},
        "healthcheck": {"command": GATE, "timeout": 60, "interval": 0.1},
        "env": {"secrets": {"command": f"echo once >>{asked}; echo PASSWORD=hunter-two"}},
        "environments": {"prod": {"hosts": ["web1"]}},
    }
    (site.repository.path / "fabric.yaml").write_text(json.dumps({"deploy": settings}))
    read = FabricConfig(lazy=True)
    read.set_project_location(".")
    read.load_project()
    context, found, unreached = Context(config=read), {}, {}
    for name, (_, arguments) in ASKING.items():
        setting_up = name == "setup"
        given = {key: getattr(site, str(value), value) for key, value in arguments.items()}
        task = tasks.ns[name]
        if "environment" in signature(task.body).parameters:
            given["environment"] = "prod"
        asked.write_text("")
        try:
            task.body(context, **given)
        except Exit as ended:
            unreached |= {} if site.commands() else {name: ended.code}
        found[name] = asked.read_text()
    assert unreached == {}
    assert found == {name: "once\n" if asks else "" for name, (asks, _) in ASKING.items()}
