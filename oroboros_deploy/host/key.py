"""The secret of a deploy root: what is keyed by it can be made by the agent alone.

It lies in `.deploy/key`, 0600 of the login.  Commands of a build run as the login too; that they cannot read it is the
business of what they are run in.
"""

from __future__ import annotations

import os

from . import durable
from .layout import Layout

_BYTES = 32


def of(layout: Layout) -> bytes:
    """The secret, made when it is first needed; one that is not whole is made anew, and what it keyed is forgotten."""
    try:
        found = layout.key.read_bytes()
    except FileNotFoundError:
        found = b""
    if len(found) == _BYTES:
        return found
    made = os.urandom(_BYTES)
    durable.write(layout.key, made)
    return made
