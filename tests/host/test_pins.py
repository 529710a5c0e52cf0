"""A pin keeps a release; the first one's words stay, and one that cannot be read still pins."""

from __future__ import annotations

import pytest

from tests.support.local_agent import LocalAgent


@pytest.mark.slow
def test_the_first_pin_stays(host: LocalAgent) -> None:
    """A second person is told whose pin is there already; unpin answers what it took away."""
    sha = host.sealed("one")
    first = host.call("pin", {"actor": "ada@desk", "release": sha}).result or {}
    second = host.call("pin", {"actor": "bob@lap", "release": sha}).result or {}
    assert (first["new"], first["pin"]["actor"]) == (True, "ada@desk")
    assert second == {"release": sha, "pin": first["pin"], "new": False}
    assert host.call("unpin", {"release": sha}).result == {"release": sha, "pin": first["pin"]}
    assert host.call("unpin", {"release": sha}).result == {"release": sha, "pin": None}


@pytest.mark.slow
def test_what_is_no_release_cannot_be_pinned(host: LocalAgent) -> None:
    """A release that is not there, and an unsealed one, are refused by their state; nothing is written."""
    host.paths.create()
    host.paths.release("b" * 40).mkdir()
    for sha, state in (("a" * 40, "missing"), ("b" * 40, "unsealed")):
        refusal = host.call("pin", {"actor": "ada@desk", "release": sha}).refusal or {}
        assert (refusal["kind"], refusal["message"]) == ("missing", f"release {sha} is {state} on this host")
    assert list((host.paths.ours / "pins").iterdir()) == []


@pytest.mark.slow
def test_a_pin_that_cannot_be_read_still_pins(host: LocalAgent) -> None:
    """An empty file made by hand keeps the release as well."""
    sha = host.sealed("one")
    host.paths.create()
    host.paths.pin(sha).touch()
    answer = host.call("pin", {"actor": "bob@lap", "release": sha}).result or {}
    assert (answer["new"], answer["pin"]["actor"]) == (False, "somebody")
