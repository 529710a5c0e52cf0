"""What Fabric's context says: the hosts that were named, the settings, and how to log in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fabric import Connection

from ..config import layers_of, load
from ..errors import ConfigError

if TYPE_CHECKING:
    from invoke import Context

    from ..config import Config
    from ..ssh import SshOptions


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

    Raises ConfigError.
    """
    named = hosts_of(context) if hosts is None else hosts
    return load(layers_of(context.config), os.environ, hosts=named, environment=environment, flags=flags)


def ssh_options_of(context: Context) -> SshOptions:
    """What Fabric's command line and settings say about logging in: -i, -S, -t, the prompts; user, port, key files."""
    from ..ssh import SshOptions

    given = context.config
    keywords = given.get("connect_kwargs", {})
    files = keywords.get("key_filename") or ()
    identities = (
        *given.get("authentication", {}).get("identities", ()),
        *([files] if isinstance(files, str) else files),
    )
    return SshOptions(
        config_path=given.get("ssh_config_path") or getattr(given, "_runtime_ssh_path", None),
        identities=tuple(map(str, identities)),
        password=keywords.get("password"),
        passphrase=keywords.get("passphrase"),
        connect_timeout=keywords.get("timeout") or given.get("timeouts", {}).get("connect"),
        user=None if given.get("user") is None else str(given["user"]),
        port=_port(given.get("port")),
    )


def _port(value: Any) -> int | None:
    if value is None or (str(value).isdecimal() and 1 <= int(value) <= 65535):
        return None if value is None else int(value)
    raise ConfigError(f"nothing was changed: fabric.yaml: {value!r} is not a port")


def _address(connection: Connection) -> str:
    """The host as a person names it: without what ssh_config, or else Fabric's settings, say of it anyway."""
    usual, config, host = connection.ssh_config, connection.config, connection.original_host
    user = "" if connection.user == usual.get("user", config.user) else f"{connection.user}@"
    port = "" if connection.port == int(usual.get("port", config.port)) else f":{connection.port}"
    return f"{user}[{host}]{port}" if port and ":" in host else f"{user}{host}{port}"
