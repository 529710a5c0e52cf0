"""Where values come from, which one wins, and what is refused."""

from __future__ import annotations

import doctest
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fabric import Config as FabricConfig

from oroboros_deploy.config import Build, Config, Frontend, Healthcheck, Step, Venv, explain, layers_of, load, loading
from oroboros_deploy.errors import ConfigError
from tests.support.written import FILE, FROM_FILE, PROD, from_file, refusal


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


def test_values_of_the_configuration_are_merged_name_by_name() -> None:
    """Those of an environment come to the others; every other value of `env` replaces the whole."""
    env = {"values": {"A": "1", "B": "2"}, "build": ["A"], "secrets": {"names": ["X"]}}
    own = {"values": {"B": "3", "C": "4"}, "build": ["C"], "secrets": {"command": "true"}}
    environments = {"prod": {"hosts": ["web1"], "env": own}}
    config = load([(FILE, {"env": env, "environments": environments})], {}, hosts=["prod"])
    assert config.env.values == {"A": "1", "B": "3", "C": "4"}
    assert (config.env.build, config.env.secrets.names, config.env.secrets.command) == (("C",), ("X",), "true")
    assert config.provenance["env.values"] == f"environments.prod in {FILE}; {FROM_FILE}"
    assert (config.env.given, Config.from_mapping({}).env.given) == (True, False)


def test_a_host_has_one_root() -> None:
    """Two environments may share a host, but not with a root for each: the registry knows a host by its name."""
    environments = {"prod": {"hosts": ["web1", "web2"]}, "staging": {"hosts": ["web2"], "root": "/srv/staging"}}
    with pytest.raises(ConfigError) as refused:
        load([(FILE, {"root": "/srv/app", "environments": environments})], {}, hosts=["web1"])
    assert (refused.value.message, refused.value.hint) == (
        "nothing was changed: web2 has the root /srv/app in prod and /srv/staging in staging; "
        "the registry tells two roots of one host apart only when each has another `application`",
        "set another `application` in staging, or give the host a second name in ssh_config, such as web2-staging, "
        "and use that in staging",
    )
    environments["staging"]["root"] = "/srv/app"
    assert load([(FILE, {"root": "/srv/app", "environments": environments})], {}, hosts=["web1"]).hosts == ("web1",)


@pytest.mark.parametrize(
    ("prod", "staging", "accepted"),
    [
        ({"root": "/srv/one", "application": "one"}, {"root": "/srv/two", "application": "two"}, True),
        ({"root": "/srv/one"}, {"root": "/srv/two", "application": "two"}, True),
        ({"root": "/srv/one", "application": "one"}, {"root": "/srv/one", "application": "two"}, True),
        ({"root": "/srv/one", "application": "one"}, {"root": "/srv/two", "application": "one"}, False),
        ({"root": "/srv/one"}, {"root": "/srv/two", "application": "one"}, False),  # the default of the other
        ({"root": "/srv/one"}, {"root": "/srv/two"}, False),
    ],
)
def test_a_host_has_one_root_for_each_application(
    prod: dict[str, str], staging: dict[str, str], accepted: bool
) -> None:
    """Two environments with one host, other roots and other applications are two targets; of one they are refused."""
    environments = {"prod": {"hosts": ["web1"], **prod}, "staging": {"hosts": ["web1"], **staging}}
    try:
        config = load([(FILE, {"environments": environments})], {}, environment="staging")
        found = (config.root, config.application) == (staging["root"], staging.get("application"))
    except ConfigError as error:
        found = f"web1 has the root {prod['root']} in prod and {staging['root']} in staging" not in error.message
    assert found == accepted


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


@pytest.mark.parametrize("into", ["frontend", "frontend/dist/site"])
def test_a_frontends_output_and_its_target_lie_apart(into: str) -> None:
    """What is at `into` is removed before the output is copied there; the output's own path copies nothing."""
    with pytest.raises(ConfigError) as refused:
        from_file({"build": {"frontend": {"into": into}}})
    assert str(refused.value).splitlines() == [
        f"nothing was changed: build.frontend.into ({into}, {FROM_FILE}) and the output (frontend/dist, default)"
        " must lie apart",
        "  → to leave the output where it is: build.frontend.into: null",
    ]
    for apart in (None, "frontend/dist", "frontend/site"):
        frontend = from_file({"build": {"frontend": {"into": apart}}}).build.frontend
        assert frontend and frontend.into == apart


