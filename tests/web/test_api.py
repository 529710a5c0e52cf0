"""The API: what existing clients of `/api/releases` rely on, and the resources beside it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import Connection, create_engine, insert, select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from oroboros_deploy.registry import Registry
from oroboros_deploy.registry.schema import attempt_hosts, attempts, releases
from oroboros_deploy.web import application, router
from oroboros_deploy.web.site import site
from tests.support.applications import mounted
from tests.support.samples import A, B, C, host, record

RELEASE_A = {
    "id": 1,
    "release_id": A,
    "commit_sha": A,
    "migration_marker": None,
    "status": "deployed",
    "deployed_at": "2030-01-01T12:00:00+00:00",
}


RELEASE_C = {**RELEASE_A, "id": 2, "release_id": C, "commit_sha": C, "status": "rolled_back"}
RELEASE_C["deployed_at"] = "2030-01-01T12:02:00+00:00"


def test_releases(client: TestClient) -> None:
    """The list is an array of exactly the contract's objects, the newest first."""
    answer = client.get("/api/releases")
    assert (answer.status_code, answer.json()) == (200, [RELEASE_C, RELEASE_A])
    assert [list(row) for row in answer.json()] == [list(RELEASE_A)] * 2


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?limit=1", [RELEASE_C]),
        ("?status=deployed", [RELEASE_A]),
        ("?status=deployed&limit=500", [RELEASE_A]),
        ("?status=replaced", []),
        ("?status=", [RELEASE_C, RELEASE_A]),
    ],
)
def test_releases_are_limited_and_filtered(client: TestClient, query: str, found: list[dict[str, Any]]) -> None:
    """A limit and a status narrow the list; an empty one is none."""
    answer = client.get(f"/api/releases{query}")
    assert (answer.status_code, answer.json()) == (200, found)


def test_releases_of_a_new_registry(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Before the first deploy the list is empty."""
    app = application(f"sqlite:///{tmp_path_factory.mktemp('new')}/registry.db")
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/api/releases").json() == []


def test_an_application_closes_its_registry(tmp_path: Path) -> None:
    """When the server ends, no connection to the database is left open."""

    def opened() -> list[str]:
        found = []
        for number in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # the one that this list was read by
                found.append(os.readlink(f"/proc/self/fd/{number}"))
        return [file for file in found if file.startswith(str(tmp_path))]

    with TestClient(application(f"sqlite:///{tmp_path}/registry.db"), base_url="http://localhost") as client:
        client.get("/api/releases")
        assert opened()
    assert opened() == []


def test_release(client: TestClient) -> None:
    """One release is its object; one that is not there is 404 with the contract's words."""
    assert client.get(f"/api/releases/{A}").json() == RELEASE_A
    missing = client.get("/api/releases/nothing")
    assert (missing.status_code, missing.json()) == (404, {"detail": "Release not found"})


def test_attempts(client: TestClient) -> None:
    """Attempts come the newest first with their hosts; one alone has its commits too."""
    listed = client.get("/api/attempts").json()
    assert ([row["attempt"] for row in listed["items"]], listed["next"]) == (["three", "two", "one"], None)
    one = client.get("/api/attempts/two").json()
    assert one.pop("commits") == []
    assert one == listed["items"][1]
    assert one["hosts"][0] | {"message": ""} == {
        "host": "web1",
        "state": "restored",
        "phase": None,
        "live": A,
        "previous": A,
        "message": "",
        "log": None,
        "seconds": {},
        "configuration": None,
        "names": None,
    }
    missing = client.get("/api/attempts/nothing")
    assert (missing.status_code, missing.json()) == (404, {"detail": "Attempt not found"})


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("kind=rollback", ["three"]),
        ("state=restored", ["two"]),
        ("host=web1", ["two", "one"]),
        ("environment=staging", ["three"]),
        (f"sha={B[:7]}", ["two"]),
        ("sha=0000", []),
        ("since=2030-01-01T12:00:00%2B01:00", ["three", "two", "one"]),
        ("until=2030-01-01T11:00:00Z", []),
        ("host=web1&state=live", ["one"]),
        ("host=%00", []),
    ],
)
def test_attempts_are_filtered(client: TestClient, query: str, found: list[str]) -> None:
    """Each filter narrows the list, and they combine."""
    answer = client.get(f"/api/attempts?{query}")
    assert (answer.status_code, [row["attempt"] for row in answer.json()["items"]]) == (200, found)


