"""Records: what each release was committed with on this host, so that a way back to it is judged by what it passed."""

from __future__ import annotations

import contextlib
import json
import os
import time

from . import configuration, durable, manager, seal, state, units
from .annotations import TYPE_CHECKING, Container, Dict, Iterator, List, Optional, Set, Tuple, cast
from .constants import BY_RECORD, IN_PLACE, PROVEN
from .journal import Journal
from .layout import RELEASE_ID, Layout
from .refusal import Refusal

if TYPE_CHECKING:
    from .contract import ActivateRequest, GateOfRelease, GateRequest, JournalEntry, ReleaseRecord
    from .state import State


def write(
    layout: Layout,
    request: ActivateRequest,
    enabled: Optional[List[str]],
    revision: Optional[str] = None,
    brought: Optional[str] = None,
) -> None:
    """Keep what the release of this attempt, which is committed, was held to, its configuration and its set of units.

    A restart, which may be of some services, makes none where there was none.  A switch whose gate somebody skips by
    hand leaves the gate that this build of the release passed before, with its configuration.  A record that cannot be
    written stops nothing: the attempt's request says the same while that is kept.
    """
    told: ReleaseRecord = _made(asked(layout, request), time.time())
    noted = {"enabled": enabled, "configuration": revision, "units": brought, "skipped_since": False}
    record = cast("ReleaseRecord", {**told, **noted})
    before = _before(layout, request)
    if before is None and request["kind"] == "restart":
        return
    with contextlib.suppress(OSError):
        layout.reserve.spend(durable.write_json, layout.record(request["sha"]), _after(request["kind"], before, record))


def _before(layout: Layout, request: ActivateRequest) -> Optional[ReleaseRecord]:
    """The record that an attempt changes and does not replace; None where it replaces it."""
    if request["kind"] in IN_PLACE:
        return found(layout, request["sha"])
    return _kept(layout, request["sha"]) if "skip_healthcheck" in request.get("said", []) else None


def _after(kind: str, before: Optional[ReleaseRecord], record: ReleaseRecord) -> ReleaseRecord:
    if before is None:
        return record
    if kind == "restart":
        return _restarted(before, record)
    return _as_it_passed(before, record, switched=kind not in IN_PLACE)


def _as_it_passed(before: ReleaseRecord, record: ReleaseRecord, *, switched: bool) -> ReleaseRecord:
    """The record after an attempt that skips the gate, or restarts nothing: it takes nothing of what was passed."""
    if before["restarted"] and not record["restarted"]:
        record = {**record, "restarted": True, "services": before["services"]}
    if not record["skipped"] or before["skipped"]:
        return record
    if not switched:
        return {**before, "enabled": record["enabled"], "units": record["units"]}
    passed = {key: before[key] for key in ("attempt", "at", "healthcheck", "skipped")}
    told = {**record, **passed, "configuration": before.get("configuration"), "skipped_since": True}
    return cast("ReleaseRecord", told)


def _restarted(before: ReleaseRecord, record: ReleaseRecord) -> ReleaseRecord:
    """The record after a restart: the gate notes the configuration where all services were started with it."""
    restarted = {*map(units.full_name, record["services"])}
    whole = restarted.issuperset(map(units.full_name, before["services"]))
    if record["skipped"] or not whole:
        return {**before, "enabled": record["enabled"]}
    return {**before, "enabled": record["enabled"], "configuration": record["configuration"], "skipped_since": False}


def configuration_of(layout: Layout, release_id: str) -> Optional[str]:
    """The revision that a release was committed with here last; None where nobody noted one."""
    record = found(layout, release_id)
    return record.get("configuration") if record else None


def units_of(layout: Layout, release_id: Optional[str]) -> Optional[str]:
    """The set of units that a release brought when it was committed here last; None where it brought none."""
    record = found(layout, release_id) if release_id else None
    return record.get("units") if record else None


