"""Whether a host's key is the one that the known_hosts files promise.

The files are matched as OpenSSH does it: hashed and plain names, wildcards and
negation, ``[host]:port`` before the bare host, several keys of a type, user
files before global ones, and ``@revoked`` before everything.

Two choices differ, both to the strict side.  Nobody is ever asked, so
``StrictHostKeyChecking ask`` (the default) refuses and says what to type.  And
``no``, like ``accept-new``, accepts and records only a host of which no key is
known at all: a changed key, or a key of another type than the known ones, is
refused whatever the setting.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

import paramiko

from ..errors import HostNotTrusted
from .patterns import matches
from .target import Target

_NO_FILE = (
    "name a file in UserKnownHostsFile in ssh_config, then type the same command again: "
    "when the key is not in that file, it says how to check the key and how to add it"
)
_RSA = {"rsa-sha2-512": "ssh-rsa", "rsa-sha2-256": "ssh-rsa"}


@dataclass(frozen=True)
class Entry:
    """One line of a known_hosts file; ``key`` is the public key in wire form."""

    marker: str
    hosts: str
    key_type: str
    key: bytes
    place: str

    def names(self, host: str) -> bool:
        """True when the line is about ``host`` (in lower case, with port if it has one)."""
        if self.hosts.startswith("|1|"):
            return self._hashed(host)
        return matches(self.hosts.lower().split(","), host)

    def _hashed(self, host: str) -> bool:
        try:
            salt, digest = (base64.b64decode(part) for part in self.hosts[3:].split("|"))
        except ValueError:
            return False
        return hmac.compare_digest(hmac.digest(salt, host.encode(), "sha1"), digest)


class KnownHosts:
    """What the files say about one target."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._names = _names(target)
        self._files = target.known_hosts + target.global_known_hosts

    def preferred(self, algorithms: Sequence[str]) -> tuple[str, ...]:
        """The same host key algorithms, those of which a key is known first."""
        known: set[str] = set()
        for name in self._names:
            known = known or {entry.key_type for entry in self._entries(name) if not entry.marker}
        return tuple(sorted(algorithms, key=lambda algorithm: _RSA.get(algorithm, algorithm) not in known))

    def verify(self, key: paramiko.PKey) -> None:
        """Return if the key is trusted; raise HostNotTrusted, saying what to type, if not."""
        self._refuse_short(key)
        specific, *bare = [list(self._entries(name)) for name in self._names]
        self._refuse_revoked(key, [*specific, *chain.from_iterable(bare)])
        if _holds(specific, key):
            return
        self._refuse_changed(key, [entry for entry in specific if entry.key_type == key.get_name()], "has changed")
        if any(_holds(entries, key) for entries in bare):
            return
        self._refuse_changed(key, specific, "is of another type than the known one")
        self._refuse_authority(key, specific)
        if not self._target.accept_new:
            raise self._unknown(key)
        self._record(key)

    def _entries(self, name: str) -> Iterator[Entry]:
        for file in self._files:
            yield from (entry for entry in _entries(file) if entry.names(name))

    def _refuse_short(self, key: paramiko.PKey) -> None:
        if key.get_name() == "ssh-rsa" and key.get_bits() < self._target.required_rsa_size:
            raise self._error(
                f"its host key {_describe(key)} has only {key.get_bits()} bits",
                "give the host a longer one, or an ed25519 key; RequiredRSASize in ssh_config sets the limit",
            )

    def _refuse_revoked(self, key: paramiko.PKey, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.marker == "@revoked" and entry.key == key.asbytes():
                raise self._error(
                    f"its host key {_describe(key)} is revoked by {entry.place}",
                    "the key is known to be stolen or retired: give the host a new one, do not connect",
                )

    def _refuse_changed(self, key: paramiko.PKey, entries: list[Entry], problem: str) -> None:
        for entry in entries:
            if not entry.marker:
                file = entry.place.rpartition(":")[0]
                raise self._error(
                    f"its host key {problem}: {_describe(key)} is not what {entry.place} says;"
                    " somebody may be between you and the host",
                    "if the change is expected and the fingerprint is right: "
                    f"ssh-keygen -R {shlex.quote(self._names[0])} -f {shlex.quote(file)}, then {self._learn()}",
                )

    def _refuse_authority(self, key: paramiko.PKey, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.marker == "@cert-authority":
                raise self._error(
                    f"its host key {_describe(key)} is vouched for only by the certificate authority in {entry.place},"
                    " and host certificates are not supported",
                    f"trust the key itself: {self._learn(_plain(key))}" if self._target.known_hosts else _NO_FILE,
                )

    def _unknown(self, key: paramiko.PKey) -> HostNotTrusted:
        files = ", ".join(self._files)
        where = f"is not in {files}" if files else "and ssh_config names no known_hosts file for this host"
        compare = "compare the fingerprint with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub), then"
        hint = f"{compare} {self._learn()}" if self._target.known_hosts else _NO_FILE
        return self._error(f"its host key is not known: {_describe(key)} {where}", hint)

    def _learn(self, algorithms: str = "") -> str:
        """The command that adds the key to the user's file; ssh asks first, and takes only what the algorithms name."""
        target = self._target
        only = f"-o HostKeyAlgorithms={algorithms} " if algorithms else ""
        if target.jump or target.proxy_command or target.host_key_alias or not target.known_hosts:
            return f"ssh {only}{shlex.quote(target.host)}"
        port = f"-p {target.port} " if target.port != 22 else ""
        return f"ssh-keyscan {port}{shlex.quote(target.hostname)} >> {shlex.quote(target.known_hosts[0])}"

    def _record(self, key: paramiko.PKey) -> None:
        if not self._target.known_hosts:
            return
        file = Path(self._target.known_hosts[0])
        name = _hash(self._names[0]) if self._target.hash_known_hosts else self._names[0]
        try:
            _append(file, f"{name} {key.get_name()} {key.get_base64()}\n")
        except OSError as error:
            raise self._error(
                f"its new host key {_describe(key)} could not be recorded in {file}: {error.strerror}",
                f"make {file} writable, or add the key yourself: {self._learn()}",
            ) from None

    def _error(self, problem: str, hint: str) -> HostNotTrusted:
        target = self._target
        return HostNotTrusted(f"{target.hostname} port {target.port}: {problem}", hint=hint, host=target.host)


def _holds(entries: list[Entry], key: paramiko.PKey) -> bool:
    return any(entry.key == key.asbytes() and not entry.marker for entry in entries)


def _names(target: Target) -> tuple[str, ...]:
    if target.host_key_alias:
        return (target.host_key_alias,)
    host = target.hostname.lower()
    return (host,) if target.port == 22 else (f"[{host}]:{target.port}", host)


def _entries(file: str) -> tuple[Entry, ...]:
    try:
        status = os.stat(file)
        return _parsed(file, status.st_mtime_ns, status.st_size)
    except OSError:
        return ()


@lru_cache(maxsize=64)
def _parsed(file: str, _modified: int, _size: int) -> tuple[Entry, ...]:
    lines = Path(file).read_text("utf-8", "replace").split("\n")
    return tuple(entry for number, line in enumerate(lines, 1) if (entry := _entry(line, f"{file}:{number}")))


def _entry(line: str, place: str) -> Entry | None:
    words = line.split()
    marker = words.pop(0) if words and words[0].startswith("@") else ""
    if len(words) < 3 or words[0].startswith("#"):
        return None
    try:
        return Entry(marker, words[0], words[1], base64.b64decode(words[2], validate=True), place)
    except ValueError:  # also for what is not ASCII
        return None


def _plain(key: paramiko.PKey) -> str:
    """The algorithms by which a server shows this key, and no certificate of it."""
    return "rsa-sha2-512,rsa-sha2-256" if key.get_name() == "ssh-rsa" else key.get_name()


def _describe(key: paramiko.PKey) -> str:
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"


def _hash(name: str) -> str:
    salt = secrets.token_bytes(20)
    parts = (salt, hmac.digest(salt, name.encode(), "sha1"))
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in parts)


def _append(file: Path, line: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as stream:
        # A last line without its newline would swallow ours.
        start = b"" if not file.is_file() or file.read_bytes()[-1:] in (b"", b"\n") else b"\n"
        stream.write(start + line.encode())
