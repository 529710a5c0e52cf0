"""The words for what an attempt does and comes to."""

from __future__ import annotations

import pytest

from oroboros_deploy.events import Event
from oroboros_deploy.host.state import FINAL, TRANSITIONS
from oroboros_deploy.outcome import State
from oroboros_deploy.words import SERVES, WAY, doing, name_of, phase_of


@pytest.mark.parametrize("phase", TRANSITIONS)
def test_every_phase_is_told_with_what_follows(phase: str) -> None:
    """A host is said to do what follows the phase that it reached; after the last one, only the phase is known."""
    assert (doing(phase) == phase) == (phase in FINAL)


def test_the_way_of_a_host_is_in_its_order() -> None:
    """From the connection to the commit, each step that people are told is on the way, in this order."""
    told = [doing(phase) for phase in (None, "facts", "build", "prepared", "swapped", "restarted", "gated")]
    assert tuple(told) == WAY


def test_events_say_the_phase() -> None:
    """An event begins a phase by its name, or names the one that was reached."""
    assert phase_of(Event("build.started")) == "build"
    assert phase_of(Event("phase", data={"phase": "gated"})) == "gated"
    assert phase_of(Event("warning")) is None


def test_every_state_has_its_words() -> None:
    """Each state has a name, and each bad one a sentence."""
    assert name_of(State.NOT_RESTORED) == "not restored"
    assert set(SERVES) == {state for state in State if not state.ok}
