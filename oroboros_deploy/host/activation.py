"""Activation: swap, restart, gate, commit; or restore.

The one piece that may change what a host serves.  A deploy, a rollback and the
settling of an interrupted attempt all go through here, always under the lock.
"""

from __future__ import annotations

import contextlib
import os
import time
from math import inf
from pathlib import Path

from . import (
    configuration,
    durable,
    earlier,
    environment,
    gate,
    line,
    lock,
    manager,
    process,
    records,
    seal,
    state,
    strays,
    unit_files,
    units,
    words,
)
from .annotations import (
    TYPE_CHECKING,
    Any,
    Callable,
    Container,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    cast,
)
from .constants import IN_PLACE, SWITCHABLE
from .journal import Journal
from .layout import Layout
from .refusal import Failed, Refusal, of_host
from .state import State
from .time_limits import BASELINE
from .unit_files import Brought
from .wire import Say

if TYPE_CHECKING:
    from .contract import (
        ActivateRequest,
        FinalPhase,
        JournalEntry,
        Phase,
        Problem,
        Result,
    )
    from .masking import Mask
    from .unit_switch import UnitSwitch


# What decides where a release has no script.
_INSTEAD = "healthcheck: {http: {url: 'http://127.0.0.1:PORT/health'}}, {tcp: '127.0.0.1:PORT'} or {command: null}"
# By what a request says of the configuration that the record of its release has.
_WHY_IT_STAYS = {
    None: "the settings have no `env`",
    False: "--keep-env was said",
    True: "nobody noted one for this release",
}

_OUTSIDE = "look for a cause outside of the releases, such as a file, a database or a full disk"
_ALIKE = f"and the restore failed in the same way: {_OUTSIDE}"
_ALL_STAY = "all units stay as they are; the same command again looks at them anew"


class MigrationFailed(Failed):
    """The migration failed: nobody knows what the release finds in its database now."""


class _Held(NamedTuple):
    """What a release is held to: units that are restarted for it, those of them that decide, and the gate."""

    restarted: Tuple[str, ...]
    services: Tuple[str, ...]
    gate: Optional[gate.Gate]

    def with_members(self) -> _Held:
        """What targets stand for is restarted and watched as if it was named."""
        return self._of(units.names(self.restarted), units.names(self.services))

    def with_parts(self, seen: Dict[str, units.Unit]) -> _Held:
        """The same with the parts of the units, which systemd stops and starts with them."""
        return self._of(units.whole(self.restarted, seen), units.whole(self.services, seen))

    def with_opened(self, names: Sequence[str]) -> _Held:
        """The same with sockets, timers and paths that have to be open, and with what else has to run."""
        restarted, services = ([*dict.fromkeys((*each, *names))] for each in (self.restarted, self.services))
        return self._of(restarted, services)

    def unproven(self) -> _Held:
        """The same, watched for as long as what never served here."""
        return self._replace(gate=self.gate and self.gate.unproven())

    def without(self, gone: Container[str]) -> _Held:
        """The same for a host that has some of the units no longer."""
        return self._of(*([name for name in names if name not in gone] for names in (self.restarted, self.services)))

    def _of(self, restarted: Sequence[str], services: Sequence[str]) -> _Held:
        watched = self.gate and (services or self.gate.asks)
        held = self.gate._replace(services=tuple(services)) if self.gate and watched else None
        return _Held(tuple(restarted), tuple(services), held)


