"""What a target and the options keep to themselves."""

from __future__ import annotations

from oroboros_deploy.ssh import SshOptions


def test_options_hide_secrets() -> None:
    """No password or passphrase shows in a repr."""
    assert "hunter2" not in repr(SshOptions(password="hunter2", passphrase="hunter2"))
