"""Where a host really is and how to log in there: the resolved form of an address."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from ..errors import ConfigError, InvalidInput
from . import directives
from .address import Address
from .ssh_config import Setting, SshConfig
from .tokens import expand, expand_path

CONNECT_TIMEOUT = 10.0
BANNER_TIMEOUT = 15.0
AUTH_TIMEOUT = 30.0
_MAX_JUMPS = 8

_USER_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_GLOBAL_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_DEFAULT_IDENTITIES = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
_FAMILIES = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}
_ALGORITHMS = ("ciphers", "macs", "kexalgorithms", "hostkeyalgorithms", "pubkeyacceptedalgorithms")
_YES_NO = {"yes": True, "true": True, "no": False, "false": False}
# What to do with a key that no file knows; a key that contradicts a file is never accepted.
_ACCEPT_NEW = {"yes": False, "true": False, "ask": False, "accept-new": True, "no": True, "off": True, "false": True}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

T = TypeVar("T")


@dataclass(frozen=True)
class SshOptions:
    """What the command line says about SSH.

    ``config_path`` is the only ssh_config file read when given.  ``identities``
    are key files tried first.  ``password`` is for the login on the host itself,
    never for a jump host; ``passphrase`` unlocks key files.  ``connect_timeout``
    is in seconds.
    """

    config_path: str | None = None
    identities: tuple[str, ...] = ()
    password: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    connect_timeout: float | None = None


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
    keepalive: Keepalive = Keepalive()
    algorithms: Mapping[str, Setting] = field(default_factory=dict)


def resolve(host: str, options: SshOptions | None = None) -> Target:
    """Find out where ``host`` is and how to log in, from the ssh_config files.

    Raises InvalidInput when ``host`` is not a host, and ConfigError, naming file
    and line, for a setting that cannot be followed.
    """
    return _resolve(Address.parse(host), options or SshOptions())


def _resolve(address: Address, options: SshOptions, depth: int = 0, hops: list[str] | None = None) -> Target:
    if depth > _MAX_JUMPS:
        raise ConfigError(f"ProxyJump for {address.host} goes through more than {_MAX_JUMPS} hosts")
    config = SshConfig(address, options.config_path)
    directives.check(config)
    target = _read(config, address, options)
    if hops is None:
        hops = _hops(config, address)
    if not hops:
        return target
    # The way to the last hop leads through those before it, and only the first decides for itself.
    jump = _resolve(_hop(hops[-1], config), options, depth + 1, hops[:-1] or None)
    return replace(target, jump=jump, proxy_command=None)


def _hops(config: SshConfig, address: Address) -> list[str]:
    setting = config.get("proxyjump")
    if setting is None or setting.value.lower() == "none":
        return []
    hops = expand(setting.value, config.names()).split(",")
    # "Host *" with a ProxyJump also matches the jump host itself, which is reached directly.
    return [] if _hop(hops[-1], config).host == address.host else hops


def _hop(text: str, config: SshConfig) -> Address:
    try:
        return Address.parse(text.removeprefix("ssh://"))
    except InvalidInput as error:
        setting = config.get("proxyjump")
        raise setting.error(error.message) if setting else error from None


def _read(config: SshConfig, address: Address, options: SshOptions) -> Target:
    names = config.names()
    alias = config.get("hostkeyalias")
    identities = _identities(config, options, names)
    timeout = options.connect_timeout or _value(config, "connecttimeout", _duration, None)
    return Target(
        host=address.host,
        hostname=names["h"],
        port=_port(config, address),
        user=names["r"],
        identities=identities,
        default_identities=() if identities or config.identities else tuple(_existing(_DEFAULT_IDENTITIES)),
        identities_only=_flag(config, "identitiesonly", False),
        agent=_agent(config, names),
        publickey=_flag(config, "pubkeyauthentication", True) and _preferred(config, "publickey"),
        password=_password(config),
        proxy_command=_proxy_command(config, names),
        known_hosts=_files(config, "userknownhostsfile", _USER_KNOWN_HOSTS, names),
        global_known_hosts=_files(config, "globalknownhostsfile", _GLOBAL_KNOWN_HOSTS, names),
        host_key_alias=alias.value.lower() if alias else None,
        accept_new=_value(config, "stricthostkeychecking", _ACCEPT_NEW.__getitem__, False),
        hash_known_hosts=_flag(config, "hashknownhosts", False),
        required_rsa_size=_value(config, "requiredrsasize", int, 1024),
        family=_value(config, "addressfamily", _FAMILIES.__getitem__, socket.AF_UNSPEC),
        connect_timeout=timeout or CONNECT_TIMEOUT,
        banner_timeout=min(timeout or BANNER_TIMEOUT, BANNER_TIMEOUT),
        keepalive=_keepalive(config),
        algorithms={keyword: setting for keyword, setting in config if keyword in _ALGORITHMS},
    )


def _value(config: SshConfig, keyword: str, read: Callable[[str], T], default: T) -> T:
    setting = config.get(keyword)
    if setting is None:
        return default
    try:
        return read(setting.value.lower())
    except (KeyError, ValueError):
        raise setting.error("this value is not understood") from None


def _flag(config: SshConfig, keyword: str, default: bool) -> bool:
    return _value(config, keyword, _YES_NO.__getitem__, default)


def _port(config: SshConfig, address: Address) -> int:
    port = address.port or _value(config, "port", int, 22)
    if not 1 <= port <= 65535:
        raise ConfigError(f"{address.host}: {port} is not a port")
    return port


def _duration(text: str) -> float | None:
    if text == "none":
        return None
    parts = re.findall(r"([0-9]+)([smhdw]?)", text)
    if "".join(map("".join, parts)) != text or not parts:
        raise ValueError(text)
    return float(sum(int(number) * _SECONDS[unit] for number, unit in parts))


def _keepalive(config: SshConfig) -> Keepalive:
    interval = int(_value(config, "serveraliveinterval", _duration, None) or 0)
    probes = _value(config, "serveralivecountmax", int, 3)
    if interval <= 0:
        return Keepalive()
    return Keepalive(interval, interval, max(probes, 1), interval * max(probes, 1))


def _identities(config: SshConfig, options: SshOptions, names: Mapping[str, str]) -> tuple[str, ...]:
    given = [str(Path(identity).expanduser()) for identity in options.identities]
    configured = [expand_path(line.value, names) for line in config.identities if line.value.lower() != "none"]
    return tuple(dict.fromkeys(given + configured))


def _existing(files: tuple[str, ...]) -> list[str]:
    paths = [Path(file).expanduser() for file in files]
    return [str(path) for path in paths if path.is_file()]


def _agent(config: SshConfig, names: Mapping[str, str]) -> str | None:
    setting = config.get("identityagent")
    if setting is None or setting.value == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK") or None
    if setting.value.lower() == "none":
        return None
    if setting.value.startswith("$") and not setting.value.startswith("${"):
        return os.environ.get(setting.value[1:]) or None
    return expand_path(setting.value, names)


def _preferred(config: SshConfig, method: str) -> bool:
    setting = config.get("preferredauthentications")
    return setting is None or method in setting.value.lower().split(",")


def _password(config: SshConfig) -> bool:
    methods = {"password": "passwordauthentication", "keyboard-interactive": "kbdinteractiveauthentication"}
    return any(_preferred(config, method) and _flag(config, keyword, True) for method, keyword in methods.items())


def _proxy_command(config: SshConfig, names: Mapping[str, str]) -> str | None:
    setting = config.get("proxycommand")
    if setting is None or setting.value.lower() == "none":
        return None
    return expand(setting.value, names)


def _files(config: SshConfig, keyword: str, default: tuple[str, ...], names: Mapping[str, str]) -> tuple[str, ...]:
    setting = config.get(keyword)
    words = setting.words if setting else default
    return tuple(expand_path(word, names) for word in words if word.lower() != "none")
