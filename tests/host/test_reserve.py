"""Spare files are given up one by one for what needs space, and for nothing else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from oroboros_deploy.host.reserve import ENOUGH, FILES, SIZE, Reserve


@pytest.fixture
def reserve(tmp_path: Path) -> Reserve:
    reserve = Reserve(tmp_path / "spare")
    reserve.fill()
    return reserve


def test_it_is_there_on_the_disk(reserve: Reserve) -> None:
    """Each spare file has its blocks, so that giving it up frees them."""
    sizes = [path.stat().st_blocks * 512 >= SIZE for path in reserve.directory.iterdir()]
    assert sizes == [True] * FILES


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT])
def test_one_file_is_given_up_for_each_try(reserve: Reserve, full: int) -> None:
    """What fails for want of space is done again after each file that went, until it succeeds."""
    tries: list[int] = []

    def act(word: str) -> str:
        tries.append(1)
        if len(tries) < 4:
            raise OSError(full, os.strerror(full))
        return word

    assert (reserve.spend(act, "done"), len(os.listdir(reserve.directory))) == ("done", FILES - 3)


def test_an_empty_reserve_gives_up(reserve: Reserve) -> None:
    """When nothing is left to give, the error is the caller's; the next fill makes the files again."""

    def act() -> None:
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        reserve.spend(act)
    assert os.listdir(reserve.directory) == []
    reserve.fill()
    assert len(os.listdir(reserve.directory)) == FILES >= ENOUGH


def test_other_errors_cost_nothing(reserve: Reserve) -> None:
    """A disk that fails otherwise takes no spare file."""

    def act() -> None:
        raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"):
        reserve.spend(act)
    assert len(os.listdir(reserve.directory)) == FILES
