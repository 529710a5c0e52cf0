"""The earlier build of a release: it is beside its place or in it, and never lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from oroboros_deploy.host import earlier, lock, seal
from oroboros_deploy.host.layout import Layout
from tests.support.local_agent import LocalAgent


@pytest.fixture
def release(host: LocalAgent) -> Path:
    """A sealed release that was moved out, as a build that was killed leaves it."""
    path = host.paths.release(host.sealed("one"))
    earlier.move_out(path)
    return path


def names(layout: Layout) -> list[str]:
    return sorted(path.name for path in layout.releases.iterdir())


def half_built(release: Path) -> None:
    (release / "half").mkdir(parents=True)


def test_it_is_found_where_it_is(host: LocalAgent, release: Path) -> None:
    """The facts tell of it, also beside what a killed build left in its place, and move nothing."""
    half_built(release)
    before = names(host.paths)
    found = host.facts(release.name)
    assert (found["target"]["state"], found["releases"][0]["state"]) == ("sealed", "sealed")
    assert (earlier.place(release), names(host.paths)) == (earlier.path(release), before)


@pytest.mark.slow
def test_one_that_is_built_again_is_told(host: LocalAgent, release: Path) -> None:
    """While a build has its lock the release can be neither switched to nor looked at."""
    half_built(release)
    with lock.take(host.paths.build_lock):
        assert host.facts(release.name)["target"]["state"] == "building"
        assert host.activate(release.name).refusal == {
            "kind": "busy",
            "message": f"release {release.name} is being built again on this host",
            "hint": "wait for the end of that build, then the same command again",
        }
    assert seal.state_of(earlier.path(release)) == "sealed"


@pytest.mark.slow
@pytest.mark.parametrize("half", [True, False])
def test_an_activation_puts_it_back(host: LocalAgent, release: Path, half: bool) -> None:
    """What a killed build left does not keep anybody from going back."""
    if half:
        half_built(release)
    assert host.activate(release.name).phases[-1] == "committed"
    assert (seal.verify(release), names(host.paths)) == (None, [release.name])


@pytest.mark.parametrize("sealed", [True, False])
def test_settling_ends_with_one_complete_release(host: LocalAgent, release: Path, sealed: bool) -> None:
    """The new one when it was sealed, else the earlier one; what is no release of ours is left alone."""
    half_built(release)
    if sealed:
        seal.seal(release, seal.meta_now(release.name, "test"))
    (host.paths.releases / ".strange.earlier").mkdir()
    earlier.settle(host.paths)
    assert (names(host.paths), seal.verify(release)) == ([".strange.earlier", release.name], None)
    assert ((release / "half").exists(), (release / "name").exists()) == (sealed, not sealed)


@pytest.mark.slow
def test_an_adopted_one_is_known_by_its_commit(host: LocalAgent) -> None:
    """Beside its place it has another name, and is the release that it was."""
    sha = "ab" * 20
    host.paths.create()
    release = host.paths.release(sha)
    release.mkdir()
    (release / seal.META).write_text(f"commit_sha={sha}\n")
    earlier.move_out(release)
    assert host.facts(sha)["target"]["state"] == "adopted"
