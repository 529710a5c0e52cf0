"""A registry that is read for days, and that is opened again when the way to it was lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from oroboros_deploy.errors import HostUnreachable, RegistryUnavailable
from oroboros_deploy.registry import Registry
from oroboros_deploy.registry.reopening import StandingRegistry
from tests.support.samples import A


class Way:
    """How a registry is opened: by an address that can be changed, or not at all."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.lost = False
        self.opened = self.closed = 0

    @contextmanager
    def __call__(self) -> Iterator[Registry]:
        if self.lost:
            raise HostUnreachable("no route", host="web1")
        self.opened += 1
        with Registry.open(self.url) as registry:
            yield registry
        self.closed += 1


def filled(path: Path) -> str:
    with Registry.open(f"sqlite:///{path}") as registry:
        registry.upsert(A, A, "deployed")
    return f"sqlite:///{path}"


def damage(path: Path) -> None:
    path.write_bytes(b"gone, and not a database any more" * 1000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.db"


@pytest.fixture
def way(path: Path) -> Way:
    return Way(filled(path))


def test_it_is_opened_once_and_closed(way: Way) -> None:
    """However often it is asked."""
    with StandingRegistry(way) as standing:
        for _ in range(3):
            assert [row["release_id"] for row in standing.reader.releases()] == [A]
    assert (way.opened, way.closed) == (1, 1)


def test_one_that_was_lost_is_opened_again(way: Way, path: Path, tmp_path: Path) -> None:
    """Who asks gets the answer of the new one, and the old one is closed."""
    with StandingRegistry(way) as standing:
        assert standing.reader.releases()
        damage(path)
        way.url = filled(tmp_path / "other.db")
        assert [row["release_id"] for row in standing.reader.releases()] == [A]
        assert (way.opened, way.closed) == (2, 1)


def test_one_that_cannot_be_opened_says_why_and_then_waits(way: Way, path: Path) -> None:
    """The reason is told once; for a moment after that nobody tries, and that is told too."""
    with StandingRegistry(way) as standing:
        damage(path)
        way.lost = True
        for words in ("no route", "could not be opened a moment ago"):
            with pytest.raises(RegistryUnavailable, match=words):
                standing.reader.releases()


def test_an_error_that_is_not_the_ways_is_told(way: Way) -> None:
    """A question that fails on a registry that answers others opens nothing again."""

    def fail(_: object) -> None:
        raise RegistryUnavailable("this one fails")

    with StandingRegistry(way) as standing, pytest.raises(RegistryUnavailable, match="this one fails"):
        standing.ask(fail)
    assert way.opened == 1
