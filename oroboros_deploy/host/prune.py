"""Pruning: makes room, and tells of every release why it stays or goes.

What goes is first set aside, under the lock of the activations, so nothing can switch to
it any more; removing it then takes its time under the lock of the builds alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import sys
import time
from pathlib import Path

from . import (
    build_lock,
    earlier,
    hold,
    in_use,
    kept_tools,
    leftovers,
    lock,
    pins,
    records,
    running,
    seal,
    state,
    trees,
)
from .annotations import TYPE_CHECKING, Dict, Iterator, List, Optional, Set, Tuple
from .journal import Journal
from .layout import Layout
from .refusal import Refusal
from .retention import ATTEMPTS, Release, Verdict, built_after, judge, sequences, served
from .wire import Say

if TYPE_CHECKING:
    from .contract import PruneAnswer, PruneRequest, PruneVerdict

AGENTS = 15  # files of agents that are kept, three for each: control nodes of other versions use the same host


def prune(layout: Layout, request: PruneRequest, say: Say, wait: float = 5.0) -> PruneAnswer:
    """Remove what need not be kept beside the ``keep`` newest good releases; only tell of it with ``dry_run``.

    ``wait`` is how many seconds a build or an activation is waited for.  Raises
    Refusal, with nothing removed, when one still runs then or the host is held.
    """
    if not layout.ours.is_dir():
        return {"releases": [], "freed": 0, "dry_run": request["dry_run"], "complete": True}
    if not request["dry_run"]:
        hold.refuse(layout)
    with _no_build(layout, wait):
        until = time.monotonic() + leftovers.LONGEST
        if not request["dry_run"]:
            earlier.settle(layout)
            leftovers.remove_all(layout.releases, until)
        used = in_use.find(layout.releases)
        sizes = _sizes(layout, _verdicts(layout, request["keep"], used.processes))  # takes its time: before the lock
        with _no_activation(layout, wait), pins.still(layout):
            verdicts = _verdicts(layout, request["keep"], used.processes)
            placed = [_set_aside(layout, each) if not request["dry_run"] else (each, None) for each in verdicts]
            if not request["dry_run"]:
                _forget_configurations(layout)
        told = [_told(each, sizes) for each, _ in placed]
        if not request["dry_run"]:
            for each, (_, aside) in zip(told, placed):
                _remove(aside, until, each, say)
            with contextlib.suppress(OSError):  # somebody else may be tidying, or storing an agent
                _tidy(layout)
            _remove_unused_tools(layout, verdicts, say)
    freed = sum(each["bytes"] for each in told)
    return {"releases": told, "freed": freed, "dry_run": request["dry_run"], "complete": used.complete}


def _verdicts(layout: Layout, keep: int, processes: Dict[str, int]) -> List[Verdict]:
    entries, last = Journal(layout.journal).attempts(), state.load(layout.state)
    places = sequences(entries)
    releases = [_release(layout, release_id, places) for release_id in layout.release_ids()]
    there = {release.id for release in releases if release.state != "unsealed"}
    live = layout.live() or Journal(layout.journal).committed()  # moved away, it is still the way back
    earlier = served(entries, last.source if last else None)
    before = next((each for each in earlier if each != live and each in there), None)
    held = {before: "served before the live one", live: "live"}
    others = {release_id: f"in use by process {number}" for release_id, number in processes.items()}
    others.update({release_id: f"pinned by {pin['actor']}" for release_id, pin in pins.found(layout).items()})
    return judge(releases, keep, {name: why for name, why in held.items() if name}, others)


def _release(layout: Layout, release_id: str, places: Dict[Optional[str], int]) -> Release:
    path = layout.release(release_id)
    built = seal.read_meta(path).get("built_after", "")
    place = max(places.get(release_id, 0), built_after(int(built)) if built.isdigit() else 0)
    return Release(release_id, seal.state_of(path), layout.bad(release_id).is_file(), place)


def _set_aside(layout: Layout, verdict: Verdict) -> Tuple[Verdict, Optional[Path]]:
    """What goes is no release any more, and where it is then; what cannot be set aside stays whole."""
    if verdict.stays:
        return verdict, None
    try:
        aside = seal.set_aside(layout.release(verdict.id))
        records.forget(layout, verdict.id)
        return verdict, aside
    except OSError as error:
        return verdict._replace(stays=True, why=f"cannot be removed: {error.strerror}"), None


def _told(verdict: Verdict, sizes: Dict[str, int]) -> PruneVerdict:
    size = 0 if verdict.stays else sizes.get(verdict.id, 0)
    return {"id": verdict.id, "stays": verdict.stays, "why": verdict.why, "bytes": size}


def _remove(aside: Optional[Path], until: float, told: PruneVerdict, say: Say) -> None:
    if aside is None:
        return
    try:
        leftovers.remove(aside, until)
        say("pruned", f"{told['id']} removed: {told['why']}", release=told["id"], bytes=told["bytes"])
    except OSError as error:
        told["bytes"] = 0
        told["why"] = f"{told['why']}; not all of it could be removed; {leftovers.told(aside, error)}"
        say("warning", f"{told['id']}: {told['why']}", level="warning")


def _sizes(layout: Layout, verdicts: List[Verdict]) -> Dict[str, int]:
    return {each.id: size(layout.release(each.id)) for each in verdicts if not each.stays}


def size(release: Path) -> int:
    """The bytes that removing a tree frees: a file that is linked from elsewhere stays on the disk."""
    links: Dict[int, int] = {}
    total = 0
    with contextlib.suppress(OSError):  # what is too deep to be looked at is removed all the same
        for path in trees.walk(release):
            status = path.lstat()
            links[status.st_ino] = links.get(status.st_ino, 0) + 1
            if links[status.st_ino] == (1 if stat.S_ISDIR(status.st_mode) else status.st_nlink):
                total += status.st_blocks * 512
    return total


def _tidy(layout: Layout) -> None:
    """What would otherwise grow for ever: attempts, notes about releases that are gone, agents nobody sent lately."""
    recent = Journal(layout.journal).attempts()[-ATTEMPTS:]
    last = state.load(layout.state)
    named = {entry["attempt"] for entry in recent} | ({last.attempt} if last else set())
    _keep_newest(layout.ours / "attempts", ATTEMPTS, named)
    agent = Path(sys.argv[0])
    _keep_newest(layout.ours / "agent", AGENTS, {path.name for path in agent.parent.glob(f"{agent.name}*")})
    known = {*layout.release_ids(), *(entry["target"] for entry in recent)}
    for note in filter(lambda note: note not in known, os.listdir(layout.ours / "bad")):
        (layout.ours / "bad" / note).unlink(missing_ok=True)
    records.forget_the_missing(layout)


def _forget_configurations(layout: Layout) -> None:
    """Remove the configurations, and sets of units, that no release here was committed with; no activation runs."""
    last = state.load(layout.state)
    records.forget_configurations(layout, last)
    sets = (records.units_of(layout, release_id) for release_id in layout.release_ids())
    with contextlib.suppress(OSError):
        if layout.unit_sets.is_dir():
            from . import unit_sets

            unit_sets.forget_others(layout, [*sets, *((last.units, last.units_before) if last else ())])


def _remove_unused_tools(layout: Layout, verdicts: List[Verdict], say: Say) -> None:
    staying = [layout.release(each.id) for each in verdicts if each.stays]
    for name in kept_tools.remove_unused(layout.tools, staying):
        why = "no build needed it since the oldest release that stays was built, nor in the last 30 days"
        say("swept", f"{layout.tools / name} removed: {why}")


def _keep_newest(directory: Path, count: int, named: Set[str]) -> None:
    """Remove all but the newest entries of a directory, and the named ones; what was just made is never old."""
    found = directory.iterdir() if directory.is_dir() else ()
    entries = sorted(found, key=lambda path: path.lstat().st_mtime_ns, reverse=True)
    for old in filter(lambda path: path.name not in named, entries[count:]):
        if old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)


@contextlib.contextmanager
def _no_build(layout: Layout, wait: float) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(build_lock.take(layout, wait))
        except lock.Held:
            raise Refusal("busy", "a build or another pruning runs on this host", hint="wait for its end") from None
        yield


@contextlib.contextmanager
def _no_activation(layout: Layout, wait: float) -> Iterator[None]:
    """Held together with those who only ask who activates: nobody is told that the host is busy for this moment."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock.take(layout.lock, wait, fcntl.LOCK_SH))
        except lock.Held:
            raise running.busy(layout) from None
        yield
