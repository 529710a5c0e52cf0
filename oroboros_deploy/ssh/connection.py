"""A Fabric connection that verifies its host, limits every wait, and closes what it opened."""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import replace

import fabric
import paramiko

from ..errors import DeployError, HostUnreachable, LinkLost
from .algorithms import restrict
from .command import Command
from .dial import dial
from .known_hosts import KnownHosts
from .login import Login
from .proxy import Proxy
from .target import SshOptions, Target
from .transport import Transport
from .tunnel import PortTunnel, Tunnel

_ATTEMPTS = 3
_CLOSE_SECONDS = 2.0
_SHORTEST_SILENCE = 10.0  # a command that gives a sign of life every few seconds is not dead

_TURNED_AWAY = (
    "sshd does that when too many log in at once (MaxStartups), and for a while to an address with failed logins"
    " (PerSourcePenalties, OpenSSH 9.8 and later): wait a minute, and read the host's log: journalctl -u ssh"
)

# paramiko logs tracebacks of what we report as one line; without a handler they land on stderr.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class HostConnection(fabric.Connection):
    """A connection to one target.  Everything of Fabric works on it too."""

    _target: Target
    _options: SshOptions
    _known_hosts: KnownHosts
    _opening: threading.Lock
    _wire: socket.socket | paramiko.Channel | None = None
    _proxy: Proxy | None = None
    _login: Login | None = None
    _sftp: paramiko.SFTPClient | None

    def __init__(self, target: Target, options: SshOptions | None = None) -> None:
        options = options or SshOptions()
        # A jump host never gets to see the password of the host behind it.
        jump = HostConnection(target.jump, replace(options, password=None)) if target.jump else False
        super().__init__(
            host=target.hostname,
            user=target.user,
            port=target.port,
            # Fabric's own reading of ssh_config must add nothing to ours.
            config=fabric.Config(lazy=True, ssh_config=paramiko.SSHConfig()),
            gateway=jump,
            forward_agent=False,
        )
        self.original_host = target.host
        self._set(_target=target, _options=options, _known_hosts=KnownHosts(target), _opening=threading.Lock())
        self.client.set_missing_host_key_policy(_Verify(self._known_hosts))

    def open(self) -> None:
        """Connect and log in, unless that is done; safe to call from several threads.

        Raises HostUnreachable, HostNotTrusted or ConfigError.
        """
        with self._opening:
            for attempt in range(_ATTEMPTS):
                if self.is_connected or self._try_to_open(last=attempt == _ATTEMPTS - 1):
                    return
                # Many clients turned away at once must not come back at once.
                time.sleep((attempt + 1) * random.uniform(0.1, 0.5))  # noqa: S311

    def close(self) -> None:
        """Close the connection and all it went through; safe to repeat."""
        sftp, self._sftp = self._sftp, None
        if sftp is not None:
            with suppress(OSError, EOFError, paramiko.SSHException):
                sftp.close()
        self._hang_up()
        if self.gateway:
            self.gateway.close()

    @property
    def authorized_key(self) -> str | None:
        """The public key that the host let in, as a line of authorized_keys; None for a certificate, or no key."""
        return self._login.key if self._login else None

    def command(self, script: str, *, deadline: float, silence: float | None = None) -> Command:
        """Start ``/bin/sh -c script`` on the host, whatever the login shell; use it as a context manager.

        ``deadline`` and ``silence`` are seconds, see Command; the ServerAlive settings of
        ssh_config make a long silence shorter, down to 10 s.  Raises LinkLost when the
        connection is gone (it is not opened again), InvalidInput for a script that is too
        long, HostUnreachable when the server refuses to run commands.
        """
        if silence is not None:
            silence = min(silence, max(self._target.keepalive.unacknowledged, _SHORTEST_SILENCE))
        return Command(self._link(), script, host=self._target.host, deadline=deadline, silence=silence)

    def forward(self, host: str, port: int) -> AbstractContextManager[str]:
        """A directory with a socket ``.s.PGSQL.<port>`` that leads to ``host``:``port`` as the host sees it.

        Entering raises HostUnreachable when nothing can be reached there.
        """
        return Tunnel(self._link(), host, port, via=self._target.host)

    def forward_port(self, host: str, port: int) -> AbstractContextManager[int]:
        """A port of 127.0.0.1 that leads to ``host``:``port`` as the host sees it; raises as ``forward`` does."""
        return PortTunnel(self._link(), host, port, via=self._target.host)

    def _link(self) -> Transport:
        if not self.is_connected:
            raise LinkLost("the connection is closed", hint="connect again", host=self._target.host)
        transport: Transport = self.transport
        return transport

    def _try_to_open(self, *, last: bool) -> bool:
        try:
            self._open()
        except BaseException as error:
            problem = self._problem(error)
            self._hang_up()
            if last or not _passing(error):
                raise problem from None
            return False
        return True

    def _open(self) -> None:
        target = self._target
        self._wire = self._dial()
        self._login = Login(target, self._options)
        self.client.connect(
            target.hostname,
            target.port,
            target.user,
            sock=self._wire,
            timeout=target.banner_timeout,
            banner_timeout=target.banner_timeout,
            auth_timeout=target.auth_timeout,
            channel_timeout=self._options.channel_timeout,
            compress=self._options.compress,
            transport_factory=self._new_transport,
            auth_strategy=self._login,
        )
        self.transport = self.client.get_transport()
        # Not detection, which is the socket's business, but it keeps an idle address translation alive.
        self.transport.set_keepalive(target.keepalive.idle)

    def _new_transport(self, sock: socket.socket | paramiko.Channel, **_: object) -> Transport:
        transport = Transport(sock, disabled_algorithms=self._options.disabled_algorithms)
        restrict(transport, self._target.algorithms)
        security = transport.get_security_options()
        # A host known by its RSA key only must be asked for that one.
        security.key_types = self._known_hosts.preferred(security.key_types)
        return transport

    def _dial(self) -> socket.socket | paramiko.Channel:
        if self.gateway:
            return self._dial_through(self.gateway)
        if self._target.proxy_command:
            self._proxy = Proxy(self._target.proxy_command)
            return self._proxy.socket
        return dial(self._target)

    def _dial_through(self, jump: HostConnection) -> paramiko.Channel:
        jump.open()
        target = self._target
        try:
            return jump._link().open_channel(
                "direct-tcpip", (target.hostname, target.port), ("127.0.0.1", 0), timeout=target.connect_timeout
            )
        except (paramiko.SSHException, OSError, EOFError) as error:
            reason = error.text if isinstance(error, paramiko.ChannelException) else str(error) or "the link is gone"
            raise HostUnreachable(
                f"{target.hostname} port {target.port} cannot be reached from {jump.original_host}: {reason}",
                hint=f"try it there: ssh {jump.original_host} nc -vz {target.hostname} {target.port}",
                host=target.host,
            ) from None

    def _problem(self, error: BaseException) -> BaseException:
        if isinstance(error, DeployError) or not isinstance(error, (paramiko.SSHException, OSError, EOFError)):
            return error
        target = self._target
        complaint = self._proxy.complaint() if self._proxy else ""
        reason = f"ProxyCommand said: {complaint}" if complaint else _reason(error, target)
        return HostUnreachable(
            f"{target.hostname} port {target.port} does not talk SSH with us: {reason}",
            hint=_TURNED_AWAY if _passing(error) and not complaint else f"compare with: ssh -v {target.host} true",
            host=target.host,
        )

    def _hang_up(self) -> None:
        transport, self.transport = self.client.get_transport(), None
        if self._wire is not None:
            with suppress(OSError, EOFError):  # only this wakes the transport's thread, which looks ten times a second
                self._wire.shutdown(socket.SHUT_RDWR)
        with suppress(OSError, EOFError, paramiko.SSHException):
            self.client.close()
        if self._wire is not None:
            # A transport that died by itself leaves its socket open.
            self._wire.close()
        if transport is not None:
            # Ends the timer thread that a failed handshake leaves behind.
            transport.packetizer.complete_handshake()
            transport.join(_CLOSE_SECONDS)
        if self._proxy is not None:
            self._proxy.close()
        self._wire = self._proxy = None


class _Verify(paramiko.MissingHostKeyPolicy):
    """Asks our files about every key: the client itself knows none."""

    def __init__(self, known_hosts: KnownHosts) -> None:
        self._known_hosts = known_hosts

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        self._known_hosts.verify(key)


def _passing(error: BaseException) -> bool:
    # What a busy sshd does (MaxStartups) or one that is just being restarted; a timeout is not among it.
    turned_away = (EOFError, ConnectionResetError, BrokenPipeError)
    return isinstance(error, turned_away) or isinstance(error.__context__, turned_away)


def _reason(error: Exception, target: Target) -> str:
    if isinstance(error.__context__, TimeoutError) or "No existing session" in str(error):
        return f"no SSH handshake within {target.banner_timeout:g} s"
    if _passing(error):
        return "the connection was closed during the handshake"
    return str(error)
