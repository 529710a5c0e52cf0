"""How `fab` runs our tasks, and those of everybody else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.fabfiles import NAMESPACE, fab


def test_other_tasks_run_as_ever(project: Path) -> None:
    """A task of somebody else's in the same fabfile still gets Fabric's connection, once a host."""
    (project / "fabfile.py").write_text(
        "from fabric import task\nfrom oroboros_deploy.tasks import deploy\n\n"
        "@task\ndef who(c):\n    print(type(c).__name__, c.host)\n"
    )
    assert fab(project, "-H", "a,b", "who").stdout == "Connection a\nConnection b\n"


@pytest.mark.parametrize("named", ["box", "person@box", "box:2222", "other@box", "box:2200"])
@pytest.mark.slow
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


OWN_TASKS = """
from fabric import task
from invoke import task as plain

from oroboros_deploy import BuildFailed, Deployment
from oroboros_deploy.tasks import ns
from oroboros_deploy.tasks import show_config as config

@plain
def before(c):
    print("before", type(c).__name__)

@task
def notify(c):
    print("notify", getattr(c, "host", None))

@plain(pre=[config], post=[before])
def around(c):
    print("around", Deployment.of(c).config.hosts)

@task
def broken(c):
    raise BuildFailed("nothing was switched: the release was not built", hint="fab plan", host="a")

for each in (before, notify, around, broken):
    ns.add_task(each)
ns["config"].pre.append(before)
ns["config"].post.append(notify)
"""


@pytest.fixture
def own_tasks(project: Path) -> Path:
    """A fabfile with tasks of somebody's own before, after and beside ours."""
    (project / "fabfile.py").write_text(OWN_TASKS)
    (project / "fabric.yaml").write_text("deploy: {environments: {prod: {hosts: [a, b]}}}\n")
    return project


def test_tasks_before_and_after_one_of_ours_run_once(own_tasks: Path) -> None:
    """`pre` and `post` of a task of ours run as Fabric runs them: once, without a host."""
    said = fab(own_tasks, "-H", "prod", "config").stdout.splitlines()
    assert (said[0], said[-1]) == ("before Context", "notify None")
    assert sum(line.startswith("root ") for line in said) == 1


@pytest.mark.slow
def test_a_task_of_ours_before_one_of_somebodys_gets_all_hosts(own_tasks: Path) -> None:
    """It runs once for all; the task that wants it runs once a host, and what comes after it once."""
    said = fab(own_tasks, "-H", "prod", "around").stdout.splitlines()
    assert sum(line.startswith("root ") for line in said) == 1
    assert said[-3:] == ["around ('a',)", "around ('b',)", "before Context"]


@pytest.mark.slow
def test_a_task_of_somebodys_takes_the_name_of_an_environment(own_tasks: Path) -> None:
    """`fab -H prod deploy notify`: it runs on each host of the environment, not on a host named `prod`."""
    ran = fab(own_tasks, "-H", "prod", "notify", "before")
    assert ran.stdout == "notify a\nnotify b\nbefore Connection\nbefore Connection\n"


@pytest.mark.slow
def test_a_task_of_somebodys_minds_no_environment_that_is_not_named(own_tasks: Path) -> None:
    """Wrong settings of ours stop only who needs them; an environment that is named and wrong is told."""
    (own_tasks / "fabric.yaml").write_text("deploy: {environments: {odd: {hosts: 7}}}\n")
    assert fab(own_tasks, "-H", "c", "notify").stdout == "notify c\n"
    ran = fab(own_tasks, "-H", "odd", "notify")
    assert (ran.returncode, ran.stdout, "Traceback" in ran.stderr) == (2, "", False)
    assert "deploy.environments.odd.hosts" in ran.stderr


def test_an_error_of_ours_in_a_task_of_somebodys_is_a_message(own_tasks: Path) -> None:
    """With its exit code and its hint, as in a task of ours."""
    ran = fab(own_tasks, "-H", "a", "broken")
    told = "a: nothing was switched: the release was not built\n  → fab plan\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (30, "", told)


@pytest.mark.slow
def test_a_command_after_two_dashes_needs_hosts(own_tasks: Path) -> None:
    """It is not passed over beside a task of ours; without hosts nothing is run."""
    ran = fab(own_tasks, "config", "--", "uptime")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "nothing was changed: -H must name the hosts of the command after --\n"