class Activation:
    """One attempt on this host, from ``prepared`` to its end."""

    def __init__(self, layout: Layout, request: ActivateRequest, say: Say, *, services: bool = True) -> None:
        """``services`` is false where they are left alone and nothing is judged, for the host boots or goes down."""
        self.layout = layout
        self.request = request
        self.say = say
        self.acts = services
        self.resumed = False  # whether another process began it, so that nobody knows when it switched
        judged = records.asked(layout, request)
        self.held = self._held_to(judged)
        self.back_proven = False  # whether the way back served long enough before the switch; a recovery does not know
        self.seen: Dict[str, units.Unit] = {}  # how the services were when they were last looked at
        self.restarted: Dict[str, units.Unit] = {}  # how all that was restarted was then, whether it decides or not
        self.recurring: Optional[List[str]] = None  # services that ended and were started again before the switch, too
        self.restarted_at = time.time()
        self.begun = True  # what failed had been started from the release
        self.restart_by = 0.0  # when systemd has to be done with all services, by the monotonic clock
        self.added: List[str] = []  # paths in the target that its seal does not know
        self.found: Tuple[Optional[str], Optional[str]] = (None, None)  # what `current` named when it was looked at
        self.used: Optional[str] = None  # what `env` named then
        self.last: Optional[JournalEntry] = None  # the end of the attempt before this one
        self.named = self.held  # the same as it was asked for: without what its units stand for
        # A release that is held to its record need not have what the settings name by now.
        self.required = [name for name in request["services"] if name in judged["services"]]
        self.brought = Brought()
        self.stood = False  # whether the units that this attempt leaves alone were as their release has them
        self.mask: Mask
        self.state: State

    def _held_to(self, judged: ActivateRequest, proven: bool = False) -> _Held:
        """What is restarted, which of that decides, and the gate; the attempt's own services are restarted too."""
        if not self.acts:
            return _Held((), (), None)
        services = tuple(judged["services"]) if self.request["restart"] else ()
        restarted = dict.fromkeys((*services, *self.request["services"])) if self.request["restart"] else ()
        return _Held(tuple(restarted), services, gate.of(judged["healthcheck"], services, proven))

    def run(self) -> State:
        """Activate the target; returns the final state.  Raises Refusal while nothing was changed."""
        try:
            self.prepare()
        except OSError as error:
            _clear(self.layout)
            what = "nothing was changed: the activation could not be prepared"
            raise of_host("invalid", what, error) from error
        self._remove_added()
        self._tell_of_the_sick()
        try:
            self.migrate()
            self._look_again()
            self.swap()
            self.restart()
            self.pass_gate()
        except Failed as failure:
            self._mark_bad(failure)
            return self.restore(failure)
        except (OSError, ImportError) as failure:  # trouble of the host, not of the release
            return self.restore(failure)
        return self.commit()

    def resume(self, found: State) -> State:
        """Settle an attempt whose process is gone: finish it if it had passed its gate, else restore."""
        self.state, self.resumed = found, True
        self._hide_secrets()
        in_place = _live_or_none(self.layout) == found.target and not self._configured_otherwise(found.configuration)
        if found.phase == "gated" and in_place:
            return self.commit()
        what = "interrupted" if found.of_this_boot else "the host went down"
        return self.restore(Failed(found.reason or f"{what} after '{found.phase}'"))

    def prepare(self) -> None:
        """Refuse what cannot work, and make the link for the way back before going anywhere."""
        target = self.request["sha"]
        judged = records.asked(self.layout, self.request)
        wanted = self._configuration()
        same = wanted == records.configuration_of(self.layout, target)  # another one was never proven
        self.held = self.named = self._held_to(judged, same and records.proven(self.layout, target, judged))
        source, foreign = self._source(), self.layout.foreign()
        self.found = self._named()
        self._verify_target(target)
        self._look_for_the_health_command(self.layout.release(target))
        self._look_for_users()
        self.layout.reserve.fill()
        source = self._way_back(source)
        self.brought = self._units(target, source)
        self._check_units(source)
        if source:
            self._stage("restore", source)
        elif foreign:
            self._spend(self.layout.stage_link, "restore", foreign)
        self._stage("switch", target)
        before = self._configuration_before(source)
        if wanted and not wanted == before == self.used:
            self._spend(configuration.stage, self.layout, wanted, before)
        self._stage_units()
        durable.sync_directory(self.layout.staged("switch").parent)  # of all links
        ran = {name: unit.invocation for name, unit in self.seen.items() if unit.runs}
        begun = state.begin(self.request, source, ran, foreign)
        names = configuration.changes(self.layout, self.used, wanted) if wanted or self.used else None
        begun = begun._replace(configuration=wanted, configuration_before=before, names=names)
        brought = self.brought
        self.state = begun._replace(units=brought.after, units_before=brought.before, unit_changes=brought.changes)
        self._hide_secrets()
        self._spend(self._mark_unfinished)  # the fsync of the phase's directory makes both last
        self.enter("prepared")

    def _stage_units(self) -> None:
        if self.brought.differ:
            _unit_switch(self.layout).stage(self.brought)

    def _configuration(self) -> Optional[str]:
        """The revision to put in use; the one that is in use where none is asked for, which is told."""
        before = self.used = configuration.in_use(self.layout)
        wanted = records.wanted_configuration(self.layout, self.request)
        if wanted:
            configuration.refuse(self.layout, wanted)
            configuration.give(self.layout, wanted, self.request.get("owner"))
        elif before and self.request["kind"] != "restart":
            why = _WHY_IT_STAYS[self.request.get("recorded")]
            self.say("warning", f"the configuration {before} stays in use: {why}", level="warning")
        return wanted or before

    def _configuration_before(self, source: Optional[str]) -> Optional[str]:
        """The revision that a restore puts in use: the one that the services run with, wherever `env` was moved.

        It stays the one that is in use where the attempt leaves `env` alone, and where `current` was moved too.
        """
        last = self.last if self.last and self.last.get("live", source) == source else None
        noted = last.get("configuration", self.used) if last else self.used
        if noted == self.used or configuration.unusable(self.layout, noted):
            return self.used
        if not records.wanted_configuration(self.layout, self.request):
            return self.used
        stays = self._started_since_env_was_moved()
        back = self.used if stays else noted
        does = f"puts {back} in use" if back else "takes it away"
        self.say("warning", f"{words.moved_env(noted, self.used)}: a restore {does}", level="warning")
        return back

    def _started_since_env_was_moved(self) -> bool:
        """Whether a service was started since: it runs with what `env` names now, which is what served then."""
        moved = configuration.since(self.layout) or inf
        return any(unit.runs and time.time() - unit.age >= moved for unit in self.seen.values())

    def _configured_otherwise(self, revision: Optional[str]) -> bool:
        """Whether `env` does not name this revision, in an attempt that has a configuration."""
        used = self.state.configuration or self.state.configuration_before
        return bool(used) and configuration.in_use(self.layout) != revision

    def _hide_secrets(self) -> None:
        """Say nothing from here on with a secret of either configuration in it."""
        known = (self.state.configuration, self.state.configuration_before, configuration.in_use(self.layout))
        self.mask = configuration.mask(self.layout, *known)
        self.say = self.mask.saying(self.say)

    def _configured(self, revision: Optional[str]) -> gate.Configured:
        """What a command gets of a configuration."""
        return gate.Configured(
            lambda env: configuration.environment(self.layout, revision, env), self.mask, self.state.attempt
        )

    def _mark_unfinished(self) -> None:
        self.layout.unfinished.unlink(missing_ok=True)
        self.layout.unfinished.symlink_to(self.layout.attempt(self.state.attempt).relative_to(self.layout.ours))

    def _verify_target(self, target: str) -> None:
        _put_back_earlier(self.layout, target)
        release = self.layout.release(target)
        found = seal.state_of(release)
        if found not in SWITCHABLE:
            raise Refusal("missing", f"release {target} is {found} on this host", hint="deploy it first")
        damage, self.added = seal.compare(release) if found == "sealed" else seal.WHOLE
        if damage:
            raise Refusal("invalid", f"release {target} is damaged: {damage}", hint="deploy it again to rebuild it")

    def _look_for_the_health_command(self, release: Path) -> None:
        """Refuse a gate that cannot be passed, because the file that it runs is not in the release."""
        command = self.held.gate.command if self.held.gate else None
        file = gate.file_of(command) if command else None
        if file and not (release / file).exists():
            raise Refusal(
                "invalid",
                f"nothing was switched: release {release.name} has no {file}, which the health command runs",
                hint=f"commit the file, or say in fabric.yaml what decides instead: {_INSTEAD}",
            )

    def _look_for_users(self) -> None:
        """Refuse what would run as somebody whom this host does not have."""
        gate_user = self.held.gate.user if self.held.gate and self.held.gate.command else None
        for name in (self.request.get("migrate_as"), gate_user):
            trouble = _trouble_with(name)
            if trouble:
                raise Refusal("invalid", f"nothing was switched: {trouble['message']}", hint=trouble["hint"])

    def _remove_added(self) -> None:
        """Remove from the target what was written into it since its seal, unless it is what serves."""
        if not self.added:
            return
        release, what = self.layout.release(self.state.target), f"{seal.counted(self.added)} added since its seal"
        live = self.state.source == self.state.target
        left = self.added if live else seal.remove_added(release, self.added)
        if live:
            end = "; nothing is removed, because this release is live"
        else:
            end = f"; {_stays(left, release)}" if left else ", removed"
        self.say("warning", f"release {self.state.target} has {what}{end}", level="warning")

    def _tell_of_the_sick(self) -> None:
        """Say what the probes find wrong before anything is changed: the attempt may be the cure, and goes on."""
        if self.held.gate and self.state.source:
            for said in self.held.gate.baseline(BASELINE, self.mask):
                what = f"already before the switch, with release {self.state.source}: {said}; the attempt goes on"
                self.say("warning", what, level="warning")

    def _source(self) -> Optional[str]:
        """The live release; where somebody moved `current` away, the one that was committed here last."""
        live, journal = self.layout.live(), Journal(self.layout.journal)
        entries = journal.attempts()[-1:]
        self.last = entries[0] if entries else None
        if self.last and self.last.get("live", live) != live:
            self.say("warning", words.moved(self.last["live"], live), level="warning")
        return live or journal.committed()

    def _way_back(self, source: Optional[str]) -> Optional[str]:
        """What a restore would go back to; says aloud when it is less than a verified release."""
        if source is None:
            foreign = self.layout.foreign()
            back = (
                f"another program made {self.layout.current}, a link to {foreign}; if this fails, that link is put back"
            )
            what = back if foreign else "there is nothing to go back to"
            self.say("warning", f"no release is live: {what}", level="warning")
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

    def _check_units(self, source: Optional[str]) -> None:
        """Refuse units that cannot be restarted; those of the way back are looked at as well, for whether they run."""
        back = None
        if source:
            judged = records.way_back(self.layout, self.request, source)
            self.back_proven = records.proven(self.layout, source, judged)
            back = self._held_to(judged).with_members()
        self.held = self.held.with_members()
        named = (*self.held.restarted, *(back.restarted if back else ()))
        self.seen = units.show([*dict.fromkeys((*named, *self._affected()))])
        if source and back and any(self.seen[name].started_again for name in back.services):
            self._take_back_the_proof(source)
        self._note_disabled(named)
        self.seen.update(units.parts(self.seen))
        self.held = self.held.with_parts(self.seen)
        self.held = self._without_missing(self.held, self.required)
        self.held = self._without_put_away(self.held, told=True)
        self._without_taken_away()
        for name in self._away_but_wanted({name: self.seen[name] for name in self.held.restarted}):
            if name not in map(units.full_name, self.seen):
                self.say("warning", words.put_away(name, _systemctl()), level="warning")
        self._note_recurring(self.held)
        for name, unit in ((name, self.seen[name]) for name in self.held.restarted if not self._comes(name)):
            self._tell_of_another_text(unit)
            if unit.load != "loaded":
                what = f"unit {name} is {unit.load} on this host"
                raise Refusal("invalid", what, hint=f"{_systemctl()} status {name}")
            if unit.refuses:
                hint = f"{_systemctl()} show --property=CanStart,CanStop,RefuseManualStart,RefuseManualStop {name}"
                raise Refusal("invalid", f"systemd would refuse to restart {name} on this host", hint=hint)
            self._tell_of_a_slow_stop(unit)

    def _take_back_the_proof(self, source: str) -> None:
        """Watch the live release for the whole time: a service of it ended by itself while it served."""
        self.back_proven = False
        if source == self.request["sha"]:
            self.held, self.named = self.held.unproven(), self.named.unproven()

    def _units(self, target: str, source: Optional[str]) -> Brought:
        """The units that the target brings, in the place of those that are there; told where they are left alone."""
        asked = self.request.get("units")
        if asked is None:
            left = records.units_of(self.layout, source)
            if left and self.request["kind"] not in IN_PLACE and not self.request.get("units_left"):
                what = "the units that are installed stay as they are: the settings have no `units`"
                self.say("warning", what, level="warning")
            self._compare_with(left)
            return Brought(left, left)
        recorded = self.request["kind"] == "rollback"
        services = self.held.restarted
        return _unit_switch(self.layout).brought_by(target, asked, self.say, recorded=recorded, services=services)

    def _compare_with(self, brought: Optional[str]) -> None:
        """Note whether the units that stay are those that the live release brought; tell where they are not."""
        found = self._altered_of(brought)
        self.stood = brought is not None and not found
        if found:
            self.say("warning", words.edited(found), level="warning")

    def _altered_of(self, name: Optional[str]) -> List[str]:
        """The paths at which the host has something else than a set of units says; none where there is no set."""
        return _unit_switch(self.layout).altered(name) if name else []

    def _without_taken_away(self) -> None:
        """Refuse a service whose unit the release takes away; one that its record does not name is left out."""
        going = unit_files.going(*self.brought.sets)
        gone = [name for name in self.held.restarted if unit_files.brings(going, units.full_name(name))]
        for name in gone:
            if name in self.named.services:
                what = f"nothing was switched: the release takes the unit of {name} away, which `services` names"
                raise Refusal("invalid", what, hint="take the service out of `services`, or commit its unit again")
        if gone:
            self.held, self.named = self.held.without(gone), self.named.without(gone)

    def _note_disabled(self, named: Container[str]) -> None:
        """Keep what somebody has disabled of the units that go, for a release that brings them again.

        Of a template those instances count that are ``named``: nobody enabled the others.
        """
        going = unit_files.going(*self.brought.sets)
        seen = {units.full_name(name): unit for name, unit in self.seen.items() if name in named or name in going}
        gone = {name: unit for name, unit in seen.items() if unit_files.brings(going, name)}
        if gone:
            _unit_switch(self.layout).note_disabled(gone)

    def _comes(self, name: str) -> bool:
        """Whether a unit is not there yet and comes with the target."""
        return unit_files.brings(unit_files.appearing(*self.brought.sets), units.full_name(name))

    def _affected(self) -> List[str]:
        """The units that are there and that the activation changes or takes away; of templates the instances.

        What a socket starts for a connection is none of them: it ends with its caller.
        """
        found, before = self.brought.altered, self.brought.sets[0]
        templates = filter(unit_files.is_template, found)
        instances = units.instances([unit for unit in templates if not unit_files.for_connections(unit, before)])
        return [*(unit for unit in found if not unit_files.is_template(unit)), *instances]

    def ran_of(self, altered: Sequence[str]) -> List[str]:
        """What ran of these units before the switch, and of the instances of these templates, by full names."""
        return [name for name in self.state.ran or () if unit_files.brings(altered, name)]

    def _tell_of_another_text(self, unit: units.Unit) -> None:
        """That systemd has not read what somebody wrote into a unit."""
        if unit.stale:
            self.say("warning", words.stale(unit.name, _systemctl(), reloaded=self.brought.differ), level="warning")

    def _tell_of_a_slow_stop(self, unit: units.Unit) -> None:
        allowed = self.request["restart_timeout"]
        if unit.stops_within > allowed:
            what = f"{unit.name} may take {unit.stops_within:g} s to stop (TimeoutStopSec)"
            hint = f"restart_timeout is {allowed:g} s: a stop that takes longer is a failure"
            self.say("warning", f"{what}, and {hint}", level="warning")

    def _without_missing(self, held: _Held, asked: Container[str]) -> _Held:
        """Leave out, and tell, what a record names and this host has no longer; what was asked for has to be there."""
        gone = [name for name in held.restarted if self.seen[name].load != "loaded" and name not in asked]
        for name in gone:
            self.say("warning", f"{name} is {self.seen[name].load} on this host: it is left out", level="warning")
        return held.without(gone) if gone else held

    def _without_put_away(self, held: _Held, ran: Container[str] = (), *, told: bool = False) -> _Held:
        """Leave out what somebody stopped and disabled since the last commit; not what ``ran`` before the switch."""
        away = [name for name in records.put_away(self.layout, self.seen) if name in held.restarted and name not in ran]
        for name in away if told else ():
            self.say("warning", words.put_away(name, _systemctl()), level="warning")
        return held.without(away) if away else held

    def _away_but_wanted(self, seen: Dict[str, units.Unit], ran: Container[str] = ()) -> List[str]:
        """What somebody stopped and disabled since the last commit, and a restart of these would start with them."""
        away: Set[str] = set()
        with contextlib.suppress(OSError):  # what cannot be read keeps nobody from a restart
            away = records.all_put_away(self.layout, seen) if seen else away
        wanted = units.wanted(seen) if away else {}
        return sorted(name for name in away if name in wanted and name not in ran)

    def _enabled(self) -> List[str]:
        """The units that run now and are enabled, and those of the last record that this attempt leaves alone.

        What the text of one wants counts as well, for a restart starts it.
        """
        seen = {**self.restarted, **units.wanted(self.restarted)}
        now = {units.full_name(name) for name, unit in seen.items() if unit.starts_by_itself}
        return sorted(now | records.enabled(self.layout).difference(map(units.full_name, self.held.restarted)))

    def _note_recurring(self, held: _Held) -> None:
        """Note, at the first look, which services end after each piece of work."""
        if self.recurring is None and held.gate:
            patience = held.gate.timeout
            self.recurring = [name for name, unit in self.seen.items() if unit.recurs(patience)]

    def migrate(self) -> None:
        """Run the migration in the sealed target; its last line is the revision it came to."""
        command = self.request.get("migrate")
        if not command:
            return
        with self._step("migrating"):
            self.seen = {}  # they may be others when it has run
            deadline = time.monotonic() + self.request["migrate_timeout"]
            target = self.layout.release(self.request["sha"])
            user = self.request.get("migrate_as")
            env = configuration.environment(self.layout, self.state.configuration, environment.of_release(target, user))
            errors = self.layout.attempt(self.state.attempt) / "migration.err"
            with process.masked(errors, self.mask) as place:
                options = {"cwd": target, "deadline": deadline, "env": env, "mask": self.mask, "errors": place}
                bound = not self.request.get("migrate_privileged")
                ended = line.run(command, user, self.state.attempt, bound=bound, **options)
            if not ended.ok:
                said = f"{process.end_of(errors)}{ended.tail}"
                raise MigrationFailed(f"the migration {ended.reason}", said)
        marker = (ended.tail.splitlines() or [""])[-1].strip()[:128] or None
        self.enter("prepared", migration_marker=marker)

    def swap(self) -> None:
        """Put the link that names the target in the place of `current`; a restart leaves it, and begins here."""
        if self.state.kind == "restart":
            return self.enter("swapped")
        with self._step("swapping"):
            self._install_units()
            if self._configured_otherwise(self.state.configuration):
                configuration.put(self.layout, "switch", self.state.configuration)
            self._rename_over_current("switch")
        return self.enter("swapped", switched=True)

    def _install_units(self) -> None:
        """Have the units of the target, and look at the services anew: what they are may be another thing now."""
        if not self.brought.differ:
            return
        self.begin_units(str(self.brought.before))
        self._put_units(str(self.brought.before), str(self.brought.after))
        held = self.named.with_members()
        self.seen = units.show(held.restarted)
        self.seen.update(units.parts(self.seen))
        held = self._without_missing(held.with_parts(self.seen), self.required)
        disabled = _unit_switch(self.layout).disabled()
        ran = [name for name in self.seen if self._comes(name) and disabled.get(units.full_name(name))]
        self.held = self._with_opened(self._without_put_away(held, ran), self._to_open())
        for name in self.held.restarted:
            if self.seen[name].load != "loaded":
                load = self.seen[name].load
                raise Failed(f"systemd calls unit {name} {load} after the units of the release were installed")

    def begin_units(self, before: str) -> None:
        """Note that ours come in the place of what was looked at; fail where somebody changed that since.

        Whoever finds the note goes back to what was looked at, so that what somebody did before it stays.
        """
        if not _unit_switch(self.layout).in_place(before):
            raise Failed(f"somebody changed units while this activation was prepared: {_ALL_STAY}")
        begun = self.state._replace(units_begun=True)
        self._spend(state.save, self.layout.state, begun)
        self.state = begun

    def _put_units(self, before: str, after: str, start: Sequence[str] = ()) -> None:
        """Have the units of another set; services that were named count for what is to be enabled of a template."""
        services = [units.full_name(name) for name in self.named.restarted or self.request["services"]]
        deadline = time.monotonic() + self.request["restart_timeout"] + self.request.get("stopping", 0.0)
        _unit_switch(self.layout).put(before, after, services, deadline, start, self.state.attempt)

    def _to_open(self) -> List[str]:
        """The sockets, timers and paths that are new, and those that were changed while they were open."""
        changed = unit_files.changed(*self.brought.sets)
        altered = self.ran_of([unit for unit in changed if _is_opened(unit)])
        return [*_unit_switch(self.layout).to_open(self.brought), *altered]

    def _with_opened(self, held: _Held, names: Sequence[str]) -> _Held:
        """The same with sockets, timers and paths that are opened anew.

        A socket whose service runs and was not named stays as it is, told: systemd would not open it.
        """
        seen = units.show(names)
        triggered = units.show([*{part for unit in seen.values() for part in unit.parts}])
        named = {*map(units.full_name, held.restarted)}
        busy = {name for name, unit in triggered.items() if unit.runs and name not in named}
        for name, unit in list(seen.items()):
            if name.endswith(".socket") and busy.intersection(unit.parts):
                what = f"{name} stays as it was: its service runs, and is not named in `services`"
                self.say("warning", what, level="warning")
                del seen[name]
        self.seen.update({name: unit._replace(reopens=True) for name, unit in seen.items()})
        return held.with_opened([*seen])

    def _look_again(self) -> None:
        """Fail when somebody moved `current` since the first look: a migration may take long."""
        named = self._named()
        if named != self.found:
            raise Failed(words.moved(self.found[0], named[0]))
        if self._configured_otherwise(self.used):
            raise Failed(words.moved_env(self.used, configuration.in_use(self.layout)))
        foreign = configuration.problem(self.layout) if self.state.configuration else None
        if foreign:
            raise Failed(foreign["message"])

    def _named(self) -> Tuple[Optional[str], Optional[str]]:
        """The release that `current` names, and where another program's link leads."""
        return _live_or_none(self.layout), self.layout.foreign()

    def restart(self) -> None:
        """Restart the services from the release that `current` names."""
        self.restart_by = time.monotonic() + self.request["restart_timeout"]
        with self._step("restarting", skipped=not self.held.restarted):
            self._restart_services(self.held)
        self.enter("restarted", enabled=self._enabled())

    def pass_gate(self) -> None:
        """Hold the gate; raises Failed when the release does not pass it."""
        with self._step("gating", skipped=not self.held.gate):
            self._hold_gate(self.held)
        self.enter("gated")

    def commit(self) -> State:
        """Commit, unless somebody changed what serves since the switch."""
        changed = self._changed()
        if changed:
            return self.restore(Failed(changed))
        self.layout.bad(self.state.target).unlink(missing_ok=True)
        self.enter("committed")
        return self._conclude()

    def _changed(self) -> Optional[str]:
        """What serves instead of the target, in words; None when the target does."""
        target, seen = self.state.target, self._seen_last()
        found = strays.find(seen.values(), self.layout.releases, target, self.restarted_at)
        others = (words.stray(*each) for each in found if each.release)
        down = _down(self._decisive(seen))
        looks = (self._gone(target), self._lost(target), self._moved_env(), self._moved_units(), *down, *others)
        return next(filter(None, looks), None)

    def _decisive(self, seen: Dict[str, units.Unit]) -> Dict[str, units.Unit]:
        """Without those that just end a piece of work well, and are started again then."""
        ends = {name for name, unit in seen.items() if unit.result == "success" and unit.active == "deactivating"}
        return {name: unit for name, unit in seen.items() if name not in ends.intersection(self.recurring or ())}

    def _moved_env(self, *, back: bool = False) -> Optional[str]:
        """Which configuration is in use instead of the one that was put in use, in words; None when that one is."""
        wanted = self.state.configuration_before if back else self.state.configuration
        if not self._configured_otherwise(wanted):
            return None
        return words.moved_env(wanted, configuration.in_use(self.layout))

    def _moved_units(self) -> Optional[str]:
        """That the units are not those that the target brought any more, in words; None when they are."""
        found = self._altered_of(self.state.units) if self.request.get("units") or self.stood else []
        return f"somebody changed units that the release brought: {', '.join(found)}" if found else None

    def units_otherwise(self) -> bool:
        """Whether an attempt that changes units has changed some, or what is enabled, or left a text half written."""
        return self.state.units_begun and _unit_switch(self.layout).touched(str(self.state.units_before))

    def _seen_last(self) -> Dict[str, units.Unit]:
        """How the services that decide are at this moment; as they were after the restart where systemd is silent."""
        if self.resumed:
            return self._watched()
        with contextlib.suppress(units.Silent):
            return units.show(self.held.services)
        return self.seen

    def _watched(self) -> Dict[str, units.Unit]:
        """How the services are that decide, after a death; without those that the activation had left alone."""
        held = self.held.with_members()
        self.seen = units.show(held.restarted)
        self.seen.update(units.parts(self.seen))
        held = self._without_missing(held.with_parts(self.seen), self.required)
        return {name: self.seen[name] for name in self._without_put_away(held).services}

    def _gone(self, wanted: str) -> Optional[str]:
        """That `current` does not name this release any more, or that it names nothing, in words; None otherwise."""
        live = _live_or_none(self.layout)
        if live != wanted:
            return words.moved(wanted, live)
        missing = seal.state_of(self.layout.release(wanted)) == "missing"
        return f"somebody removed release {wanted}" if missing else None

    def _lost(self, wanted: str) -> Optional[str]:
        """That this release could not start again, for what it runs by is gone; None where nothing is judged."""
        lost = seal.lost(self.layout.release(wanted)) if self.acts else None
        return f"release {wanted} cannot start again: {lost}" if lost else None

    def _to_share(self, transcript: str) -> str:
        """What to do when a service could not write beside its code, by what it said."""
        try:
            from . import shared

            release = self.layout.release(self.state.target)
            path = shared.wanted(self.layout, release, transcript, units.working_directory)
            path = path or (shared.DATABASE if shared.lacks_database(release, transcript) else None)
        except (OSError, ImportError):  # somebody removed the agent: the way back needs no hint
            return ""
        return f"; a release is read-only: name {path} under `shared` in fabric.yaml" if path else ""

    def restore(self, failure: Exception) -> State:
        """Go back to where it began, once; a restore that fails is left for a person."""
        transcript = self.mask.text(getattr(failure, "transcript", ""))
        self._make_ours_again()
        touched = self.state.switched or _live_or_none(self.layout) != self.state.source
        touched = touched or self._configured_otherwise(self.state.configuration_before) or self.units_otherwise()
        why, left = self._why(failure), self.state.phase
        reason = f"{why}{self.mask.text(self._to_share(transcript))}"
        self.enter("restoring", reason=reason, transcript=process.whole_lines(transcript), switched=touched)
        self.seen = {}
        try:
            if self.state.kind == "restart":
                self._leave_as_it_is(left)
            elif touched or self._fallen():
                self.go_back()
            self._tell_of_edited()
        except (Failed, OSError, ImportError) as second:
            self.enter("restore_failed", reason=f"{reason}; {self._and_then(why, self._why(second))}")
        else:
            self.enter("restored")
        return self._conclude()

    def _why(self, failure: Exception) -> str:
        """What failed, with the last words of what did, so that whoever reads it need not look for them."""
        with contextlib.suppress(OSError, ImportError):  # somebody removed the agent: then it is told without them
            from .last_words import last_words

            said = last_words(getattr(failure, "transcript", ""))
            if said and said not in str(failure):
                return self.mask.text(f"{failure}; last output: {said}")
        return self.mask.text(str(failure))

    def _and_then(self, why: str, second: str) -> str:
        """How the way back failed; when both releases fail alike, neither of them is the likely cause."""
        if self.state.kind == "restart":
            return second
        with contextlib.suppress(OSError, ImportError):
            from .last_words import alike

            if alike(why, second):
                return _ALIKE
        return f"and the restore failed: {second}"

    def _fallen(self) -> bool:
        """Whether what served before does not serve any more, although this attempt touched nothing of it."""
        source, ran = self.state.source, self.state.ran or {}
        if source and self._gone(source):
            return True
        return self.acts and bool(_down(units.show([*ran])))

    def _leave_as_it_is(self, left: Phase) -> None:
        """Leave to a person what a restart began; where the host boots, the services start anew by themselves."""
        if self._fallen() or (self.acts and left != "prepared" and not self._as_they_ran()):
            raise Failed("a restart has nothing to go back to")

    def _as_they_ran(self) -> bool:
        """Whether all services of the restart still run the process of before: systemd did nothing of it."""
        ran = self.state.ran or {}
        held = self._held_to(records.asked(self.layout, self.request), False).with_members()
        self.seen = units.show([*ran])
        return {*ran}.issuperset(held.restarted) and self._unchanged().issuperset(ran)

    def _make_ours_again(self) -> None:
        """Have a place to write down how it ends, when somebody removed it."""
        with contextlib.suppress(OSError, Refusal):  # Refusal: another machine was quicker
            self.layout.create()
            self.layout.attempt(self.state.attempt).mkdir(mode=0o700, exist_ok=True)

    def _mark_bad(self, failure: Failed) -> None:
        """Note a release that was switched to and failed, or whose migration did; no interrupted one comes here.

        Not the live one, whatever failed: it served before.  Nor one that somebody switched away from, nor one whose
        services systemd did not restart: it never ran.
        """
        failed = isinstance(failure, MigrationFailed)
        ran = self.state.switched and self.begun and _live_or_none(self.layout) == self.state.target
        if (failed or ran) and self.state.source != self.state.target:
            with contextlib.suppress(OSError):
                note = self.mask.text(str(failure)).encode()
                self._spend(durable.write, self.layout.bad(self.state.target), note)

    def go_back(self) -> None:
        """Switch to the way back, with its configuration and units, and hold it to what it passed."""
        self.restart_by = time.monotonic() + self.request["restart_timeout"] + self.request.get("stopping", 0.0)
        with self._step("restoring"):
            if self._configured_otherwise(self.state.configuration_before):
                configuration.put(self.layout, "restore", self.state.configuration_before)
            with contextlib.suppress(Failed, OSError):  # it is tried again below, and fails then
                if not self.acts:
                    self._link_back()  # first: what the return of the units starts has to run from it
            trouble = self._units_back()
            if self.state.source is None:
                self._put_back()
            else:
                self._serve_again(self.state.source)
            if trouble:
                raise trouble

    def _link_back(self) -> None:
        """Let `current` lead where it led before the switch."""
        if self.state.source:
            self._rename_over_current("restore")
        elif self.state.foreign:
            if not self.layout.staged("restore").is_symlink():
                self._spend(self.layout.stage_link, "restore", self.state.foreign)
            durable.replace(self.layout.staged("restore"), self.layout.current)
        else:
            self.layout.current.unlink(missing_ok=True)
            durable.sync_directory(self.layout.current.parent)

    def _tell_of_edited(self) -> None:
        """Say which units somebody changed, and that they stay so: the next deploy refuses them by name."""
        found = self._altered_of(self.state.units_before)
        if found:
            self.say("warning", words.edited(found), level="warning")

    def _serve_again(self, source: str) -> None:
        """Put `current` back, restart what ran, and hold that to what it passed."""
        self._link_back()
        ran = self.state.ran
        judged = records.way_back(self.layout, self.request, source, ran)
        held = self._held_to(judged, self.back_proven).with_members()
        held = self._without_put_away(self._without_missing(self._whole(held), ran or ()), ran or ())
        held = self._with_stopped(held)
        self._note_recurring(held)
        self._restart_services(held, self._unchanged())
        self._hold_gate(held)
        gone = self._gone(source) or self._moved_env(back=True)
        if gone:
            raise Failed(gone)

    def _units_back(self) -> Optional[Exception]:
        """Have the units that were there before; what kept them away stops neither link nor services."""
        try:
            self._put_units_back()
        except (Failed, OSError, ImportError) as trouble:
            return trouble
        return None

    def _put_units_back(self) -> None:
        """Have the units that were there before; what an earlier boot's attempt took away is started by nobody else."""
        if not self.state.units_begun:
            return
        names = (str(self.state.units_before), str(self.state.units))
        switch = _unit_switch(self.layout)
        self.brought = switch.loaded(*names)
        switch.keep_edited(self.say, *names)
        self._put_units(names[1], names[0], () if self.acts else self.ran_of(self.brought.altered))

    def _with_stopped(self, held: _Held) -> _Held:
        """The same with what ran, and was stopped or opened anew because of its units; not what never was there."""
        if not (self.brought.differ and self.state.units_begun):
            return held
        held = held.without([name for name in held.restarted if self._comes(name)])
        before, after = self.brought.sets
        stopped = (*unit_files.going(before, after), *filter(_is_opened, unit_files.changed(before, after)))
        named = {*map(units.full_name, held.restarted)}
        ran = [name for name in self.ran_of(stopped) if name not in named]
        return self._with_started(held, ran) if self.acts else held

    def _with_started(self, held: _Held, ran: Sequence[str]) -> _Held:
        """The same with what ran; instances of templates decide nothing, for nobody named them."""
        instances = [name for name in ran if unit_files.is_instance(name)]
        held = self._with_opened(held, [name for name in ran if name not in instances])
        self.seen.update(units.show(instances))
        return held._replace(restarted=(*held.restarted, *instances))

    def _whole(self, held: _Held) -> _Held:
        """Look at the units on the way back, and at the parts that ran with them."""
        self.seen = units.show(held.restarted)
        self.seen.update(units.parts(self.seen, self.state.ran or ()))
        return held.with_parts(self.seen)

    def _unchanged(self) -> Set[str]:
        """The services that run the process that they ran before the switch: systemd did not restart them."""
        ran = self.state.ran or {}
        same = (name for name, unit in self.seen.items() if unit.invocation and unit.invocation == ran.get(name))
        return {name for name in same if self.seen[name].serving and not self.seen[name].job}

    def _put_back(self) -> None:
        """What was there before the first release: another program's link, and the services that ran."""
        self._link_back()
        self.held = self._with_stopped(self._whole(self.held.with_members()))
        ran = [name for name in self.held.restarted if name in (self.state.ran or ())]
        held = _Held(tuple(ran), tuple(ran), gate.of(records.silent(self.request["healthcheck"]), ran))
        try:
            self._stop([name for name in self.held.restarted if name not in ran and self.seen[name].load == "loaded"])
        finally:  # what served is not left stopped because something else does not stop
            self.seen = units.show(ran)
            self._note_recurring(held)
            self._restart_services(held, self._unchanged())
        self._hold_gate(held)

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

    def _restart_services(self, held: _Held, unchanged: Container[str] = ()) -> None:
        seen = self.seen or units.show(held.restarted)
        before = {name: seen[name] for name in held.restarted if name not in unchanged}
        if not before:
            self.seen = {name: seen[name] for name in held.services}
            return
        self.restarted_at = time.time()
        ran = [*map(units.full_name, self.state.ran or ())]
        ended = units.restart(before, self.restart_by, *self._away_but_wanted(before, ran))
        self.restarted = after = units.show(held.restarted)
        self.seen = {name: after[name] for name in held.services}
        if not ended.ok and not self._only_others_failed(held, after):
            down = (name for name, unit in after.items() if not unit.serving)
            self.begun = any(after[name].invocation != seen[name].invocation for name in down)
            raise Failed(
                f"systemctl restart {ended.reason}: {_blame(after)}", _evidence(ended.tail, after, self.restarted_at)
            )
        for name, unit in self.seen.items():
            same = name in before and unit.invocation == before[name].invocation
            if same and unit.serving and unit.type != "oneshot" and not unit.stays_open:
                self.begun = False
                raise Failed(f"{name} was not restarted: it still runs the process it had before")

    def _only_others_failed(self, held: _Held, after: Dict[str, units.Unit]) -> bool:
        """Whether a restart failed by units alone that do not decide: they are told, and stop if they did not run."""
        failed = {name: unit for name, unit in after.items() if not unit.serving}
        if not failed or failed.keys() & {*held.services}:
            return False
        for name, unit in failed.items():
            what = f"{name} is {unit.condition} after the restart"
            what = f"{what}; the live release was deployed without {name}, so the restart counts as good"
            self.say("warning", what, level="warning")
        self._stop([name for name in failed if name not in (self.state.ran or ())])
        return True

    def _stop(self, names: Sequence[str]) -> None:
        if not names:
            return
        ended = units.stop(names, self.restart_by)
        if not ended.ok:
            left = units.show(names)
            why = "; ".join(_told(name, unit) for name, unit in left.items() if strays.hanging(unit))
            raise Failed(f"systemctl stop {ended.reason}{': ' * bool(why)}{why}", ended.tail)

    def _hold_gate(self, held: _Held) -> None:
        if held.gate:
            trouble = _trouble_with(held.gate.user)
            if trouble:
                raise Failed(f"the gate was not passed: {trouble['message']}")
            configured = self._configured(configuration.in_use(self.layout))
            seen = (self.restarted_at, self.seen, self.recurring or ())
            try:
                held.gate.hold(self.layout.current, self.say, *seen, configured)
            except gate.GateFailed as failure:
                raise Failed(f"the gate was not passed: {failure}", failure.transcript) from failure

    def _stage(self, name: str, release_id: str) -> None:
        self._spend(self.layout.stage, name, release_id)

    def _spend(self, act: Callable[..., None], *arguments: Any) -> None:
        """Do what needs space, on a full disk too."""
        self.layout.reserve.spend(act, *arguments)

    def enter(self, phase: Phase, **changes: Any) -> None:
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
        said = f"{words.reached(phase, entered.kind)}{why}"
        self.say("phase", said, phase=phase, target=self.state.target, source=self.state.source)

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
        conclude(self.layout, self.state, clock=None if self.resumed else time.monotonic())
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
    _end_commands(found.attempt)
    with manager.serving(Layout.of(own["layout"]).scope if "layout" in own else layout.scope):
        return Activation(layout, own, say, services=services).resume(found)


