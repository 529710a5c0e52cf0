"""The build call: a commit becomes a sealed release; nothing that is live is touched."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from .. import (
    build_lock,
    configuration,
    durable,
    earlier,
    environment,
    in_use,
    kept_tools,
    key,
    leftovers,
    lock,
    manager,
    process,
    records,
    running,
    seal,
    shared,
    state,
    trees,
    unit_sets,
    wire,
    words,
)
from ..annotations import TYPE_CHECKING, Dict, Iterator, List, Optional, Sequence, Set
from ..constants import SWITCHABLE
from ..journal import Journal
from ..layout import Layout
from ..masking import Mask
from ..refusal import Refusal
from ..unit_files import Texts
from ..wire import Say
from . import compiling, installers, login, parts, passed_over, told, toolchain, view, workspace
from .bench import ELSEWHERE, Bench
from .cache import Cache, Entry
from .inputs import Sources, digest, surroundings
from .mirror import Mirror
from .parts import Part
from .toolchain import Toolchain
from .view import View
from .within import within

if TYPE_CHECKING:
    from ..contract import BuildAnswer, BuildRequest, Places, Switchable

_LOOK = 200  # milliseconds between two looks whether the build is over
PATIENCE = 60.0  # seconds in which a build that nobody waits for has to stop by itself


def build(layout: Layout, request: BuildRequest, say: Say) -> BuildAnswer:
    """Make the release of ``request["sha"]`` unless it is there; returns its state and the seconds it took."""
    manager.refuse_root(["build"] if request.get("privileged") else [], "nothing was built")
    layout.create()
    began = time.monotonic()
    deadline = began + request["recipe"]["timeout"]
    with workspace.make(layout, request["attempt"]) as tmp:
        bundle = _receive(tmp) if request["source"]["kind"] == "bundle" else None
        with ended_by_hang_up() as stop, _alone(layout, deadline, stop, say):
            workspace.sweep(layout, say)
            earlier.settle(layout)
            usable, left_out = _usable(layout, request), []
            if usable is None:
                left_out = _Release(layout, request, tmp, say, deadline, stop).make(bundle)
    return {"state": usable or "sealed", "seconds": time.monotonic() - began, "left_out": left_out}


def _usable(layout: Layout, request: BuildRequest) -> Optional[Switchable]:
    """The state of a release that is what was asked for; None when it must be made, and what is there may go."""
    found, wrong = seal.state_of(layout.release(request["sha"])), _unfit(layout, request)
    if found in SWITCHABLE and wrong is None:
        return found
    _refuse_needed(layout, request["sha"], wrong or ("it is gone" if found == "missing" else "it was never completed"))
    return None


def _unfit(layout: Layout, request: BuildRequest) -> Optional[str]:
    """Why a release that is complete is not the one that was asked for; None when it is, or when none is complete.

    What other tools made is built again only when that was asked for; what notes no recipe fits every recipe.
    """
    release = layout.release(request["sha"])
    found, note = seal.state_of(release), layout.bad(release.name)
    if found not in SWITCHABLE:
        return None
    if request.get("again"):
        return "--rebuild was said"
    if found == "adopted":
        return None
    if seal.read_meta(release).get("recipe") not in (None, request["recipe"]["digest"]):
        return words.OTHER_RECIPE
    failed = f"it failed here before: {note.read_text('utf-8', 'replace')}" if note.is_file() else None
    damage = seal.verify(release) or failed
    if damage:
        return damage
    same = seal.read_meta(release).get("configured") == configuration.digest_of_build(
        layout, release, request.get("env")
    )
    return None if same else "it was built with other values of the names in `env.build`"


def _refuse_needed(layout: Layout, sha: str, wrong: str) -> None:
    """Refuse to rebuild what is live, or may be live a moment later."""
    if layout.live() == sha:
        raise Refusal(
            "invalid",
            f"nothing was switched: release {sha} is live ({layout.current} names it), and what is live cannot be "
            f"rebuilt in place; a rebuild is needed because {wrong}",
            hint="roll back first, or deploy another commit: git commit --allow-empty -m 'build again'",
        )
    if sha in _needed(layout):
        raise Refusal(
            "busy",
            f"release {sha} cannot be rebuilt while an activation may go back to it; "
            f"a rebuild is needed because {wrong}",
            hint="wait until the activation has ended (fab -H HOST status), or deploy another release first",
        )


def _needed(layout: Layout) -> Set[Optional[str]]:
    """The live release, and those of an activation that is not at its end: either may be live a moment later.

    What is live is asked before and after, for one may begin or end in between.
    """
    before, last = layout.live(), state.load(layout.state)
    unfinished = (last.source, last.target) if last and not last.final else ()
    return {before, *unfinished, layout.live()}


def _sweep(layout: Layout, sha: str, say: Say) -> None:
    """Remove what interrupted builds left; never what is needed.

    What this login cannot remove is left to `prune`, which asks root: that takes minutes, and a build is waited for.
    """
    seal.discard_set_aside(layout.releases)
    needed = _needed(layout)
    for release_id in layout.release_ids():
        release = layout.release(release_id)
        if release_id not in needed and seal.state_of(release) not in SWITCHABLE:
            _take_away(release, say, must=release_id == sha)


def _take_away(release: Path, say: Say, *, must: bool) -> None:
    """Remove what is no release; what cannot be removed is told, and stands in nobody's way any more."""
    try:
        aside = seal.set_aside(release)
    except OSError as error:
        if must:
            raise
        why = f"{error.strerror} (on the host, as root: {leftovers.line(release)})"
        say("warning", f"the incomplete build of {release.name} could not be removed: {why}", level="warning")
        return
    try:
        seal.remove(aside)
    except OSError as error:
        message = f"not all of {release.name} could be removed; {leftovers.told(aside, error)}"
        say("warning", message, level="warning")
    else:
        say("swept", f"removed the incomplete build of {release.name}", level="detail")


