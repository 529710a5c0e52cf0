"""What Fabric's context says of hosts, and settings, and the deployment that is made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fabric
import pytest
from invoke import Context

from oroboros_deploy import ConfigError, Deployment
from oroboros_deploy.cli.program import FleetCall, FleetTask
from oroboros_deploy.control.context import hosts_of, settings_of
from oroboros_deploy.testing import unreachable


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory without an ssh_config, and without a fabric.yaml until the test writes one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def config(**settings: Any) -> fabric.Config:
    """As Fabric reads it from a `fabric.yaml` in the working directory."""
    Path("fabric.yaml").write_text(json.dumps({"deploy": settings}))
    read = fabric.Config(lazy=True)
    read.set_project_location(".")
    read.load_project()
    return read


def fleet(*hosts: str) -> Context:
    """What one of our tasks gets for these hosts."""
    return FleetCall(FleetTask(lambda context: None), hosts=hosts).make_context(config())


@pytest.mark.parametrize("name", ["web1", "not-me@web1", "web1:2222", "not-me@web1:2222", "not-me@[::1]:2222"])
def test_a_connection_names_its_own_host(name: str) -> None:
    """As it was typed, for a task of somebody's own is called with a connection to each host."""
    assert hosts_of(fabric.Connection(name, config=config())) == (name,)


def test_a_context_names_the_hosts_that_it_was_given() -> None:
    """Our tasks get all hosts at once; a context that knows of none names none."""
    context = Context(config=config())
    assert hosts_of(context) == ()
    assert hosts_of(fleet("web1", "web2")) == ("web1", "web2")


def test_a_deployment_of_a_context_has_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the files, variables and flags, each with where it comes from; options go to the deployment."""
    monkeypatch.setenv("DEPLOY_SERVICES", "shop-api")
    environments = {"prod": {"hosts": ["web1", "web2"], "keep": 7}}
    context = Context(config=config(root="/srv/shop", environments=environments))
    found = Deployment.of(context, environment="prod", flags={"parallel": 2}, actor="ada@desk", connect=unreachable)
    settings = found.config
    assert (settings.root, settings.hosts, settings.keep) == ("/srv/shop", ("web1", "web2"), 7)
    assert (settings.services, settings.parallel, found.node.actor) == (("shop-api",), 2, "ada@desk")
    assert settings.provenance["parallel"] == "flag --parallel"


def test_a_deployment_of_a_connection_goes_to_its_host() -> None:
    """As a task of one's own with ``-H web1`` expects."""
    connection = fabric.Connection("web1", config=config(environments={"prod": {"hosts": ["web2"]}}))
    assert Deployment.of(connection).config.hosts == ("web1",)


def test_hosts_may_be_others_than_those_of_the_context() -> None:
    """Where they were found in the registry."""
    assert settings_of(fleet("web1"), None, {}, ["web9"]).hosts == ("web9",)


def test_a_wrong_setting_is_refused() -> None:
    """Before anything is connected to."""
    with pytest.raises(ConfigError, match="kep"):
        Deployment.of(Context(config=config(kep=5)))


@pytest.mark.parametrize("name", ["ROOT", "HEALTHCHECK_TIMEOUT", "ENVIRONMENTS_PROD_KEEP"])
def test_our_settings_have_no_variables_of_fabrics(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Fabric would let FABRIC_DEPLOY_ROOT go before the file's root, which is not what was shown: it is refused."""
    monkeypatch.setenv(f"FABRIC_DEPLOY_{name}", "/srv/elsewhere")
    with pytest.raises(ConfigError) as refused:
        settings_of(Context(config=config(root="/srv/shop")), None, {})
    assert (refused.value.message, "DEPLOY_ROOT, DEPLOY_SCOPE" in str(refused.value.hint)) == (
        f"nothing was changed: the variable FABRIC_DEPLOY_{name} is not followed",
        True,
    )


def test_a_variable_that_fabric_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only Invoke's names a settings file: by Fabric's name it would be passed over in silence."""
    monkeypatch.setenv("FABRIC_RUNTIME_CONFIG", "prod.yaml")
    with pytest.raises(ConfigError) as refused:
        settings_of(Context(config=config(root="/srv/shop")), None, {})
    assert str(refused.value) == (
        "nothing was changed: the variable FABRIC_RUNTIME_CONFIG is not followed\n"
        "  → unset FABRIC_RUNTIME_CONFIG; INVOKE_RUNTIME_CONFIG does what -f does"
    )


def test_a_variable_of_somebodys_own_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside `deploy:` a project may have a setting such as `deploy_notes`, which Fabric reads from its variable."""
    monkeypatch.setenv("FABRIC_DEPLOY_NOTES", "notes.md")
    monkeypatch.setenv("FABRIC_DEPLOY_ROOTS", "many")
    assert settings_of(Context(config=config(root="/srv/shop")), None, {}).root == "/srv/shop"