def test_pages_are_complete_while_attempts_are_added(client: TestClient, registry: Registry) -> None:
    """Following `next` meets every attempt that was there once, whatever is added meanwhile."""
    first = client.get("/api/attempts?limit=2").json()
    registry.finish(record(A, host("web1", "live", live=A), attempt="four", minute=3, started_at="2030-01-02T00:00Z"))
    rest = client.get("/api/attempts", params={"limit": 2, "after": first["next"]}).json()
    assert [row["attempt"] for row in first["items"] + rest["items"]] == ["three", "two", "one"]
    assert rest["next"] is None


def test_events(client: TestClient) -> None:
    """Events come the oldest first, of one attempt or of all, page by page."""
    page = client.get("/api/events?limit=4").json()
    rest = client.get("/api/events", params={"after": page["next"], "limit": 4}).json()
    everything = [(row["id"], row["attempt"], row["name"]) for row in page["items"] + rest["items"]]
    names = ("attempt.started", "attempt.finished")
    numbered = enumerate(((attempt, name) for attempt in ("one", "two", "three") for name in names), 1)
    assert everything == [(number, *event) for number, event in numbered]
    assert rest["next"] is None
    assert [row["id"] for row in client.get("/api/events?attempt=two").json()["items"]] == [3, 4]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("host=web1", []),
        ("environment=staging", [5, 6]),
        ("environment=prod&after=1", [2, 3, 4]),
        ("since=2030-01-01T12:01:00Z", [4, 6]),
        ("until=2030-01-01T12:00:00%2B01:00", []),
        ("since=2030-01-01T11:30:00Z&until=2030-01-01T12:01:00Z&environment=prod", [2]),
    ],
)
def test_events_are_filtered(client: TestClient, query: str, found: list[int]) -> None:
    """By host, environment and time, each alone and together."""
    answer = client.get(f"/api/events?{query}")
    assert (answer.status_code, [row["id"] for row in answer.json()["items"]]) == (200, found)


def test_hosts_and_environments(client: TestClient, registry: Registry) -> None:
    """What runs where is what the registry's own reader says: page by page, filtered, and one by one."""
    hosts = registry.reader.hosts().items
    assert [row["host"] for row in hosts] == ["stage", "web1", "web2"]
    registry.observe({"web3": C}, "prod")
    hosts.append(registry.reader.host("web3") or {})
    hosts = [{**row, "split": False} for row in hosts]
    for query, rows, following in (
        ("", hosts, None),
        ("?limit=2", hosts[:2], "web1"),
        ("?limit=2&after=web1", hosts[2:], None),
        ("?environment=staging", hosts[:1], None),
        ("?prefix=web&limit=1", hosts[1:2], "web1"),
        (f"?release_id={C}", hosts[:1], None),
        ("?drift=true", hosts[3:], None),
    ):
        assert client.get(f"/api/hosts{query}").json() == {"items": rows, "next": following}, query
    assert client.get("/api/hosts/web1").json() == hosts[1]
    assert client.get("/api/environments").json() == ["prod", "staging"]
    missing = client.get("/api/hosts/nothing")
    assert (missing.status_code, missing.json()) == (404, {"detail": "Host not found"})


def test_hosts_of_a_split_environment_say_so(client: TestClient, registry: Registry) -> None:
    """Every host of an environment that serves several releases is told to be in a split one, and no other is."""
    registry.finish(record(B, host("web1", "live", live=B, previous=A), attempt="four", minute=4))
    rows = client.get("/api/hosts").json()["items"]
    assert {row["host"]: row["split"] for row in rows} == {"stage": False, "web1": True, "web2": True}
    assert client.get("/api/hosts/web2").json()["split"] is True


def test_a_hold_is_told(client: TestClient, registry: Registry) -> None:
    """Who holds a host, since when and why is in its row as it was last told; null when nobody does."""
    hold = {"actor": "ada@desk", "at": 1_900_000_000.0, "reason": "the database is moved"}
    registry.observe({"web1": A, "web2": A}, "prod", {"web1": hold, "web2": None})
    told = {row["host"]: row["hold"] for row in client.get("/api/hosts").json()["items"]}
    at = "2030-03-17T17:46:40Z"
    assert told == {"stage": None, "web1": {**hold, "at": at.replace("Z", "+00:00")}, "web2": None}
    registry.hold({"web1": None})
    assert client.get("/api/hosts/web1").json()["hold"] is None


