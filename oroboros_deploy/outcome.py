"""What an attempt came to: on each host, and as a whole; with the exit code and the error of each end."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from .errors import (
    ActivationFailed,
    BuildFailed,
    Busy,
    DeployError,
    ExitCode,
    HostUnreachable,
    Interrupted,
    InvalidInput,
    LinkLost,
    RegistryUnavailable,
)
from .text import changed_names

if TYPE_CHECKING:
    from .host.contract import ActivationEnd, Changes, JournalEntry

Kind = Literal["deploy", "rollback", "env", "restart"]


class State(StrEnum):
    """How an attempt ended on one host."""

    LIVE = "live"  # the release serves and passed its gate
    ALREADY_LIVE = "already_live"  # it served before; nothing was done
    RESTORED = "restored"  # it failed; the previous release serves again
    NOT_RESTORED = "not_restored"  # it failed and no release is known to serve
    NOT_SWITCHED = "not_switched"  # it failed before the switch (build or migration)
    BUSY = "busy"  # another activation, or a person, holds the host
    UNKNOWN = "unknown"  # the link was lost while the host went on
    UNREACHABLE = "unreachable"  # no connection, or not trusted
    REFUSED = "refused"  # the host cannot do what was asked
    INTERRUPTED = "interrupted"  # a person stopped it before the switch
    SKIPPED = "skipped"  # not its turn yet when another host failed, or a person interrupted

    @property
    def ok(self) -> bool:
        """True when the asked-for release is live and gated."""
        return self in (State.LIVE, State.ALREADY_LIVE)


# Worst first: the exit code of several hosts is that of the worst one.  The error is raised for the state, and an
# error that ends the work on a host gives the first state with this class and exit code.
_ENDS: Mapping[State, tuple[ExitCode, type[DeployError] | None]] = {
    State.NOT_RESTORED: (ExitCode.NOT_RESTORED, ActivationFailed),
    State.UNKNOWN: (ExitCode.UNKNOWN, LinkLost),
    State.RESTORED: (ExitCode.RESTORED, ActivationFailed),
    State.UNREACHABLE: (ExitCode.UNREACHABLE, HostUnreachable),
    State.NOT_SWITCHED: (ExitCode.BUILD_FAILED, BuildFailed),
    State.BUSY: (ExitCode.BUSY, Busy),
    State.REFUSED: (ExitCode.INVALID, InvalidInput),
    State.INTERRUPTED: (ExitCode.INTERRUPTED, Interrupted),
    State.SKIPPED: (ExitCode.INTERRUPTED, Interrupted),
    State.LIVE: (ExitCode.LIVE, None),
    State.ALREADY_LIVE: (ExitCode.LIVE, None),
}
_LOGS = "fab -H HOST logs --since=-1h  shows what failed"
_MENDS = f"{_LOGS}; when its cause is gone,  fab -H HOST restart  starts the services and asks the gate"
_FIRST = f"{_LOGS}; when its cause is gone, deploy again"
_PHASES = {
    "committed": State.LIVE,
    "restored": State.RESTORED,
    "restore_failed": State.NOT_RESTORED,
}


def end_of(phase: str) -> State | None:
    """How an attempt ended on a host whose activation came to this phase; None when it goes on after it."""
    return _PHASES.get(phase)


def state_of(error: DeployError) -> State:
    """How an attempt ended on a host whose work raised this error; unknown when no state has its class."""
    ends = ((state, code) for state, (code, kind) in _ENDS.items() if kind and isinstance(error, kind))
    return next((state for state, code in ends if error.exit_code == code), State.UNKNOWN)


def worst_of(states: Iterable[State]) -> State:
    """The state that decides how an attempt ended; there is one at least."""
    return min(states, key=rank)


def rank(state: State) -> int:
    """Where a state stands when the worst comes first."""
    return list(_ENDS).index(state)


@dataclass(frozen=True)
class HostOutcome:
    """How an attempt ended on one host; a value that never changes.

    ``live`` is the release that serves there now (None: none, or not known),
    ``previous`` the one that served before, ``seconds`` the wall time of each
    phase, ``migration_marker`` the revision printed by the migration, if one ran,
    ``log`` what the build, the migration, the gate or the services said last,
    ``left_out`` the parts that the build could not make there and did without.
    ``configuration`` is the revision in use there now (None: none, or not known).  ``names`` has the names in the
    configuration that the attempt was to add, to change and to remove.  ``back`` is the release that a rollback on this
    host can go back to: ``previous``, or None.  ``back`` is None when ``state`` is not `LIVE`, when ``previous`` still
    serves, when ``previous`` failed there, and when ``previous`` is neither sealed (this tool completed its build) nor
    adopted (another tool made it).  The files of the release are not checked for ``back``; a rollback checks those of
    a sealed release.
    """

    host: str
    state: State
    live: str | None = None
    previous: str | None = None
    message: str = ""
    hint: str | None = None
    migration_marker: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    log: str | None = None
    left_out: tuple[str, ...] = ()
    configuration: str | None = None
    names: Changes | None = None
    back: str | None = None

    @property
    def exit_code(self) -> ExitCode:
        """The exit code this host alone would give."""
        return _ENDS[self.state][0]


def _configuration(end: State, state: ActivationEnd) -> str | None:
    """The revision in use at the end; after a failed restore nobody knows which one it is."""
    if end is State.NOT_RESTORED:
        return None
    return state.get("configuration") if end is State.LIVE else state.get("configuration_before")


def ended(host: str, state: ActivationEnd, logs: str, kind: Kind = "deploy") -> HostOutcome:
    """The outcome of an activation, from the host's own final state; ``logs`` is where it keeps what happened."""
    end = _PHASES[state["phase"]]
    target, source, reason = state["target"], state["source"], state["reason"]
    live: str | None = target if end is State.LIVE else source
    kept = f"all that was said is on the host in {shlex.quote(logs)}"
    hint: str | None = f"{_LOGS}; fix it and deploy again; {kept}"
    configured = source == target and bool(changed_names(state.get("names")))  # the configuration alone was changed
    if end is State.LIVE and kind == "restart":
        hint, message = None, f"the services of {target} were restarted, and passed the gate"
    elif end is State.LIVE:
        hint, message = None, f"{target} is live{' with another configuration' * configured}"
    elif end is State.RESTORED and not state["switched"]:
        end, message = State.NOT_SWITCHED, f"nothing was switched, {source or 'no release'} is live: {reason}"
        hint = _not_switched(state, logs, kept, kind)
    elif end is State.RESTORED and source is None and (before := served_before(state)):
        message = f"no release is live, and what was there before serves again ({before}): {reason}"
    elif end is State.RESTORED and source is None:
        end = State.NOT_RESTORED
        message = f"no release is live (this was the first deploy; what was started is stopped): {reason}"
    elif end is State.RESTORED and configured:
        message = f"{source} is live, and has the configuration from before again: {reason}"
        hint = f"{_LOGS}; fix it, then the same command again; {kept}"
    elif end is State.RESTORED:
        message = f"{source} was restored and is live; {target} failed: {reason}"
    else:
        live, hint = None, _MENDS if source else _FIRST
        message = f"the link `current` names {source or 'no release'}, and the host is not healthy: {reason}"
    return HostOutcome(
        host=host,
        state=end,
        live=live,
        previous=source,
        message="\n".join(filter(None, (message, _of_the_database(end, state)))),
        hint=hint,
        migration_marker=state["migration_marker"],
        seconds={f"activate.{step}": seconds for step, seconds in state["seconds"].items()},
        log=state["transcript"] or None,
        configuration=_configuration(end, state),
        names=state.get("names"),
    )