def wanted_configuration(layout: Layout, request: ActivateRequest) -> Optional[str]:
    """The revision that an attempt is to put in use; None when the one in use stays."""
    if request.get("recorded"):
        return configuration_of(layout, request["sha"])
    return request.get("configuration")


def forget(layout: Layout, release_id: str) -> None:
    """Remove the record of a release that this host does not have any more."""
    layout.record(release_id).unlink(missing_ok=True)


def forget_the_missing(layout: Layout) -> None:
    """Remove the records whose releases are gone."""
    kept = os.listdir(layout.records) if layout.records.is_dir() else []
    for name in {*filter(RELEASE_ID.fullmatch, kept)}.difference(layout.release_ids()):
        forget(layout, name)


def forget_configurations(layout: Layout, last: Optional[State]) -> None:
    """Remove the old configurations that no release here was committed with; no other activation runs meanwhile.

    One that the ``last`` attempt failed with goes as well: what it was is in use again.  Where a line of the journal
    or a request cannot be understood, all stay.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        failed = last is None or last.phase == "restored"
        tried = () if last is None else (last.configuration_before, None if failed else last.configuration)
        known = {configuration.in_use(layout), *tried}
        if all(path.name in known for path in configuration.old(layout)):
            return  # no record says more, and each activation comes here
        built_again = (path.name[1:].partition(".")[0] for path in layout.releases.glob(".*.earlier"))
        recorded = [configuration_of(layout, each) for each in (*layout.release_ids(), *built_again)]
        configuration.forget_others(layout, [*recorded, *tried])


def found(layout: Layout, release_id: str) -> Optional[ReleaseRecord]:
    """What a release was committed with here.

    Of one that 0.1.0 committed, and of one whose record cannot be read, the request of that attempt says it.
    """
    return _kept(layout, release_id) or _of_its_attempt(layout, release_id)


def _kept(layout: Layout, release_id: str) -> Optional[ReleaseRecord]:
    try:
        told = json.loads(layout.record(release_id).read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return cast("ReleaseRecord", told) if _is_one(told) else None


def _is_one(told: object) -> bool:
    """Whether a record that was read has values of the types that a way back needs."""
    if not isinstance(told, dict):
        return False
    services, gate = told.get("services"), told.get("healthcheck", "")
    flags = (told.get("restarted"), told.get("skipped"), told.get("skipped_since", False))
    lists = (services, told.get("enabled") or [])
    named = all(isinstance(each, list) and all(isinstance(name, str) for name in each) for each in lists)
    named = named and all(isinstance(told.get(name), (str, type(None))) for name in ("configuration", "units"))
    committed = isinstance(told.get("attempt"), str) and isinstance(told.get("at"), (int, float))
    return named and committed and _is_gate(gate) and all(isinstance(flag, bool) for flag in flags)


def _is_gate(told: object) -> bool:
    if not isinstance(told, dict):
        return told is None
    numbers = (told.get(name, 0) for name in ("timeout", "interval", "stable_for", "successes"))
    asked = isinstance(told.get("command"), (str, type(None))) and _are_probes(told)
    asked = asked and isinstance(told.get("privileged", False), bool)
    return asked and all(isinstance(each, (int, float)) for each in numbers)


def _are_probes(told: Dict[str, object]) -> bool:
    """Whether what a gate asks by HTTP and TCP has the types that it needs."""
    http, tcp = told.get("http", []), told.get("tcp", [])
    if not (isinstance(http, list) and isinstance(tcp, list) and all(map(_is_http, http))):
        return False
    return all(isinstance(each, str) and each.rpartition(":")[2].isdigit() for each in tcp)


def _is_http(told: object) -> bool:
    if not isinstance(told, dict) or not isinstance(told.get("header", {}), dict):
        return False
    needed: Dict[str, Tuple[type, ...]] = {"url": (str,), "status": (int,), "timeout": (int, float)}
    texts = (told.get(name, "") for name in ("contains", "host", "ca", "unix"))
    headers = (each for item in told.get("header", {}).items() for each in item)
    return all(isinstance(told.get(name), kind) for name, kind in needed.items()) and all(
        isinstance(each, str) for each in (*texts, *headers)
    )


def enabled(layout: Layout) -> Set[str]:
    """The units that ran, enabled, when a release was committed last; none where nobody noted it."""
    entries = Journal(layout.journal).entries()
    ends = [each for each in entries if each.get("kind") == "claim" or each.get("outcome") == "committed"]
    if not ends or ends[-1].get("kind") == "claim":
        return set()  # what another machine ran says nothing of this one
    record = found(layout, ends[-1]["target"])
    if record is None or record.get("scope", "system") != manager.chosen().scope:
        return set()  # nor does what the other manager ran
    return set(record.get("enabled") or ())


def put_away(layout: Layout, seen: Dict[str, units.Unit]) -> List[str]:
    """The services that somebody has stopped and disabled since the last commit: they stay so."""
    away = [name for name, unit in seen.items() if unit.put_away]
    before = enabled(layout) if away else ()
    return [name for name in away if units.full_name(name) in before]


def all_put_away(layout: Layout, seen: Dict[str, units.Unit]) -> Set[str]:
    """The full names of all units that somebody has stopped and disabled since the last commit; ``seen`` are known."""
    before, known = enabled(layout), {units.full_name(name): unit for name, unit in seen.items()}
    others = units.show(sorted(before - known.keys()))
    return {name for name, unit in {**known, **others}.items() if name in before and unit.put_away}


def gate_of(layout: Layout, release_id: str) -> GateOfRelease:
    """Whether the live release passed a gate here, with the configuration in use.

    One that 0.1.0 committed did, also where its request is not kept.
    """
    record = found(layout, release_id)
    if record and (record.get("skipped_since") or _configured_since(layout, record)):
        return "skipped"
    return gate_passed(layout, release_id)


def gate_passed(layout: Layout, release_id: str) -> GateOfRelease:
    """Whether a release passed a gate here, with the configuration that a rollback to it brings back."""
    record = found(layout, release_id)
    if record:
        return "skipped" if record["skipped"] else "passed"
    return "passed" if any(_commits(entry, release_id) for entry in Journal(layout.journal).attempts()) else "never"


def proven(layout: Layout, release_id: str, judged: ActivateRequest) -> bool:
    """Whether a release served here for long enough at a time, held to what it is ``judged`` by now.

    It is not asked where that says how long services are watched, or where none are.
    """
    record = found(layout, release_id)
    if record is None or not judged["services"] or "stable_for" in (judged["healthcheck"] or {}):
        return False
    if record.get("skipped_since"):  # how long it served since then says nothing of what it passed
        return False
    now = _made({**judged, "attempt": record["attempt"]}, record["at"])
    return {**record, **now} == record and any(
        seconds >= PROVEN for seconds in _served(layout, release_id, record["attempt"])
    )


def _served(layout: Layout, release_id: str, attempt: str) -> Iterator[float]:
    """For how long at a time a release served since the attempt that wrote its record, by a clock that nobody sets.

    A time ends with the next switch, whatever came of that.  One that a boot ended is not counted, nor one that began
    or ended with a switch whose process died (its entry has no clock): nobody knows when that was.
    """
    entries = Journal(layout.journal).attempts()
    since: Optional[JournalEntry] = None
    for entry in entries[next((at for at, each in enumerate(entries) if each["attempt"] == attempt), len(entries)) :]:
        if not entry.get("switched", True):
            continue
        timed = "clock" in entry and entry["source"] == release_id
        if since and timed and entry["boot"] == since["boot"]:
            yield entry["clock"] - sum(entry["seconds"].values()) - since["clock"]
        since = entry if entry.get("live") == release_id and "clock" in entry else None
    with contextlib.suppress(Refusal):
        if since and since["boot"] == state.boot_id() and layout.live() == release_id:
            yield time.monotonic() - since["clock"]


def asked(layout: Layout, request: ActivateRequest) -> ActivateRequest:
    """What the attempt's release is held to: in a rollback or push its record, but for what a flag or variable says."""
    record = found(layout, request["sha"]) if request["kind"] in BY_RECORD and "said" in request else None
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
    skipped = record and (record["skipped"] or record.get("skipped_since") or _configured_since(layout, record))
    if record and record["restarted"] and not skipped:
        return {**request, "services": record["services"], "healthcheck": record["healthcheck"]}
    if record is None and seal.state_of(layout.release(source)) != "adopted" and not _by_hand(request):
        return request
    names = dict.fromkeys([*(record["services"] if record else ()), *request["services"]])
    return {
        **request,
        "services": [name for name in names if ran is None or name in ran],
        "healthcheck": record["healthcheck"] if record and not skipped else silent(request["healthcheck"]),
    }