@pytest.mark.slow
def test_a_command_after_two_dashes_takes_the_name_of_an_environment(own_tasks: Path) -> None:
    """Beside a task, the command is for the hosts of the environment, and not for a host named `prod`."""
    (own_tasks / "ssh").write_text("Host a b\n  HostName 127.0.0.1\n  Port 1\nHost prod\n  Port 2\n")
    ran = fab(own_tasks, "-S", "ssh", "-H", "prod", "config", "--", "uptime")
    assert (ran.returncode, "Unable to connect to port 1 on 127.0.0.1" in ran.stderr) == (1, True), ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "typed",
    ["--dry -H box lock --reason=x", "-H box lock --reason=x -R", "-H box prune --dry", "-H box deploy -R --sha=a"],
)
def test_a_dry_run_of_fabrics_does_nothing(project: Path, typed: str) -> None:
    """Fabric's `--dry` promises that nothing is done; what cannot keep that says so, before any host is reached."""
    (project / "fabric.yaml").write_text("deploy: {services: [a]}\n")
    ran = fab(project, *typed.split())
    told = "nothing was changed: these tasks have no --dry (run.dry): they would do all their work in spite of it\n"
    assert (ran.returncode, ran.stdout, ran.stderr.partition("  →")[0]) == (2, "", told)


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("deploy: {root: [", (), "fabric.yaml"),
        ("- deploy", (), "fabric.yaml: it must hold settings, not a list"),
        ("deploy: {environments: {no: {hosts: [a]}}}", (), "deploy.environments: the name False is no text"),
        ("deploy: {environments: {1: {hosts: [a]}}}", (), "deploy.environments: the name 1 is no text"),
        ("deploy: {environments: {2026-01-01: {hosts: [a]}}}", (), "deploy.environments: the name datetime.date("),
        ("deploy: {null: 1}", (), "deploy: the name None is no text"),
        ("on: {deploy: 1}", (), "the name True is no text"),
        ("deploy: &all {environments: *all}", (), "deploy.environments holds itself"),
        ("deploy: {services: &all [*all]}", (), "deploy.services.0 holds itself"),
        ("deploy: {keep: 1" + "0" * 5000 + "}", (), "fabric.yaml"),
        ("deploy: " + "[" * 5000, (), "fabric.yaml"),
        ("deploy:\n  keep: 3\n  keep: 4", (), "fabric.yaml: keep is said twice, in lines 2 and 3: keep one of them"),
        ("deploy: {environments: {a: {hosts: [a]}, a: {hosts: [b]}}}", (), "a is said twice, in lines 1 and 1"),
        ("run: 5", (), "fabric.yaml: run must hold settings of its own (it is 5)"),
        ("connect_kwargs:", (), "fabric.yaml: connect_kwargs must hold settings of its own (it is None)"),
        ("gateway: {host: jump}", (), "fabric.yaml: gateway must be a value (it is {'host': 'jump'})"),
        ("deploy: {}", ("--ssh-config", "/no/such/file"), "/no/such/file"),
        ("deploy: {}", ("-f", "gone.yaml"), "gone.yaml, the settings file that was named, is not there"),
        ("deploy: {}", ("-f", "prod.toml"), "Config files of type 'toml' (from file 'prod.toml') are not supported"),
        ("deploy: {}", ("--ssh-config", "odd"), "Unparsable line"),
    ],
    ids=[
        *("broken YAML", "a list", "no as a name", "a number as a name", "a date as a name", "null as a name"),
        *("on as a name", "a mapping in itself", "a list in itself", "a long number", "nested deeply"),
        *("a setting twice", "an environment twice"),
        *("a value for settings", "nothing for settings", "settings for a value"),
        "missing ssh_config",
        *("a missing settings file", "a settings file of another kind"),
        "broken ssh_config",
    ],
)
@pytest.mark.slow
def test_files_that_cannot_be_read_are_named(project: Path, text: str, arguments: tuple[str, ...], words: str) -> None:
    """A file that Fabric itself cannot read is named in a message, with exit code 2 and no traceback."""
    (project / "fabric.yaml").write_text(text)
    (project / "odd").write_text('Host a\n  this is no directive, only words\n"\n')
    ran = fab(project, *arguments, "-H", "web1", "deploy", "--sha=HEAD")
    assert (ran.returncode, words in ran.stderr, "Traceback" in ran.stderr) == (2, True, False), ran.stderr


