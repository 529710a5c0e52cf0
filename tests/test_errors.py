"""Errors: each has its exit code, as the module's own table says, and reads as state, cause and next step."""

from __future__ import annotations

import re

import pytest

from oroboros_deploy import errors
from oroboros_deploy.errors import DeployError, ExitCode

TABLE = dict(re.findall(r"[├└]── (\w+) +(\d+) ", errors.__doc__ or ""))
CLASSES = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, DeployError)]


def test_the_table_names_every_error() -> None:
    """And nothing else."""
    assert set(TABLE) == {each.__name__ for each in CLASSES} - {"DeployError"}


@pytest.mark.parametrize("kind", [each for each in CLASSES if each is not DeployError])
def test_each_error_has_the_exit_code_of_the_table(kind: type[DeployError]) -> None:
    """That is what a script sees."""
    assert int(kind.exit_code) == int(TABLE[kind.__name__])


@pytest.mark.parametrize(("restored", "code"), [(True, ExitCode.RESTORED), (False, ExitCode.NOT_RESTORED)])
def test_a_failed_activation_says_whether_the_host_was_restored(restored: bool, code: ExitCode) -> None:
    """10 promises that the release from before serves again; 11 needs a person."""
    assert errors.ActivationFailed("it failed", restored=restored).exit_code == code


def test_an_error_reads_as_state_cause_and_next_step() -> None:
    """The text names the host first and ends with what to type next; both are left out where there is none."""
    error = errors.Busy("deploy of abc holds this host", hint="fab status", host="web1")
    assert str(error) == "web1: deploy of abc holds this host\n  → fab status"
    assert (str(errors.Busy("held")), error.log, error.outcome) == ("held", None, None)
