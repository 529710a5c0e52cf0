"""Lines that an agent said, and lines that only look as if it had."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oroboros_deploy.cli.steps import Steps
from oroboros_deploy.events import Event
from oroboros_deploy.host.constants import FORMAT
from oroboros_deploy.remote import said
from oroboros_deploy.text import clean
from tests.support.events import A_DEPLOY
from tests.support.outside import NASTY, anything, changed, often

pytestmark = pytest.mark.slow  # thousands of examples, or whole builds

REFUSAL = {
    "kind": "busy",
    "message": "held",
    "hint": "wait",
    "log": "x",
    "hold": {"actor": "ada", "at": 1.0, "reason": "r"},
}
ANSWER = {"format": FORMAT, "result": {"freed": None}}


def sent(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_what_the_agent_says_is_read_as_it_was_said() -> None:
    """An event, an answer and a refusal lose nothing."""
    told = {"event": "phase", "message": "m", "level": "info", "data": {"phase": "gated", "seconds": 1.5}}
    assert said.event(sent(told)) == told
    assert said.event(sent({**told, "at": 1.5})) == {**told, "at": 1.5}
    assert said.event(sent({**told, "at": "1"})) == told
    assert said.answer(sent(ANSWER)) == ANSWER
    assert said.answer(sent({"refusal": REFUSAL})) == {"format": 0, "refusal": REFUSAL}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format": 2}',
        b'{"format": 2, "result": null}',
        b'{"format": "2", "result": {}}',
        b'{"format": true, "result": {}}',
        b'{"refusal": null}',
        b'{"refusal": {"kind": []}}',
        b'{"format": 1' + b"0" * 5000 + b', "result": {}}',
        b'{"refusal": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_refused(line: bytes) -> None:
    """By one error, whatever it is instead."""
    with pytest.raises(ValueError):
        said.answer(line)


def test_an_answer_of_a_later_version_may_hold_anything() -> None:
    """Its number is told; what it means is not known here."""
    assert said.answer(sent({"format": FORMAT + 1, "result": None}))["format"] == FORMAT + 1


@pytest.mark.parametrize("name", ["attempt.started", "host.finished", "switch.asked", "facts.read"])
def test_a_host_tells_nothing_that_is_ours_to_tell(name: str) -> None:
    """How an attempt goes on other hosts, and how it ended, is for the control node to say."""
    with pytest.raises(ValueError):
        said.event(sent({"event": name, "message": "", "level": "info", "data": {"state": "live"}}))


@often(250)
@given(number=st.integers(0, len(A_DEPLOY) - 1), data=st.data())
def test_no_event_stops_the_view(number: int, data: st.DataObject) -> None:
    """Whatever a host sends as an event is shown or passed over, and reaches into no terminal."""
    right = A_DEPLOY[number]
    told = {"event": right.name, "message": NASTY, "level": right.level, "data": dict(right.data)}
    try:
        found = said.event(sent(data.draw(changed(told))))
    except ValueError:
        return
    steps = Steps(verbose=True)
    for each in [*A_DEPLOY[:number], Event(found["event"], found["message"], "web1", found["level"], found["data"])]:
        for line in steps.take(each):
            assert line.text(steps.width).isprintable()
        assert all(clean(doing.label).isprintable() for doing in steps.at_work.values())


@often(250)
@given(data=st.data())
def test_no_answer_is_more_than_an_answer(data: st.DataObject) -> None:
    """An answer has a number, and a result or a refusal of a kind with a message; all else is refused."""
    right = data.draw(st.sampled_from([ANSWER, {"refusal": REFUSAL}]))
    value = data.draw(st.one_of(changed(right), anything))
    try:
        found = said.answer(sent(value))
    except ValueError:
        return
    assert type(found["format"]) is int
    if "refusal" in found:
        assert (type(found["refusal"]["kind"]), type(found["refusal"]["message"])) == (str, str)
    elif found["format"] <= FORMAT:
        assert isinstance(found["result"], dict)


@pytest.mark.parametrize(
    ("told", "known"),
    [("0a" * 16, "0a" * 16), (None, None), ("web1", None), ("0A" * 16, None), (["0a" * 16], None), ("", None)],
)
def test_only_an_id_of_a_target_is_taken_for_one(told: object, known: str | None) -> None:
    """Whatever else a host says, or an agent that has none leaves out, names no target."""
    assert said.answer(sent({**ANSWER, "target": told})).get("target") == known
    assert said.answer(sent(ANSWER)).get("target") is None
