"""The contract holds when the agent runs: what it answers has the keys that the types have, all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import calls, contract
from oroboros_deploy.host.contract import Call
from tests.support.each_call import requests
from tests.support.local_agent import PLAIN, LocalAgent
from tests.support.repository import Repository


def keys(type_of: Any) -> set[str]:
    """The keys of a typed dictionary, those of its bases too."""
    found: set[str] = type_of.__required_keys__ | type_of.__optional_keys__
    return found


@pytest.fixture
def live(host: LocalAgent, tmp_path: Path) -> str:
    """A release that serves on a host whose journal has nothing of its services."""
    (tmp_path / "bin").mkdir()
    for name in ("journalctl", "systemctl"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / name).chmod(0o755)
    host.settled = {"PATH": f"{tmp_path / 'bin'}:{PLAIN['PATH']}"}
    sha = host.sealed("one")
    answer = host.activate(sha)
    assert answer.phases[-1:] == ["committed"], (answer.refusal, answer.result, answer.stderr)
    return sha


@pytest.mark.slow
@pytest.mark.parametrize("call", calls.CALLS)
def test_answers(host: LocalAgent, live: str, mirrored: Repository, call: Call) -> None:
    """Each call of the agent's table answers with every key of the type that its function names, and no other."""
    answer_of = getattr(contract, calls.CALLS[call].__annotations__["return"])
    new = {"commit": mirrored.git("rev-parse", "HEAD"), "target": host.sealed("two")}
    asked = requests(host, live, attempt=host.journal[0]["attempt"], dry_run=True, **new)
    answer = host.call(call, asked[call])
    assert (answer.refusal, set(answer.result or {})) == (None, keys(answer_of))


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
