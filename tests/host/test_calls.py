"""Each call of the contract is answered by the agent, and errors of a host are words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from oroboros_deploy.host import calls, constants, contract
from tests.support.local_agent import LocalAgent
from tests.support.watching import tree

NEEDED = {
    "facts": {"sha": None},
    "lock": {"actor": "ada@desk", "reason": "fair"},
    "unlock": {"actor": "ada@desk"},
    "unpin": {"release": "a" * 40},
    "prune": {"keep": 2, "dry_run": True},
    "audit": {"verify": False, "limit": 1, "seen": None},
}
CLAIM = {"claim": {"actor": "ada@desk", "dry_run": True}}  # of a root that is there, whoever's it is
BESIDE = {  # the services: tried on hosts that have some, in tests/machines/test_beside_the_services.py
    "logs": {"services": [], "lines": 1, "follow": False},
    "run_line": {"actor": "ada@desk", "line": "true", "service": None},
}
LOOKS = {"doctor": {}}  # at any root, also at one that others refuse: tests/host/test_doctor.py
REFUSED = {
    "pin": {"actor": "ada@desk", "release": "a" * 40},
    "configure": {"sha": "a" * 40, "env": {"file": "a.env", "values": {}, "secrets": {}, "build": []}},
    "build": {"attempt": "one", "sha": "x", "source": {"kind": "mirror", "url": None}, "recipe": {}, "version": ""},
    "activate": {},
    "follow": {"attempt": "unknown"},
}


def test_every_call_is_tried_here() -> None:
    """The calls of these tests are those of the contract."""
    assert sorted([*NEEDED, *BESIDE, *LOOKS, *REFUSED, *CLAIM]) == sorted(get_args(contract.Call))


@pytest.mark.slow
@pytest.mark.parametrize("call", NEEDED)
def test_a_call_has_a_result(host: LocalAgent, call: str) -> None:
    """A call that can be done on an empty root has a result and no refusal."""
    answer = host.call(call, NEEDED[call])
    assert (answer.refusal, isinstance(answer.result, dict)) == (None, True)


def test_a_refused_call_says_why(host: LocalAgent) -> None:
    """A call that cannot be done has a refusal with words, not a traceback."""
    answer = host.call("pin", REFUSED["pin"])
    assert (answer.result, (answer.refusal or {})["kind"], answer.stderr) == (None, "missing", "")


@pytest.mark.slow
def test_every_call_refuses_the_root_of_another_machine(host: LocalAgent) -> None:
    """Where a disk is shared, or a root was copied, nothing is changed, and it is said whose root it is."""
    host.facts()
    host.paths.create()
    told = json.loads(host.paths.id.read_text())
    host.paths.id.write_text(json.dumps({**told, "machine": "0" * 32, "name": "web1"}))
    before = tree(host.root)
    for call, request in {**NEEDED, **BESIDE}.items():
        assert host.call(call, request).refusal == {
            "kind": "invalid",
            "message": f"nothing was changed: {host.root} is the deploy root of the machine web1, and of that alone",
            "hint": "if this root is a copy or has moved here, make it this machine's: fab -H HOST claim",
        }, call
    assert tree(host.root) == before


def test_every_call_refuses_a_later_format(host: LocalAgent) -> None:
    """No call reads or changes what a later version wrote."""
    host.paths.create()
    host.paths.format.write_text(f"{constants.FORMAT + 1}\n")
    for call, request in {**NEEDED, **BESIDE, **CLAIM}.items():
        refusal = host.call(call, request).refusal or {}
        assert (refusal["kind"], "a later version" in refusal["message"]) == ("invalid", True), call


def test_a_fault_shows_no_secret_as_python_writes_it(tmp_path: Path) -> None:
    """Neither the words nor the kept traceback of a build's fault have a secret whose letters Python escapes."""
    secret = "back\\slash'wörd"
    found: contract.Sources = {"file": "env", "values": {}, "secrets": {"PASSWORD": secret}, "build": []}
    refusal = calls.fault(tmp_path / "attempt", KeyError(secret, secret.encode()), found)
    kept = (tmp_path / "attempt/fault.log").read_text()
    assert (refusal.message.split(": ")[2], "slash" in kept) == ("""("***", b"***"); its traceback""", False)
