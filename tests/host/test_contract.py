"""The contract holds when the agent runs: what it answers has the keys that the types have, all of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oroboros_deploy.host import contract
from tests.support.local_agent import LocalAgent


def keys(type_of: Any) -> set[str]:
    """The keys of a typed dictionary, those of its bases too."""
    found: set[str] = type_of.__required_keys__ | type_of.__optional_keys__
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "request_of", "answer_of"),
    [
        ("facts", {"sha": None}, contract.Facts),
        ("lock", {"actor": "ada", "reason": "the fair"}, contract.LockAnswer),
        ("unlock", {"actor": "ada"}, contract.UnlockAnswer),
        ("pin", {"actor": "ada", "release": "SHA"}, contract.PinAnswer),
        ("unpin", {"release": "SHA"}, contract.UnpinAnswer),
        ("prune", {"keep": 1, "dry_run": True}, contract.PruneAnswer),
        ("audit", {"verify": True, "limit": 9}, contract.AuditAnswer),
    ],
)
def test_answers(host: LocalAgent, call: str, request_of: dict[str, Any], answer_of: Any) -> None:
    """Each answer has every key of its type and no other."""
    sha = host.sealed("one")
    said = {key: sha if value == "SHA" else value for key, value in request_of.items()}
    assert set(host.call(call, said).result or {}) == keys(answer_of)


@pytest.mark.slow
def test_what_an_attempt_leaves(host: LocalAgent) -> None:
    """Its state, its result, its journal entry, its events and the release in the facts."""
    sha = host.sealed("one")
    answer = host.activate(sha, origin={"host": "web1"})
    assert set(answer.result or {}) == keys(contract.ActivateAnswer) == {"state", "live"}
    assert set(json.loads(host.paths.state.read_text())) == keys(contract.ActivationState)
    assert set(host.journal[0]) == keys(contract.JournalEntry)
    assert {frozenset(event) for event in answer.events} == {frozenset(keys(contract.SentEvent))}
    facts = host.facts(sha, served=True)
    assert set(facts["last"]) == keys(contract.ActivationState)
    assert set(facts["target"]) == keys(contract.TargetFacts) - {"unusable"}  # only of a rollback
    assert [set(each) for each in facts["releases"]] == [keys(contract.ReleaseFacts)]
    assert set(facts["head"]) == keys(contract.JournalHead)
