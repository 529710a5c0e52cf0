"""Settings: precedence, where values come from, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fabric import Config as FabricConfig
from hypothesis import given
from hypothesis import strategies as st

from oroboros_deploy.config import (
    SETTINGS,
    Build,
    Config,
    Frontend,
    Healthcheck,
    Step,
    explain,
    layers_of,
    load,
    masked,
)
from oroboros_deploy.errors import ConfigError

FILE = "/app/fabric.yaml"
FROM_FILE = "fabric.yaml (/app/fabric.yaml)"
PROD = {"prod": {"hosts": ["web1", "web2"], "root": "/srv/prod", "healthcheck": {"timeout": 5}}}


def from_file(data: Mapping[str, Any], **more: Any) -> Config:
    return load([(FILE, data)], {}, **more)


def refusal(data: Any, **more: Any) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        from_file(data, **more)
    assert refused.value.message.startswith("nothing was changed: ")
    assert refused.value.hint
    return refused.value


def test_defaults_are_those_of_the_contract() -> None:
    """With nothing configured, every setting has its documented default."""
    config = load([], {})
    assert config == Config(
        root="/srv/oroboros",
        releases_dir="/srv/oroboros/releases",
        current_link="/srv/oroboros/current",
        repo_root="/srv/oroboros/repo",
        repo_url=None,
        registry_url=None,
        services=(
            "ouroboros-api",
            "ouroboros-worker",
            "ouroboros-web@main",
            "ouroboros-web@preview1",
            "ouroboros-web@preview2",
            "ouroboros-web@preview3",
            "ouroboros-caddy",
        ),
        healthcheck=Healthcheck("scripts/runtime-health-check.sh", 60, 1, 2),
        build=Build(
            frontend=Frontend("frontend", "npm ci && npm run build", "dist", "infra/web-main"),
            venvs={"backend": ("backend",), "worker": ("worker",)},
            steps=(),
            timeout=1800,
            installer="auto",
            inputs=(),
            cache=2000,
        ),
        migrate=None,
        restart_timeout=180,
        migrate_timeout=900,
        reconnect_timeout=600,
        parallel=1,
        skip_restart=False,
        skip_healthcheck=False,
        environment=None,
        hosts=(),
        environments={},
        provenance={setting.name: "default" for setting in SETTINGS},
    )


def test_each_variable_overrides_its_setting() -> None:
    """All environment overrides are read, and named as the source."""
    config = load(
        [(FILE, {"root": "/srv/file", "services": ["from-file"]})],
        {
            "REPO_ROOT": "/repo",
            "DEPLOY_ROOT": "/srv/env",
            "DEPLOY_RELEASES_DIR": "/data/releases",
            "DEPLOY_CURRENT_LINK": "/data/current",
            "DEPLOY_SERVICES": "api  worker@1",
            "DEPLOY_HEALTHCHECK_CMD": "curl -f localhost",
            "DEPLOY_SKIP_SERVICE_RESTART": "1",
            "DEPLOY_SKIP_HEALTHCHECK": "1",
            "DEPLOY_REGISTRY_URL": "postgresql://u:p@db/x",
        },
    )
    changed = {name: where for name, where in config.provenance.items() if where not in ("default", FROM_FILE)}
    assert (config.repo_root, config.root, config.releases_dir) == ("/repo", "/srv/env", "/data/releases")
    assert (config.current_link, config.services) == ("/data/current", ("api", "worker@1"))
    assert (config.healthcheck.command, config.registry_url) == ("curl -f localhost", "postgresql://u:p@db/x")
    assert (config.skip_restart, config.skip_healthcheck) == (True, True)
    assert changed == {
        "repo_root": "REPO_ROOT",
        "root": "DEPLOY_ROOT",
        "releases_dir": "DEPLOY_RELEASES_DIR",
        "current_link": "DEPLOY_CURRENT_LINK",
        "services": "DEPLOY_SERVICES",
        "healthcheck.command": "DEPLOY_HEALTHCHECK_CMD",
        "skip_restart": "DEPLOY_SKIP_SERVICE_RESTART",
        "skip_healthcheck": "DEPLOY_SKIP_HEALTHCHECK",
        "registry_url": "DEPLOY_REGISTRY_URL",
    }


@pytest.mark.parametrize(
    ("layer", "flags", "environ"),
    [({"services": " "}, {}, {}), ({}, {"services": ""}, {}), ({}, {}, {"DEPLOY_SERVICES": " "})],
)
def test_no_services_by_accident(layer: dict[str, Any], flags: dict[str, Any], environ: dict[str, str]) -> None:
    """Only an empty list says that there is nothing to restart; an empty word is refused."""
    assert load([(FILE, {"services": []})], {}).services == ()
    with pytest.raises(ConfigError, match="must not be empty: --skip-restart restarts nothing"):
        load([(FILE, layer)], environ, flags=flags)


def test_a_host_has_one_root() -> None:
    """Two environments may share a host, but not with a root for each: the registry knows a host by its name."""
    environments = {"prod": {"hosts": ["web1", "web2"]}, "staging": {"hosts": ["web2"], "root": "/srv/staging"}}
    with pytest.raises(ConfigError) as refused:
        load([(FILE, {"root": "/srv/app", "environments": environments})], {}, hosts=["web1"])
    assert (refused.value.message, refused.value.hint) == (
        "nothing was changed: web2 has the root /srv/app in prod and /srv/staging in staging; "
        "the registry knows it by its name",
        "give it a second name in ssh_config, such as web2-staging, and use that in staging",
    )
    environments["staging"]["root"] = "/srv/app"
    assert load([(FILE, {"root": "/srv/app", "environments": environments})], {}, hosts=["web1"]).hosts == ("web1",)


def test_a_setting_that_does_not_exist_is_no_flag() -> None:
    """Whoever calls the library with a typing error is told the nearest name."""
    with pytest.raises(ConfigError, match=r"there is no setting 'rooot'\n  → did you mean root\?"):
        load([], {}, flags={"rooot": "/srv/app"})


def test_precedence_is_flag_variable_environment_file_default() -> None:
    """Taking away the strongest source uncovers the next one."""
    environments = {"prod": {"hosts": ["web1"], "services": "environment"}}
    layers: list[tuple[str, Mapping[str, Any]]] = [
        ("/etc/fabric.yaml", {"services": "system"}),
        (FILE, {"services": "file", "environments": environments}),
    ]
    variables = {"DEPLOY_SERVICES": "variable"}
    loaded = [
        load(layers, variables, hosts=["prod"], flags={"services": "flag"}),
        load(layers, variables, hosts=["prod"], flags={"services": None}),
        load(layers, {"DEPLOY_SERVICES": ""}, hosts=["prod"]),
        load(layers, {}),
        load(layers[:1], {}),
    ]
    assert [(config.services, config.provenance["services"]) for config in loaded] == [
        (("flag",), "flag --services"),
        (("variable",), "DEPLOY_SERVICES"),
        (("environment",), f"environments.prod in {FILE}"),
        (("file",), FROM_FILE),
        (("system",), "fabric.yaml (/etc/fabric.yaml)"),
    ]


def test_derived_paths_follow_the_root_wherever_it_comes_from() -> None:
    """Overriding only the root moves releases, current and repo with it."""
    config = load([], {"DEPLOY_ROOT": "/opt//app/./"})
    assert (config.root, config.releases_dir, config.current_link, config.repo_root) == (
        "/opt/app",
        "/opt/app/releases",
        "/opt/app/current",
        "/opt/app/repo",
    )


def test_a_partial_section_keeps_the_rest_but_venvs_are_replaced() -> None:
    """`healthcheck` and `frontend` merge key by key; `venvs` is one value."""
    config = from_file({"healthcheck": {"timeout": 5}, "build": {"frontend": {"path": "ui"}, "venvs": {"api": "api"}}})
    assert config.healthcheck == Healthcheck("scripts/runtime-health-check.sh", 5, 1, 2)
    assert config.build.frontend == Frontend("ui", "npm ci && npm run build", "dist", "infra/web-main")
    assert config.build.venvs == {"api": ("api",)}
    assert config.provenance["healthcheck.interval"] == "default"


def test_parts_of_the_build_can_be_switched_off_and_on_again() -> None:
    """`frontend: null` and `venvs: {}` leave them out; a stronger layer may bring the frontend back."""
    off: dict[str, Any] = {"build": {"frontend": None, "venvs": {}}}
    assert from_file(off).build == Build(frontend=None, venvs={})
    assert from_file(off).provenance["build.frontend"] == FROM_FILE
    back = load([("/etc/fabric.yaml", off), (FILE, {"build": {"frontend": {"output": "out"}}})], {})
    assert back.build.frontend == Frontend(output="out")
    assert "build.frontend" not in back.provenance


def test_steps_are_read_with_the_release_as_default_path() -> None:
    """A step needs a name and a command."""
    steps = [{"name": "docs", "command": "make docs\n"}, {"name": "css", "path": "ui/", "command": "make"}]
    assert from_file({"build": {"steps": steps}}).build.steps == (
        Step("docs", ".", "make docs"),
        Step("css", "ui", "make"),
    )


def test_null_is_allowed_where_it_means_something() -> None:
    """An optional setting may be null; so may an empty file, section of environments or key."""
    assert from_file({"repo_url": None, "migrate": None, "registry_url": None, "environments": None}).repo_url is None
    assert load([(FILE, None)], {}).root == "/srv/oroboros"  # type: ignore[list-item]


# --- hosts and environments ---


def test_an_environment_name_stands_for_its_hosts_and_settings() -> None:
    """`-H prod` expands to prod's hosts, once each, with prod's overrides."""
    for asked in ({"hosts": ("prod",)}, {"environment": "prod"}, {"hosts": ["prod"], "environment": "prod"}):
        config = from_file({"environments": PROD}, **asked)
        assert (config.environment, config.hosts, config.root) == ("prod", ("web1", "web2"), "/srv/prod")
        assert config.environments == {"prod": ("web1", "web2")}
        assert config.provenance["healthcheck.timeout"] == f"environments.prod in {FILE}"


def test_hosts_of_one_environment_get_its_settings() -> None:
    """Plain hosts that all belong to one environment use its settings, with or without a user name."""
    config = from_file({"environments": PROD}, hosts=["web2", "deploy@web1", "web2"])
    assert (config.environment, config.hosts, config.root) == ("prod", ("web2", "deploy@web1"), "/srv/prod")


def test_other_hosts_are_passed_through() -> None:
    """Hosts of no environment are taken as they are, without duplicates and with the file's settings."""
    config = from_file({"environments": PROD}, hosts=["me@h:2222", "[::1]:22", "me@h:2222"])
    assert (config.environment, config.hosts, config.root) == (None, ("me@h:2222", "[::1]:22"), "/srv/oroboros")