def test_attempts_of_a_person_and_as_csv(client: TestClient, registry: Registry) -> None:
    """The list is filtered by who asked, and the same filters give CSV with a line for each attempt."""
    actor = registry.reader.attempts(1).items[0]["actor"]
    assert len(client.get(f"/api/attempts?actor={actor}").json()["items"]) == 3
    assert client.get("/api/attempts?actor=nobody").json()["items"] == []
    assert client.get("/api/attempts?subject=nowhere").json()["items"] == []
    answer = client.get("/api/attempts.csv?environment=staging")
    lines = answer.text.splitlines()
    assert (answer.headers["content-type"], len(lines)) == ("text/csv; charset=utf-8", 2)
    assert lines[1].startswith(f"three,,rollback,{C},") and lines[1].endswith(",live,0,stage")
    assert client.get("/api/attempts.csv?status=x").status_code == 422


@pytest.mark.slow
def begin_others(db: Connection) -> None:
    """Write 1,199 attempts more that begin as `many-0` did, in one transaction."""
    [one] = db.execute(select(attempts).where(attempts.c.attempt == "many-0")).mappings()
    [part] = db.execute(select(attempt_hosts).where(attempt_hosts.c.attempt_id == one["id"])).mappings()
    numbers = range(1, 1200)
    db.execute(insert(attempts), [{**one, "id": one["id"] + n, "attempt": f"many-{n}"} for n in numbers])
    db.execute(insert(attempt_hosts), [{**part, "attempt_id": one["id"] + n} for n in numbers])


def test_csv_has_every_attempt(client: TestClient, registry: Registry) -> None:
    """However many there are; each has one line, the newest first."""
    registry.begin(record(A, host("many", "running"), attempt="many-0", finished_at=None, exit_code=None))
    registry.database.write(begin_others)
    lines = client.get("/api/attempts.csv?host=many").text.splitlines()
    assert [line.partition(",")[0] for line in lines[1:]] == [f"many-{number}" for number in reversed(range(1200))]


def test_hosts_of_an_attempt_without_an_environment_may_be_split(client: TestClient, registry: Registry) -> None:
    """They are counted with those of the environment that they were asked in."""
    for name, release, minute in (("w1", A, 4), ("w2", B, 5)):
        one = record(release, host(name, "live", live=release), attempt=name, minute=minute, environment=None)
        registry.finish(one)
        registry.observe({name: release}, "lab")
    told = {row["host"]: row["split"] for row in client.get("/api/hosts?environment=lab").json()["items"]}
    assert told == {"w1": True, "w2": True}


def test_figures(client: TestClient, registry: Registry) -> None:
    """The figures are those of the registry, of one environment or of all."""
    assert client.get("/api/figures?all=1").json() == asdict(registry.reader.figures())
    answer = client.get("/api/figures?environment=staging&days=7").json()
    assert answer == asdict(registry.reader.figures(environment="staging", days=7))


def test_figures_are_of_production(client: TestClient, registry: Registry) -> None:
    """Unless asked for others, they are those of the environments named prod and production; of all where none is."""
    assert client.get("/api/figures").json() == asdict(registry.reader.figures(environment="prod"))
    went = record(A, host("web9", "live", live=A), attempt="four", minute=3, environment="production")
    registry.finish(went)
    # Another server: one whose first answer took a slow machine long may give that for a moment still.
    both = TestClient(site(lambda: registry.reader), base_url="http://localhost").get("/api/figures").json()
    assert (both["environment"], both["deployments"]) == ("prod, production", 3)


def test_figures_without_production_are_of_all(tmp_path: Path) -> None:
    """Where no environment has such a name, all count."""
    with Registry.open(f"sqlite:///{tmp_path}/registry.db") as registry:
        registry.finish(record(A, host("web1", "live", live=A), environment="live"))
        client = TestClient(site(lambda: registry.reader), base_url="http://localhost")
        assert client.get("/api/figures").json() == asdict(registry.reader.figures())
        assert client.get("/api/figures").json()["deployments"] == 1


