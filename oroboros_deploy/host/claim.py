"""Claiming a deploy root: a copy, or one on a shared disk, gets an id of the machine that it is to serve now."""

from __future__ import annotations

import time

from . import lock, running, state
from .annotations import TYPE_CHECKING, Optional
from .journal import Journal
from .layout import Layout, of_this_machine
from .refusal import Refusal

if TYPE_CHECKING:
    from .contract import ClaimAnswer, ClaimRequest, TargetId


def claim(layout: Layout, request: ClaimRequest) -> ClaimAnswer:
    """Give the root an id of this machine's, unless it has one of its own; with ``dry_run`` only say what it has.

    Raises Refusal while an activation runs there, this machine's or, where locks reach so far, another's.
    """
    was = _found(layout)
    if was and of_this_machine(was) and not layout.is_copy_of(was):
        return {"was": was, "now": was, "claimed": False}
    if running.running(layout) is not None:
        raise running.busy(layout)
    if request["dry_run"]:
        return {"was": was, "now": None, "claimed": False}
    try:
        with lock.take(layout.lock):
            return {"was": was, "now": _taken(layout, was, request["actor"]), "claimed": True}
    except lock.Held:
        raise running.busy(layout) from None


def _found(layout: Layout) -> Optional[TargetId]:
    """The id that the root has; None where it has none that can be read.  Raises Refusal without a root."""
    if not layout.format.exists() and not layout.id.exists():
        what = f"{layout.root} is no deploy root yet"
        raise Refusal("invalid", f"nothing was changed: {what}", hint="deploy: the first deploy makes it")
    try:
        return layout.target_id()
    except ValueError:
        return None


def _taken(layout: Layout, was: Optional[TargetId], actor: str) -> TargetId:
    """Write who took it from whom, then the new id: a journal without it tells of a claim that was not finished."""
    before = f"was the deploy root {was['root']} of {was['name']}, id {was['id']}" if was else "had no id"
    layout.reserve.spend(
        Journal(layout.journal).append,
        {
            "kind": "claim",
            "outcome": "claimed",
            "actor": actor,
            "reason": before,
            "at": time.time(),
            "boot": state.boot_id(),
        },
    )
    return layout.claim()
