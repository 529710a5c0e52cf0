"""The secret of a deploy root."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from oroboros_deploy.host import key
from tests.support.local_agent import LocalAgent


@pytest.mark.parametrize("left", [None, b"", b"half"])
def test_it_is_made_once(host: LocalAgent, left: bytes | None) -> None:
    """When it is first needed, or when a power cut left half of it; nobody else can read it."""
    host.paths.create()
    if left is not None:
        host.paths.key.write_bytes(left)
    made = key.of(host.paths)
    assert (len(made), key.of(host.paths), stat.S_IMODE(host.paths.key.stat().st_mode)) == (32, made, 0o600)


def test_one_that_others_can_read_is_made_anew(host: LocalAgent) -> None:
    """Whoever knows it could make what it keys."""
    host.paths.create()
    first = key.of(host.paths)
    host.paths.key.chmod(0o640)
    second = key.of(host.paths)
    assert (first != second, stat.S_IMODE(host.paths.key.stat().st_mode)) == (True, 0o600)


def test_each_root_has_its_own(tmp_path: Path) -> None:
    """What one root keyed says nothing in another."""
    roots = [LocalAgent(tmp_path / name).paths for name in ("one", "two")]
    for root in roots:
        root.create()
    assert len({key.of(root) for root in roots}) == 2
