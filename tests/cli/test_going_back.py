"""The question before a rollback that chose its release, and the hosts that it is about."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from oroboros_deploy.cli.going_back import ask
from oroboros_deploy.cli.views import LiveView, View
from oroboros_deploy.control.way_back import WayBack
from oroboros_deploy.errors import InvalidInput
from oroboros_deploy.events import Event
from tests.support.fabfiles import fab

WAY = WayBack("a" * 40, "a new \x1b[31mcart", {"web1": "b" * 40, "web2": "a" * 40, "web3": None})
SHOWN = """\
rollback to aaaaaaaaaa “a new cart”:
  web1 serves bbbbbbbbbb now
  web2 serves it already
  web3 serves no release now
"""


def test_it_is_shown_before_it_is_asked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The release with its subject, and what each host serves; where nobody can be asked, --yes is named (2)."""
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InvalidInput, match="there is no terminal to ask on\n  → add --yes"):
        ask(WAY, View())
    assert capsys.readouterr() == ("", SHOWN)


def test_the_moving_lines_rest_while_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another thread tells meanwhile is shown after the answer, not over the question."""
    stream = io.StringIO()
    view, told = LiveView(stream), Event("warning", "told meanwhile", level="warning")

    def asked(*_: str) -> None:
        thread = threading.Thread(target=view, args=(told,))
        thread.start()
        thread.join(0.3)
        heard.append((thread, thread.is_alive()))

    heard: list[tuple[threading.Thread, bool]] = []
    monkeypatch.setattr("oroboros_deploy.cli.confirming.confirm", asked)
    with view:
        ask(WAY, view)
        heard[0][0].join()
    assert (heard[0][1], stream.getvalue().count("told meanwhile")) == (True, 1)


def test_of_several_environments_one_is_named(project: Path) -> None:
    """Nobody guesses which one is meant (2), and the hint names one."""
    (project / "fabric.yaml").write_text("deploy: {environments: {prod: {hosts: [a]}, next: {hosts: [b]}}}\n")
    ran = fab(project, "rollback")
    told = "nothing was changed: no host was named, and there are several environments\n"
    assert (ran.returncode, ran.stderr) == (2, f"{told}  → fab -H prod rollback  (there are prod, next)\n")
