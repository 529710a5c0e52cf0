"""Which algorithms are offered."""

from __future__ import annotations

from pathlib import Path

import pytest

from oroboros_deploy.errors import ConfigError
from oroboros_deploy.ssh import SshOptions, connect
from tests.support.logins import options, unreachable
from tests.support.sshd import Sshd


def test_algorithms(sshd: Sshd) -> None:
    """Lists in ssh_config restrict what is offered, and weak ciphers are offered only when named."""
    with connect(
        "box",
        options(
            sshd, "Ciphers aes256-ctr,chacha20-poly1305@openssh.com", "MACs hmac-sha2-512", "HostKeyAlgorithms rsa-*"
        ),
    ) as host:
        transport = host.transport
        assert (transport.remote_cipher, transport.remote_mac) == ("aes256-ctr", "hmac-sha2-512")
        assert transport.host_key_type == "rsa-sha2-512"
    with connect(
        "box", options(sshd, "Ciphers ^3des-cbc", "MACs -hmac-sha2-256", "KexAlgorithms curve25519-sha256")
    ) as host:
        security = host.transport.get_security_options()
        assert [name for name in security.ciphers if name.endswith("cbc")] == ["3des-cbc"]
        assert "hmac-sha2-256" not in security.digests
        assert security.kex == ("curve25519-sha256@libssh.org",)
    with pytest.raises(ConfigError, match="MACs umac-64@openssh.com: none of these algorithms is available"):  # noqa: RUF043
        connect("box", options(sshd, "MACs umac-64@openssh.com"))


def test_no_common_algorithm(tmp_path: Path) -> None:
    """A server that speaks other algorithms is a named error."""
    with Sshd(tmp_path / "old", settings="Ciphers aes128-cbc") as sshd:
        error = unreachable("box", SshOptions(config_path=sshd.config_path))
        assert "no acceptable ciphers" in error.message
        assert error.hint == "compare with: ssh -v box true"
