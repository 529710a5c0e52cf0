"""Where a host really is and how to log in there: what an address becomes, see ``resolving``."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

CONNECT_TIMEOUT = 10.0
BANNER_TIMEOUT = 15.0
AUTH_TIMEOUT = 30.0


@dataclass(frozen=True)
class SshOptions:
    """What the command line and Fabric's settings say about SSH; a value that never changes.

    ``config_path`` is the only ssh_config file read when given.  ``identities``
    are key files tried first.  ``password`` is for the login on the host itself,
    never for a jump host; ``passphrase`` unlocks key files.  ``connect_timeout``
    is in seconds, and wins over what ssh_config says.  ``user``, ``port``, ``usual_timeout``
    (to connect) and ``gateway`` (a ProxyCommand) are for hosts to which neither their address
    nor ssh_config gives one.  The rest are paramiko's: limits in seconds, whether the agent and
    the usual key files are tried, compression, and the algorithms that must not be used, by kind.

    >>> options = SshOptions(identities=("/home/ada/.ssh/deploy",), connect_timeout=5, password="only I know it")
    >>> "only I know it" in repr(options)
    False
    """

    config_path: str | None = None
    identities: tuple[str, ...] = ()
    password: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    connect_timeout: float | None = None
    user: str | None = None
    port: int | None = None
    gateway: str | None = None
    usual_timeout: float | None = None
    banner_timeout: float | None = None
    auth_timeout: float | None = None
    channel_timeout: float | None = None
    allow_agent: bool = True
    look_for_keys: bool = True
    compress: bool = False
    disabled_algorithms: Mapping[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Keepalive:
    """When a silent TCP connection counts as dead; all but ``probes`` in seconds."""

    idle: int = 15
    interval: int = 5
    probes: int = 3
    unacknowledged: int = 30


@dataclass(frozen=True)
class Target:
    """Everything needed to connect to one host.

    ``host`` is the name it was asked for by; ``agent`` the agent's socket;
    ``jump`` the host to go through.  ``default_identities`` are tried last, and
    only when nobody named an identity.  ``algorithms`` keeps the settings that
    restrict them, by keyword; ``required_rsa_size`` (bits) holds for both sides' keys.
    """

    host: str
    hostname: str
    port: int
    user: str
    identities: tuple[str, ...] = ()
    default_identities: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    identities_only: bool = False
    agent: str | None = None
    publickey: bool = True
    password: bool = True
    jump: Target | None = None
    proxy_command: str | None = None
    known_hosts: tuple[str, ...] = ()
    global_known_hosts: tuple[str, ...] = ()
    host_key_alias: str | None = None
    accept_new: bool = False
    hash_known_hosts: bool = False
    required_rsa_size: int = 1024
    family: socket.AddressFamily = socket.AF_UNSPEC
    connect_timeout: float = CONNECT_TIMEOUT
    banner_timeout: float = BANNER_TIMEOUT
    auth_timeout: float = AUTH_TIMEOUT
    keepalive: Keepalive = Keepalive()
    algorithms: Mapping[str, str] = field(default_factory=dict)
