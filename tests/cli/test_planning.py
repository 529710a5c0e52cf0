"""A plan on the terminal, and the question before a deploy."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from oroboros_deploy.cli import planning
from oroboros_deploy.cli.views import JsonView
from oroboros_deploy.config import load
from oroboros_deploy.errors import InvalidInput
from oroboros_deploy.records.plan import Refusal, Removed
from tests.records.test_plan import NAMES, host, plan


def typed(hosts: str, task: str) -> str:
    return f"fab -H {hosts} {task}"


def test_a_plan_for_people() -> None:
    """Each host with what is known of it, what is to be looked at first, and the line that does it last."""
    one = host(
        parts=("frontend", "api"),
        units=NAMES,
        names=NAMES,
        revision="r1",
        needs_bytes=1_200_000_000,
        free_bytes=30_000_000_000,
        drift=("api is down",),
        seconds=41.0,
    )
    made = plan(one, host("web2", seconds=1.0), migrate="./m", unpushed=True, dirty=tuple("abcdef"), seconds=42.0)
    assert planning.table(made, typed).splitlines() == [
        "plan 1a2b3c4d of aaaaaaaaaa “a new cart”, kept for 7 days",
        "! aaaaaaaaaa was not pushed: no branch of a remote has it",
        "! not committed, and so not deployed: a, b, c and 3 more",
        "web1: bbbbbbbbbb → aaaaaaaaaa, 3 commits forward",
        "  builds         frontend, api",
        "  units          (~PORT)",
        "  configuration  (~PORT)",
        "  migration      ./m",
        "  disk           about 1.2 GB needed, as the live release takes; 30.0 GB free",
        "  drift          api is down",
        "  expected       41 s, as earlier deploys took",
        "web2: bbbbbbbbbb → aaaaaaaaaa, 3 commits forward",
        "  migration      ./m",
        "  expected       1.0 s, as earlier deploys took",
        "all hosts: about 42 s, as earlier deploys took",
        "→ fab -H web1,web2 deploy --plan=1a2b3c4d",
    ]


def test_a_plan_says_first_what_it_takes_away() -> None:
    """A commit that is live and goes has a line with `!` above the hosts."""
    gone = host(direction="sideways", ahead=1, behind=1, removes=(Removed("b" * 40, "Revert \x1b[31mred"),))
    assert planning.table(plan(gone), typed).splitlines()[1:3] == [
        "! bbbbbbbbbb “Revert red” is live on web1 and is not in aaaaaaaaaa: this deploy takes it away",
        "web1: bbbbbbbbbb → aaaaaaaaaa, sideways: adds 1 commit, removes 1",
    ]


def test_flags_of_a_plan() -> None:
    """A plan says with which flags it was made, and the line that does it has them."""
    given = {"services": "api worker", "healthcheck.command": "./check it", "skip_restart": True, "no_cache": False}
    config = load([("fabric.yaml", {"keep": 3, "parallel": 2})], {}, flags=given)
    assert config.of_deploy == " --services='api worker' --healthcheck='./check it' --skip-restart"
    said = planning.table(plan(host()), config.typed, config.of_deploy).splitlines()
    assert (said[1], said[-1]) == (
        "with --services='api worker' --healthcheck='./check it' --skip-restart",
        "→ fab -H web1 deploy --plan=1a2b3c4d --services='api worker' --healthcheck='./check it' --skip-restart",
    )


def test_values_that_a_plan_does_not_hold() -> None:
    """Where nothing is live, no host can tell what its configuration would be, and the plan says so."""
    said = planning.table(plan(host(live=None, direction="first", names=NAMES)), typed).splitlines()
    told = (
        "no release is live on this host: the plan has the names without their values; "
        "a value may change until the deploy"
    )
    assert said[2:4] == ["  configuration  (~PORT)", f"  {'':<14} {told}"]


def test_a_plan_that_is_refused() -> None:
    """Why, what to type, and the code that the deploy would give; nothing of a host that was not read."""
    refusal = Refusal(20, "this host is held", "fab -H web1 unlock")
    lost = host("web2", live=None, free_bytes=None, refusal=Refusal(60, "no route", None))
    assert planning.table(plan(host(hold="held by bob", refusal=refusal), lost), typed).splitlines()[1:] == [
        "web1: bbbbbbbbbb → aaaaaaaaaa, 3 commits forward",
        "  hold           held by bob",
        "  ✗ this host is held",
        "  → fab -H web1 unlock",
        "web2: not known",
        "  ✗ no route",
        "✗ the deploy would be refused, with exit code 20",
    ]


def test_what_a_host_says_moves_no_cursor() -> None:
    """Text of hosts is cleaned."""
    made = plan(host(drift=("\x1b[31mred",), refusal=Refusal(2, "\x1b[31mred", "\x1b[31mred")))
    assert "\x1b" not in planning.table(made, typed)


def test_json_is_the_whole_plan() -> None:
    """With its exit code."""
    assert json.loads(planning.as_json(plan())) == json.loads(json.dumps(plan().as_dict()))


class Hosts:
    """A deployment, as far as the question needs it."""

    def __init__(self, **settings: Any) -> None:
        self.config = load([("fabric.yaml", settings)], {})


def ask(yes: bool = False, **settings: Any) -> Any:
    return planning.consent(Hosts(**settings), JsonView(io.StringIO(), "deploy", None, {}), yes=yes)  # type: ignore[arg-type]


class Terminal(io.StringIO):
    """One on which somebody types."""

    def isatty(self) -> bool:
        return True


def test_confirm_asks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal, unless --yes was said or no `confirm` is set; without one it is refused at once (2)."""
    assert (ask(), ask(yes=True, confirm=True)) == (None, None)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(InvalidInput, match="there is no terminal to ask on") as refused:
        ask(confirm=True)
    assert (refused.value.hint, refused.value.exit_code) == ("add --yes to do it unasked", 2)
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    ask(confirm=True)()
    assert capsys.readouterr().err.endswith("Deploy? [y/N] ")
