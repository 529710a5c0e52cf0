"""What people are told to type: it can be typed as it stands, and means the same hosts, environment and root."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest

from oroboros_deploy import tasks
from oroboros_deploy.config import Config
from oroboros_deploy.control.plan import decide, way_back
from oroboros_deploy.errors import DeployError
from oroboros_deploy.outcome import HostOutcome, Kind, State
from tests.control.test_plan import OLD, SHA, again, facts, job, target

PACKAGE = Path(tasks.__file__).parent
COMMAND = re.compile(r"\bfab ((?:-\S+ (?:\S+ )?)?)([a-z][\w.]*)?")
# Where a command about given hosts is made: `Config.typed`, and the words for where no settings are known.
MAKERS = {("config/loading.py", "typed"), ("cli/summary.py", "plainly")}
# Raised where no settings are known; `Host.explain` puts environment and root into them.
EXPLAINED = {"ssh/command.py", "remote/session.py", "control/faults.py"}
NAMES = {"HOST", "HOSTS", "root@HOST"}  # what people put a name for


def strings(path: Path) -> Iterator[tuple[str, str]]:
    """The strings of a module with the function they are in, without docstrings; ``{}`` for what is put in."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef | ast.Module):
            yield from ((getattr(function, "name", ""), text) for text in _of(function))


