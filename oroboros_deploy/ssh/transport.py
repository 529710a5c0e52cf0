"""The SSH protocol layer, with what paramiko leaves out: signals, and messages that need not wait for an answer."""

from __future__ import annotations

import signal
import socket
import struct
import threading
from collections.abc import Mapping
from types import MappingProxyType

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.common import MSG_CHANNEL_REQUEST, cMSG_CHANNEL_OPEN, cMSG_CHANNEL_REQUEST

_FIRST = struct.pack(">cI7sI", cMSG_CHANNEL_OPEN, 7, b"session", 0)  # how the opening of the first channel begins


def _channel_request(channel: paramiko.Channel, message: paramiko.Message) -> None:
    start = message.packet.tell()
    if message.get_text() != "exit-signal":
        message.packet.seek(start)
        channel._handle_request(message)  # type: ignore[attr-defined]
        return
    message.get_boolean()
    channel.exit_status = 128 + _number(message.get_text())
    channel.status_event.set()


def _number(name: str) -> int:
    # An unknown name still must not look like an exit status of the command's own.
    return signal.Signals.__members__.get(f"SIG{name}", signal.SIGKILL).value


class _AuthAhead(AuthHandler):
    """Sends the login right behind the request for the service: answered in order, both cost one round trip."""

    def _request_auth(self) -> None:
        super()._request_auth()  # type: ignore[misc]
        accepted = paramiko.Message()
        accepted.add_string("ssh-userauth")
        super()._parse_service_accept(paramiko.Message(accepted.asbytes()))  # type: ignore[misc]

    def _parse_service_accept(self, message: paramiko.Message) -> None:
        """What it would start is under way."""


class Transport(paramiko.Transport):
    """A paramiko transport on which a command killed by a signal has the status 128 + n."""

    _channel_handler_table = {  # noqa: RUF012 - paramiko's own table, extended
        **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]
        MSG_CHANNEL_REQUEST: _channel_request,
    }

    def __init__(
        self,
        sock: socket.socket | paramiko.Channel,
        disabled_algorithms: Mapping[str, list[str]] = MappingProxyType({}),
    ) -> None:
        super().__init__(sock, disabled_algorithms=disabled_algorithms)
        self._opening = threading.Lock()
        self._behind: str | None = None  # the command to be sent right behind the opening of its channel
        self._first: paramiko.Channel | None = None  # the channel whose command was sent like that

    def auth_publickey(self, username: str, key: paramiko.PKey, event: threading.Event | None = None) -> list[str]:
        """Log in with a key, as the base class does, but in one round trip instead of two."""
        # Which hash an RSA key may sign with is in a message that the server's first answer may still be behind.
        if event or "rsa" in key.get_name() or not self.is_active() or not self.initial_kex_done:
            return super().auth_publickey(username, key, event)
        answered = threading.Event()
        self.auth_handler = _AuthAhead(self)
        self.auth_handler.auth_publickey(username, key, answered)
        missing: list[str] = self.auth_handler.wait_for_response(answered)
        return missing

    def send_signal(self, channel: paramiko.Channel, name: str) -> None:
        """Ask the server to send a signal (``TERM``) to the command on the channel."""
        self._send_request(channel.remote_chanid, "signal", name)

    def open_command(self, line: str, timeout: float) -> paramiko.Channel:
        """Open a channel and run a command line on it; a server that refuses closes the channel, see ``refused``.

        When it raises anything but ChannelException the command may be running.
        """
        with self._opening:
            self._behind, self._first = line, None
            try:
                channel = self.open_session(timeout=min(timeout, self.channel_timeout))
            except paramiko.ChannelException:
                raise
            except paramiko.SSHException:
                if self._first is None or not (self._first.closed and self.is_active()):
                    raise
                channel = self._first  # the command has come to its end already, and paramiko has forgotten the channel
            finally:
                sent, self._behind, self._first = self._first is not None, None, None
        if not sent:
            self._send_request(channel.remote_chanid, "exec", line, answered=True)
        return channel

    def refused(self, channel: paramiko.Channel) -> bool:
        """Whether the server did not agree to run the command on a channel."""
        return self.is_active() and channel.closed and not channel.event_ready

    def send_command(self, channel: paramiko.Channel, line: str) -> None:
        """Run a command line on an open channel without waiting for the server to agree."""
        self._send_request(channel.remote_chanid, "exec", line)

    def _send_user_message(self, message: paramiko.Message) -> None:
        super()._send_user_message(message)  # type: ignore[misc]
        # OpenSSH numbers channels from 0, so the first one can be used before its number is told: a round trip less.
        if self._behind and "OpenSSH" in self.remote_version and message.asbytes().startswith(_FIRST):
            line, self._behind, self._first = self._behind, None, self._channels.get(0)  # type: ignore[attr-defined]
            self._send_request(0, "exec", line, answered=True)

    def _send_request(self, number: int, kind: str, argument: str, *, answered: bool = False) -> None:
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(number)
        message.add_string(kind)
        message.add_boolean(answered)
        message.add_string(argument)
        self._send_user_message(message)