@dataclass(frozen=True)
class _Release:
    """A release that is being made: what was asked for, and what it is made with."""

    layout: Layout
    request: BuildRequest
    tmp: Path
    say: Say
    deadline: float
    stop: threading.Event

    @property
    def sha(self) -> str:
        return self.request["sha"]

    @property
    def path(self) -> Path:
        return self.layout.release(self.sha)

    @property
    def version(self) -> str:
        return self.request.get("described", self.sha)

    @property
    def _places(self) -> Places:
        return self.request["recipe"].get("shared", {})

    @property
    def mirror(self) -> Mirror:
        return Mirror(self.layout.repo, self.stop, self.layout.ours / "mirror")

    def make(self, bundle: Optional[Path]) -> List[str]:
        """Remove what is left of other builds, bring in the commit, and build its release; what was left out of it."""
        self._tell_of_the_login()
        tools = self._tools()
        shared.create(self.layout, self._places, self.request.get("owner"))
        workspace.sweep(self.layout, self.say)
        _sweep(self.layout, self.sha, self.say)
        live = self.layout.live()
        before = self.layout.release(live) if live else None
        store = Cache(self.layout.cache, self.path, self.say, key.of(self.layout), before, self.version)
        store.prune(self.request["recipe"]["cache"])
        self._move_out_earlier()
        with self._whole_or_gone():
            self._bring_in_whole(bundle)
            bench = self._build(store, tools)
            shared.link_again(self.layout, self.path, self._places)
            self._seal(store)
        for tool in (bench.tools, *bench.kept):  # after the release has its time
            kept_tools.mark(tool)
        store.prune(self.request["recipe"]["cache"])
        return bench.left_out

    def _tell_of_the_login(self) -> None:
        """Name what this login had for builds of 0.1.0, and has not for those of this version."""
        lost = login.only_there()
        if lost:
            message = f"{login.warning(lost)}; if a command needs one, set it in {environment.SETTLED} on the host"
            told.once(self.layout.told, self.say, message)

    def _tools(self) -> Toolchain:
        """The Python and the node that the recipe chooses, looked at before anything is built with them."""
        tools = toolchain.chosen(self.request["recipe"], self._ask)
        closed = tools.unreachable()
        if closed:
            message = f"build.python: {closed} keeps other users from {tools.python}, their services will not start"
            told.once(self.layout.told, self.say, f"{message} (chmod o+rx {closed}, or choose one elsewhere)")
        unheard = installers.unheard(tools)
        if unheard:
            instead = f"it reads the file that PIP_CONFIG_FILE in {environment.SETTLED} names"
            message = f"pip does not read {unheard} when it fills the environments of a release: {instead}"
            told.once(self.layout.told, self.say, f"{message} (copy the settings into that file)")
        return tools

    def _ask(self, argv: Sequence[str]) -> process.Ended:
        env = environment.of_this_user(self.request["recipe"].get("node"))
        return process.apart(argv, cwd=ELSEWHERE, deadline=self.deadline, env=env, bound=True)

    def _bring_in_whole(self, bundle: Optional[Path]) -> None:
        """Bring in the commit and check it out; a mirror that git cannot read is made anew first."""
        try:
            self._bring_in(bundle)
        except Refusal as refusal:
            damage = self.mirror.damage(self.deadline) if refusal.kind in ("build_failed", "missing_commit") else None
            if damage is None:
                raise
            self._make_anew(damage, bundle)

    def _make_anew(self, damage: str, bundle: Optional[Path]) -> None:
        aside = self.mirror.set_aside(damage)
        why = f"git cannot read {self.mirror.path}: {damage}"
        self.say("mirror.damaged", f"{why}; it is set aside as {aside} and made anew", level="warning")
        try:
            self._bring_in(bundle)
        except Refusal:
            if self.request["source"]["kind"] == "fetch":
                raise
            hint = "deploy again: the whole history is sent then"
            raise Refusal("missing_commit", f"commit {self.sha} is not in the mirror any more: {why}", hint) from None

    def _bring_in(self, bundle: Optional[Path]) -> None:
        source = self.request["source"]
        if bundle is not None or not self.mirror.has(self.sha):
            self.mirror.refuse_strange()
        self.mirror.unlock()
        self.mirror.create(self.sha)
        if bundle is not None:
            self.mirror.take_bundle(bundle, self.sha, self.deadline)
        elif not self.mirror.has(self.sha) and source["kind"] == "fetch" and source["url"]:
            self.mirror.fetch(source["url"], self.sha, self.deadline)
        if not self.mirror.has(self.sha):
            hint = "deploy again: the commit is then sent to this host, or fetched"
            raise Refusal("missing_commit", f"commit {self.sha} is not in {self.mirror.path}", hint)
        for name in self.mirror.check_out(self.sha, self.path, self.tmp / "index", self.deadline):
            message = f"git's filter {name!r} does not run on a host: its files are deployed as they are committed"
            self.say("warning", message, level="warning")
        _refuse_reserved(self.path)
        shared.link(self.layout, self.path, self._places)
        self._configured()  # what cannot be is refused before anything is built
        self._units()

    def _move_out_earlier(self) -> None:
        """Move what was complete out of the place of the new build, when nothing runs from it or may go back to it."""
        wrong = _unfit(self.layout, self.request)
        if wrong is None:
            return
        process = in_use.find(self.layout.releases).processes.get(self.sha)
        if process is not None:
            runs = f"release {self.sha} cannot be built again while process {process} runs from it"
            what = f"{runs}; a rebuild is needed because {wrong}"
            raise Refusal("busy", what, hint="restart its service (fab -H HOST restart), or deploy another commit")
        with self._no_activation():
            _refuse_needed(self.layout, self.sha, wrong)
            earlier.move_out(self.path)
        self.say("build.again", f"{self.sha} is built again: {wrong}")

    @contextlib.contextmanager
    def _no_activation(self) -> Iterator[None]:
        """No activation begins meanwhile, which may want the release; one that runs is waited for."""
        wait = self.deadline - time.monotonic()
        try:
            with lock.take(self.layout.lock, wait, fcntl.LOCK_SH):
                yield
        except lock.Held:
            raise running.busy(self.layout) from None

    @contextlib.contextmanager
    def _whole_or_gone(self) -> Iterator[None]:
        """The release's directory, at its final path; when the build fails, what was there before is there again."""
        try:
            self.path.mkdir(mode=0o755)
            yield
        except BaseException:
            with contextlib.suppress(OSError):  # the cause is worth more; what is left is swept by the next build
                seal.remove(self.path)
            with contextlib.suppress(OSError):
                earlier.settle_one(self.path)
            raise
        earlier.settle_one(self.path)

    def _build(self, store: Cache, tools: Toolchain) -> Bench:
        """Run the recipe's parts; what a build that fails made well is kept, and need not be made again."""
        for message in passed_over.said_of(self.request["recipe"], self.path):
            self.say("warning", message, level="warning")
        try:
            with workspace.all_ended(store.contents.forget), self._bench(tools) as bench:
                _run(parts.plan(self.request["recipe"], self.path), bench, store)
                self._compile(bench)
        finally:
            store.keep()
        trees.discard(self.path / parts.WHEELS)
        return bench

    def _compile(self, bench: Bench) -> None:
        """Compile the sources outside of environments, which no part has looked at."""
        live, recipe = self.layout.live(), self.request["recipe"]
        before = self.layout.release(live) if live and live != self.sha else None
        has_python = bool(recipe.get("python") or recipe["venvs"])
        asked = self.request.get("units")
        units = unit_sets.of_release(self.layout, self.path, asked) if asked else {}
        compiling.compile_all(bench, before, units.values(), has_python=has_python)

    @contextlib.contextmanager
    def _bench(self, chosen: Toolchain) -> Iterator[Bench]:
        """What the parts work with; their commands write to this release alone, where the host allows to see to it."""
        recipe, logs = self.request["recipe"], self.layout.attempt(self.request["attempt"])
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        sources = Sources(self.mirror.listing(self.sha, self.deadline), self.path, recipe["inputs"])
        ours, choice = self.layout.ours, (recipe["installer"], recipe["anew"])
        tools = self.layout.tools / (f"pip-{digest(chosen.about_python)[:16]}" if chosen.files else "pip")
        around = {**surroundings(chosen.prefix, chosen.node), **({"node": chosen.about_node} if chosen.node else {})}
        configured = self._configured()
        if configured:
            around["configuration"] = configuration.digests(self.layout, configured)
        if self.request.get("privileged"):
            around["privileged"] = True
        bench = Bench(
            *(self.path, logs, tools, self.tmp, self.say, self.deadline, self.stop, sources, *choice),
            surroundings=around,
            toolchain=chosen,
            configured=configured,
            mask=self._mask,
            bound=not self.request.get("privileged"),
        )
        kept = view.kept_by_tools(bench.environment())
        shown = (bench.temporary, tools.parent)
        durable.make_directory(tools.parent, 0o700)
        closed = (self.layout.root, self.layout.releases, self.layout.repo, self.layout.current.parent)
        reads_only = any(step.get("once") for step in recipe["steps"])
        own = view.own_places(self.tmp / "own", [*closed, Path(bench.environment()["HOME"])])
        with contextlib.ExitStack() as stack:
            entering = [
                self._entered(stack, View((*written, *kept), closed, ours, shown, own))
                for written in ((self.path, bench.temporary), shown, *([(bench.temporary,)] if reads_only else []))
            ]
            bench = replace(bench, version=self.version, entering=entering[0], entering_tools=entering[1])
            bench = replace(bench, entering_reading=entering[2] if len(entering) > 2 else entering[0])
            chosen.refuse_unseen(bench.ask)
            yield bench

    def _entered(self, stack: contextlib.ExitStack, seen: View) -> List[str]:
        """What starts a command in a view; nothing where it may become root, which the view's namespace forbids."""
        if not self.request.get("privileged"):
            return stack.enter_context(seen.entered(self._tell_of_no_view))
        message = "commands of a build can become root, and write wherever root can: `privileged` names `build`"
        told.once(self.layout.told, self.say, message)
        return []

    def _units(self) -> Texts:
        """The units that the release brings; refuses those that this host could not take."""
        asked = self.request.get("units")
        if asked is None:
            return {}
        texts = unit_sets.of_release(self.layout, self.path, asked)
        unit_sets.refuse_unknown_words(self.path, asked)
        unit_sets.look(self.layout, texts, asked["adopt"])
        return texts

    def _verify_units(self) -> None:
        """Have systemd look at the units, now that the programs that they run are there."""
        texts = self._units()
        if texts:
            unit_sets.verify(self.layout, texts, self.path, self.say, self.request["units"]["directory"])

    def _configured(self) -> Dict[str, str]:
        return configuration.for_build(self.path, self.request.get("env"))

    @property
    def _mask(self) -> Mask:
        sources = self.request.get("env")
        return Mask(sources["secrets"].values() if sources else ())

    def _tell_of_no_view(self, why: str) -> None:
        message = "commands of a build can write wherever this login can: this host cannot limit what a build sees"
        told.once(self.layout.told, self.say, f"{message} ({why})")

    def _seal(self, store: Cache) -> None:
        """Seal it, with its place among the entries of the journal, which no clock can tell."""
        self._verify_units()
        after = Journal(self.layout.journal).last()["seq"]
        node = self.request["recipe"].get("node")  # for what runs in the release later
        more: Dict[str, str] = {"version": self.version, **({"node": node} if node else {}), "built_after": str(after)}
        meta = {**seal.meta_now(self.sha, self.request["version"]), **more}
        meta["recipe"] = self.request["recipe"]["digest"]
        configured = configuration.digest_of_build(self.layout, self.path, self.request.get("env"))
        if configured:
            meta["configured"] = configured
        apart = [self.layout.shared, *(self.layout.shared / path for path in self._places)]  # some may be links
        entries = seal.seal(self.path, meta, store.shared(), apart, store.contents.known)
        self.layout.bad(self.sha).unlink(missing_ok=True)  # it was of the earlier build, as the record was
        records.forget(self.layout, self.sha)
        self.say("release.sealed", f"{self.sha} sealed, {entries} entries", entries=entries)


