"""The earlier build of a release, which waits beside its place while the release is built again.

    releases/.<sha>.earlier    put back when the new build fails or is killed, removed when the new build is sealed

Whoever moves it holds the lock of the builds.  A build that was killed leaves it there: the next build, pruning or
activation that asks for the release puts it back, and until then the facts look at it where it is.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from . import durable, seal
from .constants import SWITCHABLE
from .layout import RELEASE_ID, Layout

_SUFFIX = ".earlier"


def path(release: Path) -> Path:
    """Where the earlier build of a release waits."""
    return release.with_name(f".{release.name}{_SUFFIX}")


def place(release: Path) -> Path:
    """Where the release is to be looked at: beside its place when only an earlier build of it is complete."""
    waiting = path(release)
    return waiting if waiting.is_dir() and seal.state_of(release) not in SWITCHABLE else release


def is_built_again(layout: Layout, release_id: str) -> bool:
    """Whether a build works at this moment on a release that was complete before."""
    release = layout.release(release_id)
    if place(release) == release:
        return False
    from . import build_lock  # few releases have an earlier build

    return build_lock.is_held(layout)


def move_out(release: Path) -> None:
    """Make room for a new build; needs no right in the release itself."""
    release.rename(path(release))
    durable.sync_directory(release.parent)


def settle(layout: Layout) -> None:
    """End what killed builds left: put earlier builds back, or remove them where the new one is sealed."""
    for waiting in layout.releases.glob(f".*{_SUFFIX}"):
        release_id = waiting.name[1 : -len(_SUFFIX)]
        if RELEASE_ID.fullmatch(release_id):
            settle_one(layout.release(release_id))


def settle_one(release: Path) -> None:
    """The same for one release; what cannot be deleted now is tried again by the next build or pruning."""
    waiting = path(release)
    if not waiting.is_dir():
        return
    if seal.state_of(release) == "sealed":
        left = seal.set_aside(waiting, release.name)
    else:
        left = seal.set_aside(release) if os.path.lexists(release) else waiting
        waiting.rename(release)
        durable.sync_directory(release.parent)
    with contextlib.suppress(OSError):
        seal.remove(left)


def put_back(layout: Layout, release_id: str) -> None:
    """Settle one release, unless a build works on it: raises `lock.Held` then."""
    release = layout.release(release_id)
    if place(release) != release:
        from . import build_lock

        with build_lock.take(layout):
            settle_one(release)
