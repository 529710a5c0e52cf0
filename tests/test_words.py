"""The words for what an attempt does and comes to."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import ModuleType

import pytest

from docs import generate
from oroboros_deploy import deployment, errors, tasks
from oroboros_deploy.cli import tables
from oroboros_deploy.control import plan
from oroboros_deploy.events import Event
from oroboros_deploy.host import hold
from oroboros_deploy.host.state import FINAL, TRANSITIONS
from oroboros_deploy.outcome import State, end_of
from oroboros_deploy.words import SERVES, WAY, came_to, doing, name_of, phase_of

# The noun, and the verb that is made of it: not the commands `fab lock` and `fab unlock`.
_LOCK = re.compile(r"(?<!fab )(?<![`.])\block(?:s|ed)?\b(?! --)|\bunlock(?:s|ed)\b|\bfreez|\bfrozen\b", re.IGNORECASE)


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


def test_a_last_phase_is_called_what_it_came_to() -> None:
    """A phase that something follows keeps its name."""
    assert [came_to(phase) for phase in FINAL] == [name_of(end_of(phase) or State.UNKNOWN) for phase in FINAL]
    assert (came_to("restore_failed"), came_to("swapped")) == ("not restored", "swapped")


@pytest.mark.parametrize("module", [hold, plan, errors, tables, tasks, deployment, generate])
def test_a_hold_is_called_a_hold(module: ModuleType) -> None:
    """What a person does to a host by `fab lock` is a hold in every sentence: no lock, and nothing is frozen."""
    assert [text for text in _sentences(Path(str(module.__file__))) if _LOCK.search(text)] == []


def _sentences(source: Path) -> list[str]:
    """The texts of several words in a module."""
    nodes = ast.walk(ast.parse(source.read_text()))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return [text for text in texts if isinstance(text, str) and " " in text]
