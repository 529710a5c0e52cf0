"""What a login has that builds lack."""

from __future__ import annotations

from pathlib import Path

import pytest

from oroboros_deploy.host import environment
from oroboros_deploy.host.building import login


def test_what_only_a_login_has_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, never by value; not what the host says as well, and not what belongs to a session or a terminal."""
    (tmp_path / "environment").write_text("SAME=1\nOTHER=2\n")
    monkeypatch.setattr(environment, "SETTLED", tmp_path / "environment")
    session = {"SSH_CLIENT": "x", "XDG_SESSION_ID": "1", "TERM": "x", "PWD": "/", "LC_ALL": "C", "_": "x"}
    path = f"{tmp_path}:/usr/bin:/usr/games:relative:/no/such:{tmp_path}"
    found = login.only_there({**session, "SAME": "1", "OTHER": "3", "TOKEN": "hidden", "PATH": path})
    assert found == ["OTHER", "TOKEN", f"{tmp_path} in PATH"]
