"""Everything that can go wrong, each with its exit code.

    DeployError
    ├── InvalidInput             2   nothing was changed
    │   ├── ConfigError          2   a setting, flag or variable is wrong
    │   ├── UnknownCommit        2   no such commit, or not only one
    │   └── UnknownRelease       2   no such release where it is needed
    ├── Busy                    20   the host is not free, or somebody switched it meanwhile
    ├── BuildFailed             30   nothing was switched
    ├── LinkLost                40   the outcome is unknown: ask `fab status`
    │   └── LineTooLong         40   a host's line has no end
    ├── OutcomeUnknown          40   the host itself cannot say how its activation ended
    ├── HostUnreachable         50   no connection, or no login
    │   └── HostNotTrusted      50   its host key is unknown, changed or revoked
    ├── RegistryUnavailable     60   the database did not answer
    ├── ActivationFailed        10   restored (11 when it could not be)
    ├── JournalDamaged          11   a host's journal is not what was written
    └── Interrupted            130   stopped by a person before the switch

Until something live changes the library raises one of these.  From the
activation on it returns an ``Outcome``, whose ``raise_for_status()`` raises the
class that fits.  A message says, in this order: what state the host is in, what
failed; ``hint`` says what to type next.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .outcome import Outcome


class ExitCode(IntEnum):
    """The process exit codes that scripts may rely on."""

    LIVE = 0
    INVALID = 2
    RESTORED = 10
    NOT_RESTORED = 11
    BUSY = 20
    BUILD_FAILED = 30
    UNKNOWN = 40
    UNREACHABLE = 50
    REGISTRY = 60
    INTERRUPTED = 130


class DeployError(Exception):
    """Base of all errors that a caller is expected to meet.

    ``message`` states the host's condition and the cause in one or a few lines,
    ``hint`` is the next thing to type or do, ``host`` the host it happened on,
    ``log`` what a command of a failed build printed last and ``outcome``, when an
    attempt had begun, what came of it on every host.  ``exit_code`` is how ``fab`` ends with this error.

    >>> error = Busy("this host is held by ada@desk", hint="end the hold with: fab -H web1 unlock", host="web1")
    >>> print(error)
    web1: this host is held by ada@desk
      → end the hold with: fab -H web1 unlock
    >>> int(error.exit_code)
    20
    """

    exit_code: ExitCode = ExitCode.NOT_RESTORED
    outcome: Outcome | None = None
    log: str | None = None

    def __init__(self, message: str, *, hint: str | None = None, host: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.host = host

    def __str__(self) -> str:
        place = f"{self.host}: " if self.host else ""
        advice = f"\n  → {self.hint}" if self.hint else ""
        return f"{place}{self.message}{advice}"


class InvalidInput(DeployError):
    """What was asked for cannot be done as asked; nothing was changed."""

    exit_code = ExitCode.INVALID


class ConfigError(InvalidInput):
    """A setting, flag, environment variable or ssh_config line is wrong."""


class UnknownCommit(InvalidInput):
    """A revision names no commit, or more than one."""


class UnknownRelease(InvalidInput):
    """A release id names no release where one is needed."""


class Busy(DeployError):
    """Another activation or a person holds the host, or somebody switched it after it was looked at."""

    exit_code = ExitCode.BUSY


class BuildFailed(DeployError):
    """The release could not be built; nothing was switched."""

    exit_code = ExitCode.BUILD_FAILED


class LinkLost(DeployError):
    """The connection died, so what the host did is not known here."""

    exit_code = ExitCode.UNKNOWN


class LineTooLong(LinkLost):
    """A host sent a line that nobody keeps in memory, and its command was killed."""


class OutcomeUnknown(DeployError):
    """The host began an activation, and what it wrote of it cannot be read any more."""

    exit_code = ExitCode.UNKNOWN


class HostUnreachable(DeployError):
    """The host could not be connected to or logged in to."""

    exit_code = ExitCode.UNREACHABLE


class HostNotTrusted(HostUnreachable):
    """The host's key is unknown, changed, or revoked."""


class RegistryUnavailable(DeployError):
    """The registry's database could not be reached or written."""

    exit_code = ExitCode.REGISTRY


class ActivationFailed(DeployError):
    """The release failed after the switch; the code says if the host was restored."""

    exit_code = ExitCode.RESTORED

    def __init__(self, message: str, *, restored: bool, hint: str | None = None, host: str | None = None) -> None:
        super().__init__(message, hint=hint, host=host)
        self.exit_code = ExitCode.RESTORED if restored else ExitCode.NOT_RESTORED


class JournalDamaged(DeployError):
    """A host's journal was edited, cut or reordered: a person has to find out by whom."""


class Interrupted(DeployError):
    """Stopped by a person before anything was switched."""

    exit_code = ExitCode.INTERRUPTED