def _end_commands(attempt: str) -> None:
    """End the commands of other users that the process of an attempt left when it was killed."""
    with contextlib.suppress(OSError, ImportError):
        from . import another_user

        another_user.stop(attempt)


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
    request = state.read_request(layout, found.attempt)
    if found.source is None and found.target == Journal(layout.journal).committed():
        found = found._replace(source=found.target)  # it changed the configuration alone, and is on its way back
    before = configuration.before(layout)
    after = (records.wanted_configuration(layout, request) if request else None) or configuration.in_use(layout)
    found = found._replace(configuration=after, configuration_before=before)
    found = _with_staged_units(layout, found)
    return found if torn or found.switched else None  # without a state it died before it entered its first phase


def _with_staged_units(layout: Layout, found: State) -> State:
    """The same with the sets of units that the attempt has left staged."""
    sets = _unit_switch(layout).staged() if layout.unit_sets.is_dir() else None
    return found._replace(units_before=sets[0], units=sets[1], units_begun=True) if sets else found


def conclude(layout: Layout, final: State, clock: Optional[float] = None) -> None:
    """Write what a finished attempt came to where it is looked for: the journal, then its own result.

    ``clock`` is when it ended by the monotonic clock, None where the process that switched did not come to that.

    A refusal that somebody noted meanwhile was a mistake, and is written over.
    """
    result = layout.attempt(final.attempt) / "result.json"
    live = live_at(layout, final)
    journal, told = Journal(layout.journal), not final.final or state.has_end(layout, final.attempt)
    if not told and not journal.has(final.attempt):
        _keep_record(layout, final)
        if final.configuration != final.configuration_before:
            configuration.was_in_use(layout, final.configuration_before)
        layout.reserve.spend(journal.append, _entry(layout, final, live, clock))
    _clear(layout)
    records.forget_configurations(layout, final)
    if result.parent.is_dir() and not told:
        came_to: Result = {"state": final.as_dict(), "live": live}
        layout.reserve.spend(durable.write_json, result, came_to)


