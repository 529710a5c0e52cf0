"""Activation: swap, restart, gate, commit; or restore.

The one piece that may change what a host serves.  A deploy, a rollback and the
settling of an interrupted attempt all go through here, always under the lock.
"""

from __future__ import annotations

import contextlib
import os
import time

from . import durable, gate, process, seal, state, units
from .annotations import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, cast
from .constants import SWITCHABLE
from .journal import Journal
from .layout import Layout
from .refusal import Refusal, of_host
from .state import State
from .wire import Say
from .words import PHASES

if TYPE_CHECKING:
    from .contract import ActivateRequest, FinalPhase, JournalEntry, Phase, Result


class Failed(Exception):
    """A step of the activation failed; the host is to be restored."""

    def __init__(self, message: str, transcript: str = "") -> None:
        super().__init__(message)
        self.transcript = transcript


class Activation:
    """One attempt on this host, from ``prepared`` to its end."""

    def __init__(self, layout: Layout, request: ActivateRequest, say: Say) -> None:
        self.layout = layout
        self.request = request
        self.say = say
        self.services = tuple(request["services"]) if request["restart"] else ()
        self.gate = gate.of(request["healthcheck"], self.services)
        self.seen: Dict[str, units.Unit] = {}  # how the services were when they were last looked at
        self.restarted_at = time.time()
        self.added: List[str] = []  # paths in the target that its seal does not know
        self.state: State

    def run(self) -> State:
        """Activate the target; returns the final state.  Raises Refusal while nothing was changed."""
        try:
            self._prepare()
        except OSError as error:
            _clear(self.layout)
            what = "nothing was changed: the activation could not be prepared"
            raise of_host("invalid", what, error) from error
        self._remove_added()
        try:
            self._migrate()
            self.swap()
            self._restart()
            self._gate()
        except Failed as failure:
            self._mark_bad(failure)
            return self._restore(failure)
        except (
            OSError,
            ImportError,
        ) as failure:  # the host's trouble, not the release's
            return self._restore(failure)
        return self._commit()

    def resume(self, found: State) -> State:
        """Settle an attempt whose process is gone: finish it if it had passed its gate, else restore."""
        self.state = found
        if found.phase == "gated" and _live_or_none(self.layout) == found.target:
            return self._commit()
        what = "interrupted" if found.of_this_boot else "the host went down"
        return self._restore(Failed(found.reason or f"{what} after '{found.phase}'"))

    def _prepare(self) -> None:
        """Refuse what cannot work, and make the link for the way back before going anywhere."""
        target = self.request["sha"]
        source = self.layout.live()
        self._verify_target(target)
        self.layout.reserve.fill()
        source = self._way_back(source)
        self._check_units()
        if source:
            self._stage("restore", source)
        self._stage("switch", target)
        durable.sync_directory(self.layout.staged("switch").parent)  # of both links
        self.state = state.begin(self.request, source)
        self._spend(self._mark_unfinished)  # the fsync of the phase's directory makes both last
        self._enter("prepared")

    def _mark_unfinished(self) -> None:
        self.layout.unfinished.unlink(missing_ok=True)
        self.layout.unfinished.symlink_to(self.layout.attempt(self.state.attempt).relative_to(self.layout.ours))

    def _verify_target(self, target: str) -> None:
        release = self.layout.release(target)
        found = seal.state_of(release)
        if found not in SWITCHABLE:
            raise Refusal("missing", f"release {target} is {found} on this host", hint="deploy it first")
        damage, self.added = seal.compare(release) if found == "sealed" else seal.WHOLE
        if damage:
            raise Refusal("invalid", f"release {target} is damaged: {damage}", hint="deploy it again to rebuild it")

    def _remove_added(self) -> None:
        """Remove from the target what was written into it since its seal, unless it is what serves."""
        if not self.added:
            return
        release, what = self.layout.release(self.state.target), f"{seal.counted(self.added)} added since its seal"
        live = self.state.source == self.state.target
        left = self.added if live else seal.remove_added(release, self.added)
        end = f"; {seal.counted(left)} cannot be removed" if left and not live else " stays" if live else ", removed"
        self.say("warning", f"release {self.state.target} has {what}{end}", level="warning")

    def _way_back(self, source: Optional[str]) -> Optional[str]:
        """What a restore would go back to; says aloud when it is less than a verified release."""
        if source is None:
            self.say("warning", "no release is live: there is nothing to go back to", level="warning")
            return None
        release = self.layout.release(source)
        found = seal.state_of(release)
        if found == "missing":
            self.say("warning", f"the live release {source} is gone: nothing to go back to", level="warning")
            return None
        doubt = seal.verify(release) if found == "sealed" else "never completed" if found == "unsealed" else None
        if doubt:
            self.say("warning", f"the live release {source} stays the way back, although: {doubt}", level="warning")
        return source

    def _check_units(self) -> None:
        self.seen = units.show(self.services)
        for name, unit in self.seen.items():
            if unit.load != "loaded":
                raise Refusal("invalid", f"unit {name} is {unit.load} on this host", hint=f"systemctl status {name}")
            if unit.refuses:
                hint = f"systemctl show --property=CanStart,CanStop,RefuseManualStart,RefuseManualStop {name}"
                raise Refusal("invalid", f"systemd would refuse to restart {name} on this host", hint=hint)

    def _migrate(self) -> None:
        """Run the migration in the sealed target; its last line is the revision it came to."""
        line = self.request.get("migrate")
        if not line:
            return
        with self._step("migrating"):
            self.seen = {}  # they may be others when it has run
            deadline = time.monotonic() + self.request["migrate_timeout"]
            target = self.layout.release(self.request["sha"])
            env = process.environment(DEPLOY_RELEASE=self.request["sha"])
            errors = self.layout.attempt(self.state.attempt) / "migration.err"
            ended = process.shell(line, cwd=target, deadline=deadline, env=env, errors=errors)
            if not ended.ok:
                raise Failed(f"the migration {ended.reason}", f"{errors.read_text(errors='replace')}{ended.tail}")
        marker = (ended.tail.splitlines() or [""])[-1].strip()[:128] or None
        self._enter("prepared", migration_marker=marker)

    def swap(self) -> None:
        """Put the link that names the target in the place of `current`."""
        with self._step("swapping"):
            self._rename_over_current("switch")
        self._enter("swapped", switched=True)

    def _restart(self) -> None:
        with self._step("restarting", skipped=not self.services):
            self._restart_services()
        self._enter("restarted")

    def _gate(self) -> None:
        with self._step("gating", skipped=not self.gate):
            self._hold_gate()
        self._enter("gated")

    def _commit(self) -> State:
        self.layout.bad(self.state.target).unlink(missing_ok=True)
        self._enter("committed")
        return self._conclude()

    def _restore(self, failure: Exception) -> State:
        """Go back to where it began, once; a restore that fails is left for a person."""
        transcript = getattr(failure, "transcript", "")
        self._make_ours_again()
        touched = self.state.switched or _live_or_none(self.layout) != self.state.source
        self._enter("restoring", reason=str(failure), transcript=transcript[-4000:], switched=touched)
        self.seen = {}
        try:
            if touched:
                self._go_back()
        except (Failed, OSError, ImportError) as second:
            self._enter("restore_failed", reason=f"{failure}; and the restore failed: {second}")
        else:
            self._enter("restored")
        return self._conclude()

    def _make_ours_again(self) -> None:
        """Have a place to write down how it ends, when somebody removed it."""
        with contextlib.suppress(OSError):
            self.layout.create()
            self.layout.attempt(self.state.attempt).mkdir(mode=0o700, exist_ok=True)

    def _mark_bad(self, failure: Failed) -> None:
        """Note a release that ran and failed; one that was only interrupted never comes here."""
        if self.state.switched:
            with contextlib.suppress(OSError):
                self._spend(durable.write, self.layout.bad(self.state.target), str(failure).encode())

    def _go_back(self) -> None:
        with self._step("restoring"):
            if self.state.source is None:
                self.layout.current.unlink(missing_ok=True)
                durable.sync_directory(self.layout.current.parent)
                self._stop_services()
                return
            self._rename_over_current("restore")
            self._restart_services()
            self._hold_gate()

    def _rename_over_current(self, name: str) -> None:
        """Put a pre-made link in the place of ``current``: one rename, so no reader ever finds it missing."""
        wanted = self.state.target if name == "switch" else self.state.source
        assert wanted is not None
        try:
            if not self.layout.staged(name).is_symlink():
                self._stage(name, wanted)
            durable.replace(self.layout.staged(name), self.layout.current)
        except (PermissionError, FileNotFoundError):
            if name == "switch":
                raise
            self._spend(self.layout.put_beside, wanted)  # the usual place cannot be used any more
        if not os.path.samefile(self.layout.current, self.layout.release(wanted)):
            raise Failed(f"{self.layout.current} does not name {wanted} after the rename")

    def _restart_services(self) -> None:
        if not self.services:
            return
        before = self.seen or units.show(self.services)
        self.restarted_at = time.time()
        ended = units.restart(before, time.monotonic() + self.request["restart_timeout"])
        self.seen = after = units.show(self.services)
        if not ended.ok:
            raise Failed(
                f"systemctl restart {ended.reason}: {_blame(after)}", _evidence(ended.tail, after, self.restarted_at)
            )
        for name, unit in after.items():
            if unit.serving and unit.type != "oneshot" and unit.invocation == before[name].invocation:
                raise Failed(f"{name} was not restarted: it still runs the process it had before")

    def _stop_services(self) -> None:
        if not self.services:
            return
        ended = units.stop(self.services, time.monotonic() + self.request["restart_timeout"])
        if not ended.ok:
            raise Failed(f"systemctl stop {ended.reason}", ended.tail)

    def _hold_gate(self) -> None:
        if self.gate:
            try:
                self.gate.hold(self.layout.current, self.say, self.restarted_at, self.seen)
            except gate.GateFailed as failure:
                raise Failed(f"the gate was not passed: {failure}", failure.transcript) from failure

    def _stage(self, name: str, release_id: str) -> None:
        self._spend(self.layout.stage, name, release_id)

    def _spend(self, act: Callable[..., None], *arguments: Any) -> None:
        """Do what needs space, on a full disk too."""
        self.layout.reserve.spend(act, *arguments)

    def _enter(self, phase: Phase, **changes: Any) -> None:
        """Persist the phase.  At the end and on the way back a disk that fails must not stop us.

        Whoever finds the phase before comes to the same end.
        """
        entered = self.state.entering(phase, **changes)
        try:
            self._spend(state.save, self.layout.state, entered)
        except OSError as error:
            if phase not in ("committed", "restoring", "restored", "restore_failed"):
                raise
            self.say("warning", f"the state could not be written: {error}", level="warning")
            with contextlib.suppress(OSError):  # or a recovery would restore once more
                state.save_in_place(self.layout.state, entered)
        self.state = entered
        why = f": {self.state.reason}" if phase in ("restoring", "restore_failed") else ""
        self.say("phase", PHASES[phase].words + why, phase=phase, target=self.state.target, source=self.state.source)

    @contextlib.contextmanager
    def _step(self, name: str, *, skipped: bool = False) -> Iterator[None]:
        """Tell and time a step; one that is skipped was asked to do nothing."""
        began = time.monotonic()
        self.say("step", name, level="detail", step=name, skipped=skipped)
        try:
            yield
        finally:
            self.state.seconds[name] = round(time.monotonic() - began, 3)

    def _conclude(self) -> State:
        conclude(self.layout, self.state)
        return self.state


