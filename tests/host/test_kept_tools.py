"""Tools of earlier builds go when no release that stays needs them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import kept_tools, prune, seal
from oroboros_deploy.host.layout import Layout
from tests.support.local_agent import LocalAgent


def tool(layout: Layout, name: str, hours_ago: float) -> Path:
    """A sealed environment that a build needed some time ago."""
    path = layout.tools / name
    path.mkdir(parents=True)
    seal.seal(path, {})
    os.utime(path, (time.time() - hours_ago * 3600,) * 2)
    return path


def release(host: LocalAgent, name: str, hours_ago: float, **meta: str) -> str:
    """A release that was built some time ago and was live."""
    sha = host.sealed(name)
    path = host.paths.release(sha)
    seal.remove(path)
    path.mkdir()
    built = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - hours_ago * 3600))
    seal.seal(path, {**seal.meta_now(sha, "test"), "built_at_utc": built, **meta})
    assert host.activate_here(sha).refusal is None
    return sha


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stays for its time alone, but where a test says so."""
    monkeypatch.setattr(kept_tools, "LEAST", 0.0)


def pruned(host: LocalAgent, keep: int, dry_run: bool = False) -> list[str]:
    """What pruning says that it removed."""
    said: list[str] = []

    def say(event: str, message: str = "", level: str = "info", **data: Any) -> None:
        said.append(message)

    prune.prune(host.paths, {"keep": keep, "dry_run": dry_run}, say)
    return said


def test_what_no_release_that_stays_needs_goes(host: LocalAgent) -> None:
    """The pip of a Python that no build asked for since the oldest of them, and what a backend answered with it."""
    host.paths.create()
    old = [tool(host.paths, name, 5) for name in ("pip-one", "build/one", "locks/one")]
    needed = [tool(host.paths, name, 1) for name in ("pip", "pip-two", "build/two", "locks/two")]
    for name in ("one", "two"):
        (host.paths.tools / "build" / f"{name}.answer").write_text("[]")
    release(host, "first", 6)
    second = release(host, "second", 3)
    assert pruned(host, 9) == []  # the first release stays, and was built before them all
    release(host, "third", 2)
    said = [line for line in pruned(host, 2) if "tools" in line]
    why = "removed: no build needed it since the oldest release that stays was built, nor in the last 30 days"
    assert said == [f"{path} {why}" for path in old]
    assert [path.exists() for path in (*old, *needed)] == [False] * 3 + [True] * 4
    assert sorted(path.name for path in (host.paths.tools / "build").iterdir()) == ["two", "two.answer"]
    assert host.paths.release(second).is_dir()


def test_for_a_month_a_tool_stays(host: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds that take their parts from the cache need it for the next one that does not."""
    monkeypatch.setattr(kept_tools, "LEAST", 30 * 86_400.0)
    host.paths.create()
    ages = {"pip-one": 31 * 24, "pip-two": 29 * 24}
    for name, hours in ages.items():
        tool(host.paths, name, hours)
    release(host, "first", 1)
    assert kept_tools.remove_unused(host.paths.tools, [host.paths.release(host.live or "")]) == ["pip-one"]


@pytest.mark.parametrize("built", ["", "2026-13-45T99:00:00Z"])
def test_where_a_release_does_not_say_when_it_was_built_all_stay(host: LocalAgent, built: str) -> None:
    """Nobody can know what it needs; neither does a pruning that only tells remove anything."""
    host.paths.create()
    kept = tool(host.paths, "pip-one", 5)
    release(host, "first", 3)
    assert (pruned(host, 2, dry_run=True), kept.exists()) == ([], True)
    release(host, "second", 2, built_at_utc=built)
    assert (pruned(host, 2), kept.exists()) == ([], True)