def _keep_record(layout: Layout, final: State) -> None:
    """Keep what a release was committed with; before the journal has the attempt, so that a death is made good."""
    request = state.read_request(layout, final.attempt)
    if final.phase == "committed" and request:
        records.write(layout, request, final.enabled, final.configuration, final.units)


def _entry(layout: Layout, final: State, live: Optional[str], clock: Optional[float]) -> JournalEntry:
    asked = state.read_request(layout, final.attempt)
    entry: JournalEntry = {
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
        "ran": final.ran if final.source is None else None,
        "foreign": final.foreign,
        "configuration": configuration.in_use(layout),
        "names": final.names,
        "units": final.units if final.phase == "committed" else final.units_before,
        "unit_changes": final.unit_changes,
    }
    return entry if clock is None else {**entry, "clock": clock}


def _put_back_earlier(layout: Layout, release_id: str) -> None:
    """Put a release back that a killed build was making again; refuse one that is being made again."""
    try:
        earlier.put_back(layout, release_id)
    except lock.Held:
        what = f"release {release_id} is being built again on this host"
        raise Refusal("busy", what, hint="wait for the end of that build, then the same command again") from None


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
    configuration.unstage(layout)
    if layout.unit_sets.is_dir():
        _unit_switch(layout).unstage()


def _unit_switch(layout: Layout) -> UnitSwitch:
    """What is done with units on a host; only an activation that has some imports it."""
    from .unit_switch import UnitSwitch

    return UnitSwitch(layout)


