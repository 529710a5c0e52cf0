"""The agent's own sha256 is everybody's, whichever way it is computed."""

from __future__ import annotations

import hashlib

import pytest

from oroboros_deploy.host import sha256


@pytest.mark.parametrize(
    "size", [0, 1, 63, 64, sha256.WORTH_OPENSSL - 1, sha256.WORTH_OPENSSL, sha256.WORTH_OPENSSL + 1]
)
def test_the_digest_is_that_of_hashlib(size: int) -> None:
    """Below and above the size from which OpenSSL is used, the digits are those of hashlib."""
    data = bytes(range(256)) * (size // 256 + 1)
    assert sha256.digest(data[:size]) == hashlib.sha256(data[:size]).hexdigest()
