"""The metrics as Prometheus reads them."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from oroboros_deploy.records.record import Asked
from oroboros_deploy.registry import Registry
from tests.support.samples import A, B, host, record

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(client: TestClient) -> Samples:
    """Each sample by its name and labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((f"oroboros_{name}", frozenset(labels.items())))


def total(samples: Samples, name: str) -> float:
    """What ``sum(oroboros_…)`` is in Prometheus."""
    return sum(number for (family, _), number in samples.items() if family == f"oroboros_{name}")


def test_every_metric_has_its_help_and_type(client: TestClient) -> None:
    """The answer is text of the format's version, and each family says what it is."""
    answer = client.get("/metrics")
    lines = answer.text.splitlines()
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = {line.split(" ")[2] for line in lines if line.startswith("# HELP ")}
    assert names == {line.split(" ")[2] for line in lines if line.startswith("# TYPE ")}
    assert {line.partition("{")[0].partition(" ")[0] for line in lines if not line.startswith("#")} <= names


@pytest.mark.parametrize("name", ["deployments", "failures"])
def test_a_sum_is_the_whole(client: TestClient, registry: Registry, name: str) -> None:
    """What is summed over environments is what all together have, counted once."""
    registry.finish(record(B, host("web1", "live", live=B), attempt="four", minute=3, environment="staging"))
    samples = scraped(client)
    assert total(samples, name) == value(samples, f"overall_{name}") == getattr(registry.reader.figures(), name)


def test_figures(client: TestClient, registry: Registry) -> None:
    """The figures of an environment are the registry's; what is not known is no sample."""
    figures = registry.reader.figures(environment="prod")
    samples = scraped(client)
    assert value(samples, "change_failure_rate", environment="prod") == figures.change_failure_rate == 0.5
    assert value(samples, "change_failure_rate", environment="staging") is None


def test_attempts_are_counted_by_how_they_ended(client: TestClient, registry: Registry) -> None:
    """Each kind and state has a counter from the beginning, which the next attempt that ends so raises by one."""

    def restored() -> tuple[float | None, float | None]:
        samples = scraped(client)
        kinds = ("deploy", "rollback")
        labels = [{"environment": "prod", "kind": kind, "state": "restored"} for kind in kinds]
        return value(samples, "attempts_total", **labels[0]), value(samples, "attempts_total", **labels[1])

    assert restored() == (1, 0)
    registry.finish(record(B, host("web1", "restored", previous=A), attempt="four", minute=3, exit_code=10))
    assert restored() == (2, 0)


def test_hosts(client: TestClient, registry: Registry) -> None:
    """What runs where, since when, when it was asked and whether it differs; any name is a label."""
    odd = 'we"b\\3\n'
    registry.finish(record(A, host(odd, "live", live=A), attempt="four", minute=3))
    registry.observe({"web3": B}, "prod")
    samples = scraped(client)
    for name in (odd, "web1", "web2"):
        assert value(samples, "host_release", host=name, environment="prod", release_id=A) == 1
    assert value(samples, "host_since_timestamp_seconds", host="stage", environment="staging") == 1893499320
    prod = {name: {"host": name, "environment": "prod"} for name in ("web1", "web3")}
    assert [value(samples, "host_drift", **labels) for labels in prod.values()] == [0, 1]
    seen = [value(samples, "host_observed_timestamp_seconds", **labels) for labels in prod.values()]
    assert (seen[0], abs((seen[1] or 0) - time.time()) < 3600) == (None, True)
    assert value(samples, "attempts_unfinished", state="running") == 0


def test_a_host_that_serves_nothing(client: TestClient, registry: Registry) -> None:
    """It serves no release by any name, and is called broken."""
    registry.finish(record(B, host("web1", "not_restored"), attempt="four", minute=3, exit_code=11))
    samples = scraped(client)
    served = [labels for name, labels in samples if name == "oroboros_host_release" and ("host", "web1") in labels]
    assert (served, value(samples, "host_broken", host="web1", environment="prod")) == ([], 1)
    assert value(samples, "host_broken", host="web2", environment="prod") == 0


def test_a_split_environment(client: TestClient, registry: Registry) -> None:
    """It tells how many releases serve of each application, of which a host that serves nothing serves none."""

    def releases(application: str = "") -> float | None:
        return value(scraped(client), "environment_releases", environment="prod", application=application)

    before = releases()
    registry.finish(record(B, host("web1", "live", live=B), attempt="four", minute=3))
    for name, release, minute in (("shop", A, 4), ("blog", B, 5)):
        registry.finish(
            record(release, host(name, "live", live=release), attempt=name, application=name, minute=minute)
        )
    registry.observe({"never": B}, "prod")
    seen = [before, releases(), releases("shop"), releases("blog")]
    ends = {"attempt": "five", "application": "blog", "minute": 6, "exit_code": 11}
    registry.finish(record(A, host("blog", "not_restored"), **ends))
    assert [*seen, releases("blog")] == [1, 2, 1, 1, 0]


def test_what_each_application_serves(client: TestClient, registry: Registry) -> None:
    """A host that two applications share has a sample of each, with its root."""
    for name, release, minute in (("shop", A, 3), ("blog", B, 4)):
        more = {"attempt": name, "application": name, "root": f"/srv/{name}", "minute": minute}
        registry.finish(record(release, host("shared", "live", live=release), **more))
    samples = scraped(client)
    common = {"host": "shared", "environment": "prod"}
    for name, release in (("shop", A), ("blog", B)):
        labels = {"application": name, "root": f"/srv/{name}", "release_id": release}
        assert value(samples, "target_release", **common, **labels) == 1


def test_a_host_that_somebody_holds(client: TestClient, registry: Registry) -> None:
    """It is 1 from when that was told until it is told that nobody does; what is held there has a sample of its own."""
    hold = {"actor": "ada", "at": 1_900_000_000.0, "reason": "why"}
    registry.observe({"web1": A}, "prod", {"web1": hold}, Asked("blog", "/srv/blog"))
    labels = {"application": "blog", "host": "web1", "root": "/srv/blog", "environment": "prod"}
    assert value(scraped(client), "target_held", **labels) == 1
    registry.hold({"web1": None}, Asked("blog", "/srv/blog"))
    seen = []
    for told in (None, hold, None):
        registry.observe({"web1": A}, "prod", {"web1": told})
        seen.append(value(scraped(client), "host_held", host="web1", environment="prod"))
    assert seen == [0, 1, 0]


def test_every_hold_has_a_sample(client: TestClient, registry: Registry) -> None:
    """However many there are: an alarm needs the last one too."""
    hold = {"actor": "ada", "at": 1_900_000_000.0, "reason": "why"}
    names = [f"held{number:03}" for number in range(101)]
    registry.observe(dict.fromkeys(names, A), "prod", dict.fromkeys(names, hold), Asked("blog", "/srv/blog"))
    labels = {"application": "blog", "root": "/srv/blog", "environment": "prod"}
    assert value(scraped(client), "target_held", host="held100", **labels) == 1
