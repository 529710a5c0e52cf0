"""What the first page says before anything else: what runs where, and what is not as it should be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from ..records.record import AttemptState
from ..registry.reading import Reader

HOSTS = 100  # on the page
_ATTEMPTS = 30  # of each state


def standing(reader: Reader) -> dict[str, Any]:
    """The values of the headline and of the tables of hosts."""
    hosts = reader.hosts(HOSTS)
    known, drifting = reader.host_counts()
    return {
        "running": _attempts(reader, AttemptState.RUNNING),
        "lost": _unanswered(_attempts(reader, AttemptState.LOST), hosts.items),
        "broken": [host for host in reader.broken_hosts() if not host["drift"]],
        "known": known,
        "drifting": drifting,
        "environments": by_environment(hosts.items),
        "more_hosts": hosts.next and urlencode({"after": hosts.next}),
        "names": {"environment": reader.environments(), "host": [host["host"] for host in hosts.items]},
    }


def by_environment(hosts: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The hosts of each environment; last those without one."""

    def environment(host: Mapping[str, Any]) -> str:
        return host["environment"] or ""

    ordered = sorted(hosts, key=lambda host: (not environment(host), environment(host), host["host"]))
    return [(name, list(group)) for name, group in groupby(ordered, environment)]


def _attempts(reader: Reader, state: AttemptState) -> list[dict[str, Any]]:
    return reader.attempts(_ATTEMPTS, state=state).items


def _unanswered(lost: Iterable[dict[str, Any]], hosts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The lost attempts with a host that no later one has switched: there, nobody knows what serves."""
    since = {host["host"]: host["since"] or "" for host in hosts}
    return [each for each in lost if any(since.get(part["host"], "") < each["started_at"] for part in each["hosts"])]
