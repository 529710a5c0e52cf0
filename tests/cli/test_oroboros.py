"""`oroboros`: what `fab` does with the fabfile of the README, where there is no fabfile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from oroboros_deploy import __version__
from oroboros_deploy.cli.oroboros import nearest
from tests.support.fabfiles import NAMESPACE, fab, oroboros


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A directory with settings and no fabfile."""
    place = tmp_path / "shop"
    place.mkdir()
    (place / "fabric.yaml").write_text("deploy: {root: /srv/shop, environments: {prod: {hosts: [a, b], keep: 3}}}\n")
    return place


@pytest.mark.slow
def test_it_has_the_tasks_of_fab(bare: Path, project: Path) -> None:
    """`--list` names the same tasks with the same words."""
    ours = json.loads(oroboros(bare, "--list", "--list-format=json").stdout)
    theirs = json.loads(fab(project, "--list", "--list-format=json").stdout)
    kept = ("tasks", "collections", "default")
    assert {key: ours[key] for key in kept} == {key: theirs[key] for key in kept}


@pytest.mark.slow
def test_a_task_is_explained_as_by_fab(bare: Path, project: Path) -> None:
    """`--help TASK` says the same, by the name of the program that was typed."""
    ours, theirs = oroboros(bare, "--help", "deploy"), fab(project, "--help", "deploy")
    assert ours.stdout.startswith("Usage: oroboros [--core-opts] deploy ")
    assert (ours.returncode, ours.stdout) == (0, theirs.stdout.replace("Usage: fab", "Usage: oroboros"))


@pytest.mark.slow
def test_hosts_and_environments_are_named_as_with_fab(bare: Path) -> None:
    """`-H prod` means the hosts and the settings of the environment, and `--json` prints an object."""
    (bare / "fabfile.py").write_text(NAMESPACE)
    ours, theirs = (run(bare, "-H", "prod", "config", "--json") for run in (oroboros, fab))
    assert (json.loads(ours.stdout), ours.stderr) == (json.loads(theirs.stdout), theirs.stderr)
    assert json.loads(ours.stdout)["keep"]["value"] == "3"


def test_no_fabfile_is_run(bare: Path) -> None:
    """A fabfile that is there is left alone."""
    (bare / "fabfile.py").write_text("raise SystemExit('the fabfile ran')\n")
    ran = oroboros(bare, "config")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_nearest_settings_are_read(bare: Path) -> None:
    """Those in the working directory, else those in the nearest directory above it; nothing of others is merged in."""
    inner = bare / "backend/src"
    inner.mkdir(parents=True)
    assert (nearest(inner), nearest(bare), nearest(bare.parent)) == (bare, bare, None)
    (bare / "backend/fabric.yml").write_text("deploy: {keep: 9}\n")
    assert nearest(inner) == bare / "backend"
    shown = json.loads(oroboros(inner, "config", "--json").stdout)
    assert (shown["keep"]["value"], shown["root"]["value"]) == ("9", "/srv/oroboros")


@pytest.mark.parametrize(("name", "keep"), [("fabric.json", "9"), ("fabric.py", None)])
@pytest.mark.slow
def test_settings_of_every_ending_count(tmp_path: Path, name: str, keep: str | None) -> None:
    """JSON is read as `fab` reads it; Python is refused by name, for this program runs none that lies about."""
    text = 'deploy = {"keep": 9}\nraise SystemExit("it ran")' if keep is None else '{"deploy": {"keep": 9}}'
    (tmp_path / name).write_text(text)
    ran = oroboros(tmp_path, "config", "--json")
    refused = f"nothing was changed: {tmp_path / name} is not read: a file of this name is not looked at here"
    if keep:
        assert (ran.returncode, ran.stderr, json.loads(ran.stdout)["keep"]["value"]) == (0, "", keep)
    else:
        assert (ran.returncode, ran.stdout, json.loads(ran.stderr)["message"]) == (2, "", refused)


def test_without_settings_the_defaults_hold(tmp_path: Path) -> None:
    """As with `fab` beside a fabfile that has none."""
    shown = json.loads(oroboros(tmp_path, "config", "--json").stdout)
    assert {each["from"] for name, each in shown.items() if name not in ("hosts", "environment")} == {"default"}


def test_hints_name_the_program_that_was_typed(bare: Path) -> None:
    """The usage and the next command can be typed where no fabfile is, with the flags that this command had."""
    ran = oroboros(bare, "--connect-timeout=3", "--config=fabric.yaml", "pin")
    assert (ran.returncode, ran.stdout, ran.stderr.splitlines()) == (
        2,
        "",
        [
            "nothing was changed: usage is  oroboros --config=fabric.yaml pin --release=ID",
            "  → oroboros --config=fabric.yaml prune --dry-run  shows release ids",
        ],
    )


@pytest.mark.slow
def test_a_hint_about_a_host_names_the_program_that_was_typed(bare: Path) -> None:
    """Also one that the settings make."""
    ran = oroboros(bare, "-H", "prd", "status")
    assert ran.returncode == 50
    assert "if prod was meant: oroboros -H prod" in ran.stderr and "fab" not in ran.stderr


@pytest.mark.parametrize("text", ["deploy: [", "- deploy", "deploy: {keep: 3, keep: 4}", "deploy: {kep: 3}"])
@pytest.mark.slow
def test_settings_that_cannot_be_read_are_named(bare: Path, text: str) -> None:
    """With the file, exit code 2 and no traceback, as with `fab`; also those of the user."""
    (bare / "fabric.yaml").write_text(text)
    ran = oroboros(bare, "config")
    assert (ran.returncode, "fabric.yaml" in ran.stderr, "Traceback" in ran.stderr) == (2, True, False)


def test_settings_of_the_user_that_cannot_be_read_are_named(bare: Path) -> None:
    """They are read before any task is known."""
    (bare / ".fabric.yaml").write_text("deploy: [")
    ran = oroboros(bare, "config", HOME=str(bare))
    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False), ran.stderr
    assert ran.stderr.startswith(f"nothing was changed: {bare}/.fabric.yaml: ")


def test_a_command_after_two_dashes_needs_hosts(bare: Path) -> None:
    """As with `fab`."""
    ran = oroboros(bare, "--", "uptime")
    told = "nothing was changed: -H must name the hosts of the command after --\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", told)


@pytest.mark.slow
def test_shells_complete_its_tasks(bare: Path) -> None:
    """Invoke's script for shells calls `oroboros`, which lists the tasks and their flags."""
    script = oroboros(bare, "--print-completion-script=bash").stdout
    assert "complete -F" in script and "oroboros" in script
    assert "registry.list" in oroboros(bare, "--complete", "--", "oroboros", "reg").stdout.split()
    assert "--sha" in oroboros(bare, "--complete", "--", "oroboros", "deploy", "--").stdout.split()


@pytest.mark.slow
def test_its_version_is_that_of_the_package(bare: Path) -> None:
    """And of the programs that it is made from, for whoever reports a fault."""
    names = [line.split()[0] for line in oroboros(bare, "--version").stdout.splitlines()]
    assert oroboros(bare, "--version").stdout.splitlines()[0] == f"oroboros_deploy {__version__}"
    assert names == ["oroboros_deploy", "Paramiko", "Invoke", "Fabric"]
