"""Reasons and questions are kept by the setting that they belong to."""

from __future__ import annotations

from oroboros_deploy.init.proposal import Proposal


def test_reasons_and_questions_are_kept_in_their_order() -> None:
    """Several of one setting stand one after the other."""
    proposal = Proposal("shop")
    proposal.because("root", "one")
    proposal.because("root", "two")
    proposal.ask("units", "which?")
    assert (proposal.reasons, proposal.questions) == ({"root": ["one", "two"]}, {"units": ["which?"]})
