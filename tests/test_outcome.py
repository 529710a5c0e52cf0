"""Outcomes: exit codes and errors."""

from __future__ import annotations

import pytest

from oroboros_deploy import errors
from oroboros_deploy.errors import DeployError, ExitCode
from oroboros_deploy.outcome import HostOutcome, Outcome, State, ended, state_of

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


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (errors.BuildFailed, State.NOT_SWITCHED),
        (errors.Busy, State.BUSY),
        (errors.HostUnreachable, State.UNREACHABLE),
        (errors.HostNotTrusted, State.UNREACHABLE),
        (errors.InvalidInput, State.REFUSED),
        (errors.UnknownRelease, State.REFUSED),
        (errors.Interrupted, State.INTERRUPTED),
        (errors.LinkLost, State.UNKNOWN),
        (errors.RegistryUnavailable, State.UNKNOWN),
        (errors.JournalDamaged, State.UNKNOWN),
        (DeployError, State.UNKNOWN),
    ],
)
def test_each_error_ends_in_a_state(error: type[DeployError], state: State) -> None:
    """The error that ends the work on a host decides its state; an error that belongs to no state leaves it unknown."""
    assert state_of(error("it failed")) == state


@pytest.mark.parametrize("state", [state for state in State if not state.ok and state is not State.SKIPPED])
def test_an_error_gives_the_state_that_it_was_raised_for(state: State) -> None:
    """Raising the error of a state, and asking for the state of that error, comes back to the state."""
    with pytest.raises(DeployError) as caught:
        outcome(state).raise_for_status()
    assert state_of(caught.value) == state


def final(phase: str, **changes: object) -> dict[str, object]:
    return {
        "phase": phase,
        "target": "b" * 40,
        "source": "a" * 40,
        "reason": "the gate failed",
        "switched": True,
        "migration_marker": "4f2a",
        "seconds": {"gating": 1.5},
        "transcript": "no answer",
    } | changes


@pytest.mark.parametrize(
    ("said", "state", "live", "words"),
    [
        (final("committed"), State.LIVE, "b" * 40, f"{'b' * 40} is live"),
        (final("restored"), State.RESTORED, "a" * 40, f"{'a' * 40} was restored and is live; {'b' * 40} failed"),
        (final("restored", switched=False), State.NOT_SWITCHED, "a" * 40, "nothing was switched"),
        (final("restored", source=None), State.NOT_RESTORED, None, "no release is live (this was the first deploy"),
        (
            final("restored", source=None, ran={"api": "i1"}, foreign="/opt/old"),
            State.RESTORED,
            None,
            "no release is live, and what was there before serves again (current leads to /opt/old, api)",
        ),
        (
            final("restore_failed"),
            State.NOT_RESTORED,
            None,
            f"the link `current` names {'a' * 40}, and the host is not healthy: the gate failed",
        ),
    ],
)
def test_an_activation_ends_as_its_final_state_says(
    said: dict[str, object], state: State, live: str | None, words: str
) -> None:
    """The outcome of a host names what serves there now, what served before, and why; only a live one has no hint."""
    end = ended("web1", said, "the logs")
    assert (end.host, end.state, end.live, end.previous) == ("web1", state, live, said["source"])
    assert end.message.startswith(words)
    assert (end.hint is None, end.log, end.migration_marker) == (state is State.LIVE, "no answer", "4f2a")
    assert end.seconds == {"activate.gating": 1.5}


def test_where_a_migration_that_failed_is_read() -> None:
    """It is no service, so no log of services has it: but a file of its own; what else failed there is in neither."""
    seconds = {"migrating": 2.0}
    migration = ended("web1", final("restored", switched=False, seconds=seconds), "/srv/a b/attempts/1").hint
    units = ended("web1", final("restored", switched=False, seconds={**seconds, "swapping": 0.1}), "/srv/logs").hint
    push = ended("web1", final("restored", switched=False, seconds={}), "/srv/logs", "env").hint
    assert (migration, units, push) == (
        "fix it and deploy again; what the migration said on its standard error is on the host in "
        "'/srv/a b/attempts/1/migration.err'",
        "fix it and deploy again; all that was said is on the host in /srv/logs",
        "fix it, then the same command again; all that was said is on the host in /srv/logs",
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "the database stays as the migration left it: nothing of it was undone"),
        ({"source": None}, "the database stays as the migration left it: nothing of it was undone"),
        ({"switched": False}, "what the migration did before it failed was not undone"),
        ({"seconds": {"gating": 1.5}}, None),
        ({"phase": "committed"}, None),
    ],
)
def test_a_database_does_not_go_back(changes: dict[str, object], told: str | None) -> None:
    """Where a migration ran and its release is not live, a line of its own says so."""
    end = ended("web1", final(**{"phase": "restored", "seconds": {"migrating": 2.0}, **changes}), "the logs")
    assert end.message.partition("\n")[2] == (told or "")


def test_where_to_look_when_nothing_serves() -> None:
    """At the log, then the restart that asks the gate; where `current` names nothing, only a deploy helps."""
    logs = "fab -H HOST logs --since=-1h  shows what failed; when its cause is gone, "
    hints = [ended("web1", final("restore_failed", source=source), "the logs").hint for source in ("a" * 40, None)]
    assert hints == [f"{logs} fab -H HOST restart  starts the services and asks the gate", f"{logs}deploy again"]