@pytest.mark.parametrize(
    ("name", "text"), [("fabric.yml", "deploy: {keep: 3, keep: 4}"), ("fabric.yml", "deploy: ["), ("fabric.json", "{")]
)
@pytest.mark.slow
def test_a_settings_file_of_another_name_is_read_alike(project: Path, name: str, text: str) -> None:
    """What cannot be read in one of Fabric's other files is named too."""
    (project / name).write_text(text)
    ran = fab(project, "config")
    assert (ran.returncode, ran.stdout, f"nothing was changed: {project / name}: " in ran.stderr) == (2, "", True)


@pytest.mark.slow
def test_a_settings_file_that_is_not_read_is_named(project: Path) -> None:
    """Fabric reads one file of a place, and says nothing of the second: our tasks refuse it, somebody's own do not."""
    for ending, keep in (("yaml", 3), ("yml", 9)):
        (project / f"fabric.{ending}").write_text(f"deploy: {{keep: {keep}}}\n")
    ran = fab(project, "config")
    told = f"nothing was changed: {project}/fabric.yml is not read: {project}/fabric.yaml goes before it\n"
    assert (ran.returncode, ran.stdout, ran.stderr.partition("  →")[0]) == (2, "", told)
    assert fab(project, "--list").returncode == 0


@pytest.mark.parametrize(("text", "told"), [("root: /srv/shop", True), ("deploy: {}", False), ("", False)])
@pytest.mark.slow
def test_a_file_without_our_settings_is_told(project: Path, text: str, told: bool) -> None:
    """Settings that stand beside `deploy:` instead of under it are not passed over without a word."""
    (project / "fabric.yaml").write_text(text)
    ran = fab(project, "config")
    assert (ran.returncode, "fabric.yaml has no `deploy:`, so every setting is its default" in ran.stderr) == (0, told)


def test_two_files_that_cannot_be_merged_are_a_message(project: Path) -> None:
    """What holds settings in one of Fabric's files and a value in another; no value is shown."""
    (project / ".fabric.yaml").write_text("deploy: {registry: {password: hunter2}}\n")
    (project / "fabric.yaml").write_text("deploy: {registry: 5}\n")
    ran = fab(project, "config", HOME=str(project))
    assert (ran.returncode, ran.stdout, "hunter2" in ran.stderr) == (2, "", False), ran.stderr
    assert ran.stderr.startswith("nothing was changed: two of Fabric's settings files contradict each other: ")


@pytest.mark.slow
def test_a_variable_asks_for_a_debugging_run(project: Path) -> None:
    """`INVOKE_DEBUG` is followed, as `--debug`, and shows no password of the project's either."""
    (project / "fabric.yaml").write_text("deploy: {registry_url: 'postgresql://app:hunter2@db/registry'}\n")
    said = fab(project, "config", INVOKE_DEBUG="1").stderr
    assert ("Merging config sources" in said, "hunter2" in said) == (True, False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "registry_url: postgresql://app:hunter2@db/registry",
        "registry_ur: postgresql://app:hunter2@db/registry",
        "registry: postgresql:/app:hunter2@db/registry",
        "registry: app:hunter2@db/registry",
        "registry_url: app hunter2",
        "registry_url: [postgresql, hunter2]",
        "registry_url: {password: hunter2, host: db}",
        "registry_url: host=db user=app password='hunter2'",
        "registry: host=db user=app password=hunter2",
        'repo_url: "https://it\'s:hunter2@git/x"',
    ],
)
def test_a_debugging_run_shows_no_password(project: Path, line: str) -> None:
    """What Invoke logs of our settings, also of misspelled ones, has no password; the rest of it is there."""
    (project / "fabric.yaml").write_text(f"deploy:\n  root: /srv/elsewhere\n  {line}\n")
    ran = fab(project, "--debug", "config")
    assert "hunter2" not in ran.stdout + ran.stderr
    assert "Merging config sources" in ran.stderr
    assert "/srv/elsewhere" in ran.stderr


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


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.slow
def test_what_a_task_imports_is_compiled_once(project: Path, tmp_path: Path, kept: bool) -> None:
    """Not at every command; but the fabfile's directory stays clean, and who wants no bytecode at all gets none."""
    cache = tmp_path / "bytecode"
    environ = {"PYTHONPYCACHEPREFIX": str(cache), "PYTHONDONTWRITEBYTECODE": "" if kept else "1"}
    fab(project, "registry.list", **environ)
    found = {path.name.partition(".")[0] for path in cache.rglob("*.pyc")}
    assert {"deployment", "attempts"} & found == ({"deployment", "attempts"} if kept else set())
    assert "fabfile" not in found
