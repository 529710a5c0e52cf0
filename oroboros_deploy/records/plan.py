"""The plan of a deploy: what it would do on each host, and what has changed since the plan was made.  Pure.

It has names of a configuration, never a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, Self, cast

from ..text import clean, short

if TYPE_CHECKING:
    from ..host.contract import Changes

Direction = Literal["first", "forward", "back", "sideways", "none", "unknown"]
DAYS = 7  # for which a plan is kept
_SWITCH = (
    "the settings or flags of the switch (`healthcheck`, restarts, timeouts, `keep`, `parallel`, `run_as`, "
    "`privileged`, rebuild, no cache)"
)
NAMED = 3  # of the commits that a deploy takes away
_SETTINGS = ("fabfile.py", "fabric.yaml", "fabric.yml", "fabric.json", "fabric.py")  # read as they are here
_NAMED = 3  # files that are not committed
_LOOKED_AT = 5  # deploys of a host, for what the next one takes


@dataclass(frozen=True)
class Refusal:
    """Why a host would be refused, with the exit code of the deploy."""

    code: int
    message: str
    hint: str | None


@dataclass(frozen=True)
class Removed:
    """A commit that the live release has and the wanted one has not."""

    sha: str
    subject: str


@dataclass(frozen=True)
class HostPlan:
    """What a deploy would do on one host.

    ``ahead`` are the commits that the wanted release has and the live one has not, ``behind`` the others (None: they
    are not known here), and ``removes`` the newest of these others, at most `NAMED`.  ``parts`` are those of the build,
    empty where the release is complete; ``activates`` is False where nothing is to be done.  ``units`` are the files
    that change (None: the release brings none), ``revision`` is the configuration that would be in use and ``names``
    what it changes (None: there is none, or nobody can tell yet).
    ``hold`` and ``drift`` are sentences; ``needs_bytes`` is what the live release takes; ``seconds`` are expected.
    ``rolled_back`` says when and by whom this host was rolled back from the wanted release (None: its last activation
    was no such rollback).  ``failed`` is why the wanted release failed on this host before (None: it did not).
    """

    host: str
    live: str | None = None
    direction: Direction = "unknown"
    ahead: int | None = None
    behind: int | None = None
    removes: tuple[Removed, ...] = ()
    parts: tuple[str, ...] = ()
    activates: bool = True
    units: Changes | None = None
    revision: str | None = None
    names: Changes | None = None
    hold: str | None = None
    drift: tuple[str, ...] = ()
    rolled_back: str | None = None
    failed: str | None = None
    needs_bytes: int | None = None
    free_bytes: int | None = None
    seconds: float | None = None
    refusal: Refusal | None = None

    @classmethod
    def from_dict(cls, told: Mapping[str, object]) -> Self:
        """A host of a plan that was kept; raises TypeError or ValueError for what is none."""
        known = _known(cls, told)
        refusal = cast("dict[str, object] | None", known.get("refusal"))
        lists = {name: tuple(cast("list[str]", known.get(name) or [])) for name in ("parts", "drift")}
        removes = tuple(Removed(**each) for each in cast("list[dict[str, str]]", known.get("removes") or []))
        known |= {**lists, "removes": removes, "refusal": Refusal(**refusal) if refusal else None}  # type: ignore[arg-type]
        return cls(**known)  # type: ignore[arg-type]


@dataclass(frozen=True)
class DeployPlan:
    """A deploy that was not done: of which commit, with which settings, and what it would do on each host.

    ``unpushed``: no branch of a remote has the commit; ``dirty`` are files of the work tree that are not committed.
    ``recipe`` is the digest of `build` and `shared`, ``settings`` that of what shapes the switch and its gate, of
    `parallel` where it is not 1, and of the flags --rebuild, --no-cache and --adopt-units; ``seconds`` are expected for
    all hosts.
    """

    id: str
    application: str
    root: str
    environment: str | None
    sha: str
    subject: str
    actor: str
    made_at: str
    recipe: str
    services: tuple[str, ...]
    migrate: str | None
    unpushed: bool
    dirty: tuple[str, ...]
    hosts: tuple[HostPlan, ...]
    seconds: float | None = None
    settings: str = ""

    @property
    def exit_code(self) -> int:
        """What `plan` exits with: 0 when nothing was found that would stop the deploy, else the code of its refusal."""
        return next((host.refusal.code for host in self.hosts if host.refusal), 0)

    def as_dict(self) -> dict[str, object]:
        """The plan as JSON has it."""
        return {**asdict(self), "warnings": [*warnings(self)], "exit_code": self.exit_code}

    @classmethod
    def from_dict(cls, told: Mapping[str, object]) -> Self:
        """A plan that was kept; raises TypeError, ValueError or KeyError for what is none."""
        known = _known(cls, told)
        hosts = tuple(map(HostPlan.from_dict, cast("list[dict[str, object]]", known["hosts"])))
        lists = {name: tuple(cast("list[str]", known[name])) for name in ("services", "dirty")}
        return cls(**{**known, **lists, "hosts": hosts})  # type: ignore[arg-type]


def _known(kind: type[HostPlan] | type[DeployPlan], told: Mapping[str, object]) -> dict[str, object]:
    return {each.name: told[each.name] for each in fields(kind) if each.name in told}


def changes(plan: DeployPlan, now: DeployPlan) -> list[str]:
    """What is not as it was when a plan was made, a sentence each; neither disk nor time count."""
    return [*_of_all(plan, now), *(line for host in now.hosts for line in _of_host(_host(plan, host.host), host))]


def _of_all(plan: DeployPlan, now: DeployPlan) -> Iterator[str]:
    if plan.sha != now.sha:
        yield f"the commit was {short(plan.sha)}, and is {short(now.sha)}"
    if plan.recipe != now.recipe:
        yield "the settings of `build`, `shared` or `privileged` are others"
    if plan.settings != now.settings:
        yield f"{_SWITCH} are others: a deploy by a plan takes no flag that the plan was not made with"
    for name, was, used in (
        ("application", plan.application, now.application),
        ("root", plan.root, now.root),
        ("environment", plan.environment, now.environment),
        ("services", " ".join(plan.services), " ".join(now.services)),
        ("migrate", plan.migrate, now.migrate),
    ):
        if was != used:
            yield f"`{name}` was {was or 'not set'}, and is {used or 'not set'}"


def _host(plan: DeployPlan, name: str) -> HostPlan | None:
    return next((host for host in plan.hosts if host.host == name), None)


def _of_host(was: HostPlan | None, now: HostPlan) -> Iterator[str]:
    if was is None:
        yield f"{now.host} is not in the plan"
        return
    if was.live != now.live:
        yield f"{now.host} served {short(was.live) or 'no release'}, and serves {short(now.live) or 'no release'}"
    if (was.revision, was.names) != (now.revision, now.names):
        yield f"{now.host} would get another configuration"
    if was.units != now.units:
        yield f"{now.host} would have other units changed"
    if was.hold != now.hold:
        yield f"{now.host} was {was.hold or 'not held'}, and is {now.hold or 'not held'}"


def direction(live: str | None, wanted: str, counts: tuple[int, int] | None) -> Direction:
    """Where a switch goes; ``counts`` are the commits that only the live and only the wanted release have."""
    if live is None:
        return "first"
    if live == wanted:
        return "none"
    if counts is None:
        return "unknown"
    behind, ahead = counts
    return "sideways" if behind and ahead else "back" if behind else "forward"


def way(host: HostPlan, wanted: str) -> str:
    """The switch in words."""
    begin = f"{short(host.live) or 'no release'} → {short(wanted)}"
    ahead, behind = _commits(host.ahead), _commits(host.behind)
    return (
        begin
        + {
            "first": ", the first release here",
            "none": ", which is live already",
            "forward": f", {ahead} forward",
            "back": f", {behind} back",
            "sideways": f", sideways: adds {ahead}, removes {host.behind}",
            "unknown": ", and this repository cannot tell which of them is newer",
        }[host.direction]
    )


def _commits(count: int | None) -> str:
    return f"{count} commit" if count == 1 else f"{count} commits"


def short_form(plan: DeployPlan) -> str:
    """What a deploy says before it begins: a line for each way, with the hosts that go it."""
    ways: dict[str, list[str]] = {}
    for host in plan.hosts:
        ways.setdefault("; ".join([way(host, plan.sha), *_work(plan, host)]), []).append(clean(host.host))
    return "\n".join(f"plan: {line} ({', '.join(hosts)})" for line, hosts in ways.items())


def _work(plan: DeployPlan, host: HostPlan) -> Iterator[str]:
    if host.parts:
        yield f"builds {', '.join(host.parts)}"
    if host.activates and plan.migrate:
        yield "migrates"


def warnings(plan: DeployPlan) -> Iterator[str]:
    """What to know before it begins: which commits it takes away, what nobody else has, what is not committed."""
    switched = [host for host in plan.hosts if host.activates]
    for host, names in _alike(switched, lambda host: host.live):
        yield from _taken_away(plan, host, names)
    for host, names in _alike(switched, _failed_before):
        yield f"{short(plan.sha)} failed on {names} {_failed_before(host)}"
    for host, names in _alike(switched, lambda host: host.rolled_back):
        yield f"{short(plan.sha)} was live on {names} until the rollback {host.rolled_back}"
    if plan.unpushed:
        yield f"{short(plan.sha)} was not pushed: no branch of a remote has it"
    yield from not_committed(plan.dirty)


def _failed_before(host: HostPlan) -> str | None:
    """Why the wanted release failed there, and what that means; a live or an adopted release is not built again."""
    again = ", and is built again" if host.parts else ""
    return None if host.failed is None else f"before{again}: {host.failed}"


def not_committed(dirty: Sequence[str]) -> Iterator[str]:
    """What the files of the work tree that are not committed do to a deploy: settings are used, the rest is not."""
    settings = [name for name in dirty if PurePosixPath(name).name in _SETTINGS]
    others = [name for name in dirty if name not in settings]
    yield from (f"{name} is not committed: its settings are used as they are here" for name in settings)
    if others:
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        yield f"not committed, and so not deployed: {', '.join(others[:_NAMED])}{more}"


def _alike(hosts: Sequence[HostPlan], of: Callable[[HostPlan], str | None]) -> Iterator[tuple[HostPlan, str]]:
    """One of the hosts for each answer but None, with the names of all that give it."""
    found: dict[str, list[HostPlan]] = {}
    for host in hosts:
        if (answer := of(host)) is not None:
            found.setdefault(answer, []).append(host)
    return ((alike[0], ", ".join(host.host for host in alike)) for alike in found.values())


def _taken_away(plan: DeployPlan, host: HostPlan, names: str) -> Iterator[str]:
    """The commits that are live on these hosts and go, the newest first; of many the rest is counted."""
    wanted, rest = short(plan.sha), (host.behind or 0) - len(host.removes)
    if host.direction == "back":
        newer = f"{short(host.live)}, which is live on {names}, is {_commits(host.behind)} newer"
        yield f"this deploy goes back: {newer} than {wanted}"
    for each in host.removes:
        yield f"{short(each.sha)} “{each.subject}” is live on {names} and is not in {wanted}: this deploy takes it away"
    if rest:
        yield _rest(rest, names, wanted, more=bool(host.removes))


def _rest(count: int, names: str, wanted: str, *, more: bool) -> str:
    what = f"{count} more {'commit' if count == 1 else 'commits'}" if more else _commits(count)
    verb, them = ("is", "it") if count == 1 else ("are", "them")
    return f"{what} {verb} live on {names} and {verb} not in {wanted}: this deploy takes {them} away"


def expected(attempts: Sequence[Mapping[str, object]], host: HostPlan) -> float | None:
    """How long a host would take: the median of its last deploys, with a build only where one is needed."""
    phases = ("build", "activate") if host.parts else ("activate",)
    times = [found for attempt in attempts if (found := _took(attempt, host.host, phases)) is not None]
    middle = sorted(times[:_LOOKED_AT])
    return round(middle[len(middle) // 2], 1) if middle and host.activates else None


def _took(attempt: Mapping[str, object], name: str, phases: Sequence[str]) -> float | None:
    """The seconds of a host in an attempt; None where it did not go through all these phases."""
    hosts = cast("Sequence[Mapping[str, object]]", attempt.get("hosts") or ())
    seconds = next((cast("Mapping[str, float]", host["seconds"]) for host in hosts if host["host"] == name), {})
    return sum(seconds[phase] for phase in phases) if all(phase in seconds for phase in phases) else None


def expected_of_all(hosts: Sequence[HostPlan], parallel: int) -> float | None:
    """How long they take together: as many at a time as may switch at once; None where one is not known."""
    work = [host for host in hosts if host.activates]
    if not work or any(host.seconds is None for host in work):
        return None
    return round(sum(host.seconds or 0.0 for host in work) / min(parallel, len(work)), 1)


def brief(host: HostPlan) -> dict[str, object]:
    """What the short form tells of a host."""
    told = ("host", "live", "direction", "ahead", "behind", "parts", "activates")
    return {name: getattr(host, name) for name in told} | {"parts": list(host.parts)}
