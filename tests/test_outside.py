"""What comes from outside: no traceback, and nothing that reaches into the terminal, whatever it is.

2,000 examples of fixed seeds, with those of `tests/remote/test_said.py`; `--hypothesis-profile=explore` draws ten times
as many others.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oroboros_deploy.cli import tables
from oroboros_deploy.cli.exit_codes import tell
from oroboros_deploy.cli.running import answered
from oroboros_deploy.config import explain, load
from oroboros_deploy.errors import ConfigError, DeployError
from oroboros_deploy.host import audit, hold, pins, running, state
from oroboros_deploy.host.journal import Journal
from oroboros_deploy.host.journal_entry import line_of
from oroboros_deploy.host.layout import Layout
from oroboros_deploy.records.record import Record
from oroboros_deploy.text import plain
from tests.support.outside import NASTY, anything, changed, often
from tests.support.samples import A, B, host, record

pytestmark = pytest.mark.slow  # thousands of examples, or whole builds

HOLD = {"actor": NASTY, "at": 1_800_000_000.0, "reason": NASTY}
STATE = {
    "attempt": "20260101-x",
    "kind": "deploy",
    "target": A,
    "source": B,
    "phase": "committed",
    "boot": "b",
    "started_at": 1_800_000_000.0,
    "seconds": {"swapped": 0.1},
    "actor": NASTY,
    "reason": NASTY,
    "transcript": "",
    "migration_marker": None,
    "switched": True,
    "sequence": 4,
}
ENTRY = {
    "kind": "deploy",
    "outcome": "committed",
    "actor": NASTY,
    "reason": NASTY,
    "boot": "b",
    "at": 1_800_000_000.0,
    "seq": 1,
    "previous": "0" * 64,
    "hash": "1" * 64,
    "attempt": "20260101-x",
    "target": A,
    "source": None,
    "switched": True,
}
RUNNING = {"attempt": "x", "kind": "deploy", "target": A, "actor": NASTY, "since": 1_800_000_000.0, "phase": "gated"}
FACTS = {
    "live": A,
    "releases": [{"id": A, "state": "adopted", "built_at": None, "bad": False}],
    "running": RUNNING,
    "hold": HOLD,
    "last": STATE,
    "journal": [ENTRY],
}
MACHINE = {"id": "0" * 32, "machine": "f" * 32, "name": NASTY}
NAMES = {"added": ["PORT"], "changed": ["KEY"], "removed": [NASTY]}
ANSWERS: list[tuple[Callable[[Any], str], dict[str, Any]]] = [
    (tables.status_table, FACTS),
    (tables.status_table, FACTS | {"running": None}),
    (tables.lock_table, {"hold": HOLD, "running": RUNNING}),
    (tables.unlock_table, {"freed": HOLD}),
    (tables.pin_table, {"release": A, "pin": {"actor": NASTY, "at": 1.0}, "new": True}),
    (tables.unpin_table, {"release": A, "pin": {"actor": NASTY, "at": 1.0}}),
    (
        tables.prune_table,
        {
            "releases": [{"id": A, "stays": False, "why": NASTY, "bytes": 7}],
            "freed": 7,
            "dry_run": True,
            "complete": True,
        },
    ),
    (
        tables.audit_table,
        {"entries": [ENTRY], "count": 1, "head": None, "verified": True, "wrong": {"line": 1, "what": NASTY}},
    ),
    (tables.claim_table, {"was": MACHINE, "now": MACHINE | {"id": "1" * 32}, "claimed": True}),
    (tables.env_table, {"configuration": "c0ffee", "origins": {"PORT": "value", NASTY: NASTY}}),
    (tables.env_diff_table, {"configuration": "c0ffee", "names": NAMES, "origins": {"PORT": "value", "KEY": NASTY}}),
]
SETTINGS: dict[str, Any] = {
    "root": "/srv/shop",
    "services": ["shop-api"],
    "registry_url": "postgresql://shop:hunter2@db/shop",
    "healthcheck": {"command": "true", "timeout": 60, "interval": 1, "stable_for": 2},
    "build": {
        "frontend": {"path": "frontend", "command": "make", "output": "dist", "into": "infra/web"},
        "venvs": {"backend": ["backend"]},
        "steps": [{"name": "docs", "path": ".", "command": "make docs"}],
    },
    "keep": 5,
    "environments": {"prod": {"hosts": ["web1", "web2"], "keep": 3}, "next": {"hosts": "web3"}},
}
RECORD: dict[str, Any] = json.loads(record(A, host("web1", "live", live=A)).to_json())


def shown(answers: Mapping[str, Any], table: Callable[[Any], str], *, as_json: bool) -> str:
    """What a command prints of answers and of how it ends, when it ends as a command does."""
    out = io.StringIO()
    with redirect_stdout(out):
        try:
            answered(answers, table, as_json)
        except DeployError as error:
            out.write(plain(error))
    return out.getvalue()


def lines_are_clean(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@often(500)
@given(number=st.integers(0, len(ANSWERS) - 1), as_json=st.booleans(), data=st.data())
def test_an_answer_of_one_host_hides_no_other(number: int, as_json: bool, data: st.DataObject) -> None:
    """Whatever a host answers, the others are told of, and the terminal is left alone."""
    table, right = ANSWERS[number]
    wrong = data.draw(st.one_of(changed(right), anything))
    said = shown({"web1": wrong, "web2": right}, table, as_json=as_json)
    assert lines_are_clean(said)
    assert "web2" in said


@often(300)
@given(data=st.data())
def test_a_journal_of_anything_is_audited(data: st.DataObject) -> None:
    """Lines that are no entries, and entries that are wrong, are found and shown; none is a traceback."""
    entries = data.draw(st.lists(st.one_of(changed(ENTRY), st.just(ENTRY), anything), min_size=1, max_size=4))
    with tempfile.TemporaryDirectory() as directory:
        journal = Journal(Path(directory, "journal.jsonl"))
        journal.path.write_bytes(b"".join(line_of(entry) + b"\n" for entry in entries))
        wrong = audit.verify(journal)
        answer = {
            "entries": journal.entries(),
            "count": len(journal.attempts()),
            "head": journal.newest(),
            "verified": True,
            "wrong": {"line": wrong.line, "what": wrong.what} if wrong else None,
        }
    said = shown({"web1": answer, "web2": answer}, tables.audit_table, as_json=False)
    assert lines_are_clean(said)
    assert "web2" in said


@often(400)
@given(wrong=st.one_of(changed(STATE), changed(HOLD), anything), torn=st.integers(0, 400))
def test_what_lies_on_a_host_may_be_anything(wrong: Any, torn: int) -> None:
    """State, hold, pin, request and result: what cannot be read is none; a hold still holds."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        layout = Layout(root, root / "releases", root / "current", root / "repo")
        layout.create()
        written = json.dumps(wrong).encode()
        content = written[:torn] if torn < 200 else written
        attempt = layout.attempt("x")
        attempt.mkdir(parents=True)
        layout.pin(A).parent.mkdir(parents=True, exist_ok=True)
        for path in (layout.state, layout.hold, layout.pin(A), attempt / "result.json", attempt / "request.json"):
            path.write_bytes(content)
        found = state.load(layout.state)
        assert found is None or (found.final, found.live) is not None
        held = hold.found(layout)
        assert held is not None
        assert set(pins.found(layout)) == {A}
        assert state.has_end(layout, "x") in (True, False)
        request = state.read_request(layout, "x")
        assert request is None or isinstance(request, dict)
        answer = FACTS | {"hold": held, "last": found.as_dict() if found else None, "running": running.running(layout)}
    assert lines_are_clean(shown({"web2": answer}, tables.status_table, as_json=False))


@often(500)
@given(written=st.one_of(changed(SETTINGS), anything), environment=st.sampled_from([None, "prod", "next"]))
def test_settings_of_anything_are_settings_or_an_error(written: Any, environment: str | None) -> None:
    """The error names the setting in lines that a terminal can show, and has no password."""
    try:
        config = load([("fabric.yaml", written)], {}, environment=environment)
    except ConfigError as error:
        said = str(error)
    else:
        said = tables.config_table(explain(config))
    assert lines_are_clean(plain(said))
    assert "hunter2" not in said


@often(100)
@given(written=st.one_of(changed(RECORD), anything))
def test_a_spooled_record_of_anything_is_a_record_or_none(written: Any) -> None:
    """What cannot be read is set aside, by one error."""
    try:
        Record.from_json(json.dumps(written))
    except ValueError:
        return


def test_last_words_are_clean() -> None:
    """An error that quotes what came from outside."""
    err = io.StringIO()
    with redirect_stderr(err):
        tell(f"web1: {NASTY}")
    assert lines_are_clean(err.getvalue())
