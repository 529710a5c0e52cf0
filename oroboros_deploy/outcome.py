"""What an attempt came to: on each host, and as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal

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

Kind = Literal["deploy", "rollback"]


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


# Worst first: the exit code of several hosts is that of the worst one.
_EXIT_CODES: Mapping[State, ExitCode] = {
    State.NOT_RESTORED: ExitCode.NOT_RESTORED,
    State.UNKNOWN: ExitCode.UNKNOWN,
    State.RESTORED: ExitCode.RESTORED,
    State.UNREACHABLE: ExitCode.UNREACHABLE,
    State.NOT_SWITCHED: ExitCode.BUILD_FAILED,
    State.BUSY: ExitCode.BUSY,
    State.REFUSED: ExitCode.INVALID,
    State.INTERRUPTED: ExitCode.INTERRUPTED,
    State.SKIPPED: ExitCode.INTERRUPTED,
    State.LIVE: ExitCode.LIVE,
    State.ALREADY_LIVE: ExitCode.LIVE,
}


@dataclass(frozen=True)
class HostOutcome:
    """How an attempt ended on one host.

    ``live`` is the release that serves there now (None: none, or not known),
    ``previous`` the one that served before, ``seconds`` the wall time of each
    phase, ``migration_marker`` the revision printed by the migration, if one ran,
    ``log`` what the build, the migration, the gate or the services said last.
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

    @property
    def exit_code(self) -> ExitCode:
        """The exit code this host alone would give."""
        return _EXIT_CODES[self.state]


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: the value that a deploy or a rollback returns.

    ``registry`` says whether the registry was written.  When it was not, the record
    waits in the spool and the next command replays it; when the spool could not take it
    either, it is lost here, and ``registry.reconcile`` writes it from the hosts' journals.
    """

    attempt: str
    kind: Kind
    release_id: str
    hosts: tuple[HostOutcome, ...]
    registry: Literal["written", "spooled", "lost"] = "written"

    @property
    def ok(self) -> bool:
        """True when the release is live and gated on every host."""
        return all(host.state.ok for host in self.hosts)

    @property
    def worst(self) -> HostOutcome:
        """The host that decides the exit code."""
        order = list(_EXIT_CODES)
        return min(self.hosts, key=lambda host: order.index(host.state))

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
        """Return self when the exit code is 0; raise the error that fits otherwise."""
        if self.exit_code is ExitCode.LIVE:
            return self
        raise self._error()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"exit_code": int(self.exit_code), "ok": self.ok}

    def _error(self) -> DeployError:
        worst = self.worst
        if worst.state.ok:
            return RegistryUnavailable(f"{self.release_id} is live, but the registry was not written")
        if worst.state in (State.RESTORED, State.NOT_RESTORED):
            return ActivationFailed(
                worst.message, restored=worst.state is State.RESTORED, hint=worst.hint, host=worst.host
            )
        return _ERRORS[worst.state](worst.message, hint=worst.hint, host=worst.host)


_ERRORS: Mapping[State, type[DeployError]] = {
    State.UNKNOWN: LinkLost,
    State.UNREACHABLE: HostUnreachable,
    State.NOT_SWITCHED: BuildFailed,
    State.BUSY: Busy,
    State.REFUSED: InvalidInput,
    State.INTERRUPTED: Interrupted,
    State.SKIPPED: Interrupted,
}
