"""What Fabric's context says: the hosts that were named, and the settings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fabric import Connection

from ..config import SETTINGS, layers_of, load
from ..errors import ConfigError
from .unread_files import refuse_unread

if TYPE_CHECKING:
    from invoke import Context

    from ..config import Config

_RUNTIME = "FABRIC_RUNTIME_CONFIG"  # Fabric listens to Invoke's variable of that name alone


def hosts_of(context: Context) -> tuple[str, ...]:
    """The hosts that were named with ``-H``; a connection, where somebody made one, names its own."""
    if isinstance(context, Connection):
        return (_address(context),)
    hosts: tuple[str, ...] = getattr(context, "fleet", ())
    return hosts


def settings_of(
    context: Context, environment: str | None, flags: Mapping[str, object], hosts: Sequence[str] | None = None
) -> Config:
    """The settings of the files that Fabric read, of variables and flags, for these hosts (default: `hosts_of`).

    Raises ConfigError, also for Fabric's own variables of our settings, which would mean nothing here, and for a
    settings file that Fabric did not read.
    """
    _refuse_variables(os.environ)
    refuse_unread(context.config)
    named = hosts_of(context) if hosts is None else hosts
    return load(layers_of(context.config), os.environ, hosts=named, environment=environment, flags=flags)


def _refuse_variables(environ: Mapping[str, str]) -> None:
    ours = ", ".join(sorted(setting.variable for setting in SETTINGS if setting.variable))
    for name in sorted(environ):
        if _is_of_ours(name) or name == _RUNTIME:
            instead = (
                f"settings that have a variable: {ours}"
                if name != _RUNTIME
                else "INVOKE_RUNTIME_CONFIG does what -f does"
            )
            hint = f"unset {name}; {instead}"
            raise ConfigError(f"nothing was changed: the variable {name} is not followed", hint=hint)


def _is_of_ours(variable: str) -> bool:
    """Whether Fabric could take it for a setting below ``deploy:``; one like ``deploy_notes`` is somebody's own."""
    named = {"environments", *(setting.name.split(".")[0] for setting in SETTINGS)}
    ours = [f"FABRIC_DEPLOY_{name.upper()}" for name in named]
    return any(variable == each or variable.startswith(f"{each}_") for each in ours)


def _address(connection: Connection) -> str:
    """The host as a person names it: without what ssh_config, or else Fabric's settings, say of it anyway."""
    usual, config, host = connection.ssh_config, connection.config, connection.original_host
    user = "" if connection.user == usual.get("user", config.user) else f"{connection.user}@"
    port = "" if connection.port == int(usual.get("port", config.port)) else f":{connection.port}"
    return f"{user}[{host}]{port}" if port and ":" in host else f"{user}{host}{port}"
