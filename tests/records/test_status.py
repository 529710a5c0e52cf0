"""What an attempt makes of the rows of `releases`."""

from __future__ import annotations

import pytest

from oroboros_deploy.outcome import State
from oroboros_deploy.records.status import transitions
from tests.support.samples import A, B, C, host, record


@pytest.mark.parametrize(
    ("hosts", "serving", "before", "deploy", "rollback"),
    [
        pytest.param(
            [host("h1", "live", previous=A), host("h2", "live", previous=A)],
            {"h1": B, "h2": B},
            None,
            {A: "replaced", B: "deployed"},
            {A: "replaced_by_rollback", B: "rolled_back"},
            id="live on all",
        ),
        pytest.param(
            [host("h1", "live", previous=A)],
            {"h1": B, "h2": A},
            None,
            {B: "deployed"},
            {B: "rolled_back"},
            id="live, and what it left serves on a host outside the attempt",
        ),
        pytest.param(
            [host("h1", "live", previous=A), host("h2", "live", previous=C)],
            {"h1": B, "h2": B},
            None,
            {A: "replaced", C: "replaced", B: "deployed"},
            {A: "replaced_by_rollback", C: "replaced_by_rollback", B: "rolled_back"},
            id="live on all, two releases left",
        ),
        pytest.param(
            [host("h1", "live")], {"h1": B}, None, {B: "deployed"}, {B: "rolled_back"}, id="live, the first of its host"
        ),
        pytest.param(
            [host("h1", "already_live", live=B, previous=B)],
            {"h1": B},
            "replaced",
            {B: "deployed"},
            {B: "rolled_back"},
            id="already live",
        ),
        pytest.param(
            [host("h1", "already_live", live=B, previous=B), host("h2", "refused")],
            {"h1": B},
            "deployed",
            {B: "deployed"},
            {B: "deployed"},
            id="already live, and nothing was switched",
        ),
        pytest.param(
            [host("h1", "live", previous=A), host("h2", "restored", previous=A)],
            {"h1": B, "h2": A},
            None,
            {A: "deployed", B: "deployed"},
            {A: "deployed", B: "rolled_back"},
            id="live on one, restored on the other: both serve",
        ),
        pytest.param(
            [host("h1", "live", previous=A), host("h2", "not_restored", previous=A)],
            {"h1": B, "h2": None},
            "deploy_failed",
            {A: "replaced", B: "deployed"},
            {A: "replaced_by_rollback", B: "rolled_back"},
            id="live on one, nothing serves on the other",
        ),
        pytest.param(
            [host("h1", "live", previous=A), host("h2", "skipped"), host("h3", "unreachable")],
            {"h1": B, "h2": A, "h3": A},
            "replaced",
            {B: "deployed"},
            {B: "rolled_back"},
            id="live on one, others not touched",
        ),
        pytest.param(
            [host("h1", "restored", previous=A)],
            {"h1": A},
            None,
            {A: "deployed", B: "deploy_failed"},
            {A: "deployed", B: "rollback_failed"},
            id="restored",
        ),
        pytest.param(
            [host("h1", "restored")],
            {"h1": None},
            None,
            {B: "deploy_failed"},
            {B: "rollback_failed"},
            id="failed, the first of its host",
        ),
        pytest.param(
            [host("h1", "not_restored", previous=A)],
            {"h1": None},
            "replaced",
            {B: "deploy_failed"},
            {B: "rollback_failed"},
            id="not restored",
        ),
        pytest.param(
            [host("h1", "restored", previous=A), host("h2", "skipped")],
            {"h1": A, "h2": B},
            "deployed",
            {A: "deployed", B: "deployed"},
            {A: "deployed", B: "deployed"},
            id="failed on one, serves on another as before",
        ),
        pytest.param(
            [host("h1", "restored", previous=B)],
            {"h1": B},
            "rolled_back",
            {B: "rolled_back"},
            {B: "rolled_back"},
            id="failed over itself and restored",
        ),
        pytest.param(
            [host("h1", "not_switched")],
            {"h1": A},
            None,
            {B: "deploy_failed"},
            {B: "rollback_failed"},
            id="build failed",
        ),
        pytest.param(
            [host("h1", "not_switched")],
            {"h1": A, "h2": B},
            "deployed",
            {B: "deployed"},
            {B: "deployed"},
            id="build failed, serves on another host",
        ),
        pytest.param(
            [host("h1", "not_switched")],
            {"h1": A, "h2": B},
            "deploying",
            {B: "deployed"},
            {B: "rolled_back"},
            id="build failed, serves on another host, its row was never settled",
        ),
        *(
            pytest.param(
                [host("h1", state), host("h2", "skipped")],
                {"h1": A},
                before,
                {B: before or "deploy_failed"},
                {B: before or "rollback_failed"},
                id=f"{state}, was {before}",
            )
            for state in ("busy", "refused", "unreachable", "interrupted")
            for before in (None, "replaced", "deploying", "of another program")
        ),
        pytest.param([], {}, "replaced", {B: "replaced"}, {B: "replaced"}, id="ended before any host"),
        pytest.param(
            [host("h1", "refused", target_missing=True)],
            {"h1": A},
            "replaced",
            {B: "rollback_target_missing"},
            {B: "rollback_target_missing"},
            id="target missing",
        ),
        pytest.param(
            [host("h1", "refused", target_missing=True), host("h2", "skipped")],
            {"h1": A, "h2": B},
            "deployed",
            {B: "deployed"},
            {B: "deployed"},
            id="target missing on one, serves on another",
        ),
        pytest.param(
            [host("h1", "unknown"), host("h2", "live", previous=A)], {"h1": A, "h2": B}, None, {}, {}, id="unknown"
        ),
        pytest.param([host("h1", "running")], {"h1": A}, None, {}, {}, id="running"),
        pytest.param(
            [host("h1", "live", previous=A)],
            {"h1": C},
            "deploying",
            {A: "replaced", B: "replaced"},
            {A: "replaced_by_rollback", B: "replaced"},
            id="late: the host serves a newer release",
        ),
        pytest.param(
            [host("h1", "restored", previous=A)],
            {"h1": C},
            "deploying",
            {B: "deploy_failed"},
            {B: "rollback_failed"},
            id="late: what was restored has been left since",
        ),
    ],
)
def test_every_ending_of_an_attempt_gives_the_rows_their_status(hosts, serving, before, deploy, rollback):
    """Each line of the table in the docstring holds, for a deploy and for a rollback."""
    deployed = transitions(record(B, *hosts), serving, before)
    rolled_back = transitions(record(B, *hosts, kind="rollback"), serving, before)
    assert (dict(deployed), dict(rolled_back)) == (deploy, rollback)


@pytest.mark.parametrize("state", [*State, "running"])
@pytest.mark.parametrize("before", [None, "deployed", "deploying", "deploy_failed"])
def test_a_release_that_serves_is_never_called_failed(state, before):
    """Whatever happened on a host, a release that serves on another keeps or gets a status that says so."""
    changes = dict(transitions(record(B, host("h1", state, previous=A)), {"h1": A, "h2": B}, before))
    assert changes.get(B, "deployed") == "deployed"
