"""`docs/json.md` says what `--json` prints: every event, every key."""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

import oroboros_deploy
from oroboros_deploy.cli.tables import error_json
from oroboros_deploy.cli.views import JsonView
from oroboros_deploy.doctor.finding import Finding
from oroboros_deploy.errors import Busy
from oroboros_deploy.events import Event
from oroboros_deploy.host import contract
from oroboros_deploy.outcome import HostOutcome, Kind, Outcome
from oroboros_deploy.records.figures import Figures
from oroboros_deploy.records.plan import HostPlan
from oroboros_deploy.records.reconcile import Repairs
from oroboros_deploy.registry import Registry

PACKAGE = Path(oroboros_deploy.__file__).parent
DOCUMENT = (PACKAGE.parent / "docs/json.md").read_text()
SECTIONS = dict(part.split("\n", 1) for part in re.split(r"\n###? ", DOCUMENT)[1:])
TELLERS = ("Event", "say", "tell", "_say", "_tell")
BETWEEN_AGENT_AND_CONTROL_NODE = {"alive", "facts"}
SETTINGS_OF_A_CALL = {"level", "host", "at", "data"}
OF_THE_CONTRACT = [
    *("Facts", "ReleaseFacts", "TargetFacts", "UnitFacts", "Running", "Hold", "ActivationState", "JournalEntry"),
    *("Origin", "JournalHead", "Problem", "LockAnswer", "UnlockAnswer", "PinAnswer", "UnpinAnswer", "Pin"),
    *(
        "ClaimAnswer",
        "LogsAnswer",
        "RunAnswer",
        "ConfigureAnswer",
        "Changes",
        "TargetId",
        "PruneAnswer",
        "PruneVerdict",
        "AuditAnswer",
        "WrongLine",
    ),
]


def rows(section: str) -> list[list[str]]:
    """The cells of the table in a section."""
    lines = [line.strip("|").split(" | ") for line in SECTIONS[section].splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line] for line in lines]


def keys(section: str) -> list[str]:
    return [row[0].strip("`") for row in rows(section)]


def documented() -> dict[str, set[str]]:
    """Each event in the document, with the keys of its data."""
    told = [row for section in SECTIONS if section.startswith("Events of") for row in rows(section)]
    return {
        row[0].strip("`"): set(re.findall(r"`(\w+)` (?:string|number|boolean|object|array)", row[2])) for row in told
    }


def emitted() -> Iterator[tuple[str, set[str]]]:
    """Each event in the code, with the keys of its data that stand there as words."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _name(node.func) in TELLERS and node.args:
                name, given = node.args[0], {keyword.arg for keyword in node.keywords if keyword.arg}
                if isinstance(name, ast.Constant) and re.fullmatch(r"[a-z._]+", str(name.value)):
                    yield str(name.value), given - SETTINGS_OF_A_CALL


def _name(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


@pytest.mark.slow
def test_every_event_is_documented() -> None:
    """The names in the document are those in the code, without what only the agent and the control node say."""
    assert {name for name, _ in emitted()} - BETWEEN_AGENT_AND_CONTROL_NODE == set(documented())


@pytest.mark.slow
def test_the_data_of_every_event_is_documented() -> None:
    """No key is told that the document does not have."""
    told = documented()
    unknown = {(name, key) for name, given in emitted() if name in told for key in given - told[name]}
    assert unknown == set()


@pytest.mark.slow
def test_no_event_has_data_that_nobody_tells() -> None:
    """Every key in the document stands in the code."""
    given: dict[str, set[str]] = {"part.finished": {"seconds", "cached"}}  # they are collected before
    given["build.usual"] = {"seconds"}
    for name, found in emitted():
        given.setdefault(name, set()).update(found)
    assert {name: data - given[name] for name, data in documented().items() if data - given[name]} == {}


def test_a_component_is_a_kind_of_attempt() -> None:
    """The document names each kind as a `component` that a line may have."""
    (meaning,) = (row[2] for row in rows("Every line") if row[0] == "`component`")
    assert set(re.findall(r"`(\w+)`", meaning)) == set(get_args(Kind))


@pytest.mark.parametrize("name", OF_THE_CONTRACT)
def test_the_answers_of_hosts(name: str) -> None:
    """Each object has the keys of the contract, and says which may be null."""
    annotations = getattr(contract, name).__annotations__
    assert sorted(keys(name)) == sorted(annotations)
    optional = {key for key, kind in annotations.items() if "Optional" in str(kind) or "None" in str(kind)}
    assert {
        row[0].strip("`") for row in rows(name) if row[1].removesuffix(" *(may be missing)*").endswith("?")
    } == optional


def test_every_answer_of_the_contract_is_there() -> None:
    """What `status`, `lock` and the others answer is what the document has."""
    answers = {name for name in vars(contract) if name.endswith("Answer")}
    assert answers - {"BuildAnswer", "ActivateAnswer", "DoctorAnswer", "SentAnswer", "Answer"} <= set(OF_THE_CONTRACT)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("HostOutcome", HostOutcome),
        ("Figures", Figures),
        ("Repairs", Repairs),
        ("Finding", Finding),
        ("HostPlan", HostPlan),
    ],
)
def test_what_the_library_has_too(name: str, kind: type) -> None:
    """The keys are the fields of the library's own objects."""
    assert keys(name) == [field.name for field in fields(kind)]


def test_the_line_the_error_and_the_outcome() -> None:
    """What is printed has the keys that the document has, in its order."""
    stream = io.StringIO()
    JsonView(stream, "deploy", None, {})(Event("warning"))
    assert list(json.loads(stream.getvalue())) == keys("Every line")
    assert list(json.loads(error_json(Busy("held"), 20))) == keys("Error")
    host = HostOutcome("web1", oroboros_deploy.State.LIVE)
    assert list(Outcome("id", "deploy", "a" * 40, (host,)).as_dict()) == keys("Outcome")


def test_a_row_of_the_registry(tmp_path: Path) -> None:
    """A row has the columns of the table."""
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as registry:
        row = registry.upsert("a" * 40, "a" * 40, "deploying", None, None)
    assert list(row) == keys("Row")
