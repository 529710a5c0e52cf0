"""Where a machine keeps what it has to remember."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from oroboros_deploy.control.state_directory import default_registry_url, state_directory


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("/state", "/state/oroboros_deploy"),
        ("relative", "/home/ada/.local/state/oroboros_deploy"),
        ("", "/home/ada/.local/state/oroboros_deploy"),
    ],
)
def test_the_users_own_setting_is_followed(monkeypatch: pytest.MonkeyPatch, told: str, found: str) -> None:
    """XDG_STATE_HOME is followed when it is absolute; otherwise the home directory's is taken."""
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_STATE_HOME", told)
    assert (state_directory(), default_registry_url()) == (Path(found), f"sqlite:///{found}/registry.db")


def test_it_costs_no_import() -> None:
    """Whoever asks for the directory imports nothing of ours but who the user is."""
    code = (
        "import oroboros_deploy.control, sys; before = set(sys.modules); "
        "import oroboros_deploy.control.state_directory; "
        "print([n for n in sorted(set(sys.modules) - before) if n.startswith('oroboros_deploy')])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "['oroboros_deploy.control.state_directory', 'oroboros_deploy.user']\n"
