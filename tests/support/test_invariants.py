"""The oracle can fail: each broken invariant is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from oroboros_deploy.host import durable, lock, unit_sets
from oroboros_deploy.host.unit_files import UnitSet
from tests.support.invariants import RULES, broken
from tests.support.local_agent import LocalAgent

pytestmark = pytest.mark.slow  # whole builds and activations


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalAgent:
    """Three good releases, the last one live; and one that failed."""
    monkeypatch.setattr(durable, "sync_filesystem", lambda path: None)
    host = LocalAgent(tmp_path / "srv")
    for name in ("older", "old", "new"):
        host.activate_here(host.sealed(name))
    host.activate_here(host.sealed("bad"), healthcheck={"command": "test $(cat name) != bad || exit 78"})
    return host


def edit_last(path: Path, **changes: object) -> None:
    *before, last = path.read_text().splitlines()
    path.write_text("".join(line + "\n" for line in [*before, json.dumps({**json.loads(last), **changes})]))


def release(host: LocalAgent, name: str) -> Path:
    [path] = [path for path in host.paths.releases.iterdir() if (path / "name").read_text() == name]
    path.chmod(0o755)
    return path


def switch(host: LocalAgent, name: str) -> None:
    host.paths.current.unlink()
    host.paths.current.symlink_to(f"releases/{release(host, name).name}")


def attempt(host: LocalAgent, index: int = -1) -> Path:
    return host.paths.attempt(host.journal[index]["attempt"])


def log_again(host: LocalAgent, phase: str) -> None:
    line = {"event": "phase", "message": "", "data": {"phase": phase}, "at": 2e9}
    with (attempt(host) / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")


def append_twice(host: LocalAgent) -> None:
    from oroboros_deploy.host.journal import Journal

    Journal(host.paths.journal).append({**host.journal[-1]})


BREAK: dict[int, list[Callable[[LocalAgent], object]]] = {
    1: [
        lambda host: (release(host, "new") / ".deploy-seal").unlink(),
        lambda host: (release(host, "new") / "name").unlink(),
    ],
    3: [lambda host: switch(host, "bad")],
    4: [
        lambda host: (attempt(host) / "result.json").unlink(),
        lambda host: (attempt(host) / "result.json").write_text('{"refusal": {}}'),
        lambda host: edit_last(host.paths.state, phase="swapped", attempt="of another"),
        lambda host: host.paths.unfinished.symlink_to("attempts/x"),
    ],
    5: [lambda host: log_again(host, "committed"), lambda host: log_again(host, "swapped")],
    6: [lambda host: edit_last(attempt(host, 0) / "log.jsonl", at=2e9)],
    7: [lambda host: switch(host, "old"), lambda host: log_again(host, "committed")],
    8: [
        lambda host: edit_last(host.paths.journal, reason="another"),
        lambda host: edit_last(host.paths.journal, seq=9),
    ],
    9: [append_twice, lambda host: log_again(host, "swapped")],
    10: [lambda host: (release(host, "old") / ".deploy-seal").unlink()],
    13: [lambda host: edit_last(host.paths.record(host.live or ""), configuration="0" * 16)],
}


def test_a_sound_host_breaks_nothing(host: LocalAgent) -> None:
    """Commits and a restore leave a host on which all hold."""
    live = release(host, "new").name
    assert broken(host.root, serving={"api": live}, secrets=("hunter2",)) == []


@pytest.mark.parametrize(("number", "index"), [(n, i) for n, breaks in BREAK.items() for i in range(len(breaks))])
def test_each_is_noticed(host: LocalAgent, number: int, index: int) -> None:
    """Whatever breaks an invariant is reported under its number."""
    BREAK[number][index](host)
    assert number in {int(words.partition(":")[0]) for words in broken(host.root)}


def test_what_serves_and_what_is_secret(host: LocalAgent) -> None:
    """The caller's own observations are judged as well."""
    old, new = release(host, "old").name, release(host, "new").name
    actor = host.paths.attempt(host.journal[0]["attempt"]) / "request.json"
    first, *others = broken(host.root, serving={"api": old, "web": new}, secrets=("tester",))
    assert first == f"2: api serves {old}, current names {new}"
    assert f"11: a secret is in {actor}" in others


def test_units_of_another_release(host: LocalAgent, tmp_path: Path) -> None:
    """The directory of units has what the record of the live release names, and nothing else."""
    units, live = tmp_path / "units", host.live or ""
    units.mkdir()
    name = unit_sets.keep(host.paths, UnitSet({"api.service": "one"}, None))
    edit_last(host.paths.record(live), units=name)
    (units / "api.service").write_text("one")
    assert broken(host.root, units=units) == []
    (units / "api.service").write_text("two")
    told = f"14: {live} was committed with the units ['api.service'], there are ['api.service'], or other texts"
    assert broken(host.root, units=units) == [told]


@pytest.mark.slow
def test_a_lock_that_is_held(host: LocalAgent) -> None:
    """At rest nobody holds the host."""
    with lock.take(host.paths.lock):
        assert broken(host.root) == ["6: the lock is held although nothing runs"]


def test_every_rule_has_its_break() -> None:
    """An invariant that is added needs a way to break it above."""
    assert {*BREAK, 2, 11, 14} == {*RULES}
