"""The words at the end of an attempt: a row for each host, what state each is in, and what to type next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..outcome import HostOutcome, Outcome, State
from ..text import clean, columns, duration, short
from ..words import SERVES, name_of
from .steps import TAIL

_HEADINGS = ("HOST", "STATE", "LIVE", "TIME", "MESSAGE")


def table(outcome: Outcome) -> str:
    """Every host's outcome, a row each."""
    return columns([_HEADINGS, *(_row(host) for host in outcome.hosts)])


def summary(outcome: Outcome) -> str:
    """What state each host is in, what failed, and what to type next."""
    bad = [host for host in outcome.hosts if not host.state.ok]
    lines = [_headline(outcome, len(bad))]
    if bad:
        lines += [f"{clean(host.host)} serves {short(host.live)}" for host in outcome.hosts if host.state.ok]
    for host in bad:
        lines += _told(host)
    if outcome.registry == "spooled":
        lines.append("The registry was not written; the record is kept here.")
        lines.append("  → fab registry.list (any command that reaches the registry writes it)")
    if outcome.registry == "lost":
        names = ",".join(clean(host.host) for host in outcome.hosts)
        lines.append("The registry was not written, and the record could not be kept here; the hosts have it.")
        lines.append(f"  → fab -H {names} registry.reconcile (writes it from their journals)")
    return "\n".join(lines)


def _row(host: HostOutcome) -> tuple[str, str, str, str, str]:
    message = host.message.partition("\n")[0]
    return host.host, name_of(host.state), short(host.live) or "-", duration(_whole(host.seconds)), message


def _whole(seconds: Mapping[str, float]) -> float:
    """How long a host was at work: ``activate.restarting`` and its like are parts of ``activate``."""
    return sum(value for phase, value in seconds.items() if "." not in phase)


def _headline(outcome: Outcome, bad: int) -> str:
    what, count = f"{outcome.kind} of {short(outcome.release_id)}", len(outcome.hosts)
    if bad:
        return f"✗ {what} failed on {bad} of {count} hosts" if count > 1 else f"✗ {what} failed"
    already = all(host.state is State.ALREADY_LIVE for host in outcome.hosts)
    hosts = ", ".join(clean(host.host) for host in outcome.hosts)
    return f"✓ {short(outcome.release_id)} {'was live already' if already else 'is live'} on {hosts}"


def _told(host: HostOutcome) -> Iterator[str]:
    again = "serves no release, as before" if host.state is State.RESTORED and not host.live else SERVES[host.state]
    yield f"{clean(host.host)} {again.format(live=short(host.live) or 'no release')}"
    yield from (f"  {clean(line)}" for line in host.message.splitlines())
    yield from (f"  │ {clean(line)}" for line in (host.log or "").splitlines()[-TAIL:])
    yield f"  → {clean(host.hint or f'fab -H {host.host} status')}"
