"""What the protocol layer sends, and when."""

from __future__ import annotations

import time
from contextlib import suppress

import paramiko
import pytest
from paramiko.common import cMSG_CHANNEL_OPEN, cMSG_CHANNEL_REQUEST

from oroboros_deploy.errors import HostUnreachable
from oroboros_deploy.ssh import Command, SshOptions, connect
from oroboros_deploy.ssh.transport import Transport
from tests.support.logins import refusing
from tests.support.sshd import Sshd


def sent_before_the_answer(transport: Transport, patch: pytest.MonkeyPatch) -> list[bytes]:
    """Which messages a command sends before the server has answered the opening of its channel."""
    sent: list[bytes] = []
    send, opened = Transport._send_message, paramiko.Channel._set_remote_channel  # type: ignore[attr-defined]

    def note_answer(channel: paramiko.Channel, *numbers: int) -> None:
        time.sleep(0.3)  # as over a long line: what does not wait is sent meanwhile
        sent.append(b"answered")
        opened(channel, *numbers)

    def note(self: Transport, message: paramiko.Message) -> None:
        kind = message.asbytes()[:1]
        if self is transport and kind in (cMSG_CHANNEL_OPEN, cMSG_CHANNEL_REQUEST):
            sent.append(kind)
        send(self, message)

    with patch.context() as patched:
        patched.setattr(paramiko.Channel, "_set_remote_channel", note_answer)
        patched.setattr(Transport, "_send_message", note)
        with suppress(HostUnreachable), Command(transport, "true", host="box", deadline=10) as command:
            command.wait()
    return sent[: sent.index(b"answered")]


@pytest.mark.slow
def test_the_first_command_travels_with_its_channel(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSH gets the channel and the command in one go, later commands and other servers one after the other."""
    both, one = [cMSG_CHANNEL_OPEN, cMSG_CHANNEL_REQUEST], [cMSG_CHANNEL_OPEN]
    with connect("box", SshOptions(config_path=sshd.config_path)) as host:
        assert [sent_before_the_answer(host.transport, monkeypatch) for _ in range(2)] == [both, one]
    with refusing() as transport:
        assert sent_before_the_answer(transport, monkeypatch) == one


def test_a_channel_that_was_opened_before(sshd: Sshd) -> None:
    """The command goes to its own channel, not to the first one."""
    with (
        connect("box", SshOptions(config_path=sshd.config_path)) as host,
        host.transport.open_session() as other,
        host.command("echo mine", deadline=10) as command,
    ):
        assert (b"\n".join(command.lines()), other.recv_ready()) == (b"mine", False)
