"""Who runs a command."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import pytest

from oroboros_deploy.errors import ConfigError
from oroboros_deploy.user import expanded, user_name
from tests.support import mounted


def test_the_name_is_that_of_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """LOGNAME says it, as for every other program."""
    monkeypatch.setenv("LOGNAME", "ada")
    assert user_name() == "ada"


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("No username set in the environment")])
def test_a_user_without_a_name_is_told_how_to_get_one(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """As in some containers of CI: nothing was changed, and one line to type."""

    def nobody() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", nobody)
    with pytest.raises(ConfigError, match="has no name on this machine") as caught:
        user_name()
    assert (caught.value.exit_code, caught.value.hint) == (2, "export LOGNAME=somebody")


CODE = """if True:
    from oroboros_deploy.control.state_directory import default_registry_url
    from oroboros_deploy.errors import ConfigError
    from oroboros_deploy.registry.url import engine_url
    from oroboros_deploy.user import user_name
    for act in (user_name, default_registry_url, lambda: engine_url("sqlite:///~/x.db")):
        try:
            print(act())
        except ConfigError as error:
            print(error.hint)
"""


def test_a_user_whom_nobody_knows(tmp_path: Path) -> None:
    """Without a name or a home directory it is said what to export, and there is no traceback."""
    (tmp_path / "passwd").write_text("somebody:x:1:1::/:/bin/sh\n")
    (tmp_path / "nsswitch").write_text("passwd: files\n")  # others know root
    instead = {"/etc/passwd": tmp_path / "passwd", "/etc/nsswitch.conf": tmp_path / "nsswitch"}
    said = mounted.python(CODE, instead, {"PATH": os.environ["PATH"]}).splitlines()
    assert said == ["export LOGNAME=somebody", *["export HOME=/a/directory/of/yours"] * 2]


def test_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    """~ is HOME, and somebody who does not exist has none."""
    monkeypatch.setenv("HOME", "/mine")
    assert expanded("~/x") == Path("/mine/x")
    with pytest.raises(ConfigError, match="'~nosuchuser/x' leads nowhere"):
        expanded("~nosuchuser/x")