def test_in_an_application_of_somebody_elses(registry: Registry) -> None:
    """The router answers in an existing application, under a prefix and behind its own dependency."""
    app = FastAPI()
    app.include_router(router(lambda: registry.reader), prefix="/deploys")
    assert TestClient(app).get(f"/deploys/api/releases/{A}").json() == RELEASE_A
    assert TestClient(app).get("/deploys/api/attempts?after=nonsense").status_code == 422


def test_every_release_can_be_read(client: TestClient) -> None:
    """Page by page, after the last one of the page before."""
    first = client.get("/api/releases?limit=1").json()
    assert first == [RELEASE_C]
    assert client.get(f"/api/releases?limit=1&after={first[0]['id']}").json() == [RELEASE_A]
    assert client.get(f"/api/releases?after={RELEASE_A['id']}").json() == []
    assert client.get("/api/releases?after=0").status_code == 422


def test_in_a_session_of_somebody_elses(registry: Registry, registry_url: str) -> None:
    """With a session of the application's own, the answers are the same, and nothing is committed or closed."""
    engine = create_engine(registry_url)
    sessions: list[Session] = []
    client = TestClient(mounted(engine, sessions.append))
    assert client.get("/api/releases").json() == [RELEASE_C, RELEASE_A]
    assert client.get("/api/figures?all=1").json() == asdict(registry.reader.figures())
    assert [row["attempt"] for row in client.get("/api/attempts").json()["items"]] == ["three", "two", "one"]
    assert not any(session.in_transaction() for session in sessions)
    engine.dispose()


@pytest.mark.parametrize(
    "body",
    [b"x" * 5_000_000, b"[" * 100_000, b'{"limit": 1, "limit": 2}', b'{"limit": NaN}', b"\xff\xfe", b""],
    ids=["large", "deep", "twice", "nan", "not text", "empty"],
)
def test_bodies_are_not_read(client: TestClient, body: bytes) -> None:
    """(99) A body of any size or shape changes nothing: with GET it is not read, with POST there is no route."""
    headers = {"Content-Type": "application/json"}
    plain = client.get("/api/releases").json()
    assert client.request("GET", "/api/releases", content=body, headers=headers).json() == plain
    assert client.post("/api/releases", content=body, headers=headers).status_code == 405


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=501",
        "limit=1e9",
        "limit=1000000000",
        "limit=NaN",
        "limit=Infinity",
        "limit=",
        "limit=%00",
        "limit=9" + "9" * 5000,
        "limit=1&limit=-1",
    ],
)
def test_limits_are_kept(client: TestClient, query: str) -> None:
    """(99, 100) A limit that is no number from 1 to 500 is 422."""
    for path in ("/api/releases", "/api/attempts", "/api/events"):
        assert client.get(f"{path}?{query}").status_code == 422, path


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/releases?page=-1", 422),
        ("/api/releases?sort=%3Bdrop+table+releases", 422),
        ("/api/releases?status=';drop+table+releases;--", 422),
        ("/api/releases?status=of-another-program", 422),
        ("/api/attempts?status=failed", 422),
        ("/api/environments?limit=1", 422),
        ("/metrics?days=1", 422),
        ("/api/attempts?sha=';drop", 422),
        ("/api/attempts?sha=%25%25%25%25", 422),
        ("/api/attempts?state=nothing", 422),
        ("/api/attempts?kind=", 422),
        ("/api/attempts?since=yesterday", 422),
        ("/api/attempts?since=2030-01-01T00:00:00", 422),
        ("/api/attempts?since=99999-01-01T00:00:00Z", 422),
        ("/api/attempts?after=';drop", 422),
        ("/api/attempts?after=AAAA", 422),
        ("/api/attempts?after=" + "A" * 256, 422),
        ("/api/attempts?host=" + "h" * 256, 422),
        ("/api/attempts?host=';drop", 200),
        ("/api/events?after=-1", 422),
        ("/api/events?after=2147483647", 200),
        ("/api/events?after=2147483648", 422),
        ("/api/figures?days=0", 422),
        ("/api/figures?days=1000000", 422),
        ("/api/figures?environment=%ff%fe", 200),
    ],
)
def test_odd_parameters(client: TestClient, path: str, status: int) -> None:
    """(100) What no filter knows, and what one cannot mean, is refused, and the rows are still there."""
    before = client.get("/api/releases").json()
    assert client.get(path).status_code == status
    assert client.get("/api/releases").json() == before


