"""The proof that this login made a file: nobody else can write one, and it is of one file as it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oroboros_deploy.host import proof
from tests.support.rights import require_another_user


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A file with its proof, in a root that has a secret."""
    (tmp_path / "key").write_bytes(b"k" * 32)
    (tmp_path / "key").chmod(0o600)
    path = tmp_path / "agent" / "compiled"
    path.parent.mkdir()
    path.write_bytes(b"made")
    Path(proof.place(str(path))).write_text(proof.of(str(path)))
    return path


def test_it_holds_for_the_file_as_it_is(kept: Path) -> None:
    """A change that leaves size and time as they were is noticed too."""
    assert proof.holds(str(kept))
    times = kept.stat().st_atime_ns, kept.stat().st_mtime_ns
    kept.write_bytes(b"evil")
    os.utime(kept, ns=times)
    assert not proof.holds(str(kept))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_can_reach_proves_nothing(kept: Path, mode: int) -> None:
    """Whoever has it can write a proof."""
    kept.parent.with_name("key").chmod(mode)
    assert not proof.holds(str(kept))


def test_without_key_proof_or_file_nothing_is_proven(kept: Path) -> None:
    """Each of the three is needed."""
    for path in (Path(proof.place(str(kept))), kept.parent.with_name("key"), kept):
        content = path.read_bytes()
        path.unlink()
        assert not proof.holds(str(kept))
        path.write_bytes(content)


def test_what_another_user_owns_is_not_proven(kept: Path) -> None:
    """Neither the file nor the secret."""
    require_another_user()
    for path in (kept.parent.with_name("key"), kept):
        os.chown(path, 65534, 65534)
        with pytest.raises(ValueError, match="not this login's"):
            proof.of(str(kept))
        os.chown(path, os.geteuid(), os.getegid())
