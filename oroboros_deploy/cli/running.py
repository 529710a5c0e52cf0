"""How a task runs: its hosts are ours to connect, it prints one answer, and it ends with one exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from json import dumps
from typing import TYPE_CHECKING, Any, TypeVar

from fabric import task as fabric_task
from invoke import Context, Exit

from . import arguments, program

if TYPE_CHECKING:
    from ..deployment import Answers, Deployment
    from ..errors import DeployError
    from ..events import Event
    from ..host.contract import AuditAnswer
    from ..outcome import Kind, Outcome
    from .views import View

T = TypeVar("T")


def task(**options: Any) -> Callable[[Callable[..., None]], Any]:
    """A task whose hosts are ours to connect, and whose errors are messages with an exit code."""
    help = {name.replace("-", "_"): text for name, text in options.pop("help").items()}

    def decorate(body: Callable[..., None]) -> Any:
        @wraps(body)
        def guarded(context: Context, *args: Any, **kwargs: Any) -> None:
            with program.bytecode_kept():
                from .exit_codes import exit_codes

                with exit_codes(as_json=kwargs.get("json", False)):
                    body(context, *args, **kwargs)

        return fabric_task(klass=program.FleetTask, auto_shortflags=False, help=help, **options)(guarded)

    return decorate


def attempt(
    context: Context,
    kind: Kind,
    environment: str | None,
    flags: arguments.Flags,
    as_json: bool,
    verbose: bool,
    act: Callable[[Deployment, View], Outcome],
) -> None:
    """Run an attempt under a view of its events, then say what came of it; ``act`` may ask somebody meanwhile."""
    from ..events import fan_out
    from . import views
    from .interrupts import unheard
    from .unforeseen import Switches, caught

    outcome, switches = None, Switches()
    with caught(switches):
        try:
            with views.view(sys.stdout, as_json, kind, None, verbose=verbose) as view:
                listener = fan_out(switches, view)
                hosts = arguments.deployment(context, environment, flags, listener=listener, verbose=verbose)
                switches.typed = hosts.config.typed
                outcome = act(hosts, view)
                unheard()
        except KeyboardInterrupt:
            if outcome is None:
                raise
        _tell_outcome(outcome, as_json, switches.typed)


def _tell_outcome(outcome: Outcome, as_json: bool, typed: Callable[[str, str], str]) -> None:
    from . import summary

    if not as_json:
        told = [summary.table(outcome)] if len(outcome.hosts) > 1 else []
        show("\n".join([*told, summary.summary(outcome, typed)]), marks=True)
    if outcome.exit_code:
        raise Exit(code=int(outcome.exit_code))


def answered(answers: Answers[T], table: Callable[[Answers[T]], str], as_json: bool) -> None:
    """Show what the hosts answered; when one could not, or answered what is no answer, that is how the command ends."""
    from . import tables

    answers = {host: _understood(host, answer, table) for host, answer in answers.items()}
    show(tables.answers_json(answers) if as_json else table(answers))
    refuse_failures(answers)


def refuse_failures(answers: Answers[T]) -> None:
    """Raise the first error that a host answered with."""
    for answer in answers.values():
        if isinstance(answer, Exception):
            raise answer


def _understood(host: str, answer: T | DeployError, table: Callable[[Answers[T]], str]) -> T | DeployError:
    """The answer, or an error when it cannot be shown: the other hosts are told of all the same."""
    from ..errors import HostUnreachable
    from ..text import ssh_line

    try:
        table({host: answer})
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        said = (
            f"this host's answer cannot be shown: a value in it is missing or wrong ({type(error).__name__}: {error})"
        )
        hint = f"see whether a file in .deploy, in the deploy root, was changed by hand: {ssh_line(host)}"
        return HostUnreachable(said, hint=hint, host=host)
    return answer


def refuse_damage(deployment: Deployment, answers: Answers[AuditAnswer]) -> None:
    """End as a matter for a person when a journal is not what was written."""
    from ..errors import DeployError, JournalDamaged

    for host, answer in answers.items():
        wrong = None if isinstance(answer, DeployError) else answer["wrong"]
        if wrong:
            seen = deployment.node.journal_heads.path(host, deployment.config.root)
            anew = f"; if the host was set up anew: rm {seen}" if seen.exists() else ""
            raise JournalDamaged(
                f"line {wrong['line']} of the journal {wrong['what']}", hint=f"find out who did that{anew}", host=host
            )


def tell_pruned(event: Event) -> None:
    """Show each release, and each tool of earlier builds, as it is removed."""
    if event.name in ("pruned", "swept"):
        show(f"{event.host}: {event.message}")
    else:
        arguments.tell_warnings(event)


def tell_progress(event: Event) -> None:
    """Say beside the answer what goes on."""
    from .exit_codes import tell

    if event.level != "detail":
        tell(event.message)


def show(text: str, *, marks: bool = False) -> None:
    """Print the answer of a command; each line is cleaned, for some of it may come from a host.

    With ``marks`` a terminal shows the marks that lines begin with in their colours.
    """
    from ..text import plain
    from .stream import in_color, write

    shown = plain(text)
    if marks and in_color(sys.stdout, os.environ):
        from .steps import painted

        shown = "\n".join(map(painted, shown.split("\n")))
    write(sys.stdout, f"{shown}\n")


def print_json(value: object) -> None:
    """Print a value as JSON, for people too."""
    show(dumps(value, indent=2))
