"""Records: what each release was committed with on this host, so that a way back to it is judged by what it passed."""

from __future__ import annotations

import contextlib
import json
import os
import time

from . import durable, seal, state
from .annotations import TYPE_CHECKING, Container, List, Optional, cast
from .journal import Journal
from .layout import RELEASE_ID, Layout

if TYPE_CHECKING:
    from .contract import ActivateRequest, GateRequest, ReleaseRecord


def write(layout: Layout, request: ActivateRequest) -> None:
    """Keep what the release of this attempt, which is committed, was held to.

    A record that cannot be written stops nothing: the attempt's request says the same while that is kept.
    """
    record = _made(asked(layout, request), time.time())
    with contextlib.suppress(OSError):
        layout.reserve.spend(durable.write_json, layout.record(request["sha"]), record)


def forget(layout: Layout, release_id: str) -> None:
    """Remove the record of a release that this host does not have any more."""
    layout.record(release_id).unlink(missing_ok=True)


def forget_the_missing(layout: Layout) -> None:
    """Remove the records whose releases are gone."""
    kept = os.listdir(layout.records) if layout.records.is_dir() else []
    for name in {*filter(RELEASE_ID.fullmatch, kept)}.difference(layout.release_ids()):
        forget(layout, name)


def found(layout: Layout, release_id: str) -> Optional[ReleaseRecord]:
    """What a release was committed with here; of one that 0.1.0 committed, the request of that attempt says it."""
    try:
        return cast("ReleaseRecord", json.loads(layout.record(release_id).read_text()))
    except (FileNotFoundError, ValueError):
        return _of_its_attempt(layout, release_id)


def asked(layout: Layout, request: ActivateRequest) -> ActivateRequest:
    """What the attempt's release is held to: a rollback to its record, but for what a flag or variable says."""
    record = found(layout, request["sha"]) if request["kind"] == "rollback" and "said" in request else None
    if record is None:
        return request
    by_hand = request["said"]
    services = request["services"] if "services" in by_hand or not record["restarted"] else record["services"]
    return {**request, "services": services, "healthcheck": _gate(record, request, by_hand)}


def way_back(
    layout: Layout, request: ActivateRequest, source: str, ran: Optional[Container[str]] = None
) -> ActivateRequest:
    """What a restore of ``source`` is held to: its record, whatever the attempt that failed asks.

    ``ran`` are the services that ran before the switch (None: nobody looked).  They alone decide where the gate was
    skipped, for an adopted release, and where only a flag or variable of the attempt has the gate.
    """
    record = found(layout, source)
    if record and record["restarted"] and not record["skipped"]:
        return {**request, "services": record["services"], "healthcheck": record["healthcheck"]}
    if record is None and seal.state_of(layout.release(source)) != "adopted" and not _by_hand(request):
        return request
    silent: GateRequest = {**(request["healthcheck"] or {}), "command": None}
    names = dict.fromkeys([*(record["services"] if record else ()), *request["services"]])
    return {
        **request,
        "services": [name for name in names if ran is None or name in ran],
        "healthcheck": record["healthcheck"] if record and not record["skipped"] else silent,
    }


def _by_hand(request: ActivateRequest) -> bool:
    """Whether what the attempt is held to is not what the settings say."""
    return any(name in request.get("said", []) for name in ("services", "healthcheck.command", "skip_healthcheck"))


def _gate(record: ReleaseRecord, request: ActivateRequest, by_hand: List[str]) -> Optional[GateRequest]:
    if "skip_healthcheck" in by_hand or record["healthcheck"] is None:
        return request["healthcheck"]
    given = request["healthcheck"] or {}
    said = {key: value for key, value in given.items() if f"healthcheck.{key}" in by_hand}
    return cast("GateRequest", {**record["healthcheck"], **said})


def _of_its_attempt(layout: Layout, release_id: str) -> Optional[ReleaseRecord]:
    for entry in reversed(Journal(layout.journal).attempts()):
        if entry["outcome"] == "committed" and entry["target"] == release_id:
            request = state.read_request(layout, entry["attempt"])
            return _made(request, entry["at"]) if request else None
    return None


def _made(request: ActivateRequest, at: float) -> ReleaseRecord:
    gate: GateRequest = request["healthcheck"] or {}
    return {
        "attempt": request["attempt"],
        "at": at,
        "services": request["services"] if request["restart"] else [],
        "restarted": request["restart"],
        "healthcheck": request["healthcheck"],
        "skipped": not gate.get("command"),
    }
