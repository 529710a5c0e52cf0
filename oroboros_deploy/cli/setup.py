"""What `setup` shows and asks: all actions before they are done, a yes, and the password of sudo."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from getpass import getpass
from typing import TYPE_CHECKING

from ..config.checks import address
from ..errors import DeployError, InvalidInput
from ..text import clean
from .arguments import deployment
from .arguments import flags as settings
from .confirming import confirm
from .exit_codes import tell
from .running import answered
from .typeable import typeable

if TYPE_CHECKING:
    from invoke import Context

    from ..config import Config
    from ..control.setup import Agree, Plans, SetupAnswer
    from ..deployment import Answers
    from ..events import Event

_UNCHECKED = "setup ended before it checked this host, because another host failed; nothing was changed on it"


def run(
    context: Context,
    login: str | None,
    environment: str | None,
    root: str | None,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    least_privilege: bool = False,
) -> None:
    """Make the hosts ready that the command line names, and say what came of it."""
    hosts = deployment(context, environment, settings(root), listener=_tell_step)
    agree: Agree = partial(_say, as_json=as_json) if yes else _ask
    answers = hosts.setup(
        login=login, least_privilege=least_privilege, agree=None if dry_run else agree, password=password
    )
    answered(answers, partial(table, hosts.config, login), as_json)


def _tell_step(event: Event) -> None:
    """Say each action as it begins."""
    if event.name == "setup.step":
        tell(f"{event.host}: {event.message} …")


def password(hosts: Sequence[str]) -> str:
    """What somebody types at the terminal, unseen.  Raises InvalidInput where nobody can be asked."""
    names = ", ".join(map(clean, hosts))
    if sys.stdin is None or not sys.stdin.isatty():
        what = f"nothing was changed: sudo asks for a password on {names}, and there is no terminal to ask on"
        raise InvalidInput(what, hint="run it on a terminal, or log in as root")
    return getpass(f"password for sudo on {names}: ")


def _ask(plans: Plans) -> None:
    confirm(shown(plans), "Do all this?")


def _say(plans: Plans, *, as_json: bool) -> None:
    if not as_json:
        tell(shown(plans))


def shown(plans: Plans) -> str:
    """All actions on each host: why, and the command that root runs."""
    return "\n".join(line for host, plan in plans.items() for line in _actions(host, plan))


def _actions(host: str, plan: SetupAnswer) -> Iterator[str]:
    yield f"{host} ({plan['system']}), for deploys as {plan['login']}; root does there:"
    for action in plan["actions"]:
        yield f"  {action['reason']}"
        yield from (f"    {line}" for line in action["command"].splitlines())


def table(config: Config, login: str | None, answers: Answers[SetupAnswer]) -> str:
    """Each host: whether it is ready, what was done or would be, what is left to a person; then what comes next."""
    lines = [line for host, answer in answers.items() for line in _told(host, answer)]
    ready = {host: each for host, each in answers.items() if not isinstance(each, DeployError) and each["ready"]}
    return "\n".join([*lines, *_next(config, login, ready)])


def _told(host: str, answer: SetupAnswer | DeployError) -> Iterator[str]:
    if isinstance(answer, DeployError):
        yield f"{host}: {answer.message}"
        return
    number = len(answer["actions"])
    if not answer["ready"]:
        yield from _actions(host, answer) if number else [f"{host}: {_UNCHECKED}"]
    elif number:
        yield f"{host}: ready; {number} action{'s' if number > 1 else ''} done"
    else:
        yield f"{host}: ready; nothing to do"
    yield from (f"  ! {note}" for note in answer["notes"])


def _next(config: Config, login: str | None, ready: Mapping[str, SetupAnswer]) -> Iterator[str]:
    """The first deploy, as the login that it needs."""
    if ready:
        names = ",".join(_as_login(host, each["login"], named=login is not None) for host, each in ready.items())
        yield typeable(f"→ {config.typed(names, 'deploy --sha=HEAD')}")


def _as_login(host: str, login: str, *, named: bool) -> str:
    return f"{login}@{address(host)}" if named or "@" in host else host
