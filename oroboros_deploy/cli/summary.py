"""The words at the end of an attempt: a row for each host, what state each is in, and what to type next.

The sentence on each host, and the line to type (→), are made by `ended` in the package's outcome.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..outcome import HostOutcome, Outcome, State, rank
from ..text import changed_names, clean, columns, duration, short, telling, terse
from ..words import SERVES, name_of
from .steps import TAIL
from .typeable import Typed, plainly, typeable

_COMMITS = 5  # of a release are named
_HEADINGS = ("HOST", "STATE", "LIVE", "TIME", "MESSAGE")


def table(outcome: Outcome) -> str:
    """Every host's outcome, a row each."""
    return columns([_HEADINGS, *(_row(host) for host in outcome.hosts)])


def summary(outcome: Outcome, typed: Typed = plainly) -> str:
    """What state each host is in, what failed, and what to type next: of the worst host last, where it is read."""
    bad = sorted((host for host in outcome.hosts if not host.state.ok), key=lambda host: -rank(host.state))
    lines = [_headline(outcome, bad)]
    if bad:
        lines += [f"{clean(host.host)} serves {short(host.live)}" for host in outcome.hosts if host.state.ok]
    for host in bad:
        lines += _told(host, typed)
    lines += [*_changed(outcome), *_back(outcome, typed)]
    reconcile = typeable(typed(",".join(clean(host.host) for host in outcome.hosts), "registry.reconcile"))
    if outcome.registry == "spooled":
        lines.append("The registry was not written; the record is kept here.")
        lines.append(f"  → {reconcile} (any command that reaches the registry writes it)")
    if outcome.registry == "lost":
        lines.append("The registry was not written, and the record could not be kept here; the hosts have it.")
        lines.append(f"  → {reconcile} (writes it from their journals)")
    return "\n".join(lines)


def _row(host: HostOutcome) -> tuple[str, str, str, str, str]:
    message = terse(host.message.partition("\n")[0])
    return host.host, name_of(host.state), short(host.live) or "-", duration(_whole(host.seconds)), message


def _whole(seconds: Mapping[str, float]) -> float:
    """How long a host was at work: ``activate.restarting`` and its like are parts of ``activate``."""
    return sum(value for phase, value in seconds.items() if "." not in phase)


def _headline(outcome: Outcome, bad: Sequence[HostOutcome]) -> str:
    release, count = f"{short(outcome.release_id)}{_named(outcome)}", len(outcome.hosts)
    what = f"env.push to {release}" if outcome.kind == "env" else f"{outcome.kind} of {release}"
    took = f", after {duration(outcome.seconds)}" if outcome.seconds else ""
    if bad:
        return f"✗ {what}{_came_to(bad, count)}{took}"
    already = all(host.state is State.ALREADY_LIVE for host in outcome.hosts)
    hosts = ", ".join(clean(host.host) for host in outcome.hosts)
    if outcome.kind == "env":
        used = "was in use already" if already else "is live"
        return f"✓ {release}: today's configuration {used} on {hosts}{_names(outcome)}{took}"
    if outcome.kind == "restart":
        return f"✓ {release}: its services were restarted, and passed the gate, on {hosts}{took}"
    return f"✓ {release} {'was live already' if already else 'is live'} on {hosts}{took}"


def _came_to(bad: Sequence[HostOutcome], count: int) -> str:
    """What came of it, and on how many of several hosts; those whose turn it was not yet did not fail."""
    begun = [host for host in bad if host.state is not State.SKIPPED]
    unknown = all(host.state is State.UNKNOWN for host in begun)
    said = (": its end is not known" if unknown else " failed") if begun else " was not begun"
    where = f" on {len(begun or bad)} of {count} hosts" if count > 1 else ""
    left = f", and was not begun on {len(bad) - len(begun)}" if len(bad) > len(begun) > 0 else ""
    return f"{said}{where}{left}"


def _named(outcome: Outcome) -> str:
    return f" “{clean(outcome.subject)}”" if outcome.subject else ""


def _changed(outcome: Outcome) -> Iterator[str]:
    """The commits that went live, and against which release they are new."""
    before = next((host.previous for host in outcome.hosts if host.previous), None)
    if not outcome.commits or not any(host.state is State.LIVE for host in outcome.hosts):
        return
    count = len(outcome.commits)
    yield f"{count} new {'commit' if count == 1 else 'commits'} since {short(before)}:"
    yield from (f"  {short(each.sha)} {clean(each.subject)}" for each in outcome.commits[:_COMMITS])
    if count > _COMMITS:
        yield f"  and {count - _COMMITS} more"


def _back(outcome: Outcome, typed: Typed) -> Iterator[str]:
    """The way back of the hosts that went live, a line for each release that served before and can be gone back to."""
    left: dict[str, list[str]] = {}
    for host in outcome.hosts:
        if host.back is not None:
            left.setdefault(host.back, []).append(clean(host.host))
    undone = "To undo this rollback, with" if outcome.kind == "rollback" else "To go back to"
    for release, hosts in left.items():
        where = f" on {', '.join(hosts)} alone" if len(hosts) < len(outcome.hosts) else ""
        yield f"{undone} {short(release)}{where}:"
        yield f"  → {typeable(typed(','.join(hosts), f'rollback --release={clean(release)}'))}"


def _names(outcome: Outcome) -> str:
    """What a push changed, where that is the same on each host that it changed."""
    found = {changed_names(host.names) for host in outcome.hosts if host.state is State.LIVE}
    return f" {found.pop()}".rstrip() if len(found) == 1 else ""


def _told(host: HostOutcome, typed: Typed) -> Iterator[str]:
    """What it said, and below that, where it is read last: what is live, why, and what to type."""
    again = "serves no release, as before" if host.state is State.RESTORED and not host.live else SERVES[host.state]
    yield from (f"  │ {clean(line)}" for line in telling((host.log or "").splitlines(), TAIL))
    yield f"{clean(host.host)} {again.format(live=short(host.live) or 'no release')}"
    yield from (f"  {clean(line)}" for line in host.message.splitlines())
    yield f"  → {clean(typeable(host.hint or typed(host.host, 'status')))}"
