"""Who runs a command."""

from __future__ import annotations

import getpass

import pytest

from oroboros_deploy.errors import ConfigError
from oroboros_deploy.user import user_name


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
