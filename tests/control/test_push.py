"""A push: the live release of each host gets today's configuration, and nothing else changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oroboros_deploy.errors import Busy, HostUnreachable, InvalidInput
from oroboros_deploy.host.journal import Journal
from oroboros_deploy.outcome import State
from tests.control.test_configured import (
    SECRET,
    VALUE,
    command_lines,
    env,
    files_with_the_secret,
    leaked,
    revision,
    values,
)
from tests.support.site import Site, states

pytestmark = pytest.mark.slow  # whole attempts


def warnings(site: Site) -> list[str]:
    return [event.message for event in site.events if event.level == "warning"]


def journal(site: Site, host: str = "web1") -> list[tuple[object, ...]]:
    """What the host's own journal says of its attempts."""
    entries = Journal(site.root(host) / ".deploy/journal.jsonl").attempts()
    return [(each["kind"], each["target"], each["source"], each["outcome"], each["names"]) for each in entries]


def test_the_live_release_gets_todays_configuration(site: Site) -> None:
    """One call more than a rollback, no build; the link names the new values, and the journal the changed names."""
    site.deployment(env=env()).deploy(["web1"], sha=site.good)
    first = revision(site)
    site.commands()
    outcome = site.deployment(env=env("another", values={"SIZE": "1"})).push_env(["web1"])
    assert site.commands() == ["facts", "configure", "activate"]
    [end] = outcome.hosts
    names = {"added": ["SIZE"], "changed": ["PASSWORD"], "removed": ["PORT"]}
    assert (outcome.kind, outcome.release_id, outcome.ok, int(outcome.exit_code)) == ("env", site.good, True, 0)
    assert (end.state, end.live, end.previous, end.names) == (State.LIVE, site.good, site.good, names)
    assert (site.live(), values(site)) == (site.good, 'PASSWORD="another" SIZE="1"')
    assert (end.configuration, revision(site) != first) == (revision(site), True)
    assert journal(site)[1:] == [("env", site.good, site.good, "committed", names)]


def test_where_nothing_differs_nothing_is_done(site: Site) -> None:
    """It is told, with the exit code of what went well; the host is asked for no activation."""
    site.deployment(env=env()).deploy(["web1"], sha=site.good)
    site.commands()
    outcome = site.deployment(env=env()).push_env(["web1"])
    [end] = outcome.hosts
    told = f"{site.good} has today's configuration already; nothing was done"
    assert (end.state, end.message, end.configuration) == (State.ALREADY_LIVE, told, revision(site))
    assert (int(outcome.exit_code), site.commands(), len(journal(site))) == (0, ["facts", "configure"], 1)


def test_one_that_fails_its_gate_is_taken_back(site: Site) -> None:
    """The configuration before is in use again (10), the release is not marked bad, and no row is touched."""
    before = site.deployment(env=env())
    before.deploy(["web1"], sha=site.good)
    with before.registry() as registry:
        registry.upsert(site.good, site.good, "rolled_back")  # so that a change would show
    first, rows = revision(site), site.statuses()
    refusing = site.deployment(env=env("another"))
    object.__setattr__(refusing.config.healthcheck, "command", f'test "$PASSWORD" = {SECRET} || exit 78')
    outcome = refusing.push_env(["web1"])
    [end] = outcome.hosts
    assert (int(outcome.exit_code), end.state, end.live) == (10, State.RESTORED, site.good)
    assert (revision(site), end.configuration, site.statuses()) == (first, first, rows)
    assert not list((site.root() / ".deploy/bad").iterdir())
    assert [each[3] for each in journal(site)] == ["committed", "restored"]
    assert before.rollback(["web1"], release=site.good).ok


def test_a_rollback_to_the_release_brings_back_what_was_pushed(site: Site) -> None:
    """The record has the configuration that the release last passed its gate with."""
    site.deployment(env=env()).deploy(["web1"], sha=site.good)
    site.deployment(env=env("pushed-later")).push_env(["web1"])
    pushed = revision(site)
    site.deployment(env=env("a-third")).deploy(["web1"], sha=site.better)
    assert site.deployment(env=env()).rollback(["web1"], release=site.good).ok
    assert (revision(site), values(site)) == (pushed, 'PASSWORD="pushed-later" PORT="8000"')