def test_a_chosen_environment_applies_to_the_named_hosts() -> None:
    """`environment` with hosts means those hosts with that environment's settings."""
    config = from_file({"environments": PROD}, hosts=["web9"], environment="prod")
    assert (config.hosts, config.root) == (("web9",), "/srv/prod")


def test_environments_merge_over_files() -> None:
    """A later file may add to an environment of an earlier one."""
    config = load(
        [("/etc/fabric.yaml", {"environments": PROD}), (FILE, {"environments": {"prod": {"root": "/srv/two"}}})],
        {},
        hosts=["prod"],
    )
    assert (config.hosts, config.root, config.healthcheck.timeout) == (("web1", "web2"), "/srv/two", 5)


@pytest.mark.parametrize(
    ("hosts", "environment", "said"),
    [
        (["prod", "web9"], None, "'prod' was named together with web9"),
        (["prod", "test"], None, "'prod' was named together with test"),
        (["test"], "prod", "'prod' was named together with test"),
        ([], "prd", "no environment 'prd' (known: prod, test, blue)"),
        (["web1", "db1"], None, "no single environment, but prod, test"),
        (["web1", "web9"], None, "no single environment, but prod"),
        (["db2"], None, "no single environment, but test, blue"),
        (["web1 web2"], None, "-H must hold host names, which 'web1 web2' is not"),
        (["-oProxyCommand=x"], None, "-H must hold host names"),
        (["-oProxyCommand=x@h"], None, "-H must hold host names"),
        (["user@-oProxyCommand=x"], None, "-H must hold host names"),
        ([""], None, "-H must not be empty"),
        (["a\nb"], None, "-H must be one line"),
    ],
)
def test_mixed_up_hosts_are_refused(hosts: list[str], environment: str | None, said: str) -> None:
    """Nobody gets an environment's host with another's settings by accident."""
    environments = PROD | {"test": {"hosts": "db1 db2"}, "blue": {"hosts": "db2", "root": "/srv/blue"}}
    assert said in refusal({"environments": environments}, hosts=hosts, environment=environment).message


