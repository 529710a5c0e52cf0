"""The build call: a commit becomes a sealed release; nothing that is live is touched."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from .. import lock, seal, state, wire
from ..annotations import TYPE_CHECKING, Iterator, List, Optional, Sequence, Set
from ..journal import Journal
from ..layout import Layout
from ..refusal import Refusal
from ..wire import Say
from . import parts, workspace
from .cache import Cache, Entry
from .inputs import Sources
from .mirror import Mirror
from .parts import Part

if TYPE_CHECKING:
    from ..contract import BuildAnswer, BuildRequest, ReleaseState

_LOOK = 200  # milliseconds between two looks whether the build is over


def build(layout: Layout, request: BuildRequest, say: Say) -> BuildAnswer:
    """Make the release of ``request["sha"]`` unless it is there; returns its state and the seconds it took."""
    layout.create()
    began = time.monotonic()
    deadline = began + request["recipe"]["timeout"]
    with workspace.make(layout, request["attempt"]) as tmp:
        bundle = _receive(tmp) if request["source"]["kind"] == "bundle" else None
        with _hang_up() as stop, _alone(layout, deadline, stop, say):
            found = _usable(layout, request["sha"])
            if found == "unsealed":
                workspace.sweep(layout, say)
                _sweep(layout, request["sha"], say)
                mirror = Mirror(layout.repo, stop)
                _fetch(mirror, request, bundle, deadline)
                _make(layout, mirror, request, tmp, say, deadline, stop)
                found = "sealed"
    return {"state": found, "seconds": time.monotonic() - began}


def _usable(layout: Layout, sha: str) -> ReleaseState:
    """``sealed`` or ``adopted`` when the release can be used as it is, else ``unsealed``: it must be made."""
    release = layout.release(sha)
    found = seal.state_of(release)
    damage = seal.verify(release) if found == "sealed" else None
    if damage is None and found in ("sealed", "adopted"):
        return found
    wrong = damage or ("is gone" if found == "missing" else "was never completed")
    if layout.live() == sha:
        raise Refusal(
            "invalid",
            f"{layout.current} names release {sha}, which cannot be rebuilt in place: {wrong}",
            hint=f"deploy another release first, or on the host: rm {layout.current}",
        )
    if sha in _needed(layout):
        raise Refusal(
            "busy",
            f"release {sha} cannot be rebuilt while an activation may go back to it: {wrong}",
            hint="wait for it (fab -H HOST status), or deploy another release first",
        )
    return "unsealed"


def _needed(layout: Layout) -> Set[Optional[str]]:
    """The live release, and those of an activation that is not at its end: either may be live a moment later.

    What is live is asked before and after, for one may begin or end in between.
    """
    before, last = layout.live(), state.load(layout.state)
    unfinished = (last.source, last.target) if last and not last.final else ()
    return {before, *unfinished, layout.live()}


def _sweep(layout: Layout, sha: str, say: Say) -> None:
    """Remove what interrupted builds left, and the release to be made again; never one that is needed."""
    needed = _needed(layout)
    for release_id in layout.release_ids():
        release = layout.release(release_id)
        if release_id not in needed and (release_id == sha or seal.state_of(release) not in ("sealed", "adopted")):
            say("swept", f"removed the incomplete build of {release_id}", level="detail")
            seal.remove(release)


def _fetch(mirror: Mirror, request: BuildRequest, bundle: Optional[Path], deadline: float) -> None:
    sha, source = request["sha"], request["source"]
    mirror.create(sha)
    if bundle is not None:
        mirror.take_bundle(bundle, sha, deadline)
    elif not mirror.has(sha) and source["kind"] == "fetch" and source["url"]:
        mirror.fetch(source["url"], sha, deadline)
    if not mirror.has(sha):
        raise Refusal("missing_commit", f"commit {sha} is not in {mirror.path}")


def _make(
    layout: Layout,
    mirror: Mirror,
    request: BuildRequest,
    tmp: Path,
    say: Say,
    deadline: float,
    stop: threading.Event,
) -> None:
    """Check out, build and seal in the final path; a build that fails leaves no directory behind."""
    sha, recipe = request["sha"], request["recipe"]
    release, logs = layout.release(sha), layout.attempt(request["attempt"])
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = Cache(layout.cache, release, say)
    store.prune(recipe["cache"])
    release.mkdir(mode=0o755)
    try:
        mirror.check_out(sha, release, tmp / "index", deadline)
        _refuse_reserved(release)
        sources = Sources(mirror.listing(sha, deadline), release, recipe["inputs"])
        tools, choice = layout.ours / "tools" / "pip", (recipe["installer"], recipe["anew"])
        bench = parts.Bench(release, logs, tools, tmp, say, deadline, stop, sources, *choice)
        try:
            _run(parts.plan(dict(recipe), release), bench, store)
        finally:  # what a failed build made well need not be made again
            store.keep()
        shutil.rmtree(release / parts.WHEELS, ignore_errors=True)
        after = Journal(layout.journal).last()["seq"]  # its place among the others, which no clock can tell
        entries = seal.seal(release, {**seal.meta_now(sha, request["version"]), "built_after": str(after)})
        say("release.sealed", f"{sha} sealed, {entries} entries", entries=entries)
    except BaseException:
        with contextlib.suppress(OSError):  # the cause is worth more; what is left is swept by the next build
            seal.remove(release)
        raise
    store.prune(recipe["cache"])


def _refuse_reserved(release: Path) -> None:
    taken = [name for name in (*seal.OURS, parts.WHEELS) if os.path.lexists(release / name)]
    if taken:
        raise Refusal("invalid", f"the commit contains {taken[0]}, a name that releases keep for themselves")


def _run(plan: Sequence[Part], bench: parts.Bench, store: Cache) -> None:
    """Run the parts, each after those it follows, at most one a processor; the first failure stops the others."""
    running: List[Future[None]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, part in enumerate(plan):
            before = [running[other] for other in range(number) if part.follows(plan[other])]
            running.append(pool.submit(_run_part, part, bench, store, before))
    failures = [failure for failure in (future.exception() for future in running) if failure]
    causes = [failure for failure in failures if not (isinstance(failure, Refusal) and failure.kind == "cancelled")]
    if failures:
        raise (causes or failures)[0]


def _run_part(part: Part, bench: parts.Bench, store: Cache, before: List[Future[None]]) -> None:
    wait(before)  # each was submitted before this one, so it runs or has ended
    began = time.monotonic()
    try:
        bench.go_on()
        bench.say("part.started", part.name, level="detail", part=part.name)
        cached = _produce(part, bench, store)
    except BaseException:
        bench.stop.set()
        raise
    told = {"seconds": time.monotonic() - began, "cached": cached}
    bench.say("part.finished", f"{part.name} {'cached' if cached else 'built'}", level="detail", part=part.name, **told)


def _produce(part: Part, bench: parts.Bench, store: Cache) -> bool:
    """Make a part, or take it as it was made before; True for the latter."""
    entry = _entry(part, bench)
    if entry is None:
        part.work(bench)
        return False
    if not bench.anew and store.take(entry, link=part.link):
        return True
    bench.say("cache.missed", f"{part.name}: {_why(entry, bench, store)}", level="detail", part=part.name)
    with store.watch(entry, part.makes, part.elsewhere, placed=part.placed):
        if part.layer and not bench.anew and store.take_layer(entry, link=part.link):
            part.layer.work(bench)
        else:
            part.work(bench)
        own = part.layer.own(bench) if part.layer and entry.layer else None
        entry.layer = entry.layer if own else None
        entry.own = [os.path.relpath(path, bench.release) for path in own or []]
    return False


def _entry(part: Part, bench: parts.Bench) -> Optional[Entry]:
    """What the part's result is known by; None when what it depends on is not known."""
    depends = part.inputs(bench) if part.inputs else None
    if depends is None:
        return None
    layer = part.layer.inputs(bench) if part.layer else None
    return Entry(part.name, {**depends, **bench.surroundings}, layer and {**layer, **bench.surroundings})


