"""Tokens: made once, kept as hashes, ended at once."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from oroboros_deploy.errors import InvalidInput
from oroboros_deploy.web.tokens import Tokens


def test_tokens_are_kept_as_hashes(tokens: Tokens, tmp_path: Path) -> None:
    """(97) The files hold the hash and not the token, for their owner alone."""
    token = tokens.add("ada")
    file = tmp_path / "tokens" / "ada"
    assert file.read_text() == hashlib.sha256(token.encode()).hexdigest()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)] == [0o600, 0o700]
    assert (len(token) >= 43, token != tokens.add("grace"), tokens.names()) == (True, True, ["ada", "grace"])


def test_a_revoked_token_opens_nothing(closed: TestClient, tokens: Tokens) -> None:
    """(97) A token that is revoked is refused by the next request to a server that runs; the others go on."""
    gone, kept = tokens.add("ada"), tokens.add("grace")
    tokens.revoke("ada")
    statuses = [
        closed.get("/api/releases", headers={"Authorization": f"Bearer {token}"}).status_code for token in (gone, kept)
    ]
    assert statuses == [401, 200]
    tokens.revoke("grace")
    assert closed.get("/api/releases").status_code == 401


@pytest.mark.parametrize("name", ["", "../ada", "a/b", ".hidden", "a" * 65, "a\0b", "ä"])
def test_token_names_are_plain(tokens: Tokens, name: str, tmp_path: Path) -> None:
    """(97) A name that is no plain file name is refused, and nothing is written."""
    with pytest.raises(InvalidInput):
        tokens.add(name)
    with pytest.raises(InvalidInput):
        tokens.revoke(name)
    assert not (tmp_path / "tokens").exists()


def test_a_token_is_made_once(tokens: Tokens) -> None:
    """(97) A name that has a token keeps it; one that has none cannot be revoked."""
    token = tokens.add("ada")
    with pytest.raises(InvalidInput, match="has a token already"):
        tokens.add("ada")
    with pytest.raises(InvalidInput, match="has no token"):
        tokens.revoke("grace")
    assert tokens.accepts(token.encode())