def test_hosts_of_environments_without_settings_may_be_mixed() -> None:
    """Where environments are only names for hosts, any mix of hosts is fine."""
    environments = {"prod": {"hosts": "web1"}, "test": {"hosts": "db1"}}
    assert from_file({"environments": environments}, hosts=["web1", "db1"]).hosts == ("web1", "db1")


# --- refusals ---


@pytest.mark.parametrize(
    ("data", "said", "hint"),
    [
        ({"sevices": []}, f"unknown setting deploy.sevices in {FILE}", "did you mean services?"),
        ({"healthcheck": {"timout": 5}}, f"deploy.healthcheck.timout in {FILE}", "did you mean healthcheck.timeout?"),
        ({"build": {"front_end": {}}}, "unknown setting deploy.build.front_end", "did you mean build.frontend?"),
        ({"enviroments": {}}, "unknown setting deploy.enviroments", "did you mean environments?"),
        ({"environments": {"p": {"host": "h"}}}, "unknown setting deploy.environments.p.host", "did you mean hosts?"),
        ({"environments": {"p": {"hosts": "h", "rot": "/"}}}, "deploy.environments.p.rot", "did you mean root?"),
        ({1: 2}, "unknown setting deploy.1", "correct it and type the same command again"),
        ({"skip_healthcheck": True}, "cannot be set in a file", "set DEPLOY_SKIP_HEALTHCHECK=1 for one command"),
        ({"environments": {"p": {}}}, "deploy.environments.p has no hosts", "add `hosts: [...]` to p"),
    ],
)
def test_unknown_keys_are_refused_with_the_nearest_match(data: Any, said: str, hint: str) -> None:
    """A misspelt key is refused with the file, the dotted path and what was probably meant."""
    error = refusal(data)
    assert said in error.message
    assert error.hint == hint


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"root": 5}, "must be text (it is 5)"),
        ({"root": None}, "must be text (it is None)"),
        ({"root": ""}, "must not be empty"),
        ({"root": "srv/app"}, "must be an absolute path (it is 'srv/app')"),
        ({"root": "~/app"}, "must be an absolute path"),
        ({"root": "/"}, "must not be the file system's root"),
        ({"root": "//."}, "must not be the file system's root"),
        ({"root": "/srv"}, "must not be a top-level directory"),
        ({"root": "/srv/"}, "must not be a top-level directory"),
        ({"root": "/srv/app/../.."}, "must not contain '..'"),
        ({"root": "/srv/a\0b"}, "without control characters"),
        ({"root": "/srv/a\nb"}, "without control characters"),
        ({"root": "/srv/a\u202eb"}, "without control characters"),
        ({"releases_dir": "/srv"}, "must not be a top-level directory"),
        ({"current_link": "/"}, "must not be the file system's root"),
        ({"current_link": "/srv/oroboros/releases/current"}, "releases_dir (/srv/oroboros/releases) and current_link"),
        ({"releases_dir": "/srv/oroboros/current/r"}, "must lie apart"),
        ({"releases_dir": "/srv/oroboros"}, "must lie apart"),
        ({"current_link": "/srv/oroboros"}, "must lie apart"),
        ({"repo_root": "/srv/oroboros/releases"}, "must lie apart"),
        ({"repo_root": "/srv/oroboros/.deploy/x"}, "must lie apart"),
        ({"services": 5}, "must be a list, or names separated by spaces"),
        ({"services": [5]}, "must be text"),
        ({"services": ["a", "a.service"]}, "names 'a' twice"),
        ({"services": "a b a"}, "names 'a' twice"),
        ({"services": ["web@"]}, "plain systemd unit names, which 'web@' is not"),
        ({"services": ["web@.service"]}, "plain systemd unit names"),
        ({"services": ["web-*"]}, "plain systemd unit names"),
        ({"services": ["web[12]"]}, "plain systemd unit names"),
        ({"services": ["-H evil"]}, "plain systemd unit names"),
        ({"services": ["-Hevil"]}, "plain systemd unit names"),
        ({"services": ["a b"]}, "plain systemd unit names"),
        ({"services": ["a/b"]}, "plain systemd unit names"),
        ({"services": [".service"]}, "plain systemd unit names"),
        ({"services": ["a" * 256]}, "plain systemd unit names"),
        ({"services": ["ü"]}, "plain systemd unit names"),
        ({"healthcheck": None}, f"deploy.healthcheck in {FILE} must hold settings of its own (it is None)"),
        ({"healthcheck": "x"}, "must hold settings of its own"),
        ({"build": {"frontend": False}}, "must hold settings of its own"),
        ({"healthcheck": {"command": "  "}}, "must not be empty"),
        ({"healthcheck": {"command": "a\0"}}, "without NUL"),
        ({"healthcheck": {"command": "\udcff"}}, "valid text"),
        ({"healthcheck": {"timeout": 0}}, "must be more than 0 seconds"),
        ({"healthcheck": {"timeout": -1}}, "between 0 and 86400"),
        ({"healthcheck": {"timeout": float("nan")}}, "between 0 and 86400"),
        ({"healthcheck": {"timeout": float("inf")}}, "between 0 and 86400"),
        ({"healthcheck": {"timeout": 10**400}}, "between 0 and 86400"),
        ({"healthcheck": {"timeout": 86401}}, "between 0 and 86400"),
        ({"healthcheck": {"timeout": True}}, "must be a number of seconds"),
        ({"healthcheck": {"timeout": "60"}}, "must be a number of seconds"),
        ({"healthcheck": {"interval": -0.1}}, "between 0 and 86400"),
        ({"restart_timeout": 0}, "more than 0"),
        ({"migrate_timeout": []}, "must be a number"),
        ({"keep": 1}, "must be a whole number from 2 to 1000"),
        ({"keep": 0}, "must be a whole number from 2 to 1000"),
        ({"keep": -3}, "must be a whole number from 2 to 1000"),
        ({"keep": 1001}, "must be a whole number from 2 to 1000"),
        ({"keep": 2.5}, "must be a whole number"),
        ({"keep": True}, "must be a whole number"),
        ({"keep": "many"}, "must be a whole number"),
        ({"keep": "٣"}, "must be a whole number"),
        ({"migrate": ""}, "must not be empty"),
        ({"parallel": 0}, "whole number from 1 to 1000"),
        ({"parallel": True}, "whole number from 1 to 1000"),
        ({"parallel": 1.5}, "whole number from 1 to 1000"),
        ({"parallel": "all"}, "whole number from 1 to 1000"),
        ({"build": {"timeout": 0}}, "more than 0"),
        ({"build": {"frontend": {"path": "/ui"}}}, "inside the release"),
        ({"build": {"frontend": {"path": "-ui"}}}, "inside the release"),
        ({"build": {"frontend": {"output": "../dist"}}}, "must not contain '..'"),
        ({"build": {"frontend": {"into": "./"}}}, "below the release's own"),
        ({"build": {"venvs": []}}, "must map each venv"),
        ({"build": {"venvs": {"/x": "a"}}}, "inside the release"),
        ({"build": {"venvs": {".": "a"}}}, "below the release's own"),
        ({"build": {"venvs": {"a": []}}}, "at least one project"),
        ({"build": {"venvs": {"a": None}}}, "at least one project"),
        ({"build": {"venvs": {"a": ["../x"]}}}, "must not contain '..'"),
        ({"build": {"venvs": {"a": "a", "a/": "b"}}}, "names a directory twice"),
        ({"build": {"venvs": {5: "a"}}}, "must be text"),
        ({"build": {"steps": {}}}, "must be a list of"),
        ({"build": {"steps": [{"name": "a"}]}}, "must hold only {name, path, command}"),
        ({"build": {"steps": [{"name": "a", "comand": "b", "command": "c"}]}}, "must hold only"),
        ({"build": {"steps": [{"name": "a/b", "command": "c"}]}}, "must name each step in letters"),
        ({"build": {"steps": [{"name": "a", "command": "b"}] * 2}}, "names a step twice"),
        ({"repo_url": "--upload-pack=x"}, "plain git URL"),
        ({"repo_url": "ext::sh -c id"}, "plain git URL"),
        ({"repo_url": "ext::id"}, "plain git URL"),
        ({"repo_url": "https://token@git.example.com/x"}, "must not hold a user or token"),
        ({"environments": []}, "deploy.environments in"),
        ({"environments": {"p": "web1"}}, "deploy.environments.p in"),
        ({"environments": {"p": {"hosts": [5]}}}, "deploy.environments.p.hosts in"),
        ([], "deploy in /app/fabric.yaml must hold settings"),
    ],
)
def test_what_cannot_work_is_refused(data: Any, said: str) -> None:
    """Every value that would fail or do harm later is refused before anything happens."""
    assert said in refusal(data).message


