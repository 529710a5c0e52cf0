"""A rollback whose release nobody named: where it goes without hosts, and the question before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import InvalidInput
from ..text import clean, short
from . import confirming
from .arguments import Flags, placed

if TYPE_CHECKING:
    from invoke import Context

    from ..control.way_back import WayBack
    from ..deployment import Deployment
    from .views import View


def whole(context: Context, found: Deployment, given: Flags) -> Deployment:
    """The deployment to the hosts that are meant; which of several environments is meant nobody guesses."""
    environments = [*found.config.environments]
    if not found.config.hosts and len(environments) > 1:
        hint = f"{found.config.typed(environments[0], 'rollback')}  (there are {', '.join(environments)})"
        raise InvalidInput("nothing was changed: no host was named, and there are several environments", hint=hint)
    return placed(context, found, given)


def ask(way: WayBack, view: View) -> None:
    """Show where a rollback goes, and go on when somebody says yes; raises as `confirming.confirm`."""
    with view.at_rest():
        confirming.confirm("\n".join(_shown(way)), "Go back?")


def _shown(way: WayBack) -> Iterator[str]:
    subject = f" “{clean(way.subject)}”" if way.subject else ""
    yield f"rollback to {short(way.release)}{subject}:"
    for host, live in way.live.items():
        now = "serves it already" if live == way.release else f"serves {short(live) or 'no release'} now"
        yield f"  {clean(host)} {now}"
