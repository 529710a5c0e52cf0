"""Deploys by a plan: it is done as it was planned, or nothing is done."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from oroboros_deploy.deployment import Deployment
from oroboros_deploy.errors import Busy, DeployError, HostUnreachable, InvalidInput
from oroboros_deploy.records.plan import DeployPlan, Refusal
from oroboros_deploy.remote.host import Host
from tests.support.site import Site

if TYPE_CHECKING:
    from oroboros_deploy.host.contract import ConfigureAnswer, ConfigureRequest

pytestmark = pytest.mark.slow  # whole deploys


def refused(deployment: Deployment, made: DeployPlan, **more: Any) -> str:
    """What a deploy by a plan is refused with (2)."""
    with pytest.raises(InvalidInput) as error:
        deployment.deploy(["web1"], **{"sha": made.sha, "plan": made, **more})
    assert error.value.exit_code == 2
    return error.value.message


def test_what_was_planned_is_done(site: Site) -> None:
    """With the calls of any deploy, where there is no configuration."""
    site.deployment().deploy(["web1"], sha=site.good)
    made = site.deployment().plan(["web1"], sha=site.better)
    site.commands()
    assert site.deployment().deploy(["web1"], sha=made.sha, plan=made).ok
    assert (site.live(), site.commands()) == (site.better, ["facts", "build", "activate"])


def test_another_release_went_live(site: Site) -> None:
    """What was shown to somebody is no more: nothing is done, and the line to type makes a new plan."""
    site.deployment().deploy(["web1"], sha=site.good)
    made = site.deployment().plan(["web1"], sha=site.bad)
    site.deployment().deploy(["web1"], sha=site.better)
    site.commands()
    with pytest.raises(InvalidInput) as error:
        site.deployment().deploy(["web1"], sha=made.sha, plan=made)
    assert error.value.message == (
        f"nothing was changed: the plan {made.id} is out of date:\n"
        f"  - web1 served {site.good[:10]}, and serves {site.better[:10]}"
    )
    flags = site.deployment().config.of_deploy
    assert error.value.hint == f"make a new one: fab -H web1 plan --sha={site.bad}{flags}"
    assert (site.live(), site.commands()) == (site.better, ["facts"])


def test_settings_that_changed(site: Site) -> None:
    """Another recipe, another commit, other hosts, and a plan that was refused itself."""
    made = site.deployment().plan(["web1"], sha=site.good)
    recipe = {"frontend": None, "venvs": {}, "steps": [{"name": "a", "command": "true"}]}
    said = refused(site.deployment(build=recipe), made)
    assert "the settings of `build`, `shared` or `privileged` are others" in said
    gate = {"healthcheck": {"timeout": 2, "interval": 0.1}}
    assert "the settings or flags of the switch" in refused(site.deployment(**gate), made)
    anew = site.deployment().with_config(replace(site.deployment().config, no_cache=True))
    assert "no cache) are others" in refused(anew, made)
    wide = site.deployment().with_config(replace(site.deployment().config, parallel=8))
    assert "`parallel`" in refused(wide, made)
    assert "the commit was" in refused(site.deployment(), made, sha=site.better)
    assert "the plan was made for web2, and this command is for web1" in refused(
        site.deployment(), replace(made, hosts=(named(made, "web2"),))
    )
    no = replace(made.hosts[0], refusal=Refusal(20, "held", None))
    assert "web1 was refused: held" in refused(site.deployment(), replace(made, hosts=(no,)))
    assert site.live() is None


def named(made: DeployPlan, name: str) -> Any:
    return replace(made.hosts[0], host=name)


@pytest.mark.parametrize("complete", [False, True], ids=["to be built", "complete"])
def test_another_configuration(site: Site, complete: bool) -> None:
    """Whether the release is there or not, a value that is another one is noticed before anything is kept."""
    env = {"values": {"A": "1"}}
    for sha in [site.good, *([site.better, site.good] if complete else [])]:
        assert site.deployment(env=env).deploy(["web1"], sha=sha).ok
    made = site.deployment(env=env).plan(["web1"], sha=site.better)
    kept = sorted((site.root() / ".deploy/config").iterdir())
    said = refused(site.deployment(env={"values": {"A": "2"}}), made)
    assert said.endswith("web1 would get another configuration")
    assert (site.live(), sorted((site.root() / ".deploy/config").iterdir())) == (site.good, kept)
    assert site.deployment(env=env).deploy(["web1"], sha=site.better, plan=made).ok


def test_a_host_that_was_not_compared_is_left_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that fails once ends the deploy with that error, for nobody knows whether the plan still holds."""
    env = {"values": {"A": "1"}}
    site.deployment(env=env).deploy(["web1"], sha=site.good)
    made = site.deployment(env=env).plan(["web1"], sha=site.bad)
    site.deployment(env=env).deploy(["web1"], sha=site.better)
    errors, ask = [HostUnreachable("nothing was switched: the link")], Host.configure

    def configure(host: Host, request: ConfigureRequest) -> ConfigureAnswer:
        if errors:
            raise errors.pop()
        return ask(host, request)

    monkeypatch.setattr(Host, "configure", configure)
    with pytest.raises(HostUnreachable, match="the link"):
        site.deployment(env=env).deploy(["web1"], sha=made.sha, plan=made)
    assert (site.live(), (site.root() / "releases" / site.bad).exists()) == (site.better, False)


def test_a_hold_is_told_as_a_hold(site: Site) -> None:
    """One that came since refuses as it refuses every deploy; one that ended makes the plan another one."""
    site.deployment().deploy(["web1"], sha=site.good)
    made = site.deployment().plan(["web1"], sha=site.better)
    site.deployment().lock(["web1"], reason="the fair")
    with pytest.raises(Busy):
        site.deployment().deploy(["web1"], sha=site.better, plan=made)
    held = site.deployment().plan(["web1"], sha=site.better)
    site.deployment().unlock(["web1"])
    assert "was refused: " in refused(site.deployment(), held)


def test_who_does_not_consent_changes_nothing(site: Site) -> None:
    """The question comes when the hosts were read, and before anything is built."""

    def no() -> None:
        assert any(event.name == "plan" for event in site.events)
        raise DeployError("no")

    with pytest.raises(DeployError, match="no"):
        site.deployment().deploy(["web1"], sha=site.good, consent=no)
    assert (site.live(), site.commands()) == (None, ["facts"])