def test_a_setting_that_is_not_used_is_checked_too() -> None:
    """A mistake in an environment nobody asked for shows at once, not on the night it is needed."""
    assert (
        "deploy.environments.test.root"
        in refusal({"environments": PROD | {"test": {"hosts": "h", "root": "x"}}}, hosts=["prod"]).message
    )


def test_paths_on_different_parents_are_fine() -> None:
    """Releases and the link may live in different places."""
    config = from_file({"releases_dir": "/data/releases", "current_link": "/opt/current", "repo_root": "/repo"})
    assert (config.releases_dir, config.current_link, config.repo_root) == ("/data/releases", "/opt/current", "/repo")


@pytest.mark.parametrize(("value", "switched"), [("1", True), ("0", False), ("", False)])
def test_skip_variables_are_1_or_0(value: str, switched: bool) -> None:
    """1 is on, 0 and empty are off."""
    variables = {"DEPLOY_SKIP_SERVICE_RESTART": value, "DEPLOY_SKIP_HEALTHCHECK": value}
    config = load([], variables)
    assert (config.skip_restart, config.skip_healthcheck) == (switched, switched)


@pytest.mark.parametrize("value", ["true", "yes", " 1", "2", "01"])
def test_any_other_skip_value_is_refused(value: str) -> None:
    """A word whose meaning must be guessed skips nothing."""
    with pytest.raises(ConfigError, match=r"DEPLOY_SKIP_HEALTHCHECK must be 1 \(on\) or 0 \(off\)"):
        load([], {"DEPLOY_SKIP_HEALTHCHECK": value})


