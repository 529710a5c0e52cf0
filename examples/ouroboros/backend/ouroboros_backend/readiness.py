"""Telling systemd that we serve, so that a restart waits for it and fails when we do not."""

from __future__ import annotations

import os
import socket


def ready() -> None:
    """Report readiness, when systemd asked for it (``Type=notify``)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", address.replace("@", "\0", 1))
