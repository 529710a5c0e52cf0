"""A rollback to a release that nobody named: whole attempts on hosts that are directories."""

from __future__ import annotations

import pytest

from oroboros_deploy.control.way_back import WayBack
from oroboros_deploy.errors import Busy, Interrupted, InvalidInput, RegistryUnavailable
from oroboros_deploy.outcome import State
from tests.support.site import Site, states

pytestmark = pytest.mark.slow  # whole attempts


def releases(site: Site, *hosts: str) -> tuple[str, str]:
    """Two good releases, deployed one after another."""
    for sha in (site.good, site.better):
        assert site.fleet().deploy(hosts or ("web1",), sha=sha).ok
    for host in hosts or ("web1",):
        site.commands(host)
    return site.good, site.better


def test_it_goes_back_until_nothing_is_before(site: Site) -> None:
    """One reading of facts more than by an id; it is shown first, and what the host has is told where none is left."""
    first, second = releases(site)
    shown: list[WayBack] = []
    outcome = site.fleet().rollback(agree=shown.append)
    assert (states(outcome), site.live(), site.commands()) == ({"web1": State.LIVE}, first, ["facts", "activate"])
    assert (shown, outcome.subject) == ([WayBack(first, "good", {"web1": second})], "good")
    assert site.statuses() == {first: "rolled_back", second: "replaced_by_rollback"}
    with pytest.raises(InvalidInput) as refused:
        site.fleet().rollback(["web1"])
    what = (
        "there is no release to go back to: a release must have passed its gate on all of these hosts,"
        " and have been live on one of them before the present release"
    )
    told = f"web1: {second[:10]} (passed its gate), {first[:10]} (live, passed its gate)"
    assert (refused.value.message, refused.value.exit_code) == (f"nothing was changed: {what}\n  {told}", 2)
    assert site.live() == first


def test_what_a_rollback_left_is_gone_back_to_with_a_warning(site: Site) -> None:
    """The rule takes the release that was first right before the live one: whoever left it on purpose hears of that."""
    releases(site)
    site.fleet().rollback(["web1"], release=site.good)
    assert site.fleet().deploy(["web1"], sha=site.repository.commit("other", more="2")).ok
    site.events.clear()
    site.fleet().rollback(["web1"], agree=lambda _: None)
    warned = [event.message for event in site.events if event.level == "warning"]
    assert (site.live(), len(warned)) == (site.better, 1)
    assert warned[0].startswith(
        f"this rollback goes to {site.better[:10]}, although an earlier rollback replaced it here at 20"
    )


def test_who_is_not_asked_and_who_says_no_change_nothing(site: Site) -> None:
    """A hold refuses it before anybody is asked; after a no one question was asked, and no attempt is recorded."""
    _, second = releases(site)

    def no(_: WayBack) -> None:
        raise Interrupted("nothing was changed: the answer was no")

    with site.deployment().registry() as registry:
        before = len(registry.reader.attempts().items)
        with pytest.raises(Interrupted):
            site.fleet().rollback(["web1"], agree=no)
        assert (site.live(), site.commands()) == (second, ["facts"])
        site.fleet().lock(["web1"], reason="the audit")
        with pytest.raises(Busy, match="the audit"):
            site.fleet().rollback(["web1"], agree=no)
        assert len(registry.reader.attempts().items) == before


def test_a_registry_that_is_down_is_told_before_the_question(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody agrees to what is refused afterwards; how it can be done without the registry is told."""
    _, second = releases(site)
    asked: list[WayBack] = []
    fleet = site.fleet()
    monkeypatch.setattr("oroboros_deploy.registry.Registry.check", _down)
    with pytest.raises(RegistryUnavailable, match="nothing was changed: it does not answer") as refused:
        fleet.rollback(["web1"], agree=asked.append)
    assert 'if this cannot wait, type DEPLOY_REGISTRY_URL="sqlite:///$HOME/night.db"' in (refused.value.hint or "")
    assert (asked, site.live(), site.commands()) == ([], second, [])


def test_what_nobody_began_is_no_failure_of_another_host(site: Site) -> None:
    """Where the answer is no, each host is said not to have begun; no host failed."""
    releases(site, "web1", "web2")

    def no(_: WayBack) -> None:
        raise InvalidInput("nothing was changed: there is no terminal to ask on")

    with pytest.raises(InvalidInput) as refused:
        site.fleet().rollback(["web1", "web2"], agree=no)
    assert refused.value.outcome is not None
    assert {host.message for host in refused.value.outcome.hosts} == {"not begun"}


def _down(_: object) -> None:
    raise RegistryUnavailable("it does not answer")


def test_a_host_that_serves_it_is_left_alone(site: Site) -> None:
    """Where a deploy ended half way, the hosts that did not switch stay as they are; two readings are made of each."""
    assert site.fleet().deploy(["web1", "web2"], sha=site.good).ok
    assert site.fleet().deploy(["web1"], sha=site.better).ok
    for host in ("web1", "web2"):
        site.commands(host)
    outcome = site.fleet().rollback(["web1", "web2"])
    assert states(outcome) == {"web1": State.LIVE, "web2": State.ALREADY_LIVE}
    assert (site.live("web1"), site.live("web2")) == (site.good, site.good)
    assert (site.commands("web1"), site.commands("web2")) == (["facts", "facts", "activate"], ["facts", "facts"])


@pytest.mark.parametrize("hosts", [["web1"], ["web1", "web2"]])
def test_what_changed_since_it_was_shown_is_not_left(site: Site, hosts: list[str]) -> None:
    """Nobody agreed to leave a release that went live meanwhile: no host switches, and it is said (20)."""
    first, _ = releases(site, *hosts)
    assert site.fleet().deploy(hosts, sha=site.bad).ok  # it passes this gate, and what goes live is not what was chosen

    def meanwhile(_: WayBack) -> None:
        assert site.fleet().rollback([hosts[-1]], release=first).ok

    with pytest.raises(Busy, match=f"{first} went live here meanwhile"):
        site.fleet().rollback(hosts, agree=meanwhile)
    assert [site.live(host) for host in hosts] == [site.bad] * (len(hosts) - 1) + [first]