def test_a_venv_may_name_all_that_is_installed_into_it() -> None:
    """Projects alone, however they are written, are the same value; paths and names are checked."""
    venvs = {"api": {"projects": "backend"}, "jobs": {"projects": ["worker"], "requirements": [], "packages": ["x==1"]}}
    config = from_file({"build": {"venvs": venvs}})
    assert config.build.venvs == {"api": ("backend",), "jobs": Venv(("worker",), (), ("x==1",))}
    alone = from_file({"build": {"venvs": {"venv": {"projects": [], "requirements": ["requirements.txt"]}}}})
    assert alone.build.venvs == {"venv": Venv((), ("requirements.txt",))}
    assert {name: value for name, value, _ in explain(config)}["build.venvs"] == (
        "api: backend, jobs: {projects: worker, requirements: none, packages: x==1, lock: auto}"
    )


@pytest.mark.parametrize(
    ("venv", "why"),
    [
        (
            {"projects": ["a"], "package": ["x"]},
            "must hold only {projects, requirements, packages, extras, groups, lock}",
        ),
        ({"extras": ["a"]}, "must name at least one project, requirements file or package"),
        ({"projects": []}, "must name at least one project, requirements file or package"),
        ({"requirements": ["../x.txt"]}, "must not contain '..'"),
        ({"packages": ["--index-url=https://x"]}, "must hold requirements, no options of an installer"),
        ({"packages": 5}, "must be a list of requirements"),
        ({"projects": ["a"], "lock": "uv"}, "must be auto or null"),
        ({"projects": ["a"], "extras": ["a]"]}, "must hold plain names, which 'a]' is not"),
    ],
)
def test_a_venv_that_cannot_be_is_refused(venv: dict[str, Any], why: str) -> None:
    """What reaches the command line of an installer is no option of it."""
    with pytest.raises(ConfigError, match=re.escape(why)):
        from_file({"build": {"venvs": {"api": venv}}})


def test_a_partial_section_keeps_the_rest_but_venvs_are_replaced() -> None:
    """`healthcheck` and `frontend` merge key by key; `venvs` is one value."""
    config = from_file({"healthcheck": {"timeout": 5}, "build": {"frontend": {"path": "ui"}, "venvs": {"api": "api"}}})
    assert config.healthcheck == Healthcheck("scripts/runtime-health-check.sh", 5, 1, 2)
    assert config.build.frontend == Frontend("ui", "npm ci && npm run build", "dist", "infra/web-main")
    assert config.build.venvs == {"api": ("api",)}
    assert config.provenance["healthcheck.interval"] == "default"


@pytest.mark.parametrize(
    ("named", "flags", "host", "typed"),
    [
        (["prod"], {}, "web1", "fab -H web1 status"),
        (["prod"], {}, "web1,web0", "fab -H prod status"),
        (["web1"], {"root": "/srv/my shop"}, "web1", "fab -H web1 status --root='/srv/my shop'"),
        (["next"], {}, "web2", "fab -H next status"),
        (["both"], {}, "web2", "fab -H web2 status --environment=both"),
    ],
)
def test_what_to_type_about_a_host_means_the_same_settings(
    named: list[str], flags: dict[str, object], host: str, typed: str
) -> None:
    """All hosts of an environment are named by it, one that is in two with it, and a root of a flag with that flag."""
    groups = {
        "prod": {"hosts": ["web0", "web1"]},
        "both": {"hosts": ["web2", "web3"]},
        "next": {"hosts": ["web2"], "keep": 3},
        "last": {"hosts": ["web2"], "keep": 4},
    }
    config = load([(FILE, {"environments": groups})], {}, hosts=named, flags=flags)
    assert config.typed(host, "status") == typed
    again = load([(FILE, {"environments": groups})], {}, hosts=host.split(","), environment=config.environment)
    assert again.keep == config.keep


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


