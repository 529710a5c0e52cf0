"""From a command line to what acts: flags and Fabric's context in, settings and a Deployment out."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invoke import Context

    from ..config import Config
    from ..deployment import Deployment
    from ..events import Event, Listener

Flags = Mapping[str, object]  # settings by name, as the flags of a task give them; None where a flag was not given


def flags(
    root: str | None = None,
    services: str | None = None,
    healthcheck: str | None = None,
    skip_restart: bool = False,
    skip_healthcheck: bool = False,
    parallel: str | None = None,
    wait: str | None = None,
) -> dict[str, object]:
    """What the flags of a task set."""
    return {
        "root": root,
        "services": services,
        "healthcheck.command": healthcheck,
        "skip_restart": skip_restart,
        "skip_healthcheck": skip_healthcheck,
        "parallel": parallel,
        "wait": wait,
    }


def required(value: str | None, usage: str, hint: str) -> str:
    """The value of a flag that a task cannot do without.  Raises InvalidInput."""
    from ..errors import InvalidInput
    from .typeable import typeable

    if not value:
        raise InvalidInput(f"nothing was changed: usage is  {typeable(f'fab {usage}')}", hint=hint)
    return value


def whole_number(text: str, flag: str) -> int:
    """The number that a flag gives.  Raises InvalidInput."""
    from ..errors import InvalidInput

    if len(str(text)) > 9 or not str(text).isascii() or not str(text).isdigit():
        raise InvalidInput(f"{flag} takes a whole number of at most 9 digits, not {reprlib.repr(text)}")
    return int(text)


def config(context: Context, environment: str | None, given: Flags, hosts: Sequence[str] | None = None) -> Config:
    """The settings, from the hosts and the environment that were named, files, variables and flags."""
    from ..control.context import settings_of

    tell_silent_files(context)
    return settings_of(context, environment, given, hosts)


def tell_silent_files(context: Context) -> None:
    """Say of a settings file without ``deploy:`` that the defaults hold: its settings may stand beside that key."""
    from ..config import without_settings
    from .exit_codes import tell

    for file in without_settings(context.config):
        tell(f"! {file} has no `deploy:`, so every setting is its default")


def tell_warnings(event: Event) -> None:
    """Say beside the answer what a person has to know; nothing else is heard."""
    from .exit_codes import tell

    if event.level in ("warning", "error"):
        tell(f"! {event.message}")


def deployment(
    context: Context,
    environment: str | None = None,
    given: Flags | None = None,
    *,
    listener: Listener = tell_warnings,
    verbose: bool = False,
) -> Deployment:
    """The deployment that the command line describes."""
    from ..deployment import Deployment

    tell_silent_files(context)
    return Deployment.of(context, environment=environment, flags=given, listener=listener, verbose=verbose)


def placed(context: Context, found: Deployment, given: Flags, release: str | None = None) -> Deployment:
    """The deployment, with the settings of the hosts it will go to when none were named."""
    if found.config.hosts:
        return found
    hosts = found.whereabouts(release)
    return found.with_config(config(context, None, given, hosts))


def own_application(context: Context, found: Deployment) -> str | None:
    """The application that is meant; None where the environments of the settings have several."""
    own = found.config
    places = [own] if own.environment else [own, *(config(context, name, {}, []) for name in own.environments)]
    names = {found.with_config(each).node.application for each in places}
    return names.pop() if len(names) == 1 else None


def by_environment(
    context: Context, environment: str | None, given: Flags, *, listener: Listener = tell_warnings
) -> Iterator[Deployment]:
    """The deployment for the hosts that were named; without any, one for each environment the registry has hosts of."""
    found = deployment(context, environment, given, listener=listener)
    if found.config.hosts:
        yield found
        return
    places: dict[str | None, list[str]] = {}
    for host, place in found.known_hosts().items():
        places.setdefault(place if place in found.config.environments else None, []).append(host)
    for place, hosts in (places or {None: []}).items():
        yield found.with_config(replace(config(context, place, given, []), hosts=tuple(hosts)))
