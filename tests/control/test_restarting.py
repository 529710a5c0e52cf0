"""A restart: of the live release of each host, gated and recorded; refused where there is nothing to restart."""

from __future__ import annotations

from typing import Any

import pytest

from oroboros_deploy.config import Config
from oroboros_deploy.control import plan
from oroboros_deploy.control.attempt import alone
from oroboros_deploy.control.restarting import refuse_nothing_to_restart
from oroboros_deploy.errors import Busy, InvalidInput
from tests.control.test_plan import facts
from tests.support.site import Site

pytestmark = pytest.mark.slow  # whole attempts

LIVE, OTHER = "a" * 40, "b" * 40


def job(**settings: Any) -> plan.Job:
    return plan.Job("a1", "restart", LIVE, "ada@desk", Config(**settings), "0")


@pytest.mark.parametrize(
    ("settings", "what", "hint"),
    [
        ({"skip_restart": True}, "restarts are switched off (skip_restart)", "unset DEPLOY_SKIP_SERVICE_RESTART"),
        ({"services": ()}, "no service is named to be restarted", "services: [NAME]"),
    ],
)
def test_nothing_to_restart(settings: dict[str, Any], what: str, hint: str) -> None:
    """Settings by which no service is restarted are refused, with what changes them."""
    with pytest.raises(InvalidInput) as refused:
        refuse_nothing_to_restart(Config(**settings))
    assert (refused.value.message, hint in str(refused.value.hint)) == (f"nothing was changed: {what}", True)
    refuse_nothing_to_restart(Config())


def test_what_is_asked(site: Site) -> None:
    """The live release, its own gate and services; no units, no configuration, no migration."""
    asked = plan.activate_request(job(migrate="true", units="infra"), facts(live=LIVE), migrate=True)
    assert (asked["kind"], asked["sha"], asked["expected"], asked["migrate"]) == ("restart", LIVE, LIVE, None)
    assert {"units", "configuration", "recorded"}.isdisjoint(asked)
    assert plan.facts_request(job())["live"] is True


def test_what_can_be_restarted() -> None:
    """Every release that is live and whole, also one that is healthy; else the way out is told."""
    assert plan.decide(job(), facts(live=LIVE, target=target("sealed")), "web1") == plan.Plan(False, True)
    assert plan.decide(job(), facts(live=LIVE, target=target("adopted")), "web1") == plan.Plan(False, True)
    nothing = refused(facts(live=None, target=None))
    assert nothing == ("nothing was changed: no release is live on this host", "fab -H web1 deploy --sha=SHA")
    damaged = facts(live=LIVE, target=target("damaged", damage="run.sh is gone"), releases=[release(OTHER)])
    what = f"nothing was changed: the live release {LIVE} is not as it was built, and may not start: run.sh is gone"
    assert refused(damaged) == (what, f"fab -H web1 rollback --release={OTHER}")


def target(state: str, damage: str | None = None) -> dict[str, Any]:
    return {"state": state, "damage": damage, "bad": None, "gate": "never"}


def release(sha: str) -> dict[str, Any]:
    return {"id": sha, "state": "sealed", "bad": None, "built_at": "2026-01-01T00:00:00+00:00"}


def refused(found: Any) -> tuple[str, str | None]:
    with pytest.raises(InvalidInput) as error:
        plan.decide(job(), found, "web1")
    return error.value.message, error.value.hint


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("restart", "the host goes on alone; a restart that fails there needs a person, for nothing is restored"),
        ("deploy", "the host goes on alone and ends on a healthy release"),
    ],
)
def test_ctrl_c_promises_what_the_kind_keeps(kind: Any, end: str) -> None:
    """Only an attempt that restores what was live surely ends on a healthy release."""
    assert alone(kind) == end


def test_a_hold_refuses_it(site: Site) -> None:
    """A host that somebody holds is left alone (20), whoever asks."""
    site.deployment().deploy(["web1"], sha=site.good)
    hosts = site.deployment()
    hosts.lock(["web1"], reason="the audit")
    object.__setattr__(hosts.config, "skip_restart", False)
    object.__setattr__(hosts.config, "services", ("shop-api",))
    with pytest.raises(Busy) as held:
        hosts.restart(["web1"])
    assert (int(held.value.exit_code), "held by tester@desk" in held.value.message) == (20, True)