def test_it_is_kept_on_every_host_before_the_first_switch(site: Site) -> None:
    """A host that cannot have it keeps the others from switching."""
    site.fleet(env=env()).deploy(["web1", "web2"], sha=site.good)
    first = revision(site)
    (site.root("web2") / "env").unlink()
    (site.root("web2") / "env").write_text("A=1")
    with pytest.raises(InvalidInput, match="is not a link that this tool made"):
        site.fleet(env=env("another")).push_env(["web1", "web2"])
    assert (revision(site), len(journal(site))) == (first, 1)


def test_each_host_keeps_its_own_release(site: Site) -> None:
    """Hosts that serve different releases get the configuration each with its own; the registry knows both."""
    one = site.fleet(env=env())
    one.deploy(["web1"], sha=site.good)
    one.deploy(["web2"], sha=site.better)
    rows = site.statuses()
    outcome = site.fleet(env=env("another")).push_env(["web1", "web2"])
    assert states(outcome) == {"web1": State.LIVE, "web2": State.LIVE}
    assert (site.live("web1"), site.live("web2")) == (site.good, site.better)
    assert [each.live for each in outcome.hosts] == [site.good, site.better]
    assert [journal(site, host)[-1][:2] for host in ("web1", "web2")] == [("env", site.good), ("env", site.better)]
    with one.registry() as registry:
        assert (registry.serving("shop"), site.statuses()) == ({"web1": site.good, "web2": site.better}, rows)
        assert (registry.hosts_of(site.good), registry.hosts_of(site.better)) == (["web1"], ["web2"])
    assert len(one.reconcile(["web1", "web2"])) == 0


def test_the_first_that_fails_stops_the_rest(site: Site) -> None:
    """The hosts after it keep the configuration that they had."""
    site.fleet(env=env()).deploy(["web1", "web2"], sha=site.good)
    first = revision(site), (site.root("web2") / "env").readlink().name
    failing = site.fleet(f'test "$PASSWORD" = {SECRET} || exit 78', env=env("another"))
    outcome = failing.push_env(["web1", "web2"])
    assert states(outcome) == {"web1": State.RESTORED, "web2": State.SKIPPED}
    assert (revision(site), (site.root("web2") / "env").readlink().name) == first


def test_a_hold_refuses_it(site: Site) -> None:
    """A host that somebody holds is left alone (20), and the attempt is recorded."""
    site.deployment(env=env()).deploy(["web1"], sha=site.good)
    one = site.deployment(env=env("another"))
    one.lock(["web1"], reason="the audit")
    with pytest.raises(Busy, match="the audit") as refused:
        one.push_env(["web1"])
    assert (int(refused.value.exit_code), len(journal(site))) == (20, 1)
    with one.registry() as registry:
        newest = registry.reader.attempts().items[0]
    assert (newest["kind"], newest["exit_code"], newest["hosts"][0]["state"]) == ("env", 20, "busy")


def test_what_cannot_be_pushed_to_is_told(site: Site) -> None:
    """Without `env`, without a live release, or with another tool's: refused, with what to type."""
    with pytest.raises(InvalidInput, match="the settings have no `env`") as without:
        site.deployment().push_env(["web1"])
    assert "env: {values:" in str(without.value.hint)
    with pytest.raises(InvalidInput, match="no release is live on this host") as nothing:
        site.deployment(env=env()).push_env(["web1"])
    assert "-H web1 deploy --sha=SHA" in str(nothing.value.hint)
    adopted = site.root() / "releases" / ("a" * 40)
    adopted.mkdir(parents=True)
    (adopted / ".deploy-meta").write_text(f"commit_sha={'a' * 40}\n")
    (site.root() / "current").symlink_to(adopted)
    with pytest.raises(InvalidInput, match="another tool made") as other:
        site.deployment(env=env()).push_env(["web1"])
    assert "-H web1 deploy --sha=SHA" in str(other.value.hint)
    assert not (site.root() / "env").is_symlink()


