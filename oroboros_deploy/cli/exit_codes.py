"""How a command ends with an error: one exit code, and the last words on standard error.

The exit code of an attempt that has an outcome is decided in `outcome.py` and raised by `running.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from invoke import Exit

from ..control.faults import HostFault
from ..errors import ConfigError, DeployError
from ..text import plain, short
from .interrupts import heard_again, unheard
from .stream import write
from .typeable import typeable
from .unforeseen import Unforeseen, caught


@contextmanager
def exit_codes(*, as_json: bool) -> Iterator[None]:
    """Turn every error into a message and the documented exit code; nobody is shown a traceback."""
    with heard_again():
        try:
            with caught():
                yield
        except DeployError as error:
            raise ended(error, as_json=as_json) from None
        except KeyboardInterrupt:
            unheard()
            tell("interrupted; nothing was switched")
            raise Exit(code=130) from None


def ended(error: DeployError, *, as_json: bool = False) -> Exit:
    """Say what went wrong, and return how the command ends; a Ctrl-C that comes now changes neither."""
    unheard()
    error.hint = _next(error)
    code = error.code if isinstance(error, Unforeseen | HostFault) else int(error.exit_code)
    tell(_last_words(error, code, as_json))
    return Exit(code=code)


def _next(error: DeployError) -> str | None:
    """What to type; a mistake in the settings is corrected first."""
    hint = error.hint and typeable(error.hint)
    asks = hint is not None and hint.startswith("did you mean ")
    return f"{hint} Correct it, and type the same command again" if isinstance(error, ConfigError) and asks else hint


def tell(text: str) -> None:
    """Say something to people, beside what the command prints; each line is cleaned."""
    write(sys.stderr, f"{plain(text)}\n")


def _last_words(error: DeployError, code: int, as_json: bool) -> str:
    from . import summary, tables

    if as_json:
        return tables.error_json(error, code)
    if error.outcome is not None and len(error.outcome.hosts) > 1:
        return f"{summary.table(error.outcome)}\n{error}"
    return "\n".join([*_serving(error), str(error)])


def _serving(error: DeployError) -> list[str]:
    """What the host serves that the error is about, where that is known."""
    hosts = error.outcome.hosts if error.outcome else ()
    return [f"{host.host} serves {short(host.live)}" for host in hosts if host.live]
