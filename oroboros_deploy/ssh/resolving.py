"""From a host as a person writes it to a target, by what ssh_config says."""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import replace

from ..errors import ConfigError, InvalidInput
from ..user import user_name
from . import directives, without_openssh
from .address import Address
from .answer import Answer
from .openssh import NoOpenSsh, Question, Usual
from .target import AUTH_TIMEOUT, BANNER_TIMEOUT, CONNECT_TIMEOUT, Keepalive, SshOptions, Target
from .tokens import Names, expand, expand_path, home, names, tilde

_MAX_JUMPS = 8

_DEFAULT_IDENTITIES = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")  # where no ssh names its own
_USER_KNOWN_HOSTS = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
_GLOBAL_KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"
_FAMILIES = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}
_ALGORITHMS = ("Ciphers", "MACs", "KexAlgorithms", "HostKeyAlgorithms", "PubkeyAcceptedAlgorithms")
_YES_NO = {"yes": True, "true": True, "no": False, "false": False}
_PUBLIC_KEYS = {**_YES_NO, "unbound": True, "host-bound": True}
# What to do with a key that no file knows; a key that contradicts a file is never accepted.
_ACCEPT_NEW = {"yes": False, "true": False, "ask": False, "accept-new": True, "no": True, "off": True, "false": True}
# ssh prints several file names in one line and no quotes: a name begins where something like this does.
_NEXT_FILE = re.compile(r"\s+(?=[/~%$])")

Warn = Callable[[str], None]
_usual = Usual()
_warned = threading.Event()


class Inquiry:
    """What becomes of one host: ssh is asked at once, in a process of its own, and answers when ``target`` wants it."""

    def __init__(self, host: str, options: SshOptions | None = None, warn: Warn | None = None) -> None:
        """Raises InvalidInput when ``host`` is not a host; ``warn`` hears, once a process, that there is no ssh."""
        self._options = options or SshOptions()
        self._warn = warn or logging.getLogger(__name__).warning
        self._way = _Way(Address.parse(host), self._options)

    def target(self) -> Target:
        """Where the host is and how to log in; raises ConfigError for a setting that cannot be followed."""
        target = self._way.target()
        if self._way.without_openssh and not _warned.is_set():
            _warned.set()
            self._warn(without_openssh.WARNING)
        return target


def resolve(host: str, options: SshOptions | None = None) -> Target:
    """Find out where ``host`` is and how to log in there.

    Raises InvalidInput when ``host`` is not a host, and ConfigError for a setting that cannot be followed.
    """
    return Inquiry(host, options).target()


class _Way:
    """One address, and ``jump``: the hosts that were named to go through, instead of those in the files."""

    def __init__(self, address: Address, options: SshOptions, jump: str | None = None, depth: int = 0) -> None:
        if depth > _MAX_JUMPS:
            what = f"ProxyJump leads through more than {_MAX_JUMPS} hosts, {address.host} among them"
            hint = f"ssh -G {address.host}  shows its ProxyJump; look for hosts that jump through each other"
            raise ConfigError(what, hint=hint)
        self._address, self._options, self._jump, self._depth = address, options, jump, depth
        self._question = self._ask()
        self.without_openssh = self._question is None

    def target(self) -> Target:
        answer = self._answer()
        directives.check(answer)
        hops = _hops(answer)
        target, tokens = _read(answer, self._address, self._options, hops)
        if not hops:
            return target
        *before, last = expand(",".join(hops), tokens).split(",")
        try:
            address = Address.parse(last.removeprefix("ssh://"))
        except InvalidInput as error:
            raise answer.error("ProxyJump", error.message) from None
        # The way to the last hop leads through those before it, and only the first decides for itself.
        way = _Way(address, self._options, ",".join(before) or None, self._depth + 1)
        return replace(target, jump=way.target(), proxy_command=None)

    def _ask(self) -> Question | None:
        """The question put to ssh; None where nobody can be asked."""
        try:
            _usual.ask()
            return Question(self._address.host, [*self._files(), *self._flags()])
        except NoOpenSsh:
            return None

    def _answer(self) -> Answer:
        if self._question is None:
            return without_openssh.answer(self._address, self._config_path(), self._jump)
        return Answer(self._address.host, self._question.answer(), _usual.ask().answer())

    def _files(self) -> list[str]:
        path = self._config_path()
        return [] if path is None else ["-F", path]

    def _flags(self) -> list[str]:
        given = {"-l": self._address.user, "-p": self._address.port, "-J": self._jump}
        return [word for flag, value in given.items() if value for word in (flag, str(value))]

    def _config_path(self) -> str | None:
        path = self._options.config_path
        return None if path is None else tilde(path)


def _hops(answer: Answer) -> list[str]:
    jump = answer.get("ProxyJump") or "none"
    return [] if jump.lower() == "none" else jump.split(",")


