"""Plans of whole deploys, on hosts that are directories."""

from __future__ import annotations

import re

import pytest

from oroboros_deploy.config.recipe import digest
from oroboros_deploy.errors import ExitCode, Interrupted
from oroboros_deploy.testing import unreachable
from tests.support.site import Site
from tests.support.watching import tree

pytestmark = pytest.mark.slow  # whole deploys


def test_a_plan_changes_nothing(site: Site) -> None:
    """The hosts are read by one call each and nothing is written there; the registry has the plan and no attempt."""
    site.fleet().deploy(["web1"], sha=site.good)
    site.commands()
    before = tree(site.root()), tree(site.root() / ".deploy")
    found = site.fleet().plan(["web1", "web2"], sha=site.better)
    assert (tree(site.root()), tree(site.root() / ".deploy")) == before
    assert (site.commands(), site.live("web2")) == (["facts"], None)
    told = [(host.host, host.live, host.direction, host.ahead, host.parts, host.refusal) for host in found.hosts]
    assert told == [
        ("web1", site.good, "forward", 1, ("the files alone",), None),
        ("web2", None, "first", None, ("the files alone",), None),
    ]
    one, two = found.hosts
    assert (bool(one.needs_bytes), two.needs_bytes, one.seconds is not None, two.seconds) == (True, None, True, None)
    config = site.fleet().config
    assert (found.sha, found.recipe, found.exit_code) == (site.better, digest(config.build, config.shared), 0)
    with site.fleet().registry() as registry:
        assert registry.plan(found.id) == found
        assert len(registry.reader.attempts().items) == 1


def beside(site: Site, count: int = 1) -> list[str]:
    """The newest first of commits that are live and that `better` does not have, all on top of `good`."""
    site.repository.git("checkout", "--quiet", site.good)
    made = [site.repository.commit(f"fix {number}", fix=str(number)) for number in range(count)][::-1]
    assert site.fleet().deploy(["web1"], sha=made[0]).ok
    return made


def test_a_plan_names_the_live_commits_that_it_takes_away(site: Site) -> None:
    """The newest three, sideways and back."""
    made = beside(site, 4)
    aside, back = (site.fleet().plan(["web1"], sha=sha).hosts[0] for sha in (site.better, site.good))
    named = [(sha, f"fix {3 - index}") for index, sha in enumerate(made[:3])]
    assert [[(each.sha, each.subject) for each in found.removes] for found in (aside, back)] == [named, named]
    assert (aside.direction, back.direction) == ("sideways", "back")


def test_a_deploy_warns_of_what_it_takes_away_before_it_asks(site: Site) -> None:
    """The live commit is named in a warning, and who says no then has changed nothing."""
    [live] = beside(site)
    told: list[str] = []

    def no() -> None:
        told.extend(event.message for event in site.events if event.level == "warning")
        raise Interrupted("nothing was changed: the answer was no")

    with pytest.raises(Interrupted):
        site.fleet().deploy(["web1"], sha=site.better, consent=no)
    gone = f"{live[:10]} “fix 0” is live on web1 and is not in {site.better[:10]}: this deploy takes it away"
    assert (gone in told, site.live()) == (True, live)


def test_what_was_rolled_back_from_is_warned_of_and_deployed(site: Site) -> None:
    """The newest attempt was a rollback from it: that stops nothing."""
    fleet = site.fleet()
    for sha in (site.good, site.better):
        assert fleet.deploy(["web1"], sha=sha).ok
    assert fleet.rollback(["web1"], release=site.good).ok
    assert fleet.deploy(["web1"], sha=site.better).ok
    warned = [event.message for event in site.events if event.level == "warning"]
    [told] = [each for each in warned if "until the rollback" in each]
    assert re.fullmatch(rf"{site.better[:10]} was live on web1 until the rollback at [\d: -]+ UTC by tester@desk", told)


def test_what_would_be_refused_is_told(site: Site) -> None:
    """By the code of the deploy: a held host, and one that nobody reaches; the others are planned all the same."""
    site.fleet().deploy(["web1", "web2"], sha=site.good)
    site.fleet().lock(["web2"], reason="the fair")

    def connect(name: str):
        return unreachable(name) if name == "web3" else site.connect(name)

    fleet = site.fleet(connect=connect)
    found = fleet.plan(["web1", "web2", "web3"], sha=site.better)
    codes = [host.refusal and host.refusal.code for host in found.hosts]
    assert (codes, found.exit_code) == ([None, ExitCode.BUSY, ExitCode.UNREACHABLE], ExitCode.BUSY)
    assert "the fair" in (found.hosts[1].hold or "")
    assert (found.hosts[1].live, found.hosts[2].live) == (site.good, None)


def test_names_of_the_configuration(site: Site) -> None:
    """Those that change, of the file and of the values, before the release is there and after; never a value."""
    env = {"values": {"KEPT": "1", "OTHER": "hush-1"}, "file": "app.env"}
    first = site.repository.commit("with a file", **{"app.env": "FILED=1\n"})
    assert site.fleet(env=env).plan(["web1"], sha=first).hosts[0].names == {
        "added": ["FILED", "KEPT", "OTHER"],
        "changed": [],
        "removed": [],
    }
    assert site.fleet(env=env).deploy(["web1"], sha=first).ok
    second = site.repository.commit("another file", **{"app.env": "FILED=hush-2\nNEW=3\n"})
    env["values"] = {"KEPT": "1"}
    found = site.fleet(env=env).plan(["web1"], sha=second)
    changed = {"added": ["NEW"], "changed": ["FILED"], "removed": ["OTHER"]}
    assert (found.hosts[0].names, bool(found.hosts[0].revision), "hush" in repr(found)) == (changed, True, False)
    back = site.fleet(env=env).plan(["web1"], sha=first)
    assert (back.hosts[0].names, back.hosts[0].parts) == ({"added": [], "changed": [], "removed": ["OTHER"]}, ())


def test_units_before_they_are_there(site: Site) -> None:
    """Which files of units a release changes is known by its commit; with restarts skipped it brings none."""
    one = site.repository.commit("units", **{"infra__a.service": "1", "infra__b.service": "1"})
    two = site.repository.commit("others", **{"infra__a.service": "2", "infra__c.service": "1"})
    assert site.fleet().deploy(["web1"], sha=one).ok
    skipping, fleet = (site.fleet(units="infra", services=[]) for _ in range(2))
    object.__setattr__(fleet.config, "skip_restart", False)
    assert [each.plan(["web1"], sha=two).hosts[0].units for each in (skipping, fleet)] == [
        None,
        {"added": ["c.service"], "changed": ["a.service"], "removed": []},
    ]


def test_a_deploy_says_what_is_not_committed(site: Site) -> None:
    """Also where the release is live already; of a commit that is not checked out, what differs is no news."""
    (site.repository.path / "fabric.yaml").write_text("deploy: {}\n")
    told = "fabric.yaml is not committed: its settings are used as they are here"
    for sha, times in ((site.bad, 1), (site.bad, 1), (site.good, 0)):
        site.events.clear()
        assert site.fleet().deploy(["web1"], sha=sha).ok
        assert [event.message for event in site.events if event.level == "warning"].count(told) == times


def test_what_another_application_took_says_nothing(site: Site) -> None:
    """Two applications share hosts and registry: how long a deploy takes is known by those of the same one."""
    site.fleet().deploy(["web1"], sha=site.good)
    found = [site.fleet(application=name).plan(["web1"], sha=site.better).seconds for name in ("shop", "wiki")]
    assert [seconds is None for seconds in found] == [False, True]
