"""The lock of builds is held by living processes, whatever becomes of its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from oroboros_deploy.host import build_lock, earlier, lock, prune
from oroboros_deploy.host.refusal import Refusal
from tests.support.builds import began, hang_up
from tests.support.local_agent import LocalAgent
from tests.support.repository import Repository
from tests.support.watching import eventually


def waiting(go: Path) -> dict[str, object]:
    """A recipe whose build goes on when a file is there."""
    command = f"echo began; until test -e {go}; do sleep 0.02; done"
    return {"steps": [{"name": "wait", "path": ".", "command": command}]}


def test_a_file_that_somebody_removed_lets_nobody_in(host: LocalAgent) -> None:
    """Neither those who take the lock nor those who look at it take what is held for free; then all is as before."""
    host.paths.create()
    with build_lock.take(host.paths):
        host.paths.build_lock.unlink()
        with pytest.raises(lock.Held), build_lock.take(host.paths):
            pass
        assert build_lock.is_held(host.paths)
    with build_lock.take(host.paths):
        assert build_lock.is_held(host.paths)
    assert not build_lock.is_held(host.paths)


def test_other_versions_of_the_agent_are_kept_out_by_the_file(host: LocalAgent) -> None:
    """They know the file alone, and hold it alone."""
    host.paths.create()
    with build_lock.take(host.paths):
        assert lock.is_held(host.paths.build_lock)
    with lock.take(host.paths.build_lock), pytest.raises(lock.Held), build_lock.take(host.paths):
        pass


@pytest.mark.slow
def test_a_build_whose_lock_file_is_gone_stays_alone(host: LocalAgent, repository: Repository, tmp_path: Path) -> None:
    """A second build waits for its end, a pruning is refused, and an earlier build is not taken for left over."""
    first, second = repository.commit("one", one="1"), repository.commit("two", two="2")
    host.mirror(repository)
    go = tmp_path / "go"
    process = began(host, host.build_request(first, waiting(go)))
    assert eventually(lambda: list(host.paths.ours.glob("attempts/*/wait.log")) != [], within=60)
    host.paths.build_lock.unlink()
    with pytest.raises(Refusal, match="a build or another pruning runs"):
        prune.prune(host.paths, {"keep": 2, "dry_run": False}, lambda *_, **__: None, wait=0.1)
    again = host.sealed("again")
    earlier.move_out(host.paths.release(again))
    assert earlier.is_built_again(host.paths, again)
    later = host.start("build", host.build_request(second))
    assert later.stdout is not None
    assert b"build.waiting" in later.stdout.readline()
    assert not host.paths.release(second).exists()
    go.touch()
    assert [each.wait(60) for each in (process, later)] == [0, 0]
    for each in (process, later):
        hang_up(each)
    assert [host.facts(sha)["target"]["state"] for sha in (first, second)] == ["sealed", "sealed"]