def test_flags_that_were_not_given_change_nothing() -> None:
    """None and False mean "not given", so a variable still counts; True is on."""
    skip = {"DEPLOY_SKIP_SERVICE_RESTART": "1"}
    assert load([], skip, flags={"skip_restart": False}).skip_restart
    given = load([], {}, flags={"skip_restart": True, "healthcheck.timeout": 7})
    assert (given.skip_restart, given.healthcheck.timeout) == (True, 7)
    assert given.provenance["healthcheck.timeout"] == "flag --healthcheck-timeout"


@given(st.text(max_size=30))
def test_an_accepted_root_is_plain_and_below_the_top(text: str) -> None:
    """Whatever is typed, an accepted root is absolute, normal and at least two levels deep."""
    try:
        root = load([], {}, flags={"root": "/" + text}).root
    except ConfigError:
        return
    assert root == str(Path(root))
    assert len(Path(root).parts) >= 3
    assert ".." not in Path(root).parts


# --- secrets and explanations ---


def test_passwords_are_in_no_representation_or_message() -> None:
    """A URL's password or token is hidden from explain, repr and refusals."""
    config = from_file({"repo_url": "ssh://u:s3cret@git/x", "registry_url": "postgresql://u:s3cret@db/x"})
    assert "s3cret" not in repr(config) + str(explain(config))
    for bad in ({"repo_url": "https://s3cret@git/x\n"}, {"registry_url": "postgresql://u:s3cret@db/\n"}):
        assert "s3cret" not in str(refusal(bad))


