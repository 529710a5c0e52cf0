"""Tokens that let a reader in from elsewhere: shown once when they are made, kept only as hashes."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..errors import InvalidInput

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Tokens:
    """The tokens of one directory, a file each: its name is whose token it is, its content the token's SHA-256.

    A token is 256 random bits, so one plain hash is enough: there is nothing to guess.
    Every token reads; none writes, because nothing here does.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def names(self) -> list[str]:
        """Whose tokens there are, sorted."""
        return sorted(path.name for path in self._files())

    def add(self, name: str) -> str:
        """A new token, which cannot be shown again; InvalidInput when the name is taken or no name."""
        path = self._path(name)
        token = secrets.token_urlsafe(32)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(_hash(token.encode()))
        except FileExistsError:
            raise InvalidInput(f"{name} has a token already", hint=f"fab token --name={name} --revoke") from None
        return token

    def revoke(self, name: str) -> None:
        """End a token, at once also for servers that run; InvalidInput when there is none of that name."""
        try:
            self._path(name).unlink()
        except FileNotFoundError:
            raise InvalidInput(f"{name} has no token", hint="fab token  lists whose tokens there are") from None

    def accepts(self, token: bytes) -> bool:
        """Whether it is one of the tokens; takes as long for a wrong one as for a right one."""
        offered = _hash(token).encode()
        return sum([hmac.compare_digest(offered, known) for known in self._hashes()]) > 0

    def _hashes(self) -> Iterator[bytes]:
        for path in self._files():
            with suppress(FileNotFoundError):  # revoked just now
                yield path.read_bytes()

    def _files(self) -> list[Path]:
        return [path for path in self._directory.glob("*") if path.is_file()]

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            rule = "1 to 64 letters, digits, dots, dashes and underscores, the first a letter or a digit"
            raise InvalidInput(f"{name!r} is no name for a token: {rule}")
        return self._directory / name


def _hash(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()
