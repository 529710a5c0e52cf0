"""What is told once on a host: what nobody has to hear at each build."""

from __future__ import annotations

import contextlib
from pathlib import Path

from .. import durable
from ..wire import Say


def once(note: Path, say: Say, message: str) -> None:
    """Warn, unless the note says that this was told; where it cannot be written, it is told again next time."""
    with contextlib.suppress(FileNotFoundError):
        if message in note.read_text("utf-8", "surrogateescape").splitlines():
            return
    say("warning", message, level="warning")
    with contextlib.suppress(OSError):
        durable.append(note, message.encode("utf-8", "surrogateescape") + b"\n", lasting=False)
