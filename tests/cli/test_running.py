"""How a task shows what hosts answered."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from invoke import Context

from oroboros_deploy.cli import arguments, stream, tables
from oroboros_deploy.cli.running import answered, attempt, print_json, refuse_damage, show, tell_progress, tell_pruned
from oroboros_deploy.control.journal_heads import JournalHeads
from oroboros_deploy.errors import HostUnreachable, JournalDamaged
from oroboros_deploy.events import Event
from oroboros_deploy.outcome import HostOutcome, Outcome, State

if TYPE_CHECKING:
    from oroboros_deploy.deployment import Answers
    from oroboros_deploy.host.contract import UnlockAnswer

NASTY = "\x1b]52;c;cm0gLXJmIC8=\x07\x1b[2J\u202ereversed"


def answers() -> Answers[UnlockAnswer]:
    return {"web1": {"freed": None}, "web2": HostUnreachable("no route", hint="try again", host="web2")}


def test_the_answers_that_came_are_shown_before_the_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """A host that could not answer has its row, and is how the command ends."""
    with pytest.raises(HostUnreachable, match="web2: no route"):
        answered(answers(), tables.unlock_table, as_json=False)
    assert capsys.readouterr().out == "web1  was not held\nweb2  no route\n"


def test_a_file_to_be_removed_is_one_that_is_there(tmp_path: Path) -> None:
    """A damaged journal names what this machine remembers of it where there is something, and else nothing."""
    heads = JournalHeads(tmp_path)
    node, config = SimpleNamespace(journal_heads=heads), SimpleNamespace(root="/srv/app")
    deployment: Any = SimpleNamespace(node=node, config=config)
    damaged: Any = {"web1": {"wrong": {"line": 2, "what": "was changed"}}}
    with pytest.raises(JournalDamaged) as unknown:
        refuse_damage(deployment, damaged)
    heads.note("web1", "/srv/app", {"seq": 2, "hash": "a"}, "one")
    with pytest.raises(JournalDamaged) as known:
        refuse_damage(deployment, damaged)
    said = f"find out who did that; if the host was set up anew: rm {heads.path('web1', '/srv/app')}"
    assert [each.value.hint for each in (unknown, known)] == ["find out who did that", said]


def test_the_answers_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Each host has its answer, or its error with the hint."""
    with pytest.raises(HostUnreachable):
        answered(answers(), tables.unlock_table, as_json=True)
    said = {"web1": {"freed": None}, "web2": {"error": "no route", "hint": "try again"}}
    assert json.loads(capsys.readouterr().out) == said


def test_nothing_that_is_shown_reaches_into_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a task shows, and whatever it tells on the way, is cleaned; JSON stays JSON."""
    show(f"one\n{NASTY}")
    tell_pruned(Event("pruned", NASTY, host="web1"))
    tell_progress(Event("journals", NASTY))
    said = capsys.readouterr()
    assert said.out == "one\n\\u202ereversed\nweb1: \\u202ereversed\n"
    assert said.err == "\\u202ereversed\n"
    print_json({"subject": NASTY})
    printed = capsys.readouterr().out
    assert (json.loads(printed), printed.isascii()) == ({"subject": NASTY}, True)


def test_a_verdict_has_its_colour_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mark at the beginning of a line is green or red, where a person watches who wants colours; nothing else is."""
    told = f"✓ a is live\n✗ b failed\n  ✓ no mark {NASTY}"
    monkeypatch.setattr(stream, "is_terminal", lambda *_: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    show(told, marks=True)
    colored = "\x1b[32m✓\x1b[0m a is live\n\x1b[31m✗\x1b[0m b failed\n  ✓ no mark \\u202ereversed\n"
    assert capsys.readouterr().out == colored
    monkeypatch.setenv("NO_COLOR", "1")
    show(told, marks=True)
    assert "\x1b" not in capsys.readouterr().out


def test_an_attempt_ends_with_a_verdict_in_its_colour(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever deploys on a terminal sees at once whether it went well."""
    monkeypatch.setattr(stream, "is_terminal", lambda *_: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    told = SimpleNamespace(config=SimpleNamespace(typed=lambda names, task: f"fab -H {names} {task}"))
    monkeypatch.setattr(arguments, "deployment", lambda *_, **__: told)
    outcome = Outcome("attempt", "deploy", "a" * 40, (HostOutcome("web1", State.LIVE, live="a" * 40),))
    attempt(Context(), "deploy", None, {}, False, False, lambda *_: outcome)
    assert capsys.readouterr().out == "\x1b[32m✓\x1b[0m aaaaaaaaaa is live on web1\n"


def test_only_what_was_pruned_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Other events, and details, say nothing beside the answer."""
    tell_pruned(Event("warning", "look"))
    tell_progress(Event("journals", "reading", level="detail"))
    assert capsys.readouterr() == ("", "")
