"""`history`: a line an attempt, from the registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oroboros_deploy.cli.history import newest, table
from oroboros_deploy.registry import Registry
from oroboros_deploy.registry.reading import Page
from tests.support.fabfiles import fab
from tests.support.samples import A, host, record


def attempt(**changes: Any) -> dict[str, Any]:
    """An attempt as the registry tells it."""
    told = {
        "attempt": "20261129T120000-00000001",
        "application": "shop",
        "kind": "deploy",
        "release_id": "a" * 40,
        "subject": "a new cart",
        "environment": "prod",
        "actor": "ada@desk",
        "started_at": "2026-11-29T12:00:00.500+00:00",
        "finished_at": "2026-11-29T12:01:30.500+00:00",
        "state": "live",
        "hosts": [{"state": "live", "message": ""}],
    }
    return told | changes


def test_a_line_an_attempt() -> None:
    """When, who, environment, what, outcome, duration and subject; what is not known is a dash."""
    lines = table(
        [
            attempt(),
            attempt(kind="env", state="restored", environment=None, subject=None),
            attempt(kind="rollback", state="failed", hosts=[{"state": "unreachable", "message": ""}]),
            attempt(state="failed", hosts=[{"state": each, "message": ""} for each in ("live", "restored")]),
            attempt(state="running", finished_at=None, subject="\x1b[31mred"),
        ]
    ).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["WHEN (UTC)", *["2026-11-29 12:00"] * 5]
    assert [tuple(part.strip() for part in line.split("  ") if part.strip())[1:] for line in lines[1:]] == [
        ("ada@desk", "prod", "deploy aaaaaaaaaa", "live", "1 min 30 s", "a new cart"),
        ("ada@desk", "-", "env.push aaaaaaaaaa", "restored", "1 min 30 s", "-"),
        ("ada@desk", "prod", "rollback aaaaaaaaaa", "unreachable", "1 min 30 s", "a new cart"),
        ("ada@desk", "prod", "deploy aaaaaaaaaa", "live on some", "1 min 30 s", "a new cart"),
        ("ada@desk", "prod", "deploy aaaaaaaaaa", "running", "-", "red"),
    ]


class Reader:
    """Two pages of attempts of several applications."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str | None]] = []

    def attempts(self, limit: int, after: str | None = None, **_: Any) -> Page:
        self.asked.append((limit, after))
        pages = {
            None: Page([attempt(attempt="1"), attempt(attempt="2", application="other")], "more"),
            "more": Page([attempt(attempt="3", application=None), attempt(attempt="4")], None),
        }
        return pages[after]


@pytest.mark.parametrize(("limit", "found"), [(1, ["1"]), (2, ["1", "3"]), (9, ["1", "3", "4"])])
def test_others_share_the_registry(limit: int, found: list[str]) -> None:
    """Attempts of another application do not count; what names none may be of this one."""
    reader = Reader()
    told = newest(reader, "shop", limit)  # type: ignore[arg-type]
    assert [each["attempt"] for each in told] == found
    assert reader.asked == [(limit, None), (500, "more")][: 1 if limit == 1 else 2]


@pytest.mark.slow
def test_it_reads_the_registry_and_no_host(project: Path, tmp_path: Path) -> None:
    """By environment and by host, as text and as JSON; a limit that is none is refused (2)."""
    url = f"sqlite:///{tmp_path}/registry.db"
    (project / "fabric.yaml").write_text("deploy: {environments: {prod: {hosts: [a]}}}\n")
    assert fab(project, "history", DEPLOY_REGISTRY_URL=url).stdout == "no attempts are recorded\n"
    assert json.loads(fab(project, "history", "--json", DEPLOY_REGISTRY_URL=url).stdout) == []
    assert fab(project, "history", "--limit=0", DEPLOY_REGISTRY_URL=url).returncode == 2
    with Registry.open(url) as registry:
        for number, (name, place) in enumerate([("web1", "prod"), ("web2", "prod"), ("web3", "next")]):
            more = {"environment": place, "application": "oroboros", "started_at": f"2030-01-01T11:0{number}:00+00:00"}
            registry.begin(record(A, host(name, "live"), attempt=str(number), **more))

    def told(*flags: str) -> list[str]:
        ran = fab(project, *flags, "history", "--json", DEPLOY_REGISTRY_URL=url)
        return [each["attempt"] for each in json.loads(ran.stdout)]

    assert (told(), told("-H", "prod")) == (["2", "1", "0"], ["1", "0"])
    assert (told("-H", "web1"), told("-H", "web3,web1"), told("-H", "a")) == (["0"], ["2", "0"], [])
    ran = fab(project, "history", "--host=web1", "--limit=1", DEPLOY_REGISTRY_URL=url)
    assert ran.stdout.splitlines()[1].split()[:6] == ["2030-01-01", "11:00", "ada", "prod", "deploy", A[:10]]
