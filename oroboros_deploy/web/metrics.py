"""The registry in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import product
from typing import Any, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse

from ..outcome import Kind
from ..records.figures import Figures
from ..records.record import AttemptState
from ..registry.reading import Reader
from ..version import __version__
from .display import readable

_DAYS = 90
_MOST = 500
_FIGURES = {
    "deployments": "Deployments",
    "failures": "Deployments that failed",
    "deployment_frequency_per_day": "Deployments a day",
    "lead_time_seconds": "Median time from commit to live",
    "change_failure_rate": "Failures per deployment, 0 to 1",
    "time_to_restore_seconds": "Median time from a failure until a good release serves",
}
_ENDED = [state for state in AttemptState if state not in (AttemptState.RUNNING, AttemptState.LOST)]

Row = Mapping[str, Any]


_MEDIA_TYPE = "text/plain; version=0.0.4"
# Described here and not by the route's class: the errors of such a route would be called text, too, and are JSON.
DESCRIBED: dict[int | str, dict[str, Any]] = {200: {"content": {_MEDIA_TYPE: {"schema": {"type": "string"}}}}}


class MetricsResponse(PlainTextResponse):
    """Text as Prometheus reads it."""

    media_type = _MEDIA_TYPE


def exposition(reader: Reader) -> bytes:
    """Every metric, with its help and type."""
    registry = CollectorRegistry()
    registry.register(_Metrics(reader))
    return generate_latest(registry)


class _Metrics(Collector):
    """What a registry's reader knows, read when it is collected."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def describe(self) -> list[Metric]:
        """Nothing: the names are known only with the values, and nothing else is in the registry."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every metric."""
        yield _gauge("build_info", "1 for the version that serves these metrics.", {(__version__,): 1}, "version")
        environments = self._reader.environments()
        yield from self._figures(environments)
        yield self._ended(environments)
        yield from _of_hosts(list(self._hosts()))
        yield _releases(self._reader.serving())
        yield _of_targets(self._reader.targets())
        held = {tuple(row[name] or "" for name in _TARGET): 1 for row in self._reader.every_hold()}
        about = "1 for an application on a host that somebody holds on purpose, as it was last told."
        yield _gauge("target_held", about, held, *_TARGET)
        unfinished = {(state,): len(self._reader.attempts(_MOST, state=state).items) for state in ("running", "lost")}
        yield _gauge("attempts_unfinished", "Attempts that go on, or whose control node was lost.", unfinished, "state")

    def _figures(self, environments: list[str]) -> Iterator[Metric]:
        """Of each environment; of all together in families of their own, so that a sum counts nothing twice."""
        found = self._reader.figures_of_each(environments, days=_DAYS)
        overall = found.pop(None)
        each = {(name,): figures for name, figures in found.items()}
        for name, help in _FIGURES.items():
            over = f"{help} over the last {_DAYS} days, of"
            yield _gauge(name, f"{over} one environment.", _picked(each, name), "environment")
            yield _gauge(f"overall_{name}", f"{over} all environments together.", _picked({(): overall}, name))

    def _ended(self, environments: list[str]) -> Metric:
        """Every series from the beginning, with 0: Prometheus sees no increase in one that appears with its first 1."""
        counted = dict.fromkeys(product(environments, get_args(Kind), _ENDED), 0) | self._reader.ended_counts()
        labels = ("environment", "kind", "state")
        family = CounterMetricFamily("oroboros_attempts", "Attempts that ended, by how.", labels=labels)
        for values, count in counted.items():
            family.add_metric(_labels(values), count)
        return family

    def _hosts(self) -> Iterator[Row]:
        page = self._reader.hosts(_MOST)
        yield from page.items
        while page.next:
            page = self._reader.hosts(_MOST, page.next)
            yield from page.items


def _of_hosts(hosts: list[Row]) -> Iterator[Metric]:
    released = {(*_host(row), row["release_id"]): 1 for row in hosts if row["release_id"]}
    yield _gauge(
        "host_release", "1 for the release that a host serves, by the registry.", released, *_HOST, "release_id"
    )
    broken = {_host(row): bool(row["since"] and not row["release_id"]) for row in hosts}
    yield _gauge("host_broken", "1 when no release is known to serve on a host.", broken, *_HOST)
    yield _gauge("host_drift", "1 when a host differs from the registry.", _column(hosts, "drift", float), *_HOST)
    held = {_host(row): bool(row["hold"]) for row in hosts}
    yield _gauge("host_held", "1 when somebody holds a host on purpose, as it was last told.", held, *_HOST)
    since = _column(hosts, "since", _unix_time)
    yield _gauge("host_since_timestamp_seconds", "When a host began to serve its release.", since, *_HOST)
    seen = _column(hosts, "observed_at", _unix_time)
    yield _gauge("host_observed_timestamp_seconds", "When a host was last asked what it serves.", seen, *_HOST)


def _releases(serving: Iterable[Row]) -> Metric:
    """How many releases serve of each application in each environment; more than one is a split."""
    split: dict[tuple[str, str], int] = {}
    for each in serving:
        labels = (each["environment"] or "", each["application"])
        split[labels] = split.get(labels, 0) + bool(each["release_id"])
    help = "How many releases serve of an application in an environment."
    return _gauge("environment_releases", help, split, "environment", "application")


def _of_targets(targets: Iterable[Row]) -> Metric:
    """What every application serves, where several share hosts or the registry."""
    labels = (*_TARGET, "release_id")
    released = {tuple(row[name] or "" for name in labels): 1 for row in targets if row["release_id"]}
    return _gauge("target_release", "1 for the release that an application serves on a host.", released, *labels)


_HOST = ("host", "environment")
_TARGET = ("application", "host", "root", "environment")


def _host(row: Row) -> tuple[str, ...]:
    return row["host"], row["environment"] or ""


def _column(hosts: list[Row], name: str, number: Callable[[Any], float]) -> dict[tuple[str, ...], float]:
    return {_host(row): number(row[name]) for row in hosts if row[name] is not None}


def _unix_time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _picked(figures: Mapping[Any, Figures], name: str) -> dict[Any, float | None]:
    return {labels: getattr(each, name) for labels, each in figures.items()}


def _gauge(name: str, help: str, values: Mapping[Any, float | None], *labels: str) -> Metric:
    """A family with a sample for each of the labels' values that there is a number for."""
    family = GaugeMetricFamily(f"oroboros_{name}", help, labels=labels)
    for at, value in values.items():
        if value is not None:
            family.add_metric(_labels(at), value)
    return family


def _labels(values: Iterable[str | None]) -> list[str]:
    """The values of labels, which are names that came from elsewhere."""
    return [readable(value or "") for value in values]