def _read(answer: Answer, address: Address, options: SshOptions, hops: list[str]) -> tuple[Target, Names]:
    alias = answer.get("HostKeyAlias")
    hostname = answer.get("HostName") or address.host
    port = address.port or _port(answer, options)
    user = address.user or answer.chosen("User") or options.user or answer.get("User") or user_name()
    tokens = names(host=address.host, hostname=hostname, port=port, user=user, alias=alias, hops=hops)
    identities = _identities(answer, options, tokens)
    timeout = options.connect_timeout or answer.value("ConnectTimeout", _seconds, None) or options.usual_timeout
    target = Target(
        host=address.host,
        hostname=hostname,
        port=port,
        user=user,
        identities=identities,
        default_identities=_default_identities(answer, options) if not identities else (),
        certificates=_paths(answer, "CertificateFile", tokens),
        identities_only=_flag(answer, "IdentitiesOnly", False),
        agent=_agent(answer) if options.allow_agent else None,
        publickey=answer.value("PubkeyAuthentication", _PUBLIC_KEYS.__getitem__, True)
        and _preferred(answer, "publickey"),
        password=_password(answer),
        proxy_command=_proxy_command(answer, options, tokens),
        known_hosts=tuple(map(tilde, _files(answer, "UserKnownHostsFile", _USER_KNOWN_HOSTS if home() else "none"))),
        global_known_hosts=_files(answer, "GlobalKnownHostsFile", _GLOBAL_KNOWN_HOSTS),
        host_key_alias=alias.lower() if alias else None,
        accept_new=answer.value("StrictHostKeyChecking", _ACCEPT_NEW.__getitem__, False),
        hash_known_hosts=_flag(answer, "HashKnownHosts", False),
        required_rsa_size=answer.value("RequiredRSASize", int, 1024),
        family=answer.value("AddressFamily", _FAMILIES.__getitem__, socket.AF_UNSPEC),
        connect_timeout=timeout or CONNECT_TIMEOUT,
        banner_timeout=options.banner_timeout or min(timeout or BANNER_TIMEOUT, BANNER_TIMEOUT),
        auth_timeout=options.auth_timeout or AUTH_TIMEOUT,
        keepalive=_keepalive(answer),
        algorithms={keyword: text for keyword in _ALGORITHMS if (text := answer.chosen(keyword)) is not None},
    )
    return target, tokens


def _flag(answer: Answer, keyword: str, default: bool) -> bool:
    return answer.value(keyword, _YES_NO.__getitem__, default)


def _port(answer: Answer, options: SshOptions) -> int:
    port = options.port if options.port and not answer.is_set("Port") else answer.value("Port", int, 22)
    if not 1 <= port <= 65535:
        raise answer.error("Port", "this is not a port")
    return port


def _seconds(text: str) -> float | None:
    return None if text == "none" else float(text)


def _keepalive(answer: Answer) -> Keepalive:
    interval = int(answer.value("ServerAliveInterval", _seconds, None) or 0)
    probes = answer.value("ServerAliveCountMax", int, 3)
    if interval <= 0:
        return Keepalive()
    return Keepalive(interval, interval, max(probes, 1), interval * max(probes, 1))


def _identities(answer: Answer, options: SshOptions, tokens: Names) -> tuple[str, ...]:
    configured = _paths(answer, "IdentityFile", tokens) if answer.is_set("IdentityFile") else ()
    return tuple(dict.fromkeys([*map(tilde, options.identities), *configured]))


def _paths(answer: Answer, keyword: str, tokens: Names) -> tuple[str, ...]:
    return tuple(expand_path(file, tokens) for file in answer.all(keyword) if file.lower() != "none")


def _default_identities(answer: Answer, options: SshOptions) -> tuple[str, ...]:
    if home() is None or answer.is_set("IdentityFile") or not options.look_for_keys:
        return ()
    paths = map(tilde, answer.all("IdentityFile") or _DEFAULT_IDENTITIES)
    return tuple(path for path in paths if os.path.isfile(path))  # False, too, in a directory that is another user's


def _agent(answer: Answer) -> str | None:
    path = answer.get("IdentityAgent") or "SSH_AUTH_SOCK"
    if path.lower() == "none":
        return None
    if path == "SSH_AUTH_SOCK" or path.startswith("$"):
        return os.environ.get(path.lstrip("$")) or None
    return tilde(path)


def _preferred(answer: Answer, method: str) -> bool:
    methods = answer.get("PreferredAuthentications")
    return methods is None or method in methods.lower().split(",")


def _password(answer: Answer) -> bool:
    methods = {"password": "PasswordAuthentication", "keyboard-interactive": "KbdInteractiveAuthentication"}
    return any(_preferred(answer, method) and _flag(answer, keyword, True) for method, keyword in methods.items())


def _proxy_command(answer: Answer, options: SshOptions, tokens: Names) -> str | None:
    command = answer.get("ProxyCommand") or options.gateway or "none"
    return None if command.lower() == "none" else expand(command, tokens)


def _files(answer: Answer, keyword: str, default: str) -> tuple[str, ...]:
    text = answer.get(keyword) or default
    parts = _NEXT_FILE.split(text) if text[0] in "/~%$" else text.split()
    return tuple(part for part in parts if part.lower() != "none")