def _not_switched(state: ActivationEnd, logs: str, kept: str, kind: Kind) -> str:
    """What to do where it failed before the switch: no service was touched, so no log of services tells why."""
    again = "fix it and deploy again" if kind == "deploy" else "fix it, then the same command again"
    if not _migration_failed(state):
        return f"{again}; {kept}"
    file = shlex.quote(f"{logs}/migration.err")
    return f"{again}; what the migration said on its standard error is on the host in {file}"


def _migration_failed(state: ActivationEnd) -> bool:
    """Whether the migration was the last thing done."""
    return "migrating" in state["seconds"] and "swapping" not in state["seconds"] and not state["switched"]


def _of_the_database(end: State, state: ActivationEnd) -> str | None:
    """That a database does not go back with its release; None where no migration ran, or its release is live."""
    if end is State.LIVE or "migrating" not in state["seconds"]:
        return None
    if _migration_failed(state):
        return "what the migration did before it failed was not undone"
    return "the database stays as the migration left it: nothing of it was undone"


def served_before(state: ActivationEnd | JournalEntry) -> str | None:
    """What served before the first deploy, in words: another program's link, services; None when nothing did."""
    parts = [f"current leads to {state['foreign']}"] if state.get("foreign") else []
    return ", ".join([*parts, *(state.get("ran") or {})]) or None