@pytest.mark.parametrize(
    ("typed", "hosts"),
    [
        ("web1", ("deploy@web1",)),
        ("web2", ("deploy@web2:2222",)),
        ("::1", ("deploy@[::1]:22",)),
        ("web3", ("web3",)),
        ("ann@web1", ("ann@web1",)),
    ],
)
def test_a_host_name_alone_is_the_member_of_that_name(typed: str, hosts: tuple[str, ...]) -> None:
    """It has the member's login and port; a name with a user stays as it was typed, and gets the settings too."""
    members = ["deploy@web1", "deploy@web2:2222", "deploy@[::1]:22", "web3"]
    data = {"environments": {"prod": {"hosts": members, "root": "/srv/prod"}}}
    config = from_file(data, hosts=[typed])
    assert (config.environment, config.hosts, config.root) == ("prod", hosts, "/srv/prod")
    assert loading.with_members([typed], [(FILE, data)]) == list(hosts)


def test_a_host_name_with_several_logins_is_refused() -> None:
    """The message has what to type; a named environment decides, and a member that is written so is itself."""
    data = {"environments": {"prod": {"hosts": ["deploy@web1"]}, "test": {"hosts": ["ann@web1:2222"]}}}
    error = refusal(data, hosts=["web1"])
    assert error.message == "nothing was changed: web1 is written with several logins: deploy@web1, ann@web1:2222"
    assert error.hint == "name one of them: -H deploy@web1 or -H ann@web1:2222"
    assert from_file(data, hosts=["web1"], environment="test").hosts == ("ann@web1:2222",)
    same = {"environments": {"prod": {"hosts": ["web1", "deploy@web1"]}}}
    assert from_file(same, hosts=["web1"]).hosts == ("web1",)


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
        (["web1", "db1"], None, "no environment has all of the hosts web1, db1; some of them are in prod, test"),
        (["web1", "web9"], None, "no environment has all of the hosts web1, web9; some of them are in prod"),
        (["db2"], None, "more than one environment has the hosts db2: test, blue"),
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
        ({"rebuild": True}, "cannot be set in a file", "say --rebuild for one command"),
        ({"environments": {"p": {}}}, "deploy.environments.p has no hosts", "add `hosts: [...]` to p"),
    ],
)
def test_unknown_keys_are_refused_with_the_nearest_match(data: Any, said: str, hint: str) -> None:
    """A misspelt key is refused with the file, the dotted path and what was probably meant."""
    error = refusal(data)
    assert said in error.message
    assert error.hint == hint


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


def test_flags_that_were_not_given_change_nothing() -> None:
    """None and False mean "not given", so a variable still counts; True is on."""
    skip = {"DEPLOY_SKIP_SERVICE_RESTART": "1"}
    assert load([], skip, flags={"skip_restart": False}).skip_restart
    given = load([], {}, flags={"skip_restart": True, "healthcheck.timeout": 7})
    assert (given.skip_restart, given.healthcheck.timeout) == (True, 7)
    assert given.provenance["healthcheck.timeout"] == "flag --healthcheck-timeout"


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


# --- without a fabric.yaml ---


def test_a_config_of_a_mapping() -> None:
    """A mapping is read as the file is, and its values are said to come from there."""
    config = Config.from_mapping({"services": ["api"], "healthcheck": {"timeout": 5}, "environments": PROD})
    assert (config.services, config.healthcheck.timeout, config.root) == (("api",), 5, "/srv/oroboros")
    assert config.provenance["services"] == "the mapping"
    assert isinstance(config, Config)


def test_a_mapping_is_the_weakest_of_what_is_given() -> None:
    """A variable wins over the mapping and a flag over both; hosts and environment count as on the command line."""
    mapping = {"root": "/srv/written", "environments": PROD}
    environ = {"DEPLOY_ROOT": "/srv/variable"}
    assert Config.from_mapping(mapping, hosts=["prod"]).root == "/srv/prod"
    assert Config.from_mapping(mapping, environment="prod").hosts == ("web1", "web2")
    assert Config.from_mapping(mapping, environ=environ).root == "/srv/variable"
    assert Config.from_mapping(mapping, environ=environ, root="/srv/flag").provenance["root"] == "flag --root"


def test_a_mapping_reads_no_variables_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's own environment counts only where it is given."""
    monkeypatch.setenv("DEPLOY_ROOT", "/srv/variable")
    assert Config.from_mapping({}).root == "/srv/oroboros"


def test_what_is_wrong_in_a_mapping_is_refused() -> None:
    """The message says that the mapping is what to correct."""
    with pytest.raises(ConfigError, match=r"unknown setting deploy\.rooot in the mapping\n  → did you mean root\?"):
        Config.from_mapping({"rooot": "/srv/app"})


