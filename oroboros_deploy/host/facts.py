"""The facts call: reads everything a plan needs in one go and changes nothing.

``Facts`` in `contract.py`, and docs/json.md, say what each key of the answer means.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from math import inf
from pathlib import Path

from . import (
    configuration,
    earlier,
    environment,
    hold,
    manager,
    process,
    records,
    running,
    seal,
    state,
    units,
)
from .annotations import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple
from .constants import FINAL, SWITCHABLE
from .journal import Journal
from .layout import Layout
from .refusal import Refusal

if TYPE_CHECKING:
    from .contract import (
        ActivateRequest,
        Changes,
        Facts,
        FactsRequest,
        JournalEntry,
        Problem,
        ReleaseFacts,
        ReleaseRecord,
        TargetFacts,
        UnitFacts,
    )


def facts(layout: Layout, request: FactsRequest) -> Facts:
    """What this host is, has and serves, as far as ``request`` (sha, services, restart, source) needs it."""
    asked = _asking(request)
    if request.get("starts"):
        from . import launch  # noqa: F401 - what comes next needs it, and sudo takes its time
    managed = request.get("restart") and units.present()
    sources: bool = request.get("source", True)
    space = os.statvfs(_existing(layout.releases))
    last, journal = state.load(layout.state), Journal(layout.journal)
    problems: List[Problem] = []
    live = _collect(problems, layout.live)
    sha = live if request.get("live") else request.get("sha")
    for check in (_root, _link_place):
        _collect(problems, lambda check=check: check(layout))  # type: ignore[misc]
    found_at_env = configuration.problem(layout) if request.get("env") else None
    problems += [found_at_env] if found_at_env else []
    kept = manager.keeping_root(request.get("privileged", []))
    problems += [{"message": each.message, "hint": each.hint} for each in kept]
    users = request.get("run_as", {})
    if manager.chosen().bound:
        from . import listed

        problems += listed.problems(request, users)
    if users:
        from . import another_user

        problems += another_user.problems(users)
    if "shared" in request:
        from . import shared

        problems += shared.problems(layout, request["shared"], users.get("owner"))
    record = records.found(layout, sha) if sha else None
    changes = _unit_changes(layout, request, record, problems)
    used = configuration.in_use(layout)
    seen = _units(layout, request.get("services", []), live) if managed else {}
    wanted = None if request.get("live") else sha
    has_commit, tips = _of_the_mirror(layout, wanted) if sources else (None, [])
    unmanaged = asked()
    return {
        "hostname": os.uname().nodename,
        "user": environment.of_this_user()["USER"],
        "python": "{}.{}.{}".format(*sys.version_info),
        "boot": state.boot_id(),
        "systemd": manager.of("system").present,
        "scope": layout.scope,
        "may_manage": not unmanaged and _asked_for(request),
        "git": process.find("git") is not None,
        "live": live,
        "releases": _releases(layout, request.get("served", False)),
        "target": _target(layout, sha, live, record, bool(request.get("env"))) if sha else None,
        "has_commit": has_commit,
        "tips": tips,
        "units": seen,
        "free_bytes": space.f_bavail * space.f_frsize,
        "running": running.running(layout),
        "hold": hold.found(layout),
        "last": last.as_dict() if last else None,
        "journal": _history(journal, request),
        "head": journal.newest(),
        "clock": time.time(),
        "problems": problems,
        "unmanaged": [{"message": each.message, "hint": each.hint} for each in unmanaged],
        "configuration": used,
        "origins": configuration.origins(layout, used) if request.get("env") else {},
        "unit_changes": changes,
        "needs_bytes": _size(layout, live) if request.get("space") else None,
    }


def _of_the_mirror(layout: Layout, sha: Optional[str]) -> Tuple[Optional[bool], List[str]]:
    """Whether it has a commit (None: no commit was named), and the newest commits that it has."""
    from .building.mirror import Mirror

    mirror = Mirror(layout.repo)
    return mirror.has(sha) if sha else None, mirror.tips()


def _size(layout: Layout, live: Optional[str]) -> Optional[int]:
    """What the live release takes on the disk beside what others share with it; None where there is none."""
    from . import prune

    return prune.size(layout.release(live)) if live else None


def _unit_changes(
    layout: Layout, request: FactsRequest, record: Optional[ReleaseRecord], problems: List[Problem]
) -> Optional[Changes]:
    """The files of units that an activation of the release would change, where it is there; why it cannot is told."""
    asked, sha = request.get("units"), request.get("sha")
    release = earlier.place(layout.release(sha)) if sha else None
    if not asked or not sha or not release or seal.state_of(release, sha) not in SWITCHABLE:
        return None
    from . import unit_sets

    recorded: bool = request.get("recorded", False)

    def look() -> Changes:
        texts = unit_sets.wanted(layout, release, asked, recorded, record if recorded else None)
        return unit_sets.look(layout, texts, asked["adopt"]).changes

    found: Optional[Changes] = _collect(problems, look)
    return found


def _history(journal: Journal, request: FactsRequest) -> List[JournalEntry]:
    """The newest attempts; for checking the chain all kinds, those ``before`` a number when there are many."""
    before = request.get("before")
    entries = journal.attempts() if before is None else [each for each in journal.entries() if each["seq"] < before]
    return entries[-request.get("history", 1) :]


def plain(found: Facts, request: ActivateRequest) -> bool:
    """Whether these facts leave nothing to decide: the release is here, good, not live, and can be switched to."""
    target = found["target"]
    managing = request["restart"] or "run_as" in request.get("look", {})
    changes = found.get("unit_changes")
    known = (unit for name, unit in found["units"].items() if not (changes and _comes(changes, name)))
    loaded = all(unit["load"] == "loaded" and not unit.get("refuses") for unit in known)
    return (
        target is not None
        and target["state"] in SWITCHABLE
        and not target["bad"]
        and not (request.get("recorded") and target.get("unusable"))
        and found["live"] != request["sha"]
        and not found["problems"]
        and found["running"] is None
        and found["hold"] is None
        and (found["last"] is None or found["last"]["phase"] in FINAL)
        and (not managing or (found["systemd"] and found["may_manage"] and loaded))
    )


def _comes(changes: Changes, name: str) -> bool:
    """Whether a release brings a unit that is not here."""
    from . import unit_files

    return unit_files.brings(changes["added"], units.full_name(name))


def _target(layout: Layout, sha: str, live: Optional[str], record: Optional[ReleaseRecord], env: bool) -> TargetFacts:
    """How far the wanted release is, and what is known of it."""
    release = earlier.place(layout.release(sha))
    found = seal.state_of(release, sha)
    damage = seal.verify(release) if found == "sealed" else None
    note, meta = layout.bad(sha), seal.read_meta(release)
    configured = record.get("configuration") if record else None
    told: TargetFacts = {
        "state": "building" if earlier.is_built_again(layout, sha) else "damaged" if damage else found,
        "damage": damage,
        "bad": note.read_text("utf-8", "replace") if note.is_file() else None,
        "recipe": meta.get("recipe"),
        "gate": records.gate_of(layout, sha) if live == sha else None,
        "configuration": configured,
        "configured": "configured" in meta,
    }
    return {**told, "unusable": configuration.unusable(layout, configured)} if env else told


def _releases(layout: Layout, served: bool) -> List[ReleaseFacts]:
    def one(release_id: str) -> ReleaseFacts:
        release = earlier.place(layout.release(release_id))
        return {
            "id": release_id,
            "state": seal.state_of(release, release_id),
            "built_at": seal.read_meta(release).get("built_at_utc"),
            "bad": layout.bad(release_id).is_file(),
        }

    found = [one(release_id) for release_id in layout.release_ids()]
    if served:
        from . import served as serving

        return serving.told(layout, found)
    return found


def _asking(request: FactsRequest) -> Callable[[], List[manager.Trouble]]:
    """Begin to find out why this login cannot use its service manager; what is returned waits for that, and says it.

    sudo takes its time to answer: it is asked for who means to activate here, restarts or not.
    """
    if not manager.chosen().of_the_system:
        return manager.chosen().troubles
    if not (units.present() and "restart" in request):
        return list
    services: List[str] = request.get("services", [])
    answered = units.asking(request.get("starts", False), request.get("restart", True), services)
    return lambda: manager.without_sudo(answered())


def _asked_for(request: FactsRequest) -> bool:
    """Whether sudo was asked, or is not needed."""
    asked = units.present() and "restart" in request
    return asked or not manager.chosen().of_the_system or os.getuid() == 0


def _units(layout: Layout, services: List[str], live: Optional[str]) -> Dict[str, UnitFacts]:
    from . import strays

    seen = units.with_members(services)
    seen.update(units.parts(seen))
    away = records.put_away(layout, seen)
    since = strays.switched_at(layout.current) if live else 0.0
    found = strays.find(seen.values(), layout.releases, live, since, layout.current) if live else []
    configured = configuration.since(layout) or 0.0
    elsewhere = _elsewhere([name for name, unit in seen.items() if unit.load == "not-found"])
    return {
        name: {
            "load": unit.load,
            "active": unit.active,
            "condition": unit.condition,
            "stale": unit.stale,
            "refuses": unit.refuses,
            "serving": unit.serving or unit.between,
            "strays": [{"pid": each.pid, "release": each.release} for each in found if each.unit == name],
            "stops_within": unit.stops_within if unit.stops_within < inf else None,
            "put_away": name in away,
            "behind": unit.runs and time.time() - unit.age < configured and unit.age < inf,
            "elsewhere": name in elsewhere,
        }
        for name, unit in seen.items()
    }


def _elsewhere(absent: List[str]) -> List[str]:
    """Those of the units that the manager of the other scope has, where it answers."""
    if not absent or not manager.other().present:
        return []
    with manager.serving(manager.other().scope), contextlib.suppress(units.Silent):
        return [name for name, unit in units.show(absent).items() if unit.load == "loaded"]
    return []


def _root(layout: Layout) -> None:
    if layout.root.stat().st_mode & 0o002:
        raise Refusal(
            "invalid", f"{layout.root} is writable by everybody", hint=f"on the host: chmod o-w {layout.root}"
        )


def _link_place(layout: Layout) -> None:
    parent = layout.current.parent
    if parent.is_dir() and not os.access(parent, os.W_OK):
        raise Refusal(
            "invalid",
            f"{environment.of_this_user()['USER']} may not write in {parent}, where current is",
            hint=f"on the host: chown {environment.of_this_user()['USER']} {parent}",
        )


def _collect(problems: List[Problem], look: Callable[[], Any]) -> Any:
    """Look, and keep a refusal as a problem among others: the reader should learn of all of them at once."""
    try:
        return look()
    except Refusal as refusal:
        problems.append({"message": refusal.message, "hint": refusal.hint})
        return None


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)
