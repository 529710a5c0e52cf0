"""ProxyCommand."""

from __future__ import annotations

import sys
import time

import pytest

from oroboros_deploy.ssh import SshOptions
from tests.support.logins import options, unreachable
from tests.support.sshd import Sshd


@pytest.mark.slow
def test_a_proxy_command_that_fails(sshd: Sshd) -> None:
    """The last words of a ProxyCommand that fails are in the error."""
    error = unreachable("box", options(sshd, "ProxyCommand echo no way >&2; exit 1"))
    assert error.message.endswith("ProxyCommand said: no way")


@pytest.mark.slow
def test_a_proxy_command_that_hangs(sshd: Sshd) -> None:
    """A ProxyCommand that says nothing is given up and ended."""
    path = options(sshd, f"ProxyCommand {sys.executable} -c 'import time; time.sleep(60)'").config_path
    before = time.monotonic()
    error = unreachable("box", SshOptions(path, connect_timeout=0.5))
    assert error.message.endswith("no SSH handshake within 0.5 s")
    assert time.monotonic() - before < 20