def _why(entry: Entry, bench: parts.Bench, store: Cache) -> str:
    changed = None if bench.anew else store.changed(entry)
    if changed is None:
        return "built anew, as asked" if bench.anew else "nothing is known of it"
    return f"changed since it was built last: {', '.join(changed) or 'nothing'}"


@contextlib.contextmanager
def _alone(layout: Layout, deadline: float, stop: threading.Event, say: Say) -> Iterator[None]:
    """Builds of one host go one after another: the second of the same commit then finds it made."""
    path = layout.build_lock
    if lock.is_held(path):
        say("build.waiting", "another build runs on this host; waiting for it", level="warning")
    while True:
        try:
            with lock.hold(path, wait=0.5):
                yield
                return
        except lock.Held:
            if stop.is_set() or time.monotonic() > deadline:
                raise Refusal("build_failed", "another build held this host until the deadline") from None


def _receive(tmp: Path) -> Path:
    bundle = tmp / "source.bundle"
    with bundle.open("wb") as file:
        for block in iter(wire.read_block, None):
            file.write(block)
    return bundle


@contextlib.contextmanager
def _hang_up() -> Iterator[threading.Event]:
    """An event that is set when the control node is gone: a build that nobody waits for is stopped."""
    gone, over = threading.Event(), threading.Event()
    handlers = {number: signal.signal(number, lambda *_: gone.set()) for number in (signal.SIGTERM, signal.SIGHUP)}
    threading.Thread(target=_watch, args=(gone, over), daemon=True).start()
    try:
        yield gone
    finally:
        over.set()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _watch(gone: threading.Event, over: threading.Event) -> None:
    """Wait for the end of the input and leave what is in it: it may be the next call."""
    ends = select.poll()
    ends.register(0, select.POLLRDHUP)  # a hang-up needs no asking for
    while not over.is_set():
        if ends.poll(_LOOK):
            gone.set()
            return