def settle(layout: Layout, request: ActivateRequest, say: Say, *, services: bool = True) -> Optional[State]:
    """Bring an unfinished attempt to its end.  The caller holds the lock, so its process is dead.

    Its own request says how; when that is lost, ``request`` does, for the same services
    have to be brought back.  Without ``services`` they are left alone, for the host boots
    or goes down: they will start from what `current` names by then.  Returns the state at
    the end of the last activation, None when nothing is known of one.
    """
    found = state.load(layout.state) or _traced(layout, say)
    if found is None:
        _clear(layout)
        return None
    if found.final or state.has_end(layout, found.attempt):  # a disk that fails may have kept an earlier phase
        conclude(layout, found)
        return found
    say("settling", f"attempt {found.attempt} was interrupted after '{found.phase}'", level="warning")
    own = state.read_request(layout, found.attempt) or request
    if not services:
        own = {**own, "restart": False, "healthcheck": None}
    return Activation(layout, own, say).resume(found)


def settle_earlier_boot(layout: Layout, request: ActivateRequest, say: Say) -> None:
    """Settle what an earlier boot left, before the services start.

    An attempt of this boot is left alone: its process or its recovery ends it, services
    included.  So is a state that cannot be read: the next activation tells somebody of it.
    """
    found = state.load(layout.state)
    if found and not found.of_this_boot:
        settle(layout, request, say, services=False)
        layout.unfinished.unlink(missing_ok=True)


