"""The values that both sides of the border know agree with each other and with the contract's types."""

from __future__ import annotations

from typing import get_args

from oroboros_deploy.config import Healthcheck
from oroboros_deploy.host import constants, contract


def test_final_phases_are_those_of_the_contract() -> None:
    """All of them, and those that serve are among them."""
    assert set(constants.FINAL) == set(get_args(contract.FinalPhase))
    assert set(constants.SERVES) < set(constants.FINAL)


def test_other_words_are_those_of_the_contract() -> None:
    """Releases that may be switched to, and kinds of attempts, are the contract's."""
    assert get_args(contract.Switchable) == constants.SWITCHABLE
    assert get_args(contract.AttemptKind) == constants.ATTEMPTS


def test_the_gates_defaults_are_the_settings() -> None:
    """The settings take the gate's times from here."""
    gate = Healthcheck()
    found = (gate.timeout, gate.interval, gate.stable_for)
    assert found == (constants.GATE_TIMEOUT, constants.GATE_INTERVAL, constants.GATE_STABLE_FOR)
