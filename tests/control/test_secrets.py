"""The values of a configuration on the control node: by a command, by name, or not at all and nothing is touched."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.config import Config
from oroboros_deploy.control import secrets
from oroboros_deploy.errors import InvalidInput
from tests.support.watching import eventually, processes

SECRET = "hunter-two"


def found(directory: Path, environ: dict[str, str] | None = None, **env: Any) -> Any:
    return secrets.sources(Config.from_mapping({"env": env}), directory, environ or {})


def test_nothing_without_env(tmp_path: Path) -> None:
    """Settings without `env` have no configuration."""
    assert secrets.sources(Config.from_mapping({}), tmp_path, {}) is None


def test_all_sources(tmp_path: Path) -> None:
    """The command runs in the repository, and its values and the named ones are the secrets."""
    (tmp_path / "secrets").write_text(f"PASSWORD='{SECRET}'\n# a comment\n")
    given = {"command": "cat secrets; echo asked >&2", "names": ["TOKEN"]}
    sources = found(tmp_path, {"TOKEN": "t", "OTHER": "o"}, file="a.env", values={"A": "1"}, secrets=given, build=["A"])
    assert sources == {
        "file": "a.env",
        "values": {"A": "1"},
        "secrets": {"TOKEN": "t", "PASSWORD": SECRET},
        "build": ["A"],
    }


def test_what_a_build_needs(tmp_path: Path) -> None:
    """A build gets the values of its names alone."""
    sources = found(
        tmp_path, {"T": "t", "U": "u"}, values={"A": "1", "B": "2"}, secrets={"names": ["T", "U"]}, build=["A", "T"]
    )
    assert secrets.of_build(sources) == {"file": None, "values": {"A": "1"}, "secrets": {"T": "t"}, "build": ["A", "T"]}


@pytest.mark.parametrize(
    ("env", "why"),
    [
        (
            {"command": f"echo A={SECRET}; echo no {SECRET} here >&2; exit 3"},
            "env.secrets.command exited 3\n  no *** here",
        ),
        ({"command": "true"}, "env.secrets.command printed no name at all"),
        ({"command": "echo '# nothing'"}, "env.secrets.command printed no name at all"),
        ({"command": f"echo {SECRET}"}, "its output is not as it has to be: line 1 has no NAME=value"),
        ({"command": f"echo A={SECRET}; echo A=2"}, "line 2 has A for the second time"),
        ({"command": "printf 'A=\\377'"}, "env.secrets.command printed what is no text in UTF-8"),
        ({"names": ["TOKEN", "NOT", "HERE"]}, "env.secrets.names: NOT, HERE is not set here"),
        (
            {"command": "echo TOKEN=1", "names": ["TOKEN"]},
            "TOKEN: both env.secrets.command and env.secrets.names have this name",
        ),
        ({"names": ["BELL"]}, "env.secrets.names: the value of BELL has control characters"),
    ],
    ids=["fails", "silent", "only a comment", "no variable", "twice", "no text", "not set", "by both", "control"],
)
def test_what_is_refused(tmp_path: Path, env: dict[str, Any], why: str) -> None:
    """A command that fails, is silent, or prints anything else stops it, with the cause and without any value."""
    with pytest.raises(InvalidInput) as caught:
        found(tmp_path, {"TOKEN": SECRET, "BELL": "\7"}, secrets=env)
    assert (why in caught.value.message, SECRET in caught.value.message) == (True, False), caught.value.message
    assert caught.value.message.startswith("nothing was changed: ")


def test_a_slow_command_is_ended(tmp_path: Path) -> None:
    """A command gets its time and no more, and its children end with it."""
    mark, began = f"657.{os.getpid()}", time.monotonic()
    with pytest.raises(InvalidInput, match=r"env.secrets.command did not end within 0.2 s"):
        found(tmp_path, secrets={"command": f"sleep {mark} & sleep {mark}", "timeout": 0.2})
    assert time.monotonic() - began < 30
    assert eventually(lambda: not processes(mark))
