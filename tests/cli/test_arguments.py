"""From a command line to settings and hosts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from oroboros_deploy.control.state_directory import default_registry_url
from oroboros_deploy.registry import Registry
from tests.support.fabfiles import FAB, NAMESPACE, fab
from tests.support.samples import host, record


def test_unknown_settings_are_refused_by_name(project: Path) -> None:
    """A mistyped key in fabric.yaml is refused with the nearest right one and the file it stands in."""
    (project / "fabric.yaml").write_text("deploy:\n  helthcheck: {timeout: 3}\n")
    ran = fab(project, "config")
    assert ran.returncode == 2
    assert "helthcheck" in ran.stderr and "did you mean healthcheck" in ran.stderr
    assert str(project / "fabric.yaml") in ran.stderr


@pytest.mark.slow
def test_a_mistyped_environment_is_no_mystery(project: Path) -> None:
    """A name that leads nowhere but is nearly an environment's is told so."""
    (project / "fabric.yaml").write_text("deploy: {environments: {prod: {hosts: [web1]}}}\n")
    ran = fab(project, "-H", "prdo", "status")
    assert (ran.returncode, "if prod was meant: fab -H prod; otherwise" in ran.stderr) == (50, True), ran.stderr


@pytest.mark.slow
def test_a_user_without_a_name(project: Path) -> None:
    """A number that no name belongs to, as in some containers of CI, is told how to get one."""
    names = ("USER", "LOGNAME", "LNAME", "USERNAME")
    argv = ["unshare", "--user", "--map-user=54321", "env", *(f"--unset={name}" for name in names)]
    if subprocess.run([*argv, str(FAB), "--version"], capture_output=True).returncode:
        pytest.skip("needs a Fabric that starts for a user without a name: with Python 3.13 it ends in a traceback")
    status = [*argv, str(FAB), "-H", "127.0.0.1:1", "status"]
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
    with Registry.open(default_registry_url()) as registry:
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


@pytest.mark.slow
def test_a_number_that_nobody_means_is_refused(project: Path) -> None:
    """Five thousand digits are more than Python reads: exit code 2, in one short line."""
    ran = fab(project, "registry.list", "--limit", "9" * 5000)
    assert ran.returncode == 2
    assert ran.stderr.startswith("--limit takes a whole number of at most 9 digits, not '999")
    assert len(ran.stderr) < 200


@pytest.mark.slow
@pytest.mark.parametrize("task", ["status", "prune", "registry.reconcile"])
def test_warnings_are_told_beside_the_answer(project: Path, task: str) -> None:
    """A command that shows no events tells its warnings on standard error; its JSON is JSON."""
    (project / "fabfile.py").write_text(
        NAMESPACE + "from oroboros_deploy import Deployment, Event\n"
        "def answer(deployment, *_, **more):\n"
        "    for level in ('info', 'warning'):\n"
        "        deployment.node.listener(Event(level, f'{level} of web1', host='web1', level=level))\n"
        "    return {}\n"
        "def repairs(deployment, **more):\n"
        "    from oroboros_deploy.records.reconcile import Repairs\n"
        "    answer(deployment)\n"
        "    return Repairs(('web1',), (), (), (), ())\n"
        "Deployment.status = Deployment.prune = answer\n"
        "Deployment.reconcile = repairs\n"
    )
    ran = fab(project, "-H", "web1", task, "--json")
    assert (ran.returncode, ran.stderr) == (0, "! warning of web1\n")
    assert "warning" not in ran.stdout and isinstance(json.loads(ran.stdout), dict | list)


@pytest.mark.slow
def test_releases_and_figures_of_one_application(project: Path) -> None:
    """A registry that several share is read for the one of the settings; for all where environments have several."""
    with Registry.open(default_registry_url()) as registry:
        for number, name in enumerate(("shop", "wiki")):
            there = host("web1", "live", seconds={"activate": 1.0})
            one = record(str(number) * 40, there, attempt=name, application=name, environment=name)
            registry.begin(one)
            registry.finish(one)
    told = []
    for own in ("", ", environments: {prod: {hosts: [web1], application: wiki}}"):
        (project / "fabric.yaml").write_text(f"deploy: {{root: /srv/shop{own}}}\n")
        releases, figures = (
            json.loads(fab(project, *line).stdout) for line in (["registry.list"], ["figures", "--json"])
        )
        told.append(([row["release_id"][0] for row in releases], [row["environment"] for row in figures]))
    assert told == [(["0"], [None, "shop"]), (["1", "0"], [None, "shop", "wiki"])]


@pytest.mark.slow
def test_help_says_where_a_root_and_a_configuration_come_from(project: Path) -> None:
    """Both come from fabric.yaml: the default of a root, and what a line finds in its environment."""
    told = [" ".join(fab(project, "--help", name).stdout.split()) for name in ("run", "console", "registry.forget")]
    root = "deploy root on the hosts (default: `root` in fabric.yaml, else /srv/oroboros)"
    env = "the configuration of fabric.yaml (`env`), not with Environment= of a unit"
    assert [(root in each, env in each) for each in told] == [(True, True), (True, True), (True, False)]