def _traced(layout: Layout, say: Say) -> Optional[State]:
    """Keep a state that cannot be read for a person, and go on with what the activation left besides."""
    torn = layout.state.exists()
    if torn:
        kept = layout.state.with_suffix(".unreadable")
        durable.replace(layout.state, kept)
        say("warning", f"the state of the last activation could not be read; it is kept in {kept}", level="warning")
    found = state.traces(layout)
    if found is None or Journal(layout.journal).has(found.attempt):
        return None
    return found if torn or found.switched else None  # without a state it died before it entered its first phase


def conclude(layout: Layout, final: State) -> None:
    """Write what a finished attempt came to where it is looked for: the journal, then its own result.

    A refusal that somebody noted meanwhile was a mistake, and is written over.
    """
    result = layout.attempt(final.attempt) / "result.json"
    live = live_at(layout, final)
    journal, told = Journal(layout.journal), not final.final or state.has_end(layout, final.attempt)
    if not told and not journal.has(final.attempt):
        layout.reserve.spend(journal.append, _entry(layout, final, live))
    _clear(layout)
    if result.parent.is_dir() and not told:
        came_to: Result = {"state": final.as_dict(), "live": live}
        layout.reserve.spend(durable.write_json, result, came_to)


def _entry(layout: Layout, final: State, live: Optional[str]) -> JournalEntry:
    asked = state.read_request(layout, final.attempt)
    return {
        "attempt": final.attempt,
        "kind": final.kind,
        "target": final.target,
        "source": final.source,
        "outcome": cast("FinalPhase", final.phase),
        "switched": final.switched,
        "live": live,
        "reason": final.reason,
        "actor": final.actor,
        "boot": state.boot_id(),
        "at": time.time(),
        "seconds": final.seconds,
        "migration_marker": final.migration_marker,
        "origin": asked.get("origin") if asked else None,
    }


def live_at(layout: Layout, final: State) -> Optional[str]:
    """The release that is live at the end of an attempt."""
    return final.live if final.phase != "restore_failed" else _live_or_none(layout)


def _live_or_none(layout: Layout) -> Optional[str]:
    with contextlib.suppress(Refusal):
        return layout.live()
    return None


def _clear(layout: Layout) -> None:
    """Take away what only an unfinished attempt needs."""
    for link in (layout.staged("switch"), layout.staged("restore"), layout.unfinished):
        with contextlib.suppress(OSError):  # what stays is taken for what it is, by the state beside it
            link.unlink(missing_ok=True)


def _blame(after: Dict[str, units.Unit]) -> str:
    failing = [f"{name} is {unit.condition}" for name, unit in after.items() if not unit.serving]
    return "; ".join(failing) or "no unit says why"


def _evidence(said: str, after: Dict[str, units.Unit], since: float) -> str:
    logs = [f"--- {name}\n{units.recent_log(name, since)}" for name, unit in after.items() if not unit.serving]
    return "\n".join([said, *logs])
