"""Logging in: which keys are offered, in which order, and what to say when none is taken.

Named identities come first, then the agent's keys (unless ``IdentitiesOnly``),
then the default key files, then the password, then none at all.  Nobody is ever asked for anything.
"""

from __future__ import annotations

import base64
import binascii
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificate,
    load_pem_private_key,
    load_ssh_private_key,
    load_ssh_public_identity,
)
from paramiko.agent import AgentSSH

from ..errors import HostUnreachable
from .target import AUTH_TIMEOUT, SshOptions, Target

_CERTIFICATE = "-cert-v01@openssh.com"


class Agent(AgentSSH):
    """The agent behind a socket; raises OSError or SSHException when it does not answer."""

    def __init__(self, path: str) -> None:
        super().__init__()
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(AUTH_TIMEOUT)
            connection.connect(path)
            self._connect(connection)  # type: ignore[attr-defined]
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Hang up."""
        self._close()  # type: ignore[attr-defined]


class Login:
    """One login on one transport: the ``auth_strategy`` of a paramiko client.

    ``key`` is the public key that was let in, as a line of authorized_keys; None for a certificate, or no key.
    """

    def __init__(self, target: Target, options: SshOptions) -> None:
        self._target = target
        self._options = options
        self._agent: Agent | None = None
        self._notes: list[str] = []
        self.key: str | None = None

    def authenticate(self, transport: paramiko.Transport) -> None:
        """Log in, or raise HostUnreachable with all that was tried."""
        try:
            self._agent = self._find_agent()
            if not (self._by_key(transport) or self._by_password(transport) or self._by_name(transport)):
                raise self._refused()
        finally:
            if self._agent:
                self._agent.close()

    def _by_key(self, transport: paramiko.Transport) -> bool:
        offered: set[bytes] = set()
        for name, key in self._keys():
            blob = key.public_blob.key_blob if key.public_blob else key.asbytes()
            if blob in offered:
                continue
            offered.add(blob)
            if key.get_name() == "ssh-rsa" and key.get_bits() < self._target.required_rsa_size:
                self._notes.append(f"{name} (shorter than RequiredRSASize)")
                continue
            with suppress(_NextKey):
                return self._offer(transport, name, key)
        return False

    def _offer(self, transport: paramiko.Transport, name: str, key: paramiko.PKey) -> bool:
        try:
            missing = transport.auth_publickey(self._target.user, key)
        except paramiko.BadAuthenticationType:
            self._notes.append("keys (the server takes none)")
            return False
        except (paramiko.SSHException, OSError, EOFError) as error:
            self._notes.append(f"{name} (refused)")
            if not transport.is_active():
                raise self._cut_off(error) from None
            raise _NextKey from None
        if missing:
            self._notes.append(f"{name} (accepted, but the server also wants {' or '.join(missing)})")
        if "publickey" in missing:
            raise _NextKey
        self.key = _line(key)
        return not missing

    def _keys(self) -> Iterator[tuple[str, paramiko.PKey]]:
        if not self._target.publickey:
            return
        for path in self._target.identities:
            yield from self._identity(path)
        if not self._target.identities_only:
            for key in self._agent_keys():
                yield from self._certified(key, self._target.certificates)
                yield f"agent key {key.comment or key.get_name()}", key
        for path in self._target.default_identities:
            yield from self._identity(path)

    def _identity(self, path: str) -> Iterator[tuple[str, paramiko.PKey]]:
        try:
            key = self._held_by_agent(path) or self._load(path)
            yield from self._certified(key, (*self._target.certificates, f"{path}-cert.pub"))
            yield path, key
        except (paramiko.SSHException, OSError, UnsupportedAlgorithm, ValueError) as error:
            self._notes.append(f"{path} ({_reason(error)})")

    def _certified(self, key: paramiko.PKey, files: Iterable[str]) -> Iterator[tuple[str, paramiko.PKey]]:
        """The key with each certificate in the files that is for it."""
        for file in filter(os.path.isfile, files):
            if self._is_for(file, key):
                key.load_certificate(file)
                yield file, key
                key.public_blob = None

    def _is_for(self, certificate: str, key: paramiko.PKey) -> bool:
        try:
            return _certified_blob(certificate) == key.asbytes()
        except (OSError, UnsupportedAlgorithm, ValueError) as error:
            self._notes.append(f"{certificate} ({_reason(error)})")
            return False

    def _load(self, path: str) -> paramiko.PKey:
        _refuse_exposed(path)
        return _load(path, self._options.passphrase)

    def _held_by_agent(self, path: str) -> paramiko.PKey | None:
        blobs = _public_blobs(path)
        return next((key for key in self._agent_keys() if key.asbytes() in blobs), None)

    def _agent_keys(self) -> tuple[paramiko.agent.AgentKey, ...]:
        keys = self._agent.get_keys() if self._agent else ()
        for key in keys:
            if key.get_name().endswith(_CERTIFICATE):
                key.load_certificate(paramiko.Message(key.blob))  # paramiko takes it for a plain key
        return keys

    def _find_agent(self) -> Agent | None:
        path = self._target.agent
        if path is None or not self._target.publickey:
            return None
        try:
            return Agent(path)
        except (paramiko.SSHException, OSError) as error:
            self._notes.append(f"the agent {path} ({_reason(error)})")
            return None

    def _by_password(self, transport: paramiko.Transport) -> bool:
        if self._options.password is None or not self._target.password:
            return False
        try:
            missing = transport.auth_password(self._target.user, self._options.password)
        except (paramiko.SSHException, OSError, EOFError):
            self._notes.append("the password (refused)")
            return False
        return not missing

    def _by_name(self, transport: paramiko.Transport) -> bool:
        """Log in with nothing, which a server may allow; asked last, because it is so rare."""
        try:
            return not transport.auth_none(self._target.user)
        except (paramiko.SSHException, OSError, EOFError):
            return False

    def _refused(self) -> HostUnreachable:
        tried = (
            "; ".join(self._notes)
            or "nothing: there is no identity file, no key in an agent and no password that may be used"
        )
        return HostUnreachable(
            f"{self._place()} refused the login; tried {tried}",
            hint="give the right key with -i or IdentityFile, add it to the agent with ssh-add,"
            " or use --prompt-for-login-password or --prompt-for-passphrase",
            host=self._target.host,
        )

    def _cut_off(self, error: Exception) -> HostUnreachable:
        return HostUnreachable(
            f"{self._place()} ended the login after {'; '.join(self._notes)}: {_reason(error)}",
            hint="a server takes only a few keys (MaxAuthTries): name the right one with -i, or with IdentityFile"
            " and IdentitiesOnly yes",
            host=self._target.host,
        )

    def _place(self) -> str:
        return f"{self._target.user}@{self._target.hostname} port {self._target.port}"


def _line(key: paramiko.PKey) -> str | None:
    """A key as authorized_keys has it; a certificate counts for a time, and its key is not let in for ever."""
    if key.public_blob or key.get_name().endswith(_CERTIFICATE):
        return None
    return f"{key.get_name()} {base64.b64encode(key.asbytes()).decode()}"


class _NextKey(Exception):
    """This key was refused, or does not suffice; another may be taken."""


def _load(path: str, passphrase: str | None) -> paramiko.PKey:
    private = _private_key(Path(path).read_bytes(), passphrase)
    # paramiko's own reader loses keys that have no comment, about every second ECDSA one.
    if isinstance(private, RSAPrivateKey):
        return paramiko.RSAKey(key=private)
    if isinstance(private, EllipticCurvePrivateKey):
        return paramiko.ECDSAKey(vals=(private, private.public_key()))
    if isinstance(private, Ed25519PrivateKey):
        plain = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        return paramiko.Ed25519Key(file_obj=StringIO(plain.decode()))
    raise paramiko.SSHException("keys of this kind are not supported")


def _private_key(data: bytes, passphrase: str | None) -> object:
    load = load_ssh_private_key if b"BEGIN OPENSSH" in data else load_pem_private_key
    try:
        return load(data, None)
    except TypeError:
        if passphrase is None:
            raise paramiko.PasswordRequiredException from None
    except ValueError:
        raise paramiko.SSHException("not a private key") from None
    try:
        return load(data, passphrase.encode())
    except ValueError:
        raise paramiko.SSHException("encrypted, and the passphrase is wrong") from None


def _refuse_exposed(path: str) -> None:
    status = Path(path).stat()
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        raise PermissionError(0, "ignored, because others can read it: chmod 600 it")


def _certified_blob(path: str) -> bytes:
    """The public key that a certificate is for; raises ValueError where the file holds none."""
    certificate = load_ssh_public_identity(Path(path).read_bytes())
    if not isinstance(certificate, SSHCertificate):
        raise ValueError(f"{path} is not a certificate")
    public = certificate.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64decode(public.split()[1])


def _public_blobs(path: str) -> set[bytes]:
    blobs = set()
    for file in (path, f"{path}.pub"):
        with suppress(OSError, UnicodeDecodeError, IndexError, binascii.Error):
            blobs.add(base64.b64decode(Path(file).read_text("ascii").split(None, 2)[1], validate=True))
    return blobs


def _reason(error: Exception) -> str:
    if isinstance(error, paramiko.PasswordRequiredException):
        return "encrypted, with no passphrase given and no agent holding it"
    if isinstance(error, OSError):
        return error.strerror or str(error) or "no answer"
    return str(error) or "the connection was closed"
