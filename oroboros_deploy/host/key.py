"""The secret of a deploy root: what is keyed by it can be made by the agent alone.

It lies in `.deploy/key`, 0600 of the login.  Commands of a build run as the login too; that they cannot read it is the
business of what they are run in.
"""

from __future__ import annotations

import os
from pathlib import Path

from . import durable
from .layout import Layout

_BYTES = 32


def of(layout: Layout) -> bytes:
    """The secret of a root."""
    return at(layout.key)


def is_newer(layout: Layout, path: Path) -> bool:
    """Whether the secret was made after a file that somebody keyed: then it is not the one that keyed it."""
    try:
        return layout.key.stat().st_mtime_ns > path.stat().st_mtime_ns
    except OSError:
        return False


def at(path: Path) -> bytes:
    """The secret in a file, made when it is first needed.

    One that is not whole, or that somebody else put there or can read, is made anew: what it keyed is forgotten.
    """
    try:
        found, status = path.read_bytes(), path.stat()
    except FileNotFoundError:
        return _made(path)
    ours = status.st_uid == os.geteuid() and not status.st_mode & 0o077
    return found if len(found) == _BYTES and ours else _made(path)


def _made(path: Path) -> bytes:
    made = os.urandom(_BYTES)
    durable.write(path, made)
    return made