def test_masking_leaves_what_is_no_secret() -> None:
    """Only user names, passwords and secret-looking parameters are hidden."""
    texts = ["postgresql://u:p/w@rd@db:5432/x?password=abc&sslmode=require", "web@main git@host:a/b", "https://h/p?q=1"]
    assert [masked(text) for text in texts] == [
        "postgresql://***@db:5432/x?password=***&sslmode=require",
        "web@main git@host:a/b",
        "https://h/p?q=1",
    ]


def test_explain_says_every_setting_its_value_and_its_source() -> None:
    """Every setting in use has one row, in the order of declaration; then the hosts."""
    steps = [{"name": "css", "command": "make"}]
    rows = explain(from_file({"build": {"frontend": None, "steps": steps}, "environments": PROD}, hosts=["prod"]))
    table = {name: (value, where) for name, value, where in rows}
    assert [name for name, _, _ in rows] == [
        "root", "releases_dir", "current_link", "repo_root", "repo_url", "registry_url", "services",
        "healthcheck.command", "healthcheck.timeout", "healthcheck.interval", "healthcheck.stable_for",
        "build.frontend", "build.venvs", "build.steps", "build.timeout", "build.installer", "build.inputs",
        "build.cache", "migrate", "restart_timeout", "migrate_timeout", "reconnect_timeout", "keep", "parallel",
        "no_cache", "skip_restart",
        "skip_healthcheck", "hosts",
    ]  # fmt: skip
    assert table["root"] == ("/srv/prod", f"environments.prod in {FILE}")
    assert table["releases_dir"] == ("/srv/prod/releases", "default")
    assert table["build.frontend"] == ("none", FROM_FILE)
    assert table["build.steps"] == ("css: make (in .)", FROM_FILE)
    assert table["build.venvs"] == ("backend: backend, worker: worker", "default")
    assert table["healthcheck.timeout"] == ("5", f"environments.prod in {FILE}")
    assert table["skip_restart"] == ("off", "default")
    assert table["hosts"] == ("web1 web2", "environment prod")


