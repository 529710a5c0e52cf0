"""The SSH protocol layer, with what paramiko leaves out: signals, and requests nobody waits for."""

from __future__ import annotations

import signal

import paramiko
from paramiko.common import MSG_CHANNEL_REQUEST, cMSG_CHANNEL_REQUEST


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


class Transport(paramiko.Transport):
    """A paramiko transport on which a command killed by a signal has the status 128 + n."""

    _channel_handler_table = {  # noqa: RUF012 - paramiko's own table, extended
        **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]
        MSG_CHANNEL_REQUEST: _channel_request,
    }

    def send_signal(self, channel: paramiko.Channel, name: str) -> None:
        """Ask the server to send a signal (``TERM``) to the command on the channel."""
        self._send_request(channel, "signal", name)

    def send_command(self, channel: paramiko.Channel, line: str) -> None:
        """Run a command line on an open channel without waiting for the server to agree."""
        self._send_request(channel, "exec", line)

    def _send_request(self, channel: paramiko.Channel, kind: str, argument: str) -> None:
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(channel.remote_chanid)
        message.add_string(kind)
        message.add_boolean(False)
        message.add_string(argument)
        self._send_user_message(message)  # type: ignore[attr-defined]