@dataclass(frozen=True)
class NewCommit:
    """A commit that the release has and the one before did not."""

    sha: str
    subject: str


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: the value that a deploy, a rollback, a push or a restart returns.

    **Life.** It is made when the attempt is over, and never changes.

    **Fields.** ``attempt`` is the attempt's id, ``kind`` what was asked for, ``release_id`` the release, and
    ``hosts`` the end on each host, in the order in which they were named.  ``registry`` says whether the registry was
    written.  When it was not, the record waits in the spool and the next command replays it; when the spool could not
    take it either, it is lost here, and `Deployment.reconcile` writes it from the hosts' journals.  ``subject`` is
    the first line of the commit's message (None: not known here), ``commits`` are those that are new in the release,
    the newest first, and ``seconds`` is how long the whole took.

    **Errors.** No field raises.  ``raise_for_status()`` raises the error of the worst host.

    >>> one, other = HostOutcome("web1", State.LIVE), HostOutcome("web2", State.RESTORED, message="the gate failed")
    >>> outcome = Outcome("20270115T080000-1a2b3c4d", "deploy", "9f31" * 10, (one, other))
    >>> outcome.ok, int(outcome.exit_code), outcome.worst.host
    (False, 10, 'web2')
    >>> outcome.raise_for_status()
    Traceback (most recent call last):
        ...
    oroboros_deploy.errors.ActivationFailed: web2: the gate failed
    """

    attempt: str
    kind: Kind
    release_id: str
    hosts: tuple[HostOutcome, ...]
    registry: Literal["written", "spooled", "lost"] = "written"
    subject: str | None = None
    commits: tuple[NewCommit, ...] = ()
    seconds: float | None = None

    @property
    def ok(self) -> bool:
        """True when the release is live and gated on every host."""
        return all(host.state.ok for host in self.hosts)

    @property
    def worst(self) -> HostOutcome:
        """The host that decides the exit code."""
        worst = worst_of(host.state for host in self.hosts)
        return next(host for host in self.hosts if host.state is worst)

    @property
    def exit_code(self) -> ExitCode:
        """0 only if live and gated everywhere *and* recorded."""
        if self.ok and self.registry != "written":
            return ExitCode.REGISTRY
        return self.worst.exit_code

    @property
    def migration_marker(self) -> str | None:
        """The revision the migration printed, on whichever host ran it."""
        return next((host.migration_marker for host in self.hosts if host.migration_marker), None)

    def raise_for_status(self) -> Outcome:
        """Return self when the exit code is 0.

        Raises otherwise what fits the worst host: ActivationFailed, BuildFailed, Busy, HostUnreachable, InvalidInput,
        Interrupted, LinkLost; RegistryUnavailable when the release is live everywhere, but was not recorded.
        """
        if self.exit_code is ExitCode.LIVE:
            return self
        raise self._error()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"exit_code": int(self.exit_code), "ok": self.ok}

    def _error(self) -> DeployError:
        worst = self.worst
        kind = _ENDS[worst.state][1]
        if kind is None:
            what = f"{self.release_id} is live, but the registry was not written"
            return RegistryUnavailable(what, hint="fab -H HOST registry.reconcile  writes it")
        if kind is ActivationFailed:
            restored = worst.state is State.RESTORED
            return ActivationFailed(worst.message, restored=restored, hint=worst.hint, host=worst.host)
        return kind(worst.message, hint=worst.hint, host=worst.host)
