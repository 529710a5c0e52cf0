"""sha256 of what is small, without the two milliseconds that a start of the agent would pay for loading OpenSSL."""

from __future__ import annotations

try:
    from _sha2 import sha256  # type: ignore[import-not-found]  # Python 3.12 and later
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256

WORTH_OPENSSL = 1 << 20  # bytes: from here on it is faster, its loading included


def digest(data: bytes) -> str:
    """The sha256 of some bytes, as hexadecimal digits."""
    if len(data) < WORTH_OPENSSL:
        return str(sha256(data).hexdigest())
    import hashlib

    return hashlib.sha256(data).hexdigest()
