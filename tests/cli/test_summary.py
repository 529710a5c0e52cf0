"""The words at the end of an attempt."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oroboros_deploy.cli.summary import summary, table
from oroboros_deploy.outcome import HostOutcome, NewCommit, Outcome, State
from tests.support.events import OLD, SHA

# The parts of the activation are in its time already.
A_SWITCH = {"build": 40.2, "activate": 65, "activate.restarting": 60, "activate.gating": 4}


def outcome_of(*hosts: HostOutcome, **more: Any) -> Outcome:
    return Outcome("attempt", more.pop("kind", "deploy"), SHA, hosts, **more)


def test_the_table_has_a_row_for_each_host() -> None:
    """Host, state, live release, time and the first line of the message, in columns."""
    outcome = outcome_of(
        HostOutcome("web1", State.LIVE, live=SHA, seconds=A_SWITCH),
        HostOutcome("web20", State.RESTORED, live=OLD, message="gate failed\nmore", seconds={"build": 3}),
        HostOutcome("web3", State.UNREACHABLE, message="no route"),
    )
    assert table(outcome) == (
        "HOST   STATE        LIVE        TIME        MESSAGE\n"
        "web1   live         3f2a9c1b2d  1 min 45 s\n"
        "web20  restored     9c1d0e2f4a  3.0 s       gate failed\n"
        "web3   unreachable  -           0 ms        no route"
    )


def test_success_is_one_line() -> None:
    """When all is well there is nothing else to read."""
    live = [HostOutcome(f"web{n}", State.LIVE, live=SHA) for n in (1, 2)]
    assert summary(outcome_of(*live)) == "✓ 3f2a9c1b2d is live on web1, web2"
    again = HostOutcome("web1", State.ALREADY_LIVE, live=SHA)
    assert summary(outcome_of(again)) == "✓ 3f2a9c1b2d was live already on web1"


def test_a_push_names_what_it_changed() -> None:
    """The names where they are the same on each host that was changed; never a value."""
    names = {"added": ["A"], "changed": [], "removed": ["B"]}
    pushed = [HostOutcome(f"web{n}", State.LIVE, live=SHA, names=names) for n in (1, 2)]  # type: ignore[arg-type]
    told = "✓ 3f2a9c1b2d: today's configuration is live on web1, web2"
    assert summary(outcome_of(*pushed, kind="env")) == f"{told} (+A -B)"
    assert summary(outcome_of(pushed[0], HostOutcome("web2", State.LIVE, live=SHA), kind="env")) == told
    again = HostOutcome("web1", State.ALREADY_LIVE, live=SHA)
    was = "✓ 3f2a9c1b2d: today's configuration was in use already on web1"
    assert summary(outcome_of(again, kind="env")) == was
    failed = HostOutcome("web1", State.RESTORED, live=SHA, message="why")
    assert summary(outcome_of(failed, kind="env")).startswith("✗ env.push to 3f2a9c1b2d failed\n")


def test_a_failure_says_state_cause_and_next_step() -> None:
    """For each host that failed: what it serves, what went wrong, what to type."""
    outcome = outcome_of(
        HostOutcome("web1", State.LIVE, live=SHA),
        HostOutcome(
            "web2", State.RESTORED, live=OLD, message="the gate failed\nexit 7", hint="fab -H web2 log", log="no route"
        ),
    )
    assert summary(outcome) == (
        "✗ deploy of 3f2a9c1b2d failed on 1 of 2 hosts\n"
        "web1 serves 3f2a9c1b2d\n"
        "  │ no route\n"
        "web2 serves 9c1d0e2f4a again\n"
        "  the gate failed\n"
        "  exit 7\n"
        "  → fab -H web2 log"
    )


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (State.RESTORED, "web1 serves 9c1d0e2f4a again"),
        (State.NOT_RESTORED, "web1 NEEDS A PERSON: its services may be down"),
        (State.NOT_SWITCHED, "web1 still serves 9c1d0e2f4a; nothing was switched"),
        (State.BUSY, "web1 was left alone; somebody else holds it"),
        (State.UNKNOWN, "web1 goes on by itself; how it ended is not known here"),
        (State.UNREACHABLE, "web1 was not reached; nothing was changed there"),
        (State.REFUSED, "web1 cannot do this; nothing was changed there"),
        (State.INTERRUPTED, "web1 still serves 9c1d0e2f4a; stopped before the switch"),
        (State.SKIPPED, "web1 was not touched"),
    ],
)
def test_every_bad_state_has_its_words(state: State, said: str) -> None:
    """Each way to end badly has a sentence, and a next step even when none was given."""
    told = summary(outcome_of(HostOutcome("web1", state, live=OLD, message="why"), kind="rollback"))
    came_to = {State.UNKNOWN: ": its end is not known", State.SKIPPED: " was not begun"}.get(state, " failed")
    assert told == f"✗ rollback of 3f2a9c1b2d{came_to}\n{said}\n  why\n  → fab -H web1 status"


def test_the_worst_host_is_told_last() -> None:
    """The last lines are of the host that needs a person; a host whose turn never came did not fail."""
    hosts = [HostOutcome(f"web{n}", state, live=OLD, message="why") for n, state in enumerate(_MIXED, 1)]
    told = summary(outcome_of(*hosts)).splitlines()
    assert told[0] == "✗ deploy of 3f2a9c1b2d failed on 2 of 4 hosts, and was not begun on 2"
    assert told[-3:] == ["web1 NEEDS A PERSON: its services may be down", "  why", "  → fab -H web1 status"]


_MIXED = (State.NOT_RESTORED, State.SKIPPED, State.RESTORED, State.SKIPPED)


def test_a_host_that_never_served_is_said_so() -> None:
    """After a failed first deploy no release serves, and the summary does not invent one."""
    assert "\nweb1 serves no release, as before\n" in summary(outcome_of(HostOutcome("web1", State.RESTORED)))


def test_an_unwritten_registry_is_told_beside_the_success() -> None:
    """The release is live, and the record waits."""
    told = summary(outcome_of(HostOutcome("web1", State.LIVE, live=SHA), registry="spooled"))
    assert told == (
        "✓ 3f2a9c1b2d is live on web1\n"
        "The registry was not written; the record is kept here.\n"
        "  → fab -H web1 registry.reconcile (any command that reaches the registry writes it)"
    )


def test_a_record_that_was_lost_is_told_with_the_way_to_write_it() -> None:
    """The release is live, and its host has what the registry lacks."""
    told = summary(outcome_of(HostOutcome("web1", State.LIVE, live=SHA), registry="lost"))
    assert told == (
        "✓ 3f2a9c1b2d is live on web1\n"
        "The registry was not written, and the record could not be kept here; the hosts have it.\n"
        "  → fab -H web1 registry.reconcile (writes it from their journals)"
    )


def test_a_success_says_what_went_live_what_changed_and_the_way_back() -> None:
    """The subject, the whole time, the new commits, and a line that can be typed for each release left."""
    commits = tuple(NewCommit(f"{at:010}" * 4, f"Change {at}") for at in range(7))
    hosts = [HostOutcome(name, State.LIVE, live=SHA, previous=OLD, back=OLD) for name in ("web1", "web2")]
    told = summary(outcome_of(*hosts, subject="Round totals\x1b[31m", commits=commits, seconds=41.2))
    assert told.splitlines() == [
        "✓ 3f2a9c1b2d “Round totals” is live on web1, web2, after 41 s",
        "7 new commits since 9c1d0e2f4a:",
        *(f"  {at:010} Change {at}" for at in range(5)),
        "  and 2 more",
        "To go back to 9c1d0e2f4a:",
        f"  → fab -H web1,web2 rollback --release={OLD}",
    ]


def test_half_a_fleet_has_a_way_back() -> None:
    """Where some hosts went live and others did not, the way back of those that did can be typed."""
    went = HostOutcome("web1", State.LIVE, live=SHA, previous=OLD, back=OLD)
    hosts = (went, HostOutcome("web2", State.BUSY, live=OLD))
    told = summary(outcome_of(*hosts), lambda names, task: f"fab -H {names} {task} --root=/srv/shop")
    line = f"fab -H web1 rollback --release={OLD} --root=/srv/shop"
    assert told.endswith(f"To go back to 9c1d0e2f4a on web1 alone:\n  → {line}")


def test_a_rollback_can_be_undone() -> None:
    """The way to the release that was left is called what it is: nobody takes it for advice."""
    went = HostOutcome("web1", State.LIVE, live=SHA, previous=OLD, back=OLD)
    told = summary(outcome_of(went, kind="rollback"))
    assert told.endswith(f"To undo this rollback, with 9c1d0e2f4a:\n  → fab -H web1 rollback --release={OLD}")


def test_a_release_that_failed_is_no_way_back() -> None:
    """What served before is offered where a host can go back to it, and nowhere else."""
    hosts = [HostOutcome("web1", State.LIVE, SHA, OLD, back=OLD), HostOutcome("web2", State.LIVE, SHA, OLD)]
    line = f"fab -H web1 rollback --release={OLD}"
    assert summary(outcome_of(*hosts)).endswith(f"To go back to 9c1d0e2f4a on web1 alone:\n  → {line}")
    assert "To go back" not in summary(outcome_of(hosts[1]))


@pytest.mark.parametrize("state", State)
def test_all_states_can_be_told(state: State) -> None:
    """No state is without words, in table and summary."""
    outcome = outcome_of(HostOutcome("h", state))
    assert table(outcome) and summary(outcome)


@given(st.text())
def test_no_text_brings_control_characters_to_people(text: str) -> None:
    """Whatever a host says, as message or name, every line shown is printable."""
    outcome = Outcome("a", "deploy", SHA, (HostOutcome(text, State.RESTORED, live=text, message=text, hint=text),))
    assert all(line.isprintable() for line in [*table(outcome).split("\n"), *summary(outcome).split("\n")])