def _configured_since(layout: Layout, record: ReleaseRecord) -> bool:
    """Whether a configuration is in use that the release did not pass its gate with, as after a push that skips it."""
    return record.get("configuration") not in (None, configuration.in_use(layout))


def asks(gate: Optional[GateRequest]) -> bool:
    """Whether a gate asks a command or a probe, and does not look at the services alone."""
    return bool(gate and (gate.get("command") or gate.get("http") or gate.get("tcp")))


def silent(gate: Optional[GateRequest]) -> GateRequest:
    """The same gate for the services alone."""
    kept = {key: value for key, value in (gate or {}).items() if key not in ("http", "tcp", "successes")}
    return cast("GateRequest", {**kept, "command": None})


def _by_hand(request: ActivateRequest) -> bool:
    """Whether what the attempt is held to is not what the settings say."""
    return any(name in request.get("said", []) for name in ("services", "healthcheck.command", "skip_healthcheck"))


def _gate(record: ReleaseRecord, request: ActivateRequest, by_hand: List[str]) -> Optional[GateRequest]:
    if "skip_healthcheck" in by_hand or record["healthcheck"] is None:
        return request["healthcheck"]
    given = request["healthcheck"] or {}
    said = {key: value for key, value in given.items() if f"healthcheck.{key}" in by_hand}
    user = {"user": given["user"]} if "user" in given else {}  # of a record without one the login is not meant
    gate = {**user, **record["healthcheck"], **said}
    gate.pop("privileged", None)
    line_of = given if "command" in said else record["healthcheck"]  # a right goes with the line that needs it
    return cast("GateRequest", {**gate, "privileged": True} if line_of.get("privileged") else gate)


def _of_its_attempt(layout: Layout, release_id: str) -> Optional[ReleaseRecord]:
    for entry in reversed(Journal(layout.journal).attempts()):
        if _commits(entry, release_id):
            request = state.read_request(layout, entry["attempt"])
            noted = (entry.get("configuration"), entry.get("units"))
            return _noted(_made(request, entry["at"]), *noted) if request else None
    return None


def _commits(entry: JournalEntry, release_id: str) -> bool:
    """Whether an attempt committed a release: a restart, which may be of some services, proves nothing of the rest."""
    return (entry["outcome"], entry["target"]) == ("committed", release_id) and entry["kind"] != "restart"


def _noted(record: ReleaseRecord, revision: Optional[str], brought: Optional[str]) -> ReleaseRecord:
    return {**record, "configuration": revision, "units": brought}


def _made(request: ActivateRequest, at: float) -> ReleaseRecord:
    return {
        "attempt": request["attempt"],
        "at": at,
        "services": request["services"] if request["restart"] else [],
        "restarted": request["restart"],
        "healthcheck": request["healthcheck"],
        "skipped": not asks(request["healthcheck"]),
        "scope": request["layout"].get("scope", "system") if "layout" in request else "system",
    }