def _is_opened(unit: str) -> bool:
    return unit.endswith(unit_files.OPENED)


def _stays(left: Sequence[str], release: Path) -> str:
    """What this login cannot remove of a release that stays, and what removes the first."""
    from . import leftovers

    first = ", for the first of them" if len(left) > 1 else ""
    return f"{seal.counted(left)} cannot be removed (on the host, as root{first}: {leftovers.line(release / left[0])})"


def _trouble_with(user: Optional[str]) -> Optional[Problem]:
    """Why nothing can run as this user; None when it can, and for the login."""
    if user is None:
        return None
    from . import another_user

    return another_user.problem(user)


def _systemctl() -> str:
    return manager.chosen().typed("systemctl")


def _down(seen: Dict[str, units.Unit]) -> List[str]:
    """The services that do not run, and that systemd is not about to start, in words."""
    starting = {name for name, unit in seen.items() if unit.between or (unit.job and unit.active != "deactivating")}
    up = {name for name, unit in seen.items() if unit.serving or unit.runs}
    return [f"{name} is {unit.condition}" for name, unit in seen.items() if name not in up | starting]


def _blame(after: Dict[str, units.Unit]) -> str:
    failing = [_told(name, unit) for name, unit in after.items() if not unit.serving]
    return "; ".join(failing) or "no unit says why"


def _told(name: str, unit: units.Unit) -> str:
    """How a unit is that does not serve, and which of its processes keep it from ending."""
    return ", ".join([f"{name} is {unit.condition}", *map(words.hanging, strays.hanging(unit))])


def _evidence(said: str, after: Dict[str, units.Unit], since: float) -> str:
    down = (name for name, unit in after.items() if not unit.serving)
    return "\n".join([said, *(f"{words.SAID_BY}{name}\n{units.recent_log(name, since)}" for name in down)])