def test_every_setting_can_be_explained() -> None:
    """Each declaration has help, and a default that its own check accepts."""
    for setting in SETTINGS:
        assert setting.help
        if setting.default is not None and not str(setting.default).startswith("{root}"):
            assert setting.check(setting.default) == setting.default


# --- the layers of a real Fabric configuration ---


def test_layers_come_from_fabrics_files(tmp_path: Path) -> None:
    """System, user, project and runtime files are read with their paths, weakest first."""
    for name, root in (("etc", "/srv/a"), ("home", "/srv/b"), ("project", "/srv/c")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "fabric.yaml").write_text(f"deploy: {{root: {root}}}\n")
    (tmp_path / "run.yaml").write_text("deploy: {root: /srv/d}\nother: 1\n")
    config = FabricConfig(
        system_prefix=f"{tmp_path}/etc/",
        user_prefix=f"{tmp_path}/home/",
        project_location=str(tmp_path / "project"),
        runtime_path=str(tmp_path / "run.yaml"),
    )
    config.load_collection({"deploy": {"root": "/srv/0"}})
    config.load_project()
    config.load_runtime()
    layers = layers_of(config)
    assert layers == [
        ("the fabfile", {"root": "/srv/0"}),
        (f"{tmp_path}/etc/fabric.yaml", {"root": "/srv/a"}),
        (f"{tmp_path}/home/fabric.yaml", {"root": "/srv/b"}),
        (f"{tmp_path}/project/fabric.yaml", {"root": "/srv/c"}),
        (f"{tmp_path}/run.yaml", {"root": "/srv/d"}),
    ]
    assert load(layers, {}).root == "/srv/d"
    assert load(layers[:1], {}).provenance["root"] == "the fabfile"


def test_layers_tolerate_absence(tmp_path: Path) -> None:
    """No file, an empty file, a file without our key, or no Invoke object at all give no layers."""
    (tmp_path / "fabric.yaml").write_text("")
    config = FabricConfig(
        system_prefix=f"{tmp_path}/no/", user_prefix=f"{tmp_path}/no/", project_location=str(tmp_path)
    )
    config.load_project()
    assert layers_of(config) == []
    assert layers_of(object()) == []


def test_importing_settings_imports_nothing_heavy() -> None:
    """`fab --list` does not pay for the network or the database."""
    code = "import sys, oroboros_deploy.config; print({'fabric', 'paramiko', 'sqlalchemy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
