"""Outcomes: exit codes and errors."""

from __future__ import annotations

import pytest

from oroboros_deploy import errors
from oroboros_deploy.errors import DeployError, ExitCode
from oroboros_deploy.outcome import HostOutcome, Outcome, State

ENDS = [
    (State.LIVE, 0, None),
    (State.ALREADY_LIVE, 0, None),
    (State.RESTORED, 10, errors.ActivationFailed),
    (State.NOT_RESTORED, 11, errors.ActivationFailed),
    (State.NOT_SWITCHED, 30, errors.BuildFailed),
    (State.BUSY, 20, errors.Busy),
    (State.UNKNOWN, 40, errors.LinkLost),
    (State.UNREACHABLE, 50, errors.HostUnreachable),
    (State.REFUSED, 2, errors.InvalidInput),
    (State.INTERRUPTED, 130, errors.Interrupted),
]


def outcome(*states: State, **changes: str) -> Outcome:
    hosts = tuple(HostOutcome(f"web{number}", state, message=str(state)) for number, state in enumerate(states, 1))
    return Outcome("a1", "deploy", "f" * 40, hosts, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("state", "code", "error"), ENDS)
def test_each_end_has_its_exit_code_and_error(state: State, code: int, error: type[DeployError] | None) -> None:
    """An outcome's exit code is the documented one, and raise_for_status raises the error that carries it."""
    result = outcome(state)
    assert result.exit_code == code
    if error is None:
        assert result.raise_for_status() is result
    else:
        with pytest.raises(error) as caught:
            result.raise_for_status()
        assert (caught.value.exit_code, caught.value.host, caught.value.message) == (code, "web1", str(state))


def test_every_state_has_an_end() -> None:
    """No state is without an exit code, and only the two good ones give 0."""
    codes = {state: outcome(state).exit_code for state in State}
    assert {state for state, code in codes.items() if code is ExitCode.LIVE} == {State.LIVE, State.ALREADY_LIVE}


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((State.LIVE, State.RESTORED, State.SKIPPED), 10),
        ((State.RESTORED, State.NOT_RESTORED), 11),
        ((State.LIVE, State.UNKNOWN, State.RESTORED), 40),
        ((State.UNREACHABLE, State.SKIPPED), 50),
        ((State.LIVE, State.ALREADY_LIVE), 0),
        ((State.LIVE, State.BUSY), 20),
    ],
)
def test_the_worst_host_decides(states: tuple[State, ...], code: int) -> None:
    """With several hosts the exit code is that of the one that needs a person most."""
    assert outcome(*states).exit_code == code


def test_a_registry_that_was_not_written() -> None:
    """A good release that was not recorded gives 60; a bad one keeps its own code."""
    assert outcome(State.LIVE, registry="spooled").exit_code == 60
    assert outcome(State.LIVE, registry="lost").exit_code == 60
    assert outcome(State.RESTORED, registry="spooled").exit_code == 10
    with pytest.raises(errors.RegistryUnavailable):
        outcome(State.LIVE, registry="spooled").raise_for_status()


def test_an_error_reads_as_state_cause_and_next_step() -> None:
    """The text of an error names the host first and ends with what to type next."""
    error = errors.Busy("deploy of abc holds this host", hint="fab status", host="web1")
    assert str(error) == "web1: deploy of abc holds this host\n  → fab status"
