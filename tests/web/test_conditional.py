"""Answers that cost nothing when nothing has changed."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from oroboros_deploy.registry import Registry
from oroboros_deploy.registry.reading import Reader
from oroboros_deploy.web import conditional
from oroboros_deploy.web.conditional import Kept
from tests.support.samples import A, host, record


def test_what_has_not_changed_is_not_sent_again(client: TestClient, registry: Registry) -> None:
    """With the ETag of the last answer the next is an empty 304, until something changes."""
    url = "/api/attempts?limit=1"
    first = client.get(url)
    seen = {"If-None-Match": f'"other", {first.headers["etag"]}'}
    again = client.get(url, headers=seen)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert client.get("/api/attempts?limit=2", headers=seen).status_code == 200
    registry.finish(record(A, host("web1", "live", live=A), attempt="four", minute=3))
    assert client.get(url, headers=seen).status_code == 200


def test_what_costs_much_is_made_once_until_something_changes(registry: Registry) -> None:
    """An answer is kept for its key, made anew after a change, and one that failed is tried again."""
    kept, made = Kept(), []

    def make() -> int:
        made.append(len(made))
        return made[-1]

    def fail() -> int:
        raise ValueError

    with pytest.raises(ValueError):
        kept.get(registry.reader, "figures", fail)
    seen = [kept.get(registry.reader, key, make) for key in ("figures", "figures", "metrics", "figures")]
    registry.finish(record(A, host("web1", "live", live=A), attempt="four", minute=3))
    assert [*seen, kept.get(registry.reader, "figures", make)] == [0, 0, 1, 0, 2]


def test_many_who_ask_at_once_wait_for_one(registry: Registry) -> None:
    """While an answer is being made, who asks for it too waits for that one."""
    kept, made, asked = Kept(), [], threading.Barrier(8)

    def make() -> int:
        made.append(1)
        time.sleep(0.2)
        return 7

    def ask(_: int) -> int:
        asked.wait()
        return kept.get(registry.reader, "figures", make)

    with ThreadPoolExecutor(8) as many:
        assert ([*many.map(ask, range(8))], made) == ([7] * 8, [1])


def test_many_who_ask_while_the_registry_changes_wait_for_one(registry: Registry) -> None:
    """Each sees another change, and still the answer is begun no more than twice: who waits takes what began later."""
    kept, made, asked = Kept(), [], threading.Barrier(8)
    first = threading.Event()

    def make() -> int:
        made.append(1)
        first.set()
        time.sleep(0.5)
        return len(made)

    def ask(number: int) -> int:
        asked.wait()
        if number:  # the others come while the first is answered, and each after a change of its own
            first.wait(60)
        reader = Changing(registry.reader, f"change {number}")
        return kept.get(reader, "figures", make)  # type: ignore[arg-type]

    with ThreadPoolExecutor(8) as many:
        answers = [*many.map(ask, range(8))]
    assert (answers[0], set(answers[1:]), len(made)) == (1, {2}, 2)


class Changing:
    """A reader of a registry at a change of its own."""

    def __init__(self, reader: Reader, change: str) -> None:
        self.source = reader.source
        self._change = change

    def change_tag(self) -> str:
        return self._change


def test_registries_are_kept_apart(registry: Registry, tmp_path: Path) -> None:
    """Answers of one registry are never given for another, also through one router."""
    kept = Kept()
    with Registry.open(f"sqlite:///{tmp_path}/other.db") as other:
        for each in (registry, other, registry):
            assert kept.get(each.reader, "releases", each.reader.releases) == each.reader.releases()


def test_what_took_long_may_be_given_after_a_change(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """For so many times what it took, an answer is given although something changed; one that took little is not."""
    now, worked = [1000.0], [0.0]
    monkeypatch.setattr(conditional.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(conditional.time, "thread_time", lambda: worked[0])
    kept, made = Kept(patience=50), []

    def ask(key: str, cost: float) -> int:
        def make() -> int:
            worked[0] += cost
            made.append(1)
            return len(made)

        return kept.get(registry.reader, key, make)

    seen = [ask("long", 1.0), ask("short", 0.05)]
    registry.observe({"web1": A})
    seen += [ask("long", 1.0), ask("short", 0.05)]
    now[0] += 51
    assert [*seen, ask("long", 1.0)] == [1, 2, 1, 3, 4]


@pytest.mark.parametrize("path", ["/api/figures", "/metrics", "/figures"])
def test_figures_are_computed_once(
    client: TestClient, registry: Registry, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Whoever asks for the figures again is told what was computed, until something is recorded."""
    computed = []
    name = "figures_of_each" if path == "/metrics" else "figures"
    figures = getattr(Reader, name)
    monkeypatch.setattr(Reader, name, lambda self, *names, **days: computed.append(1) or figures(self, *names, **days))
    monkeypatch.setattr(conditional.time, "thread_time", lambda: 0.0)  # on a busy machine figures may cost much
    first = client.get(path).text
    once = len(computed)
    assert (client.get(path).text, len(computed)) == (first, once)
    registry.finish(record(A, host("web1", "live", live=A), attempt="four", minute=3))
    client.get(path)
    assert len(computed) == 2 * once
