"""A hold: a person holds this target until a person frees it, whoever comes from wherever.

It stops what people ask for.  A restore, a recovery and the boot unit never look at it.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from . import durable, running, state
from .annotations import TYPE_CHECKING, Optional
from .journal import Journal
from .layout import Layout
from .refusal import Refusal
from .words import held

if TYPE_CHECKING:
    from .contract import EntryKind, EntryOutcome, Hold, LockAnswer, LockRequest, UnlockAnswer, UnlockRequest


def lock(layout: Layout, request: LockRequest) -> LockAnswer:
    """Hold the target; an activation that runs goes on to its end and is told in the answer.

    Raises Refusal when somebody holds it already: nobody's reason is written over.
    """
    layout.create()
    hold: Hold = {"actor": request["actor"], "at": time.time(), "reason": request["reason"]}
    if layout.old_hold.exists() or not layout.reserve.spend(_place, layout, hold):
        refuse(layout)
    layout.reserve.spend(_record, layout, "lock", "locked", request["actor"], request["reason"])
    return {"hold": hold, "running": running.running(layout)}


def unlock(layout: Layout, request: UnlockRequest) -> UnlockAnswer:
    """Free the target; the answer has the hold that ended, None when there was none."""
    hold = found(layout)
    if hold:
        layout.create()
        layout.reserve.spend(_record, layout, "unlock", "unlocked", request["actor"], f"was {held(hold)}")
        layout.hold.unlink(missing_ok=True)
        layout.old_hold.unlink(missing_ok=True)
        durable.sync_directory(layout.ours)
    return {"freed": hold}


def found(layout: Layout) -> Optional[Hold]:
    """Who holds the target, since when and why; None when nobody does.  A hold of 0.1.0 counts as well."""
    return _read(layout.hold) or _read(layout.old_hold)


def refuse(layout: Layout) -> None:
    """Raise Refusal when the target is held."""
    hold = found(layout)
    if hold:
        raise Refusal("busy", f"this host is {held(hold)}", hint="end the hold with: fab -H HOST unlock", hold=hold)


def _read(path: Path) -> Optional[Hold]:
    """The hold in a file, None without the file; a file that cannot be read, such as an empty one, holds as well."""
    try:
        read = json.loads(path.read_bytes())
        return {"actor": str(read["actor"]), "at": float(read["at"]), "reason": str(read["reason"])}
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        reason = f"{path} is damaged and does not say who and why"
        return {"actor": "somebody", "at": path.stat().st_mtime, "reason": reason}


def _place(layout: Layout, hold: Hold) -> bool:
    """Write the hold unless there is one: of two who ask for one at the same moment one gets it."""
    new = layout.tmp / f"hold-{os.getpid()}"
    durable.write_json(new, hold)
    try:
        os.link(new, layout.hold)
    except FileExistsError:
        return False
    finally:
        new.unlink()
    durable.sync_directory(layout.ours)
    return True


def _record(layout: Layout, kind: EntryKind, outcome: EntryOutcome, actor: str, reason: str) -> None:
    Journal(layout.journal).append(
        {
            "kind": kind,
            "outcome": outcome,
            "actor": actor,
            "reason": reason,
            "at": time.time(),
            "boot": state.boot_id(),
        }
    )
