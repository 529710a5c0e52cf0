"""An error that nobody foresaw: its traceback becomes a file, and on one host of many it is that host's outcome.

`attempt.py` and `asking.py` put their work on a host into ``told_of``.  What is raised elsewhere ends the command:
`cli/unforeseen.py` catches it, and has it told and kept by this module.  No secret that ``hide`` was given is in the
message or in the traceback.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from traceback import format_exception

from ..errors import DeployError, ExitCode
from .state_directory import state_directory

_WRITES = "writes the end into the history"
_BEFORE = 1  # the exit code of a command when no switch was asked for
# What this process was given: an error may have it in its words.  Threads read it: it is replaced, never changed.
# It is of the process, and not of one attempt: the last to tell of an error (cli/unforeseen.py) knows neither control
# node nor attempt, and an error may come after its attempt has ended.  So of two deployments in one process each hides
# the values of both, for as long as the process lives.
_secrets: frozenset[str] = frozenset()
_hiding = Lock()


class HostFault(DeployError):
    """What a host answered, or what we made of it, ended the work there; ``asked`` says whether it was to switch."""

    def __init__(self, cause: Exception, host: str, *, asked: bool) -> None:
        state = "the host goes on alone, how it ends is not known here" if asked else "nothing was switched"
        ask = f"fab -H {host} status  tells what it serves; then  fab -H {host} registry.reconcile  {_WRITES}; " * asked
        super().__init__(f"{state}: {in_a_line(cause)}", hint=f"{ask}{report(keep(cause))}", host=host)
        self.asked = asked
        self.exit_code = ExitCode.UNKNOWN if asked else ExitCode.BUILD_FAILED
        self.code = int(self.exit_code) if asked else _BEFORE


@contextmanager
def told_of(host: str, *, asked: bool = False) -> Iterator[None]:
    """Raise HostFault for what is no error of ours."""
    try:
        yield
    except DeployError:
        raise
    except Exception as error:
        raise HostFault(error, host, asked=asked) from error


def hide(secrets: Iterable[str]) -> None:
    """Never tell or keep these from now on, whatever an error says."""
    global _secrets
    with _hiding:
        _secrets |= set(secrets)


def _masked(text: str) -> str:
    from ..host.masking import Mask, as_written

    return Mask(as_written(_secrets)).text(text)


def in_a_line(cause: Exception) -> str:
    """What happened, in one line, without any secret."""
    what = " ".join(_masked(f"{type(cause).__name__}: {cause}").split())
    return f"oroboros_deploy failed in a way that nobody foresaw ({what})"


def report(kept: Path | None) -> str:
    """Where the traceback is, for people."""
    return f"the traceback, for a report of the fault, is in {kept}" if kept else "the traceback could not be written"


def keep(cause: Exception) -> Path | None:
    """Where the traceback was written: a file of this user's alone; None when that failed, whatever the reason."""
    try:
        name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}-{id(cause):x}.txt"
        path = state_directory() / "tracebacks" / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        text = _masked("".join(format_exception(cause)))
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except Exception:
        return None
    return path