def _refuse_reserved(release: Path) -> None:
    taken = [name for name in (*seal.OURS, parts.WHEELS) if os.path.lexists(release / name)]
    if taken:
        what = f"the commit contains {taken[0]}, a name that releases keep for themselves"
        raise Refusal("invalid", what, hint="give it another name in the repository, and commit that")


def _run(plan: Sequence[Part], bench: Bench, store: Cache) -> None:
    """Run the parts, each after those it follows, at most one a processor; the first failure stops the others."""
    running: List[Future[None]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, part in enumerate(plan):
            before = [running[other] for other in range(number) if part.follows(plan[other])]
            running.append(pool.submit(_run_part, part, bench, store, before))
    failures = [failure for failure in (future.exception() for future in running) if failure]
    causes = [failure for failure in failures if not _cancelled(failure)]
    if failures:
        raise (causes or failures)[0]


def _cancelled(failure: BaseException) -> bool:
    """Whether a part ended because another one had failed, or because nobody waits for it."""
    return isinstance(failure, Refusal) and failure.kind == "cancelled"


def _run_part(part: Part, bench: Bench, store: Cache, before: List[Future[None]]) -> None:
    wait(before)  # each was submitted before this one, so it runs or has ended
    began = time.monotonic()
    try:
        bench.go_on()
        bench.say("part.started", part.name, level="detail", part=part.name)
        cached = _produce(part, bench, store)
    except BaseException as failure:
        bench.stop.set()
        if not _cancelled(failure):
            seconds = time.monotonic() - began
            bench.say("part.failed", f"{part.name} failed", level="error", part=part.name, seconds=seconds)
        raise
    told = {"seconds": time.monotonic() - began, "cached": cached}
    bench.say("part.finished", f"{part.name} {'cached' if cached else 'built'}", level="detail", part=part.name, **told)


def _produce(part: Part, bench: Bench, store: Cache) -> bool:
    """Make a part, or take it as it was made before; True for the latter."""
    for path in (*part.runs_in, *part.reads, *part.makes):
        within(bench.release, path)
    entry = _entry(part, bench)
    if entry is None:
        part.work(bench)
        return False
    if not part.always_runs and not bench.anew and store.take(entry, linked=part.may_be_linked):
        return True
    why = "it always runs" if part.always_runs else _why(entry, bench, store) + _widened(part, bench)
    bench.say("cache.missed", f"{part.name}: {why}", level="detail", part=part.name)
    places, may = (part.makes, part.made_by_others), part.may_contain_path
    with store.watch(entry, *places, may_contain_path=may, may_lack=part.may_lack):
        _make(part, entry, bench, store)
    if part.name in bench.unkept:
        store.leave_out(entry)
    return False


def _make(part: Part, entry: Entry, bench: Bench, store: Cache) -> None:
    """Make a part, upon its base where that is known, and note what is added to the base."""
    if part.base and not bench.anew and store.take_base(entry, linked=part.may_be_linked):
        part.base.complete(bench)
    else:
        part.work(bench)
    added = part.base.added(bench) if part.base and entry.base_inputs else None
    entry.base_inputs = entry.base_inputs if added else None
    entry.added = [os.path.relpath(path, bench.release) for path in added or []]


def _entry(part: Part, bench: Bench) -> Optional[Entry]:
    """What the part's result is known by; None when what it depends on is not known."""
    depends = part.inputs(bench) if part.inputs else None
    if depends is None:
        return None
    base = part.base.inputs(bench) if part.base else None
    return Entry(part.name, {**depends, **bench.surroundings}, base and {**base, **bench.surroundings})


def _why(entry: Entry, bench: Bench, store: Cache) -> str:
    if bench.anew:
        return "built anew, as asked"
    changed = store.changed(entry)
    if changed is None:
        return "built, for the cache has no earlier result of it"
    return f"changed since it was built last: {', '.join(changed) or 'nothing'}"


def _widened(part: Part, bench: Bench) -> str:
    """What is said of a part that depends on the whole commit because of one of its files."""
    file = next(filter(None, map(bench.sources.widened_by, part.runs_in[:1])), None)
    return f"; it depends on the whole commit, for {file} names a path outside (see build.inputs)" if file else ""


@contextlib.contextmanager
def _alone(layout: Layout, deadline: float, stop: threading.Event, say: Say) -> Iterator[None]:
    """Builds of one host go one after another: the second of the same commit then finds it made."""
    if build_lock.is_held(layout):
        say("build.waiting", "another build runs on this host; waiting for it", level="warning")
    while True:
        try:
            with build_lock.take(layout, wait=0.5):
                yield
                return
        except lock.Held:
            if stop.is_set() or time.monotonic() > deadline:
                hint = "wait for the end of that build, then deploy again"
                raise Refusal("build_failed", "another build held this host until the deadline", hint) from None


def _receive(tmp: Path) -> Path:
    bundle = tmp / "source.bundle"
    with bundle.open("wb") as file:
        for block in iter(wire.read_block, None):
            file.write(block)
    return bundle


@contextlib.contextmanager
def ended_by_hang_up() -> Iterator[threading.Event]:
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
    """Wait for the end of the input and leave what is in it: it may be the next call.

    A build that nobody waits for and that does not stop, for a disk or a file system does not answer, is ended.
    """
    ends = select.poll()
    ends.register(0, select.POLLRDHUP)  # a hang-up needs no asking for
    while not (over.is_set() or gone.is_set()):
        if ends.poll(_LOOK):
            gone.set()
    if not over.wait(PATIENCE):
        os._exit(1)  # the next build sweeps what it leaves