def test_ten_thousand_releases(registry: Registry, registry_url: str, client: TestClient) -> None:
    """(106) Ten thousand releases are answered 500 at most at a time."""
    engine = create_engine(registry_url)
    rows = [{"release_id": f"{n:040x}", "commit_sha": f"{n:040x}", "status": "replaced"} for n in range(10_000)]
    with engine.begin() as db:
        db.execute(insert(releases), rows)
    engine.dispose()
    answers = [client.get("/api/releases"), client.get("/api/releases?limit=500")]
    assert [len(answer.json()) for answer in answers] == [100, 500]
    assert answers[0].json()[0]["release_id"] == f"{9999:040x}"


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        (
            "/api/attempts?status=failed",
            422,
            "status: no such parameter; there is actor, after, environment, host, kind,",
        ),
        ("/api/environments?x", 422, "x: no such parameter; there is none"),
        ("/api/attempts?since=yesterday", 422, "since: 'yesterday' is no time in ISO 8601"),
        (
            "/api/attempts?after=x",
            422,
            "after: that cursor names no place in the list; begin again without after",
        ),
        ("/api/attempts/none", 404, "Attempt not found"),
        ("/api/releases?limit=0", 422, "limit: Input should be greater than or equal to 1"),
        (
            "/api/attempts?kind=x&state=y",
            422,
            "kind: Input should be 'deploy', 'rollback', 'env' or 'restart'; state: ",
        ),
        ("/api/live?after=x", 422, "after: Input should be a valid integer"),
        ("/api/nothing", 404, "Not Found"),
    ],
)
def test_refusals_have_one_shape(client: TestClient, path: str, status: int, detail: str) -> None:
    """Every refusal is an object with words for people, which name the parameter and no type of ours."""
    answer = client.get(path)
    assert (answer.status_code, list(answer.json())) == (status, ["detail"])
    assert answer.json()["detail"].startswith(detail), answer.text
    assert not [word for word in ("function-after", "should be None") if word in answer.text]


def test_a_parameter_of_an_application(registry: Registry) -> None:
    """In an application of somebody else's the router leaves that application's own parameters alone."""
    app = FastAPI()
    app.include_router(router(lambda: registry.reader))
    assert TestClient(app).get("/api/releases?tenant=one").status_code == 200
    assert TestClient(app).get("/api/releases?limit=0").json()["detail"].startswith("limit: ")


def test_openapi_describes_every_route(client: TestClient) -> None:
    """The description names each route, all of them GET, each with a schema of what it answers."""
    described = client.get("/api/openapi.json").json()
    paths = described["paths"]
    assert {method for methods in paths.values() for method in methods} == {"get"}
    assert list(paths) == [
        "/api/releases",
        "/api/releases/{release_id}",
        "/api/attempts",
        "/api/attempts.csv",
        "/api/attempts/{attempt}",
        "/api/events",
        "/api/hosts",
        "/api/hosts/{host}",
        "/api/environments",
        "/api/figures",
        "/metrics",
        "/api/live",
    ]
    for path, methods in paths.items():
        answers = methods["get"]["responses"]["200"]["content"]
        problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        for status in ("400", "401", "422", "503"):
            assert methods["get"]["responses"][status]["content"] == problem, (path, status)
        assert methods["get"]["description"], path
        assert path in ("/metrics", "/api/live", "/api/attempts.csv") or answers["application/json"]["schema"], path
    names = [methods["get"]["operationId"] for methods in paths.values()]
    assert names[:4] == ["oroboros_releases", "oroboros_release", "oroboros_attempts", "oroboros_sheet"]
    assert len(set(names)) == len(paths)
    assert list(paths["/metrics"]["get"]["responses"]["200"]["content"]) == ["text/plain; version=0.0.4"]
    assert list(paths["/api/live"]["get"]["responses"]["200"]["content"]) == ["text/event-stream"]
    assert "Any" not in json.dumps(described)
    assert "security" not in described
