"""The registry in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.responses import PlainTextResponse

from ..records.figures import Figures
from ..registry.reading import Reader

_DAYS = 90
_MOST = 500
_OVER = f"over the last {_DAYS} days, of one environment or, without that label, of all together"
_FIGURES = {
    "deployments": f"Deployments {_OVER}.",
    "failures": f"Deployments that failed {_OVER}.",
    "deployment_frequency_per_day": f"Deployments a day {_OVER}.",
    "lead_time_seconds": f"Median time from commit to live {_OVER}.",
    "change_failure_rate": f"Failures per deployment, 0 to 1, {_OVER}.",
    "time_to_restore_seconds": f"Median time from a failure until a good release serves {_OVER}.",
}

Sample = tuple[Mapping[str, str], float | None]


class MetricsResponse(PlainTextResponse):
    """Text as Prometheus reads it."""

    media_type = "text/plain; version=0.0.4"


def exposition(reader: Reader) -> str:
    """Every metric, with its help and type."""
    return "".join(line for metric in _metrics(reader) for line in metric)


def _metrics(reader: Reader) -> Iterator[Iterator[str]]:
    every = [reader.figures(environment=name, days=_DAYS) for name in (None, *reader.environments())]
    for name, help in _FIGURES.items():
        yield _gauge(name, help, [(_environment(figures), getattr(figures, name)) for figures in every])
    hosts = list(_hosts(reader))
    served = [({**_host(row), "release_id": row["release_id"] or ""}, 1) for row in hosts]
    yield _gauge("host_release", "1 for the release that a host serves, by the registry.", served)
    since = [(_host(row), datetime.fromisoformat(row["since"]).timestamp()) for row in hosts if row["since"]]
    yield _gauge("host_since_timestamp_seconds", "When a host began to serve its release.", since)
    yield _gauge("host_drift", "1 when a host differs from the registry.", [(_host(r), r["drift"]) for r in hosts])
    unfinished = [({"state": state}, len(reader.attempts(_MOST, state=state).items)) for state in ("running", "lost")]
    yield _gauge("attempts_unfinished", "Attempts that go on, or whose control node was lost.", unfinished)


def _hosts(reader: Reader) -> Iterator[dict[str, Any]]:
    page = reader.hosts(_MOST)
    yield from page.items
    while page.next:
        page = reader.hosts(_MOST, page.next)
        yield from page.items


def _gauge(name: str, help: str, samples: Sequence[Sample]) -> Iterator[str]:
    yield f"# HELP oroboros_{name} {help}\n# TYPE oroboros_{name} gauge\n"
    for labels, value in samples:
        if value is not None:
            yield f"oroboros_{name}{_braces(labels)} {float(value)}\n"


def _braces(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _environment(figures: Figures) -> dict[str, str]:
    return {} if figures.environment is None else {"environment": figures.environment}


def _host(row: dict[str, Any]) -> dict[str, str]:
    return {"host": row["host"], "environment": row["environment"] or ""}