def test_a_secret_that_cannot_be_had_stops_everything(site: Site) -> None:
    """No host is asked for anything."""
    with pytest.raises(InvalidInput, match=r"env\.secrets\.command exited 1"):
        site.deployment(env=env(secrets={"command": "exit 1"})).push_env(["web1"])
    assert (site.commands(), site.statuses()) == ([], {})


def test_values_that_the_build_saw_are_not_pushed(site: Site) -> None:
    """The live release cannot be built again in its place: a new commit is what to make."""
    site.deployment(env=env(build=["PORT"])).deploy(["web1"], sha=site.good)
    first = revision(site)
    with pytest.raises(InvalidInput, match=r"built with other values of the names in `env\.build`") as refused:
        site.deployment(env=env(build=["PORT"], values={"PORT": "9"})).push_env(["web1"])
    assert (str(refused.value.hint).startswith("deploy another commit"), revision(site)) == (True, first)


def test_a_host_that_is_not_reached(site: Site) -> None:
    """It is told which one, nothing is changed on the others, and the registry has no attempt without a release."""
    site.fleet(env=env()).deploy(["web1"], sha=site.good)
    first = revision(site)

    def connect(name: str) -> Any:
        if name == "web2":
            raise HostUnreachable("no route to it", host=name)
        return site.connect(name)

    with pytest.raises(HostUnreachable) as lost:
        site.fleet(env=env("another"), connect=connect).push_env(["web1", "web2"])
    assert lost.value.outcome is not None
    assert states(lost.value.outcome) == {"web1": State.SKIPPED, "web2": State.UNREACHABLE}
    assert (revision(site), len(journal(site))) == (first, 1)


def test_no_deployment_in_the_figures(site: Site) -> None:
    """A push is an attempt of its own kind: neither a deployment, nor a rollback that makes one a failure."""
    one = site.deployment(env=env())
    one.deploy(["web1"], sha=site.good)
    site.deployment(env=env("another")).push_env(["web1"])
    with one.registry() as registry:
        figures = registry.reader.figures()
        assert [each["kind"] for each in registry.reader.attempts().items] == ["env", "deploy"]
        assert (figures.deployments, figures.failures, figures.lead_time_seconds is None) == (1, 0, False)
        assert site.statuses() == {site.good: "deployed"}
    repairs = one.reconcile(["web1"])
    assert (len(repairs), repairs.doubts) == (0, ())


def test_a_registry_is_rebuilt_with_it(site: Site) -> None:
    """A journal with a push gives the attempt back, of its kind, and the row of the release as the deploy left it."""
    one = site.deployment(env=env())
    one.deploy(["web1"], sha=site.good)
    site.deployment(env=env("another")).push_env(["web1"])
    (site.tmp / "registry.db").unlink()
    one.reconcile(["web1"])
    with one.registry() as registry:
        assert [each["kind"] for each in registry.reader.attempts().items] == ["env", "deploy"]
    assert site.statuses() == {site.good: "deployed"}


def test_no_value_travels_in_a_command_line_or_is_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push that fails and one that goes well: no value in a command line, an event, the outcome, or another file."""
    site.deployment(env=env("the-first-of-all")).deploy(["web1"], sha=site.good)
    lines = command_lines(monkeypatch)
    failing = site.deployment(env=env(values={"COLOUR": VALUE}))
    object.__setattr__(failing.config.healthcheck, "command", "echo it is $PASSWORD; exit 78")
    failed = failing.push_env(["web1"])
    pushed = site.deployment(env=env(values={"COLOUR": VALUE})).push_env(["web1"])
    assert (states(failed), states(pushed)) == ({"web1": State.RESTORED}, {"web1": State.LIVE})
    assert "it is ***" in str(failed.hosts[0].log)
    assert (len(lines) > 4, leaked(lines)) == (True, [])
    told = [json.dumps([event.message, event.data], default=str) for event in site.events]
    ends = [json.dumps(each.as_dict()) for each in (failed, pushed)]
    assert leaked([*told, *ends]) == []
    for value in (SECRET, VALUE):
        assert {path.parent for path in files_with_the_secret(site, value)} == {site.root() / ".deploy/config"}
