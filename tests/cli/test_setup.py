"""What `setup` shows and asks."""

from __future__ import annotations

import io
import sys

import pytest

from oroboros_deploy.cli.setup import password, shown, table
from oroboros_deploy.config import Config
from oroboros_deploy.control.setup import SetupAnswer
from oroboros_deploy.errors import InvalidInput

CONFIG = Config.from_mapping({"environments": {"prod": {"hosts": ["web1", "web2"]}}})
ACTION = {"reason": "git is not there", "command": "apt-get update\nmore"}


def answer(*, actions: int = 0, ready: bool = True, notes: tuple[str, ...] = ()) -> SetupAnswer:
    steps = [ACTION] * actions
    return {"login": "deploy", "system": "Debian", "actions": steps, "notes": [*notes], "ready": ready}  # type: ignore


def test_all_actions_are_shown() -> None:
    """Each with its reason and the whole command."""
    assert shown({"root@web1": answer(actions=1)}) == (
        "root@web1 (Debian), for deploys as deploy; root does there:\n  git is not there\n    apt-get update\n    more"
    )


@pytest.mark.parametrize(
    ("login", "host", "then"),
    [
        ("deploy", "root@web1:2222", "fab -H deploy@web1:2222 deploy --sha=HEAD"),
        ("deploy", "web1", "fab -H deploy@web1 deploy --sha=HEAD"),
        (None, "web1", "fab -H web1 deploy --sha=HEAD"),
    ],
)
def test_a_host_that_is_ready(login: str | None, host: str, then: str) -> None:
    """What was done, what is left to a person, and the first deploy by its own login."""
    done = {host: answer(actions=2, notes=("a file is missing",))}
    assert table(CONFIG, login, done) == f"{host}: ready; 2 actions done\n  ! a file is missing\n→ {then}"
    assert table(CONFIG, login, {host: answer()}).startswith(f"{host}: ready; nothing to do\n")


def test_hosts_that_are_not_ready() -> None:
    """What would be done is shown, and nobody is told to deploy there."""
    dry = answer(actions=1, ready=False)
    assert table(CONFIG, None, {"web1": dry}) == shown({"web1": dry})
    refused = {"web1": InvalidInput("nothing was changed: no"), "web2": answer(ready=False)}
    unchecked = "setup ended before it checked this host, because another host failed; nothing was changed on it"
    assert table(CONFIG, None, refused) == f"web1: nothing was changed: no\nweb2: {unchecked}"


def test_nobody_to_ask_for_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal it is refused, and what is on standard input is not taken for it."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("the password\n"))
    with pytest.raises(InvalidInput, match="no terminal to ask on"):
        password(["web1"])
    assert sys.stdin.read() == "the password\n"
