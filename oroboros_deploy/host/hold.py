"""A freeze: a person holds this host until a person frees it, whoever comes from wherever.

It stops what people ask for.  A restore, a recovery and the boot unit never look at it.
"""

from __future__ import annotations

import json
import os
import time

from . import durable, running, state
from .annotations import Any, Dict, Optional
from .journal import Journal
from .layout import Layout
from .refusal import Refusal
from .words import held

Freeze = Dict[str, Any]


def lock(layout: Layout, request: Dict[str, Any]) -> Dict[str, Any]:
    """Freeze the host; an activation that runs goes on to its end and is told in the answer.

    Raises Refusal when somebody holds it already: nobody's reason is written over.
    """
    layout.create()
    freeze = {"actor": request["actor"], "at": time.time(), "reason": request["reason"]}
    if not layout.reserve.spend(_place, layout, freeze):
        refuse(layout)
    layout.reserve.spend(_record, layout, "lock", "locked", request["actor"], request["reason"])
    return {"freeze": freeze, "running": running.running(layout)}


def unlock(layout: Layout, request: Dict[str, Any]) -> Dict[str, Any]:
    """Free the host; the answer has the freeze that ended, None when there was none."""
    freeze = found(layout)
    if freeze:
        layout.reserve.spend(_record, layout, "unlock", "unlocked", request["actor"], f"was {held(freeze)}")
        layout.freeze.unlink(missing_ok=True)
        durable.sync_directory(layout.ours)
    return {"freed": freeze}


def found(layout: Layout) -> Optional[Freeze]:
    """Who froze the host, when (Unix time) and why; None when nobody did.

    A file that cannot be read, such as an empty one made by hand, freezes as well.
    """
    try:
        read: Freeze = json.loads(layout.freeze.read_bytes())
        return {"actor": str(read["actor"]), "at": float(read["at"]), "reason": str(read["reason"])}
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        why = f"{layout.freeze} says no more"
        return {"actor": "somebody", "at": layout.freeze.stat().st_mtime, "reason": why}


def refuse(layout: Layout) -> None:
    """Raise Refusal when the host is frozen."""
    freeze = found(layout)
    if freeze:
        raise Refusal("busy", f"this host is {held(freeze)}", hint="free it with: fab -H HOST unlock", freeze=freeze)


def _place(layout: Layout, freeze: Freeze) -> bool:
    """Write the freeze unless there is one: of two who lock at the same moment one does."""
    new = layout.tmp / f"freeze-{os.getpid()}"
    durable.write_json(new, freeze)
    try:
        os.link(new, layout.freeze)
    except FileExistsError:
        return False
    finally:
        new.unlink()
    durable.sync_directory(layout.ours)
    return True


def _record(layout: Layout, kind: str, outcome: str, actor: str, reason: str) -> None:
    said = {"kind": kind, "outcome": outcome, "actor": actor, "reason": reason}
    Journal(layout.journal).append({**said, "at": time.time(), "boot": state.boot_id()})
