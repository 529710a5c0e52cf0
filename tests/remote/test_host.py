"""A host's calls: its errors become ours with words that fit, and whoever leaves is not held up."""

from __future__ import annotations

import ast
import inspect
import threading
import time
from collections.abc import Iterator

import pytest

from oroboros_deploy.config import Config
from oroboros_deploy.control.plan import activate_request
from oroboros_deploy.errors import HostUnreachable, LinkLost, UnknownRelease
from oroboros_deploy.events import Event
from oroboros_deploy.host.calls import CALLS
from oroboros_deploy.remote import host
from oroboros_deploy.remote.host import Host, HostClock
from tests.control.test_plan import facts, job
from tests.support.site import Site


def test_the_answer_of_each_call_has_its_type() -> None:
    """The type that the control node gives the answer of a call is the one that the agent's function answers with."""
    casts = {call: kind for node in ast.walk(ast.parse(inspect.getsource(host))) for call, kind in _cast(node)}
    followed = {"activate", "follow"}  # their one answer has its type where a lost link is taken up again
    types = {call: work.__annotations__["return"] for call, work in CALLS.items()}
    assert casts == {call: kind for call, kind in types.items() if call not in followed}
    assert {types[call] for call in followed} == {"ActivateAnswer"}


def _cast(node: ast.AST) -> Iterator[tuple[str, str]]:
    """The call and the type of ``cast("FactsAnswer", self.call("facts", …))``."""
    match node:
        case ast.Call(
            func=ast.Name("cast"),
            args=[
                ast.Constant(str(kind)),
                ast.Call(func=ast.Attribute(attr="call" | "_quiet_call"), args=[ast.Constant(str(call)), *_]),
            ],
        ):
            yield call, kind


def test_a_refusal_is_an_error_of_its_kind(site: Site) -> None:
    """A refused call raises the class of its kind, with the host's name in the hint that the agent left open."""
    host = site.deployment().node.host("web1")
    with pytest.raises(UnknownRelease) as caught:
        host.pin("ada@desk", "a" * 40)
    assert (caught.value.host, caught.value.hint) == ("web1", "fab -H web1 prune --dry-run  shows release ids")
    host.close()


@pytest.mark.slow
def test_facts_are_known_after_they_were_read(site: Site) -> None:
    """`known` is None before the first look, then the facts that were read."""
    site.deployment().deploy(["web1"], sha=site.good)
    host = site.deployment().node.host("web1")
    assert host.known is None
    facts = host.facts({"sha": None})
    assert (host.known, facts["live"]) == (facts, site.good)
    host.close()


@pytest.mark.slow
def test_facts_say_when_they_were_asked_for(site: Site) -> None:
    """The moment in their event is before the question went out, not when its answer came."""
    host = site.deployment().node.host("web1")
    host.open()
    before = time.time()
    host.facts({"sha": None, "wait": 0.0})
    (read,) = (event for event in site.events if event.name == "facts.read")
    assert before <= read.data["asked_at"] < read.at
    host.close()


class Late:
    """A connection that comes when nobody waits for it any more."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


def test_who_leaves_does_not_wait_for_a_silent_host() -> None:
    """A connection that is still being made is given up at once, and closed when it comes."""
    dialled, answers, late = threading.Event(), threading.Event(), Late()
    failures: list[str] = []

    def connect() -> Late:
        dialled.set()
        answers.wait(60)
        return late

    def open_it() -> None:
        try:
            host.open()
        except LinkLost as error:
            failures.append(error.message)

    host = Host("web1", Config(), connect, lambda event: None)  # type: ignore[arg-type, return-value]
    opening = threading.Thread(target=open_it)
    opening.start()
    assert dialled.wait(60)
    host.leave()
    opening.join(60)
    answers.set()
    assert failures == ["interrupted: this host was not waited for any longer"]
    assert late.closed.wait(60)


def test_a_log_whose_connection_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asked for a switch: no word of one, and the command shows what services said since."""

    def lost(*_: object) -> None:
        raise LinkLost("reset")

    host = Host("web1", Config(), lambda: None, lambda event: None)  # type: ignore[arg-type, return-value]
    monkeypatch.setattr(host, "call", lost)
    with pytest.raises(HostUnreachable) as caught:
        host.logs({"services": ["api"], "lines": 1, "follow": True})
    what = "the connection was lost during 'logs' (reset)"
    assert (caught.value.message, caught.value.hint) == (what, "the same command again")


def test_a_link_that_is_lost_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line after the loss says that the host ends alone, until when `fab` tries, and that Ctrl-C is safe."""
    told: list[Event] = []
    host = Host("web1", Config(), lambda: None, told.append)  # type: ignore[arg-type, return-value]
    answers = iter([LinkLost("reset"), LinkLost("refused"), {"state": None}])

    def answer(*_: object, **__: object) -> object:
        found = next(answers)
        if isinstance(found, LinkLost):
            raise found
        return found

    monkeypatch.setattr(host, "call", answer)
    monkeypatch.setattr(host, "wait", lambda seconds: True)
    host.activate(activate_request(job(), facts(), migrate=False))
    first, second = (event for event in told if event.name == "link.lost")
    assert 595 < first.data["until"] - time.time() <= 600 and first.data["heard_at"] == host.heard_at
    until = time.strftime("%H:%M:%SZ", time.gmtime(first.data["until"]))
    assert first.message.splitlines() == [
        "the connection was lost; this host goes on, and finishes the attempt by itself. This program tries to reach "
        f"it until {until}. Ctrl-C is safe: only the watching stops, and no other host is begun",
        "reset; trying again in 1 s",
    ]
    assert second.message == "refused; trying again in 2 s"


@pytest.mark.parametrize("ahead", [0, 3600, -3600])
def test_what_is_heard_late_has_the_time_at_which_it_happened(ahead: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock of this machine, whatever that of the host says, also when somebody sets it back."""
    clock = HostClock()
    heard = [(100, 99.9), (200, 110), (200, 190), (210, 209.9), (220, 19.9), (300, 89.9)]
    found = []
    for now, told in heard:
        monkeypatch.setattr(time, "time", lambda now=now: now)
        found.append(round(clock.moment(told + ahead), 3))
    assert found == [100, 110.1, 190.1, 210, 220, 290]
    assert clock.moment(None) == 300


@pytest.mark.slow
def test_the_line_of_a_run_is_not_in_the_first_request(site: Site) -> None:
    """That request is in a command line, which everybody on the host can read, and a line may have a secret."""
    site.deployment().deploy(["web1"], sha=site.good)
    site.commands()
    answer = site.deployment(services=[]).run(["web1"], line="cat ok")["web1"]
    assert isinstance(answer, dict) and (answer["status"], answer["release"]) == (0, site.good)
    assert site.commands() == ["facts", "run_line"]
    assert [event.message for event in site.events if event.name == "run.output"] == ["yes"]
