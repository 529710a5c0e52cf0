"""The lock of those who make releases or take them away: builds, prunings, and whoever puts an earlier build back.

It is on the file `.deploy/build.lock`, and on the directory `.deploy` itself: somebody who removes the file, as stale
locks are removed, lets nobody else in.
"""

from __future__ import annotations

import contextlib

from . import lock
from .annotations import Iterator
from .layout import Layout


@contextlib.contextmanager
def take(layout: Layout, wait: float = 0.0) -> Iterator[None]:
    """Take both; each is waited for up to ``wait`` seconds, then `lock.Held` is raised."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(lock.take(layout.build_lock, wait))
        with contextlib.suppress(OSError):  # a network file system may lock no directories
            stack.enter_context(lock.take(layout.ours, wait))
        yield


def is_held(layout: Layout) -> bool:
    """Whether somebody makes releases or takes them away at this moment."""
    return lock.is_held(layout.build_lock) or lock.is_held(layout.ours)