def test_the_example_of_from_mapping() -> None:
    """What its docstring shows is what it does."""
    failed, tried = doctest.testmod(loading)
    assert (failed, tried) == (0, 3)


@pytest.mark.parametrize(
    ("healthcheck", "said"),
    [
        (
            {"stable_for": 60},
            "healthcheck.stable_for (60, the mapping) must be less than healthcheck.timeout (60, default)",
        ),
        ({"timeout": 2}, "healthcheck.stable_for (2, default) must be less than healthcheck.timeout (2, the mapping)"),
        ({"timeout": 1, "stable_for": 1.5}, "healthcheck.stable_for (1.5, the mapping)"),
    ],
)
def test_a_gate_that_nothing_can_pass_is_refused(healthcheck: dict[str, float], said: str) -> None:
    """No service can stay the same for as long as the gate looks at most."""
    with pytest.raises(ConfigError, match=re.escape(said)):
        Config.from_mapping({"services": ["api"], "healthcheck": healthcheck})


@pytest.mark.parametrize("mapping", [{"services": []}, {"services": ["api"], "healthcheck": {"stable_for": 0.5}}])
def test_a_gate_without_services_has_no_window(mapping: dict[str, object]) -> None:
    """Where no service is watched, or the window is shorter, a short time limit is one that can be kept."""
    own = mapping.get("healthcheck", {})
    assert Config.from_mapping({**mapping, "healthcheck": {"timeout": 1, **own}}).healthcheck.timeout == 1
    assert Config.from_mapping({"services": ["api"], "healthcheck": {"timeout": 1}}, skip_restart=True).skip_restart


@pytest.mark.parametrize("name", [False, 1, None, 2.5, date(2026, 1, 1)])
def test_an_environment_whose_name_is_no_text_is_refused(name: object) -> None:
    """YAML takes `no:`, `1:` and dates for something else than their text, which no -H could name."""
    error = refusal({"environments": {name: {"hosts": ["web1"]}}})
    assert error.message == f"nothing was changed: deploy.environments in {FILE}: the name {name!r} is no text"
    assert error.hint == "put it in quotes"


def test_what_was_given_for_one_command() -> None:
    """A flag or a variable, by the name of its setting; what a file or a default says is not."""
    found = load(
        [(FILE, {"services": ["api"], "keep": 3})],
        {"DEPLOY_HEALTHCHECK_CMD": "true", "DEPLOY_SKIP_SERVICE_RESTART": "1"},
        flags={"parallel": 2, "services": None},
    )
    assert sorted(found.by_hand) == ["healthcheck.command", "parallel", "skip_restart"]


@pytest.mark.parametrize(
    ("run_as", "said"),
    [
        ({"gate": "root"}, "must not be root: nothing of a repository may run as root"),
        ({"owner": 33}, "must be the name of a user of the host"),
        ({"migrate": "0"}, "must be the name of a user of the host"),
        ({"migrate": "a b"}, "must be the name of a user of the host"),
        ({"gat": "shop"}, "unknown setting deploy.run_as.gat"),
    ],
)
def test_users_are_names_and_none_is_root(run_as: dict[str, object], said: str) -> None:
    """A number may stand for root, and root is refused by its name."""
    assert said in refusal({"run_as": run_as}).message


def test_the_logins_own_manager_starts_nothing_as_somebody_else() -> None:
    """`run_as` with `scope: user` is refused, whoever said which."""
    users = {"owner": "www-data", "migrate": "shop", "gate": "shop", "hooks": "shop"}
    assert from_file({"run_as": users}).run_as.named == users
    told = refusal({"run_as": {"gate": "shop"}, "scope": "user"}).message
    assert "run_as.gate (fabric.yaml (/app/fabric.yaml)) needs the system's service manager, and scope is user" in told


def test_what_keeps_the_right_to_become_root() -> None:
    """Four kinds are known, each once and in their order; with `scope: user` nothing becomes root."""
    assert from_file({}).privileged == ()
    assert from_file({"privileged": ["healthcheck", "build", "build"]}).privileged == ("build", "healthcheck")
    told = refusal({"privileged": ["gate"]}).message
    assert "must hold only build, migrate, healthcheck, hooks, and not 'gate'" in told
    told = refusal({"privileged": ["build"], "scope": "user"}).message
    assert "keeps the right to become root, and scope is user" in told
