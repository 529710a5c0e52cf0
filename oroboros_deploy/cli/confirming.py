"""A question to the person at the terminal, before something that nobody should do by accident."""

from __future__ import annotations

import sys

from ..errors import Interrupted, InvalidInput
from ..text import plain


def confirm(what: str, question: str) -> None:
    """Show ``what`` is about to happen and go on when somebody says yes.

    Raises InvalidInput where nobody can be asked, and Interrupted when the answer is no.
    """
    sys.stderr.write(f"{plain(what)}\n")
    need_terminal()
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Interrupted("nothing was changed: the answer was no")


def need_terminal() -> None:
    """Raises InvalidInput where nobody can be asked."""
    if sys.stdin is None or not sys.stdin.isatty():  # None: it was closed
        raise InvalidInput("nothing was changed: there is no terminal to ask on", hint="add --yes to do it unasked")
