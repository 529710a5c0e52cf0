"""Pins: releases that a person wants kept, however many come after them."""

from __future__ import annotations

import contextlib
import json
import os
import time

from . import durable, lock, seal
from .annotations import TYPE_CHECKING, Dict, Iterator, Optional
from .constants import SWITCHABLE
from .layout import RELEASE_ID, Layout
from .refusal import Refusal

if TYPE_CHECKING:
    from .contract import Pin, PinAnswer, PinRequest, UnpinAnswer, UnpinRequest


def pin(layout: Layout, request: PinRequest) -> PinAnswer:
    """Keep a release from being pruned; ``new`` is False when somebody had pinned it already."""
    release_id = request["release"]
    _must_be_whole(layout, release_id)
    layout.create()
    with still(layout):
        _must_be_whole(layout, release_id)  # by now
        before = _read(layout, release_id)
        new: Pin = {"actor": request["actor"], "at": time.time()}
        if before is None:
            durable.write_json(layout.pin(release_id), new)
    return {"release": release_id, "pin": before or new, "new": before is None}


def unpin(layout: Layout, request: UnpinRequest) -> UnpinAnswer:
    """Let a release be pruned like any other; ``pin`` is what was taken away, None when there was none."""
    before = _read(layout, request["release"])
    if before is not None:
        layout.pin(request["release"]).unlink(missing_ok=True)
        durable.sync_directory(layout.pin(request["release"]).parent)
    return {"release": request["release"], "pin": before}


def found(layout: Layout) -> Dict[str, Pin]:
    """Every pinned release with who pinned it and when (Unix time)."""
    directory = layout.ours / "pins"
    names = sorted(filter(RELEASE_ID.fullmatch, os.listdir(directory))) if directory.is_dir() else []
    pins = {name: _read(layout, name) for name in names}
    return {name: pin for name, pin in pins.items() if pin is not None}


@contextlib.contextmanager
def still(layout: Layout) -> Iterator[None]:
    """Nobody pins meanwhile: what is unpinned may be taken away. Nobody takes away: what is pinned stays."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock.take(layout.ours / "pins.lock", wait=30))
        except lock.Held:
            raise Refusal("busy", "releases are being taken away on this host", hint="wait for its end") from None
        yield


def _must_be_whole(layout: Layout, release_id: str) -> None:
    state = seal.state_of(layout.release(release_id))
    if state not in SWITCHABLE:
        hint = "fab -H HOST prune --dry-run  shows release ids"
        raise Refusal("missing", f"release {release_id} is {state} on this host", hint=hint)


def _read(layout: Layout, release_id: str) -> Optional[Pin]:
    """The pin of a release, None when it has none; one that cannot be read still pins."""
    path = layout.pin(release_id)
    try:
        read = json.loads(path.read_bytes())
        return {"actor": str(read["actor"]), "at": float(read["at"])}
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return {"actor": "somebody", "at": path.stat().st_mtime}
