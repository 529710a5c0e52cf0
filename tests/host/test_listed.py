"""With least privilege a deploy is refused before it begins, where root's list lacks what the settings name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.host import environment, facts, listed, manager
from oroboros_deploy.host.layout import Layout

DEPLOY: Any = {"source": True, "restart": True, "services": ["shop-api", "caddy", "mail@1.service"]}


@pytest.fixture(autouse=True)
def root_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of a shop, for the login of this test."""
    said = {"units": ["shop", "shop-*", "mail", "mail@*"], "users": ["shop"]}
    (tmp_path / "shop.json").write_text(json.dumps(said))
    monkeypatch.setattr(manager, "HELPED", tmp_path)
    helped = manager.Helped(*manager.of("system")._replace(application="shop"))
    monkeypatch.setattr(manager, "chosen", lambda: helped)


def test_a_service_and_a_user_that_came_later() -> None:
    """Each is named, with the command that lists it."""
    login = environment.of_this_user()["USER"]
    [found] = listed.problems(DEPLOY, {"owner": "shop", "gate": "other"})
    assert found == {
        "message": "the service caddy.service, the user other of run_as.gate: "
        f"not in the list that root made of what {login} may touch here (least privilege)",
        "hint": f"fab -H root@HOST setup --login={login} --least-privilege",
    }


def test_what_is_listed_or_not_asked_for() -> None:
    """Names and patterns of the list are enough; a rollback, which needs no source, is held to its record."""
    assert listed.problems({**DEPLOY, "services": ["shop-api", "mail@2"]}, {"owner": "shop"}) == []
    assert listed.problems({**DEPLOY, "restart": False}, {}) == []
    assert listed.problems({**DEPLOY, "source": False}, {"gate": "other"}) == []


def test_the_facts_tell_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among the problems of the host; a login that has no list is held to none."""
    layout = Layout(tmp_path, tmp_path / "releases", tmp_path / "current", tmp_path / "repo", "system")
    asked: Any = {"sha": None, "source": True, "run_as": {"gate": "nobody"}}
    [found] = facts.facts(layout, asked)["problems"]
    assert found["message"].startswith("the user nobody of run_as.gate: not in the list")
    plain = manager.of("system")
    monkeypatch.setattr(manager, "chosen", lambda: plain)
    assert facts.facts(layout, asked)["problems"] == []
