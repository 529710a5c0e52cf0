"""What ssh leaves in its answers: tokens, variables and home directories."""

from __future__ import annotations

import getpass
import hashlib
import os
import pwd
import socket
from pathlib import Path

import pytest

from oroboros_deploy.errors import ConfigError
from oroboros_deploy.ssh.tokens import expand, expand_path, home, names, tilde

HOME = pwd.getpwuid(os.getuid()).pw_dir
NAMES = names(host="web1", hostname="h.example", port=2200, user="jo", alias=None, hops=["a", "jump"])


def test_every_token() -> None:
    """All tokens of ssh_config(5) that a path or a ProxyCommand may have."""
    here = socket.gethostname()
    digest = hashlib.sha1(f"{here}h.example2200jojump".encode()).hexdigest()
    expected = f"{digest} {HOME} h.example {os.getuid()} jump web1 {here.split('.')[0]} {here} web1 2200 jo "
    assert expand("%C %d %h %i %j %k %L %l %n %p %r %u %%", NAMES) == f"{expected}{getpass.getuser()} %"


def test_the_alias_of_the_host_key() -> None:
    """%k is HostKeyAlias where there is one."""
    assert names(host="web1", hostname="h", port=22, user="jo", alias="prod", hops=[])["k"] == "prod"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("~/x", str(Path(HOME, "x"))),
        ("~", HOME),
        (f"~{getpass.getuser()}/x", str(Path(HOME, "x"))),
        ("a~", "a~"),
        ("${VARIABLE}/%n", "%h~/web1"),
        ("$VARIABLE", "$VARIABLE"),
        ("%%h", "%h"),
    ],
)
def test_paths(text: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """~ and ${NAME} are replaced, HOME is not asked, and what comes from a variable is not expanded again."""
    monkeypatch.setenv("VARIABLE", "%h~")
    monkeypatch.setenv("HOME", "/elsewhere")
    assert expand_path(text, NAMES) == expected


@pytest.mark.parametrize("text", ["%Z", "%", "x%"])
def test_no_such_token(text: str) -> None:
    """A token that does not exist is an error."""
    with pytest.raises(ConfigError, match="is not a token of ssh_config"):
        expand(text, NAMES)


def test_nobody_elses_home() -> None:
    """A user who does not exist is an error with words."""
    with pytest.raises(ConfigError, match="there is no user nosuchuser"):
        tilde("~nosuchuser/x")
    assert home() == HOME
