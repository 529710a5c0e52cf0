"""A line of the repository runs as the login, or as the user who is named."""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path

import pytest

from oroboros_deploy.host import another_user, environment, line, manager

GIVEN = {"cwd": Path("/"), "env": {"PATH": environment.SYSTEM}}
NOBODY = pwd.getpwnam("nobody")


@pytest.mark.parametrize("name", [None, pwd.getpwuid(os.getuid()).pw_name])
def test_the_login_runs_it_itself(name: str | None) -> None:
    """Nobody named, or the login by its own name: bash runs it, and how it ended is told."""
    ended = line.run("echo $(id -u); exit 3", name, "a1", deadline=time.monotonic() + 20, **GIVEN)
    assert (ended.status, ended.tail) == (3, str(os.getuid()))


def test_another_user_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line, the attempt and all that bounds it go to who runs commands of other users."""
    asked: list[object] = []
    monkeypatch.setattr(os, "getuid", lambda: NOBODY.pw_uid + 1)
    monkeypatch.setattr(another_user, "shell", lambda *given, **options: asked.append((given, options)))
    line.run("true", "nobody", "a1", deadline=5.0, **GIVEN)
    assert asked == [(("true", NOBODY, "a1"), {"deadline": 5.0, **GIVEN})]


@pytest.mark.parametrize(("options", "found"), [({}, "1"), ({"bound": True}, "1"), ({"bound": False}, "0")])
def test_who_may_become_root(options: dict[str, bool], found: str) -> None:
    """No line, unless that is said."""
    if Path("/proc/self/status").read_text().count("NoNewPrivs:\t1"):
        pytest.skip("these tests themselves cannot become root")
    ended = line.run(
        "grep NoNewPrivs /proc/self/status", None, "a1", deadline=time.monotonic() + 20, **GIVEN, **options
    )
    assert ended.tail.split() == ["NoNewPrivs:", found]


def test_with_least_privilege_no_line_becomes_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one that a record of an earlier release names: the way back runs it without the right."""
    helped = manager.Helped(*manager.chosen()._replace(application="shop"))
    monkeypatch.setattr(manager, "chosen", lambda: helped)
    tell = "grep NoNewPrivs /proc/self/status"
    ended = line.run(tell, None, "a1", deadline=time.monotonic() + 20, bound=False, **GIVEN)
    assert ended.tail.split() == ["NoNewPrivs:", "1"]


def test_a_user_who_is_missing_runs_nothing() -> None:
    """Whoever asks before the switch tells it; here it is an error, never a run as the login."""
    with pytest.raises(KeyError):
        line.run("true", "nobody-of-that-name", "a1", deadline=time.monotonic() + 20, **GIVEN)
