"""What is shown of the settings, and what is not."""

from __future__ import annotations

from oroboros_deploy.config import explain, masked
from tests.support.written import FILE, FROM_FILE, PROD, from_file, refusal


def test_passwords_are_in_no_representation_or_message() -> None:
    """A URL's password or token is hidden from explain, repr and refusals."""
    config = from_file({"repo_url": "ssh://u:s3cret@git/x", "registry_url": "postgresql://u:s3cret@db/x"})
    assert "s3cret" not in repr(config) + str(explain(config))
    for bad in ({"repo_url": "https://s3cret@git/x\n"}, {"registry_url": "postgresql://u:s3cret@db/\n"}):
        assert "s3cret" not in str(refusal(bad))


def test_values_of_the_configuration_are_not_shown() -> None:
    """Their names are; what they are may be secret, in refusals too."""
    config = from_file({"env": {"values": {"PORT": "s3cret", "SIZE": "1"}}})
    assert {name: value for name, value, _ in explain(config)}["env.values"] == "PORT SIZE"
    told = repr(config) + str(explain(config)) + str(refusal({"env": {"values": {"PORT": "s3cret", "SIZE": 1}}}))
    assert "s3cret" not in told


def test_masking_leaves_what_is_no_secret() -> None:
    """Only user names, passwords and secret-looking parameters are hidden."""
    texts = ["postgresql://u:p/w@rd@db:5432/x?password=abc&sslmode=require", "web@main git@host:a/b", "https://h/p?q=1"]
    assert [masked(text) for text in texts] == [
        "postgresql://***@db:5432/x?password=***&sslmode=require",
        "web@main git@host:a/b",
        "https://h/p?q=1",
    ]


def test_a_step_and_a_migration_say_what_is_special_about_them() -> None:
    """What a step reads and makes, and where each runs."""
    made = {"name": "css", "command": "make", "inputs": ["src", "lib"], "outputs": ["static"]}
    steps = [made, {"name": "tell", "command": "make told", "once": True}]
    migrate = {"command": "bin/migrate", "once": False}
    rows = explain(from_file({"build": {"frontend": None, "steps": steps}, "migrate": migrate}))
    table = {name: value for name, value, _ in rows}
    told = "css: make (in ., inputs src lib, outputs static) tell: make told (in ., once)"
    assert (table["build.steps"], table["migrate"]) == (told, "bin/migrate (on every host)")
    assert from_file({"migrate": {"command": "bin/migrate"}}).migrate == "bin/migrate"


def test_explain_says_every_setting_its_value_and_its_source() -> None:
    """Every setting in use has one row, in the order of declaration; then the hosts."""
    steps = [{"name": "css", "command": "make"}]
    rows = explain(from_file({"build": {"frontend": None, "steps": steps}, "environments": PROD}, hosts=["prod"]))
    table = {name: (value, where) for name, value, where in rows}
    assert [name for name, _, _ in rows] == [
        "root", "application", "releases_dir", "current_link", "repo_root", "repo_url", "registry_url",
        "commit_url", "compare_url", "registry.releases", "services", "scope",
        "healthcheck.command", "healthcheck.timeout", "healthcheck.interval", "healthcheck.stable_for",
        "healthcheck.http", "healthcheck.tcp", "healthcheck.successes",
        "build.python", "build.node",
        "build.frontend", "build.venvs", "build.steps", "build.timeout", "build.installer", "build.inputs",
        "build.cache", "shared",
        "env.file", "env.values", "env.secrets.command", "env.secrets.timeout", "env.secrets.names", "env.build",
        "units",
        "run_as.owner", "run_as.migrate", "run_as.gate", "run_as.hooks",
        "privileged",
        "migrate", "restart_timeout", "migrate_timeout", "reconnect_timeout", "keep",
        "parallel", "confirm", "wait",
        "no_cache", "rebuild", "keep_env", "adopt_units", "skip_restart", "skip_healthcheck",
        "hosts",
    ]  # fmt: skip
    assert table["root"] == ("/srv/prod", f"environments.prod in {FILE}")
    assert table["releases_dir"] == ("/srv/prod/releases", "default")
    assert table["build.frontend"] == ("none", FROM_FILE)
    assert table["build.steps"] == ("css: make (in .)", FROM_FILE)
    assert table["build.venvs"] == ("backend: backend, worker: worker", "default")
    assert table["healthcheck.timeout"] == ("5", f"environments.prod in {FILE}")
    assert table["skip_restart"] == ("off", "default")
    assert table["hosts"] == ("web1 web2", "environment prod")