def _of(parent: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif not isinstance(node, ast.FunctionDef) and not (isinstance(node, ast.Expr) and _is_text(node.value)):
            yield from _of(node)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@cache
def commands() -> tuple[tuple[str, str, str, str], ...]:
    """Each command of `fab` in a string of the package: its file, its function, its flags before the task, its task."""
    return tuple(
        (str(path.relative_to(PACKAGE)), function, found[1].strip(), found[2] or "")
        for path in sorted(PACKAGE.rglob("*.py"))
        for function, text in strings(path)
        for found in COMMAND.finditer(text)
    )


def test_every_hint_about_hosts_is_made_in_one_place() -> None:
    """A command about hosts that are known is made with their settings, or explained with them before it is told."""
    known = [each for each in commands() if each[2].startswith("-H") and each[2].split()[-1] not in NAMES]
    known = [each for each in known if each[0] != "control/node.py"]  # names an environment, and no task
    elsewhere = {(file, function) for file, function, _, task in known if task and file not in EXPLAINED} - MAKERS
    assert elsewhere == set()
    assert {file for file, _, _, task in known if task} >= EXPLAINED


def test_every_task_of_a_hint_exists() -> None:
    """A task that was renamed is renamed in what people are told."""
    known = {*tasks.ns.task_names}
    told = {task.rstrip(".") for file, _, _, task in commands() if task and file != "control/node.py"}
    assert {task for task in told if task not in known} == set()


WITHOUT_A_HINT = {
    ("host/building/bench.py", "cancelled"),  # the person who stopped the build knows what to type
    ("host/layout.py", "invalid"),  # no task sends what is no release id: a fault of the control node
}


def refusals(path: Path) -> Iterator[tuple[str, bool]]:
    """The kind of each `Refusal` that a module makes, and whether a hint comes with it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Refusal" and len(node.args) > 1:
            hinted = len(node.args) > 2 or any(each.arg == "hint" for each in node.keywords)
            yield ast.unparse(node.args[0]).strip("'"), hinted


def test_every_refusal_of_a_host_says_what_to_type() -> None:
    """A host that refuses gives a hint: without one people are told `status` alone, which mends nothing."""
    made = [
        (str(path.relative_to(PACKAGE)), *each)
        for path in sorted((PACKAGE / "host").rglob("*.py"))
        for each in refusals(path)
    ]
    assert len(made) > 100
    assert {(file, kind) for file, kind, hinted in made if not hinted} == WITHOUT_A_HINT


REMOVES_CURRENT = re.compile(r"\b(?:rm|unlink|rmdir)\b[^|;\n]*\bcurrent\b")


def said(node: ast.AST) -> str:
    """A string as it is written, with the names of what is put in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else ast.unparse(part) for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_nobody_is_told_to_remove_current() -> None:
    """Neither a message nor a document advises to remove `current`: it is what serves, and the way back."""
    advice = {"f'rm -f {layout.current}'": True, "f'rm {path}; ls current'": False, "'unlink /srv/a/current'": True}
    assert {text: _removes(text) for text in advice} == advice
    modules = [path for path in PACKAGE.rglob("*.py") if _removes(path.read_text())]
    documents = [PACKAGE.parent / "README.md", *(PACKAGE.parent / "docs").glob("*.md")]
    assert modules + [path for path in documents if REMOVES_CURRENT.search(path.read_text())] == []


def _removes(text: str) -> bool:
    """Whether a module has such a string; one without the words need not be parsed."""
    if "current" not in text or not re.search(r"\b(?:rm|unlink|rmdir)\b", text):
        return False
    return any(REMOVES_CURRENT.search(said(node)) for node in ast.walk(ast.parse(text)))


LISTED = ("missing", "unsealed", "sealed", "adopted")  # what a host says of each of its releases
STATES = (*LISTED, "building", "damaged")  # what it says of the wanted one, too


@pytest.mark.parametrize("kind", get_args(Kind))
def test_no_hint_offers_what_is_refused(kind: Kind) -> None:
    """Whatever is refused for whatever state of the releases, no hint names the refused, the live or a bad release."""
    told = set()
    bad, broken = "c" * 40, "d" * 40
    others = [
        {"id": OLD, "state": "sealed", "built_at": "2026-01-01T00:00:00Z", "bad": False},
        {"id": bad, "state": "sealed", "built_at": "2026-01-02T00:00:00Z", "bad": True},
        {"id": broken, "state": "unsealed", "built_at": "2026-01-03T00:00:00Z", "bad": False},
    ]
    works = [job(kind), *([again()] if kind == "deploy" else [])]
    for work, state, live, damage, gone in product(
        works, STATES, (SHA, OLD, None), (None, "a file is lost"), (False, True)
    ):
        mine = {"id": SHA, "state": state, "built_at": "2026-01-04T00:00:00Z", "bad": damage is not None}
        seen = facts(live=live, releases=[mine, *([] if gone else others)], **target(state, damage, bad=damage))
        try:
            decide(work, seen, "web1")
        except DeployError as refused:
            told.add(str(refused.hint))
            offered = {sha for sha in (SHA, OLD, bad, broken) if sha in str(refused.hint)}
            assert offered <= {OLD} - {live}, (state, live, str(refused))
    assert told


@pytest.mark.parametrize(("state", "failed"), [*product(LISTED, (False, True))])
def test_the_way_back_of_a_deploy_is_one_that_a_rollback_takes(state: str, failed: bool) -> None:
    """The release from before is offered where it is sealed or adopted and did not fail, and a rollback goes there."""
    mine = {"id": SHA, "state": state, "built_at": "2026-01-04T00:00:00Z", "bad": failed}
    seen: Any = facts(live=SHA, releases=[mine], **target(state))
    offered = way_back(seen, HostOutcome("web1", State.LIVE, OLD, SHA))
    assert offered == (SHA if state in ("sealed", "adopted") and not failed else None)
    if offered:
        assert decide(job("rollback"), {**seen, "live": OLD}, "web1").activate


def test_a_push_and_a_failure_have_no_way_back() -> None:
    """Each host keeps its release, and a rollback would not bring the configuration back."""
    seen: Any = facts(live=OLD)
    ends = [HostOutcome("web1", State.LIVE, OLD, OLD), HostOutcome("web1", State.RESTORED, OLD, OLD)]
    ends += [HostOutcome("web1", State.LIVE, SHA), HostOutcome("web1", State.LIVE, SHA, "e" * 40)]
    assert [way_back(seen, end) for end in ends] == [None] * 4
    assert way_back(None, HostOutcome("web1", State.LIVE, SHA, OLD)) is None


SETTINGS = {"environments": {"prod": {"hosts": ["web1"]}, "next": {"hosts": ["web1", "web2"]}}}


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        ("fab -H web1 status  shows it", "fab -H prod status --root=/srv/a  shows it"),
        (
            "end the hold with: fab -H HOST unlock",
            "end the hold with: fab -H prod unlock --root=/srv/a",
        ),
        ("fab -H web1 status --root=/srv/a", "fab -H web1 status --root=/srv/a"),
        (
            "fab -H web1 deploy --services='api worker' --environment=prod --root='/srv/a b'",
            "fab -H web1 deploy --services='api worker' --environment=prod --root='/srv/a b'",
        ),
        ("fab -H web1 rollback --release=a --root=/srv/a", "fab -H web1 rollback --release=a --root=/srv/a"),
        (
            "fab -H HOST claim, or say where it is with --root=/srv/b",
            "fab -H prod claim --root=/srv/a, or say where it is with --root=/srv/b",
        ),
        (
            "fab -H HOST unlock, then fab -H web1 deploy --sha=a --environment=prod --root=/srv/a",
            "fab -H prod unlock --root=/srv/a, then fab -H web1 deploy --sha=a --environment=prod --root=/srv/a",
        ),
        (
            "fab -H root@HOST setup --login=deploy --least-privilege",
            "fab -H root@web1 setup --environment=prod --root=/srv/a --login=deploy --least-privilege",
        ),
        ("fab -H web11 status", "fab -H web11 status"),
        ("df -h", "df -h"),
        (None, None),
    ],
)
def test_a_hint_is_explained(hint: str | None, told: str | None) -> None:
    """With the environment of the command and the root of its flag or variable, once, and for its own host alone.

    A host that is all of the environment is called by its name; one with another login than there is not.
    """
    config = Config.from_mapping(SETTINGS, hosts=["web1"], environment="prod", environ={"DEPLOY_ROOT": "/srv/a"})
    assert config.hinted("web1", hint) == told
    assert config.hinted("web1", told) == told


def test_hosts_of_one_environment_are_told_together() -> None:
    """All hosts of an environment are named by it; some of them take it where they are of others, too."""
    config = Config.from_mapping(SETTINGS, hosts=["web1", "web2"], environment="next")
    assert config.typed("web2,web1", "status") == "fab -H next status"
    assert config.typed("web1", "status") == "fab -H web1 status --environment=next"


@pytest.mark.parametrize(
    ("environment", "environ", "flags"),
    [
        (None, {}, ""),
        ("prod", {}, " --environment=prod"),
        (None, {"DEPLOY_ROOT": "/srv/a b"}, " --root='/srv/a b'"),
        ("prod", {"DEPLOY_ROOT": "/srv/a"}, " --environment=prod --root=/srv/a"),
    ],
)
def test_a_command_that_names_no_host_says_whose_settings_it_means(
    environment: str | None, environ: dict[str, str], flags: str
) -> None:
    """The environment, which may have a registry of its own, and the root that a flag or variable gave."""
    assert Config.from_mapping(SETTINGS, environment=environment, environ=environ).flags == flags
